"""A user's own rig as a capture.

ROOT/SEQUENCE/images[_N]/CAMERA/TIMESTEP.jpg, alpha_maps/CAMERA/TIMESTEP.png, landmark2d/SOURCE/CAMERA.npz, and the
cameras in camera_params.json, transforms.json or a COLMAP model, in the sequence's folder or in ROOT. Or pictures and
alpha maps cam_SERIAL_TIMESTEP in one folder, as videos cam_SERIAL.mp4 give them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vhap.config.data import MultiviewDataConfig
from vhap.data.cameras.find import has_rig_cameras, read_rig_cameras
from vhap.data.cameras.rig import RigCameras
from vhap.data.frame_cache import DEFAULT_BYTES
from vhap.data.rig_capture import RigCapture
from vhap.data.rig_recording import FLAT_NAME, RigRecording, open_rig_recording
from vhap.data.sequence_folder import find_folder


class MultiviewCapture(RigCapture):
    """As RigCapture; lengths are in the units of the calibration."""

    def __init__(self, config: MultiviewDataConfig, cache_bytes: int = DEFAULT_BYTES) -> None:
        recording = open_multiview_recording(config)
        if config.cameras:
            config = replace(config, cameras=_names_in(recording, config.cameras))
        super().__init__(config, recording, read_calibration(config, recording), cache_bytes=cache_bytes)


def open_multiview_recording(config: MultiviewDataConfig) -> RigRecording:
    """The sequence's pictures. Raises InputError where its folder, or the pictures in it, cannot be found."""
    return open_rig_recording(find_folder(config.root_folder, config.sequence), config.n_downsample_rgb)


def read_calibration(config: MultiviewDataConfig, recording: RigRecording) -> RigCameras:
    """The cameras of config.calibration, else of the sequence's folder, else of the root."""
    if config.calibration is not None:
        rig = read_rig_cameras(config.calibration)
    else:
        root_has_it = not has_rig_cameras(recording.path) and has_rig_cameras(config.root_folder)
        rig = read_rig_cameras(config.root_folder if root_has_it else recording.path)
    return replace(rig, names=_names_in(recording, rig.names))


def _names_in(recording: RigRecording, names: Sequence[str]) -> tuple[str, ...]:
    """What the pictures call cameras that a calibration names: pictures of a video cam_1.mp4 are of camera 1, but
    whoever calibrated by cam_1.jpg calls it cam_1, and by one of those pictures cam_1_000000."""
    found = tuple(_name_in(recording, name) for name in names)
    return found if len(set(found)) == len(found) else tuple(names)


def _name_in(recording: RigRecording, name: str) -> str:
    match = FLAT_NAME.fullmatch(name)
    candidates = (name, name.removeprefix("cam_"), match["camera"] if match else name)
    return next((candidate for candidate in candidates if candidate in recording.images), name)
