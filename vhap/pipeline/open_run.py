"""A finished run opened again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from vhap.config.data import DataConfig, MultiviewDataConfig
from vhap.config.loading import load_config
from vhap.config.track import TrackConfig
from vhap.data.result_cameras import similarity_of
from vhap.data.results import TrackResult, load_result, newest_run, result_epochs, result_path
from vhap.data.sample import Capture
from vhap.evaluate.run_scene import RunScene, result_texture
from vhap.head.model import HeadModel
from vhap.pipeline.captures import read_capture
from vhap.pipeline.heads import configured_head, open_head
from vhap.pipeline.run_folder import is_interrupted
from vhap.pipeline.video_source import with_folder
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.util.errors import InputError
from vhap.util.log import get_logger

KEYFRAMES = "keyframes.json"
"""Names of a person's keyframes, SEQUENCE/TIMESTEP, in that person's run."""


def open_run(
    run: str | Path, epoch: int = -1, device: torch.device | str = "cpu", with_landmarks: bool = True
) -> RunScene:
    """Opens a run folder, or the newest one in an output folder; epoch -1 is the last that was written.

    with_landmarks: off, neither the recording's landmarks nor the head's points for them are read or made, and
    landmarks_px is not to be called.
    Raises InputError where the run, its head or its capture cannot be found, and where the result is of another head
    or of other pictures.
    """
    folder = newest_run(run)
    require_sequence(folder)
    path = result_path(folder, epoch)
    epoch = next(number for number, file in result_epochs(folder).items() if file == path)
    config = load_config(folder / "config.yml", TrackConfig)
    if is_interrupted(folder):
        get_logger().warning("%s is unfinished: its result of epoch %d counts", folder, epoch)
    require_recording(config, folder)
    data = config.data if with_landmarks else replace(config.data, use_landmark=False)
    capture = read_capture(data, cache_bytes=0)
    model = open_head(config.model, capture.landmark_set) if with_landmarks else configured_head(config.model)
    result = load_result(path, model.identity)
    result = replace(result, T_tracked_given=similarity_of(capture, result))
    model = fitting_head(model, result, path).to(device)
    return scene_of(path, epoch, config, model, capture, result)


def require_sequence(folder: Path) -> None:
    """InputError where a run is that of a person, which has keyframes of several sequences."""
    if (folder / KEYFRAMES).is_file():
        raise InputError(
            f"expected the run of one sequence in {folder}, found that of a person ({KEYFRAMES}); name the folder of "
            "one of the person's sequences"
        )


def require_recording(config: TrackConfig, folder: Path) -> None:
    """InputError where what a run shows is no longer there. The name that it was tracked by may be the beginning of
    another recording's, which would be taken for it. Pictures of a video are made again."""
    data = config.data
    if isinstance(data, DataConfig | MultiviewDataConfig) and not (data.root_folder / data.sequence).is_dir():
        if isinstance(data, DataConfig) and data.video is not None:
            with_folder(data)
            return
        raise InputError(
            f"expected the recording of {folder} at {data.root_folder / data.sequence}, found none; put it back, or "
            "track again"
        )


def scene_of(
    path: Path,
    epoch: int,
    config: TrackConfig,
    model: HeadModel,
    capture: Capture,
    result: TrackResult,
) -> RunScene:
    """A scene out of what is in memory already, on the model's device. path: the result's file in its run folder."""
    device = model.template.device
    return RunScene(
        folder=path.parent,
        epoch=epoch,
        config=config,
        model=model,
        capture=capture,
        sequence_folder=capture.folder,
        result=result,
        backend=get_backend(config.render.backend, device),
        topology=build_topology(model.faces, model.uv_faces),
        texture=result_texture(model, result).to(device),
        lights=None if result.lights is None else torch.from_numpy(result.lights).float().to(device),
        timesteps=capture_timesteps(capture, result, path),
    )


def fitting_head(model: HeadModel, result: TrackResult, path: Path) -> HeadModel:
    """The head with as many coefficients as the result has; InputError where it has fewer."""
    n_shape, n_expr = result.shape.shape[-1], result.expr.shape[-1]
    if n_shape > model.n_shape or n_expr > model.n_expr:
        raise InputError(
            f"expected at most {model.n_shape} shape and {model.n_expr} expression coefficients in {path}, found "
            f"{n_shape} and {n_expr}; open it with the head it was tracked with"
        )
    return model.keep_coefficients(n_shape, n_expr)


def capture_timesteps(capture: Capture, result: TrackResult, path: Path) -> tuple[int, ...]:
    """For every row of the result the capture's timestep, by name."""
    place = {name: timestep for timestep, name in enumerate(capture.timestep_ids)}
    names = [str(name) for name in result.timestep_id]
    if missing := [name for name in names if name not in place]:
        raise InputError(
            f"expected the pictures of every timestep in {path}, found none for {len(missing)} (first: {missing[0]}); "
            "restore the pictures or track again"
        )
    return tuple(place[name] for name in names)
