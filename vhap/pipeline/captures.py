"""The capture of a run's options, whichever kind it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from vhap.config.data import DataConfig, MultiviewDataConfig, NersembleDataConfig, SingleFrameDataConfig
from vhap.config.track import TrackConfig
from vhap.data.frame_cache import DEFAULT_BYTES
from vhap.data.joined import rig_of
from vhap.data.monocular import MonocularCapture
from vhap.data.multiview import MultiviewCapture, open_multiview_recording
from vhap.data.nersemble.capture import NersembleCapture, open_nersemble_recording
from vhap.data.plausible import check_faces, check_mattes_at_faces
from vhap.data.results import TrackResult
from vhap.data.rig_capture import RigCapture
from vhap.data.rig_recording import RigRecording
from vhap.data.sample import Capture
from vhap.data.sequence_folder import open_sequence
from vhap.data.single_frame import SingleFrameCapture, open_single_frame_recording
from vhap.detect.landmarks import ensure_landmarks, ensure_rig_landmarks
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.rigs.camera_conventions import align_rig
from vhap.fit.rigs.view_consensus import agreeing_views
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.log import get_logger

CHECKED_MATTES = 8
OTHER_UNIT = 2.0
"""Factor from the size of a mean head from which a calibration is not metric."""

RigConfig = NersembleDataConfig | MultiviewDataConfig | SingleFrameDataConfig
CaptureConfig = DataConfig | RigConfig


AwaitMattes = Callable[[], object]


def open_capture(config: TrackConfig, await_mattes: AwaitMattes | None = None) -> MonocularCapture | RigCapture:
    """The capture of a run's options, as `complete_capture` gives it. await_mattes: of a video, see MonocularCapture;
    the mattes of such a one are not compared with the faces yet (`require_mattes_at_faces`)."""
    if await_mattes is None:
        return complete_capture(config.data, config.exp.reuse_landmarks)
    assert isinstance(config.data, DataConfig)
    capture = MonocularCapture(config.data, await_mattes=await_mattes)
    require_faces(capture)
    return capture


def complete_capture(data: CaptureConfig, reuse_landmarks: bool = True) -> MonocularCapture | RigCapture:
    """The capture, its landmarks detected where they are missing (or are not to be reused).

    Everything else is checked before anything is detected, which is done for the chosen cameras of a rig only.
    """
    options = (data.landmark_source, data.landmark_detector_njobs, reuse_landmarks)
    without = read_capture(replace(data, use_landmark=False))
    if isinstance(without, RigCapture) and data.calibrated:
        without.check_lenses()
    if isinstance(data, DataConfig):
        ensure_landmarks(open_sequence(data.root_folder, data.sequence, data.n_downsample_rgb), *options)
    else:
        ensure_rig_landmarks(open_recording(data).of(without.camera_ids), *options)
    capture = read_capture(data)
    if data.use_landmark:
        require_faces(capture)
        require_mattes_at_faces(capture)
    return capture


def require_faces(capture: MonocularCapture | RigCapture) -> None:
    """InputError where the landmarks are no faces."""
    points_px, confidence = (tensor.numpy() for tensor in capture.load_landmarks())
    flat_px, flat = points_px.reshape(-1, *points_px.shape[2:]), confidence.reshape(-1, confidence.shape[2])
    check_faces(flat_px, flat, capture.landmark_set, capture.folder / "landmark2d")


def require_mattes_at_faces(capture: MonocularCapture | RigCapture) -> None:
    """InputError where the mattes are empty or inverted at the faces."""
    if capture.alpha_paths is None:
        return
    confidence = capture.load_landmarks()[1].numpy()
    pairs = np.argwhere((confidence > 0).any(2)).tolist()
    chosen = [pairs[index] for index in even_choice(len(pairs), CHECKED_MATTES)]
    batches = [capture.load([timestep], [camera]) for timestep, camera in chosen]
    alphas, points, sure = (
        [getattr(batch, name)[0].numpy() for batch in batches] for name in ("alpha", "landmarks_px", "confidence")
    )
    check_mattes_at_faces(alphas, points, sure, capture.folder / "alpha_maps")


def open_recording(data: RigConfig) -> RigRecording:
    """The files of a rig's recording. InputError where they cannot be found."""
    if isinstance(data, NersembleDataConfig):
        return open_nersemble_recording(data)
    if isinstance(data, SingleFrameDataConfig):
        return open_single_frame_recording(data)
    return open_multiview_recording(data)


