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
from vhap.evaluate.run_scene import RunScene
from vhap.export.centred_result import fitting_head, tracked_cameras
from vhap.export.head_files import is_posed_by_trainers
from vhap.export.layouts.base import Job
from vhap.export.layouts.checks import check_head, check_source, report_no_effect
from vhap.export.nerf_dataset import ExportSource
from vhap.export.target import DATASET, check_target, fingerprint, target_folder
from vhap.head.model import HeadModel
from vhap.pipeline.captures import CaptureConfig, read_capture
from vhap.pipeline.class_maps_of_run import RunClassMaps
from vhap.pipeline.export_layouts import files_of, layout_of, planned_lines, write_layout
from vhap.pipeline.export_lost_frames import without_lost_frames
from vhap.pipeline.heads import configured_head, with_detector_points
from vhap.pipeline.open_run import require_recording, require_sequence, scene_of
from vhap.render.backend import get_backend
from vhap.util.errors import InputError
from vhap.util.log import get_logger


def run(config: ExportConfig) -> Path:
    """Exports one tracking run. Returns the dataset's folder, of a dry run that which would be written."""
    job, target, mark = open_job(config)
    if config.dry_run:
        for line in [f"would write {job.n_rows} timesteps to {target}", *planned_lines(job)]:
            print(line)
        return target
    run_folder, readers = newest_run(config.src_folder), layout_of(config).rules.readers
    get_logger().info("exporting %d timesteps of %s to %s, for %s", job.n_rows, run_folder, target, readers)
    return write_layout(job, target, mark)


def open_job(config: ExportConfig) -> tuple[Job, Path, str]:
    """What is exported, where to, and the fingerprint of both; InputError where the layout cannot hold it."""
    if not 0 < config.scale_factor <= 1:
        raise InputError(f"expected a --scale_factor above 0, at most 1, found {config.scale_factor}; correct it")
    folder = newest_run(config.src_folder)
    require_sequence(folder)
    file = result_path(folder, config.epoch)
    tracked = load_config(folder / "config.yml", TrackConfig)
    require_recording(tracked, folder)
    head, rules = configured_head(tracked.model), layout_of(config).rules
    check_head(config.layout, rules, head.name)
    report_no_effect(config.layout, rules, config)
    source = open_source(tracked.data, head, load_result(file, head.identity), config)
    target = target_folder(config)
    check_target(target, rules.target)
    if not config.keep_lost_frames:
        source = without_lost_frames(source, file, tracked)
    check_source(config.layout, rules, source, config)
    if rules.target is DATASET and not is_posed_by_trainers(head):
        get_logger().warning(
            "for trainers that take meshes (mesh_path): the parameters are of the head %s, and trainers that pose "
            "FLAME (GaussianAvatars and its descendants) cannot read them; for these vhap convert-head RUN --to "
            "flame makes a run of FLAME",
            head.identity,
        )
    job = Job(
        source=source,
        config=config,
        files=files_of(config, target),
        backend=get_backend(tracked.render.backend),
        sequence=tracked.data.sequence,
        classes=RunClassMaps(lambda: scene_of_source(source, file, tracked)),
        albedo=lambda: scene_of_source(source, file, tracked).albedo_bytes(),
    )
    return job, target, fingerprint(file, config, tracked.data, source.lost_frames)


def scene_of_source(source: ExportSource, file: Path, tracked: TrackConfig) -> RunScene:
    """The run, of the rows that are exported, with landmarks that its head may lack."""
    head = source.head if "mediapipe" in source.head.landmarks else with_detector_points(source.head, "ibug")
    return scene_of(file, -1, tracked, fitting_head(head, source.result), source.capture, source.result)


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
