"""A capture's known cameras in the world of a result."""

from __future__ import annotations

import numpy as np
import torch

from vhap.data.joined import rig_of
from vhap.data.results import TrackResult
from vhap.data.sample import Capture
from vhap.geometry.cameras import Camera


def knows_cameras(capture: Capture) -> bool:
    """Whether a calibration gives the cameras of a recording."""
    rig = rig_of(capture)
    return rig is not None and rig.calibrated_camera() is not None


def similarity_of(capture: Capture, result: TrackResult) -> np.ndarray | None:
    """T_tracked_given (4, 4) of a result; of one that does not tell, the turn to axes. None without a calibration."""
    rig = rig_of(capture)
    if rig is None or not knows_cameras(capture):
        return None
    return rig.T_aligned_world if result.T_tracked_given is None else result.T_tracked_given


def given_cameras(capture: Capture, result: TrackResult) -> Camera | None:
    """Known cameras of a capture, with a leading axis, in the tracked world of a result; else None. float64."""
    return cameras_in(capture, similarity_of(capture, result))


def cameras_in(capture: Capture, T_tracked_given: np.ndarray | None) -> Camera | None:
    """Known cameras of a capture in a tracked world; None where they are not known."""
    rig = rig_of(capture)
    if T_tracked_given is None or rig is None:
        return capture.given_camera()
    calibrated = rig.calibrated_camera()
    return None if calibrated is None else calibrated.moved(torch.from_numpy(T_tracked_given))


def unused_cameras(capture: Capture, T_tracked_given: np.ndarray | None) -> dict[str, Camera]:
    """Name -> camera without leading axes in a tracked world, of a calibration's cameras whose pictures a capture does
    not read, as those held out for testing are; none where cameras are not known. float64."""
    rig = rig_of(capture)
    if T_tracked_given is None or rig is None or not knows_cameras(capture):
        return {}
    T = torch.from_numpy(T_tracked_given)
    return {name: rig.other_camera(name).moved(T) for name in rig.unused_cameras}