def read_capture(data: CaptureConfig, cache_bytes: int = DEFAULT_BYTES) -> MonocularCapture | RigCapture:
    """The capture as it is on disk. InputError where something is missing, landmarks included if they are used."""
    if isinstance(data, DataConfig):
        return MonocularCapture(data, cache_bytes)
    if isinstance(data, NersembleDataConfig):
        return NersembleCapture(data, cache_bytes)
    if isinstance(data, SingleFrameDataConfig):
        return SingleFrameCapture(data, cache_bytes)
    return MultiviewCapture(data, cache_bytes)


def only_agreeing_views(capture: Capture, problem: LandmarkProblem) -> LandmarkProblem:
    """The problem without landmarks of a static avatar's views that contradict the others, as those from behind may."""
    cameras = capture.calibrated_camera() if isinstance(capture, SingleFrameCapture) else None
    if cameras is None:
        return problem
    seen = (problem.weight[0] > 0).any(1)
    kept = agreeing_views(problem.detected_px[0], problem.weight[0], cameras.to(problem.weight.device))
    if odd := [capture.camera_ids[view] for view in torch.nonzero(seen & ~kept).flatten().tolist()]:
        get_logger().info("landmarks that contradict the other views, left out: %s", " ".join(odd))
    return problem.only(kept[None])


def find_tracked_world(capture: Capture, problem: LandmarkProblem, saved: TrackResult | None) -> np.ndarray | None:
    """T_tracked_given (4, 4) of a run; None without a calibration. saved: a result whose motion the run goes on with.

    The dataset's calibrations are in metres. A user's own may have any unit, axes and origin: they come from where its
    cameras see the landmarks of problem. InputError where the landmarks contradict the cameras.
    """
    rig = rig_of(capture)
    cameras = None if rig is None else rig.calibrated_camera()
    if rig is None or cameras is None:
        return None
    if saved is not None and saved.T_tracked_given is not None:
        return saved.T_tracked_given
    cameras = cameras.to(problem.weight.device)
    metric = isinstance(rig.config, NersembleDataConfig)
    keep_axes = metric or not rig.config.align_cameras_to_axes
    points = (problem.head, problem.name, problem.detected_px, problem.weight)
    fit = align_rig(*points, cameras, capture.camera_ids, keep_axes)
    if fit is None and isinstance(rig.config, SingleFrameDataConfig):
        raise InputError(
            f"expected landmarks of a face in at least two of {len(capture.camera_ids)} pictures of {capture.folder}, "
            "from which the avatar's scale is solved, found fewer; add views from the front, or try another "
            "--data.landmark_source"
        )
    if metric and fit is not None:
        _require_metres(fit.metres_per_unit, capture)
    if metric or fit is None:
        return rig.T_aligned_world
    get_logger().info("one unit of the calibration is %.4g m, by the size of a mean head", fit.metres_per_unit)
    return fit.T_tracked_given.cpu().numpy()


def _require_metres(metres_per_unit: float, capture: Capture) -> None:
    """The dataset's calibrations are metric, and a mean head's size is right to some per cent."""
    if not 1 / OTHER_UNIT < metres_per_unit < OTHER_UNIT:
        look = "millimetres; divide by 1000" if 5e-4 < metres_per_unit < 2e-3 else "another unit; convert them"
        raise InputError(
            f"expected world_2_cam of {capture.folder} in metres, found translations in which a head measures "
            f"{1 / metres_per_unit:.3g} times that of a person, which look like {look}"
        )


def unit_is_unknown(capture: Capture) -> bool:
    """Whether lengths of the calibration are told by the size of the head: those of the dataset are metres."""
    rig = rig_of(capture)
    return rig is not None and not isinstance(rig.config, NersembleDataConfig) and rig.calibrated_camera() is not None
