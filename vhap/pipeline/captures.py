"""The capture of a run's options, whichever kind it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vhap.config.data import DataConfig, MultiviewDataConfig, NersembleDataConfig
from vhap.config.track import TrackConfig
from vhap.data.frame_cache import DEFAULT_BYTES
from vhap.data.monocular import MonocularCapture
from vhap.data.multiview import MultiviewCapture, open_multiview_recording
from vhap.data.nersemble.capture import NersembleCapture, open_nersemble_recording
from vhap.data.results import TrackResult
from vhap.data.rig_capture import RigCapture
from vhap.data.sample import Capture
from vhap.data.sequence_folder import open_sequence
from vhap.detect.landmarks import ensure_landmarks, ensure_rig_landmarks
from vhap.geometry.cameras import Camera

CaptureConfig = DataConfig | NersembleDataConfig | MultiviewDataConfig


def open_capture(config: TrackConfig) -> Capture:
    """The capture, its landmarks detected where they are missing (or are not to be reused).

    Of a rig, everything else is checked before anything is detected, which is done for the chosen cameras only.
    """
    data = config.data
    options = (data.landmark_source, data.landmark_detector_njobs, config.exp.reuse_landmarks)
    if isinstance(data, DataConfig):
        ensure_landmarks(open_sequence(data.root_folder, data.sequence, data.n_downsample_rgb), *options)
    else:
        is_nersemble = isinstance(data, NersembleDataConfig)
        recording = open_nersemble_recording(data) if is_nersemble else open_multiview_recording(data)
        cameras = read_capture(replace(data, use_landmark=False)).camera_ids
        ensure_rig_landmarks(recording.of(cameras), *options)
    return read_capture(data)


def read_capture(data: CaptureConfig, cache_bytes: int = DEFAULT_BYTES) -> MonocularCapture | RigCapture:
    """The capture as it is on disk. InputError where something is missing, landmarks included if they are used."""
    if isinstance(data, DataConfig):
        return MonocularCapture(data, cache_bytes)
    if isinstance(data, NersembleDataConfig):
        return NersembleCapture(data, cache_bytes)
    return MultiviewCapture(data, cache_bytes)


def similarity_of(capture: Capture, result: TrackResult) -> np.ndarray | None:
    """T_tracked_given (4, 4) of a result; of one that does not tell, the turn to axes. None without a calibration."""
    if not isinstance(capture, RigCapture) or capture.calibrated_camera() is None:
        return None
    return capture.T_aligned_world if result.T_tracked_given is None else result.T_tracked_given


def given_cameras(capture: Capture, result: TrackResult) -> Camera | None:
    """Known cameras of a capture, with a leading axis, in the tracked world of a result; else None."""
    T_tracked_given = similarity_of(capture, result)
    if T_tracked_given is None or not isinstance(capture, RigCapture):
        return capture.given_camera()
    calibrated = capture.calibrated_camera()
    return None if calibrated is None else calibrated.moved(torch.from_numpy(T_tracked_given))
