"""Where a run starts if not from nothing: an earlier result of the same person, or an earlier run of the same clip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from vhap.config.data import DataConfig
from vhap.config.loading import load_config, to_plain
from vhap.config.track import TrackConfig
from vhap.data.monocular import full_size
from vhap.data.results import TrackResult, load_result
from vhap.data.run_order import runs_in
from vhap.data.sequence_folder import open_sequence
from vhap.fit.albedo import albedo_of
from vhap.fit.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    OtherVersionError,
    Progress,
    checkpoint_in,
    load_checkpoint,
)
from vhap.fit.params import PER_FRAME, TrackParams
from vhap.head.model import HeadModel
from vhap.util.errors import InputError
from vhap.util.log import get_logger

SAME_SHAPE = 0.01
"""Of the ratio of width to height, which rounding changes in small pictures."""


def saved_result(config: TrackConfig, head: HeadModel) -> TrackResult | None:
    """The result at model.flame_params_path. InputError where it is of another head or has other sizes."""
    path = config.model.flame_params_path
    if path is None:
        return None
    result = load_result(path, head.identity)
    found, expected = result.shape.shape[-1], head.n_shape
    if found != expected:
        raise InputError(
            f"expected {expected} shape coefficients in {path}, found {found}; set --model.n_shape {found}"
        )
    if result.static_offset is not None and result.static_offset.shape[1] != head.n_vertices:
        raise InputError(
            f"expected offsets of {head.n_vertices} vertices in {path}, found {result.static_offset.shape[1]}; "
            "use the head's options of that run"
        )
    return result


def with_texture_of(head: HeadModel, result: TrackResult | None) -> HeadModel:
    """The head, which has a base texture, painted with the albedo of a result, where that has one: features lie on it
    where they belong."""
    assert head.base_texture is not None, head.name
    albedo = None if result is None else albedo_of(result, head.base_texture)
    return head if albedo is None else replace(head, base_texture=albedo[0])


def with_person_of(params: TrackParams, result: TrackResult) -> TrackParams:
    """params with the shape of a result, and its offsets where params have some."""
    shape = torch.from_numpy(result.shape).to(params.shape)
    offset = params.static_offset
    if offset is not None and result.static_offset is not None:
        offset = torch.from_numpy(result.static_offset[0]).to(offset)
    return replace(params, shape=shape, static_offset=offset)


def with_motion_of(params: TrackParams, result: TrackResult, timestep_ids: list[str]) -> TrackParams:
    """params with everything a result of the same timesteps knows of them. InputError where the timesteps differ."""
    names = [str(name) for name in result.timestep_id]
    if names != timestep_ids or result.expr.shape[1] != params.expr.shape[1]:
        raise InputError(
            f"expected a result of the same {len(timestep_ids)} timesteps and {params.expr.shape[1]} expression "
            f"coefficients for --begin_stage, found {len(names)} and {result.expr.shape[1]}; leave --begin_stage out"
        )
    own = {name: torch.from_numpy(getattr(result, name)).to(params.rotation) for name in PER_FRAME}
    shared = {name: getattr(result, name) for name in ("focal_length", "lights")}
    told = {
        name: torch.from_numpy(value).to(params.rotation).reshape(getattr(params, name).shape)
        for name, value in shared.items()
        if value is not None
    }
    return replace(params, **own, **told)


def with_solved_focal(config: TrackConfig) -> TrackConfig:
    """The options with the focal length of model.focal_path as data.fx, in pixels of the full-size pictures. InputError
    where there is none, or where the pictures cannot be of that camera."""
    path, data = config.model.focal_path, config.data
    if path is None:
        return config
    if not isinstance(data, DataConfig) or data.fx is not None:
        raise InputError(
            "expected one camera of unknown focal length with --model.focal_path, found a rig or --data.fx; leave one "
            "of them out"
        )
    result = load_result(path)
    height, width = (int(side) for side in result.image_size)
    full = full_size(open_sequence(data.root_folder, data.sequence, data.n_downsample_rgb))
    if result.focal_length is None:
        raise InputError(f"expected a solved focal length in {path}, found none; give --data.fx as that run had it")
    if abs(full[0] * width / (full[1] * height) - 1) > SAME_SHAPE:
        raise InputError(
            f"expected pictures of the shape {width}x{height} that {path} is of, found {full[1]}x{full[0]}; leave "
            "--model.focal_path out"
        )
    focal = float(result.focal_length.reshape(-1)[0]) * max(height, width) / width
    return replace(config, data=replace(data, fx=focal * full[1]), model=replace(config.model, focal_path=None))


def newest_checkpoint(config: TrackConfig, count: int, device: torch.device) -> Checkpoint | None:
    """The newest run of the same recording and head in the output folder, set to the start of all stages."""
    for folder in reversed(runs_in(config.exp.output_folder)):
        if not checkpoint_in(folder):
            continue
        try:
            made = load_config(folder / "config.yml", TrackConfig)
            if _recording_and_head(made) != _recording_and_head(config):
                continue
            checkpoint = load_checkpoint(folder, device)
        except OtherVersionError:
            get_logger().warning("another release of vhap wrote %s; looking further", folder / CHECKPOINT)
            continue
        except InputError as error:
            get_logger().warning("%s; looking further", str(error).split("; ")[0])
            continue
        if checkpoint.params.n_timesteps == count:
            get_logger().info("values of %s", folder)
            return replace(checkpoint, progress=Progress(), finished=False)
    get_logger().warning(
        "no earlier run of this recording and head in %s: stages begin from the first guess", config.exp.output_folder
    )
    return None


def _recording_and_head(config: TrackConfig) -> list[Any]:
    """A given light takes the place of an earlier one, whatever that was."""
    return [to_plain(part) for part in (config.data, replace(config.model, light_path=None))]
