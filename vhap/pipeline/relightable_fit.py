"""FLAME fitted to a subject's pictures, and the files from which relightable avatars are trained."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.config.data import DataConfig
from vhap.config.export import MeshExportConfig
from vhap.config.relightable import OptimizeConfig
from vhap.config.track import ExperimentConfig, LossWeightConfig, ModelConfig, MonocularTrackConfig
from vhap.data.results import TrackResult, load_result, result_path, save_result
from vhap.export.target import MESHES as MESH_FILES
from vhap.export.target import check_target
from vhap.head.model import HeadModel
from vhap.pipeline import export_mesh, track
from vhap.pipeline.heads import configured_head, resolved
from vhap.pipeline.relightable_capture import SubjectCapture, subject_capture
from vhap.pipeline.relightable_files import RUNS, coefficient_lines, flame_lines, open_subject_run, write_head_files
from vhap.pipeline.relightable_runs import finished_runs
from vhap.relightable.head_files import read_codes, read_shape_params
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

SHAPES, MESHES = ".shapes", "meshes"
THEIR_TRANSLATION, THEIR_POSE = 5.0, 10.0
"""What --lambda_translation_diff and --lambda_pose_diff are by default, where our own weights hold."""


def run(config: OptimizeConfig) -> Path:
    """Tracks a subject's pictures and writes flame_params.json, optimize_vis.jpg and tracked_params.json into its
    folder, which is returned."""
    check_options(config)
    # Runs are found again by their options, whatever folder the command is given in.
    subject = SubjectFolder(Path(os.path.abspath(config.path)))
    with folder_lock(subject.path):
        model = resolved(model_options(config))
        require_flame(model, config)
        head = configured_head(model)
        if not head.name.startswith("flame"):
            check_target(subject.path / MESHES, MESH_FILES)
        capture = subject_capture(subject, config.use_keypoints)
        check_size(config, capture)
        for line in log_lines(config, subject, head):
            get_logger().warning(line)
        shape = shared_shape(config, subject, head)
        folder = track.run_once(track_config(config, subject, capture, model, shape))
        tracked = open_subject_run(folder, capture.names, with_translation=config.with_translation)
        write_head_files(tracked, subject, config.save_name)
        if not head.name.startswith("flame"):
            export_mesh.run(MeshExportConfig(folder, subject.path / MESHES))
    return subject.path


def check_options(config: OptimizeConfig) -> None:
    """InputError for options that do not go together, and for a folder that is not there."""
    if not config.path.is_dir():
        raise InputError(f"expected a subject's folder at --path {config.path}, found none; correct it")
    given = [name for name in ("fy", "cx", "cy") if getattr(config, name) is not None]
    if config.fx is None and given:
        raise InputError(f"expected --fx with --{given[0]}, found none; give it, or none of them to solve for it")
    if not config.save_name or Path(config.save_name).name != config.save_name:
        raise InputError(f"expected a file's name for --save_name, found {config.save_name!r}; correct it")


def check_size(config: OptimizeConfig, capture: SubjectCapture) -> None:
    height, width = capture.size
    if config.size is not None and (config.size, config.size) != capture.size:
        raise InputError(
            f"expected pictures of {config.size}x{config.size} in {config.path}, as --size says, found "
            f"{width}x{height}; leave --size out, or crop them by `{command('crop-and-matting')}`"
        )


def model_options(config: OptimizeConfig) -> ModelConfig:
    """Without offsets, for which the files have no place."""
    return ModelConfig(
        head=config.head,
        flame_model_path=config.flame_model_path,
        gnm_path=config.gnm_path,
        ict_facekit_path=config.ict_facekit_path,
        n_shape=config.n_shape,
        n_expr=config.n_expr,
        use_static_offset=False,
    )


def require_flame(model: ModelConfig, config: OptimizeConfig) -> None:
    """model: resolved."""
    if model.head != "flame" and not config.allow_other_head:
        raise InputError(
            f"expected FLAME for tracked_params.json, whose readers pose FLAME, found the head {model.head}, whose "
            "coefficients would mean another shape there; name FLAME's file by --flame_model_path or VHAP_FLAME_MODEL, "
            "or take --allow_other_head, which writes meshes beside the coefficients; finished runs of other heads "
            "become FLAME's by vhap convert-head RUN --to flame"
        )


def log_lines(config: OptimizeConfig, subject: SubjectFolder, head: HeadModel) -> list[str]:
    """What the log says of options without effect, and of what trainers leave out."""
    lines = []
    if config.with_eyelid:
        lines.append(f"--with_eyelid has no effect: the head {head.name} has no lid bases, and lids are left out")
    if config.with_translation_camera:
        where = "the head's translation" if config.with_translation else "each picture's world_mat"
        lines.append(f"--with_translation_camera has no effect: the movement is solved once, and written as {where}")
    lines += coefficient_lines(config.n_shape, config.n_expr)
    if subject.codes.is_file():
        read_codes(subject.codes)
        # Measured (doc/relightable.md): the fit to landmarks ends in the same place, wherever it begins.
        lines.append(f"{subject.codes.name} is not needed: the first guess comes from landmarks")
    return lines + flame_lines(head)


def shared_shape(config: OptimizeConfig, subject: SubjectFolder, head: HeadModel) -> Path | None:
    """A result with the other subject's shape, for model.flame_params_path; None where none is asked for.

    InputError where there is no shape, or that of another head.
    """
    if config.shape_from == Path("."):
        return None
    other = SubjectFolder(config.shape_from)
    values = shape_of(other, head, config.save_name)
    if len(values) > head.n_shape and np.any(values[head.n_shape :]):
        raise InputError(
            f"expected at most {head.n_shape} shape coefficients in {other.path} for --shape_from, found "
            f"{len(values)}; give --n_shape {len(values)}"
        )
    shape = np.zeros(head.n_shape, np.float32)
    shape[: len(values)] = values[: head.n_shape]
    # The run's options name the file: one of another shape makes another run.
    digest = hashlib.sha256(shape.tobytes() + head.identity.encode()).hexdigest()[:8]
    file = subject.path / SHAPES / f"{other.path.resolve().name}_{digest}.npz"
    if not file.is_file():
        save_result(file, still_head(head, shape))
    return file


def shape_of(subject: SubjectFolder, head: HeadModel, save_name: str) -> np.ndarray:
    """(S,) of the subject's newest finished run of this head; where there is no finished run, of its JSON file, which
    does not say of which head it is. InputError where there is neither, or where all runs are of other heads."""
    newest: Path | None = None
    for folder in finished_runs(subject.path / RUNS):
        newest = newest or result_path(folder)
        result = load_result(result_path(folder))
        if result.head_identity in (head.identity, "unknown"):
            return result.shape.reshape(-1)
    if newest is not None:
        return load_result(newest, head.identity).shape
    if subject.flame_params(save_name).is_file():
        return read_shape_params(subject.flame_params(save_name))
    raise InputError(
        f"expected {save_name}.json or a finished run in {subject.path} for --shape_from, found neither; fit that "
        "subject first"
    )


def still_head(head: HeadModel, shape: np.ndarray) -> TrackResult:
    """A result of one timestep that says nothing but the shape."""

    def still(width: int) -> np.ndarray:
        return np.zeros((1, width), np.float32)

    return TrackResult(
        **{name: still(3) for name in ("rotation", "translation", "neck_pose", "jaw_pose")},
        eyes_pose=still(6),
        shape=shape,
        expr=still(head.n_expr),
        timestep_id=np.array(["0"]),
        timestep_index=np.arange(1),
        n_processed_frames=np.array(1),
        image_size=np.array([1, 1]),
        head_model=np.array(head.identity),
    )


def track_config(
    config: OptimizeConfig, subject: SubjectFolder, capture: SubjectCapture, model: ModelConfig, shape: Path | None
) -> MonocularTrackConfig:
    """Their options as ours."""
    ours = LossWeightConfig()
    translation, turn = config.lambda_translation_diff / THEIR_TRANSLATION, config.lambda_pose_diff / THEIR_POSE
    weights = replace(
        ours,
        smooth_trans=ours.smooth_trans * translation,
        smooth_rot=ours.smooth_rot * turn,
        smooth_neck=ours.smooth_neck * turn,
        smooth_jaw=ours.smooth_jaw * turn,
    )
    if shape is not None:
        # Light and skin of the other subject's pictures are theirs.
        model = replace(model, flame_params_path=shape, fix_shape=True, fix_offset=False, fix_texture=False)
    return MonocularTrackConfig(
        data=DataConfig(
            root_folder=capture.path.parent,
            sequence=capture.path.name,
            landmark_source=capture.landmark_source,
            background_color=capture.background,
            fx=config.fx,
            fy=config.fy,
            cx=config.cx,
            cy=config.cy,
        ),
        exp=ExperimentConfig(subject.path / RUNS, photometric=config.photometric, report=False),
        model=model,
        w=weights,
        device=config.device,
    )
