"""Exporting: turns a tracking run into a dataset that neural avatars train on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vhap.config.data import Division, NersembleDataConfig
from vhap.config.export import ExportConfig
from vhap.config.loading import load_config
from vhap.config.track import TrackConfig
from vhap.data.result_cameras import given_cameras, similarity_of
from vhap.data.results import TrackResult, load_result, newest_run, result_path
from vhap.data.rig_capture import RigCapture
from vhap.data.subset import select_cameras, select_timesteps
from vhap.export.centred_result import tracked_cameras
from vhap.export.head_files import is_posed_by_trainers
from vhap.export.nerf_dataset import ExportSource, export_dataset
from vhap.export.target import DATASET, check_target, fingerprint, target_folder
from vhap.head.model import HeadModel
from vhap.pipeline.captures import CaptureConfig, read_capture
from vhap.pipeline.export_lost_frames import without_lost_frames
from vhap.pipeline.export_relightable import RELIGHTABLE, check_relightable, export_relightable
from vhap.pipeline.heads import configured_head
from vhap.pipeline.open_run import require_recording
from vhap.render.backend import get_backend
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger


def run(config: ExportConfig) -> Path:
    """Exports one tracking run. Returns the dataset's folder."""
    if not 0 < config.scale_factor <= 1:
        raise InputError(f"expected a --scale_factor above 0, at most 1, found {config.scale_factor}; correct it")
    folder = newest_run(config.src_folder)
    file = result_path(folder, config.epoch)
    tracked = load_config(folder / "config.yml", TrackConfig)
    require_recording(tracked, folder)
    head = configured_head(tracked.model)
    if config.layout != "nerf":
        check_relightable(config, tracked, head)
    source = open_source(tracked.data, head, load_result(file, head.identity), config)
    target = target_folder(config)
    check_target(target, DATASET if config.layout == "nerf" else RELIGHTABLE)
    if not config.keep_lost_frames:
        source = without_lost_frames(source, file, tracked)
    get_logger().info("exporting %d timesteps of %s to %s", len(source.result.timestep_id), file, target)
    if config.layout != "nerf":
        return export_relightable(source, config, file, tracked)
    if not is_posed_by_trainers(head):
        get_logger().warning(
            "for trainers that take meshes (mesh_path): the parameters are of the head %s, and trainers that pose "
            "FLAME (GaussianAvatars and its descendants) cannot read them; for these track with --model.head flame",
            head.identity,
        )
    backend = get_backend(tracked.render.backend)
    mark = fingerprint(file, config, tracked.data, source.lost_frames)
    with folder_lock(target):
        return export_dataset(source, config, target, backend, mark)


def open_source(data: CaptureConfig, head: HeadModel, result: TrackResult, config: ExportConfig) -> ExportSource:
    """The tracked timesteps that config.subset keeps, with their pictures as they were filmed, scaled."""
    raw = replace(
        with_division(data, config.division),
        background_color=None,
        use_landmark=False,
        scale_factor=data.scale_factor * config.scale_factor,
    )
    # Every picture is used once, so keeping decoded ones would only cost memory.
    capture = read_capture(raw, cache_bytes=0)
    rows = select_timesteps(config.subset, len(result.timestep_id))
    indices = select_cameras(config.subset, len(capture.camera_ids))
    result = replace(result, T_tracked_given=similarity_of(capture, result))
    cameras = tracked_cameras(result, given_cameras(capture, result), capture.size)
    calibrated = capture.calibrated_camera() if isinstance(capture, RigCapture) else None
    return ExportSource(
        head=head,
        result=result.select(rows),
        capture=capture,
        cameras=[cameras[index] for index in indices],
        camera_indices=indices,
        camera_numbers=[capture.camera_indices[index] for index in indices],
        given_cameras=None if calibrated is None else [calibrated.select(index) for index in indices],
    )


def with_division(data: CaptureConfig, division: Division | None) -> CaptureConfig:
    """The same capture by the cameras of a division, if one is given, whichever of them were tracked."""
    if division is None:
        return data
    if not isinstance(data, NersembleDataConfig):
        raise InputError(
            f"expected a run of the NeRSemble dataset with --division {division}, found another; take --subset, as ci0"
        )
    return replace(data, division=division, cameras=())
