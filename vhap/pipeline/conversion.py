"""A finished run's result as another head's: what `convert_head` writes, and what curves are taken from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from vhap.config.data import DataConfig, MultiviewDataConfig
from vhap.config.track import ModelConfig
from vhap.data.results import TrackResult
from vhap.evaluate.run_scene import RunScene, result_head_params
from vhap.fit.conversion.convert import Motion, convert
from vhap.fit.conversion.residuals import Residuals, residuals_mm
from vhap.head.model import HeadModel
from vhap.head.registration.correspondence import Correspondence, correspondence
from vhap.pipeline.heads import configured_head, resolved, with_detector_points
from vhap.pipeline.track import with_base
from vhap.util.errors import InputError
from vhap.util.threads import one_torch_thread


@dataclass(frozen=True)
class ConvertedResult:
    """result: of the target, without textures; offset and match: see `fit/conversion/`."""

    result: TrackResult
    target: HeadModel
    match: Correspondence
    residuals: Residuals


def open_converted_head(options: ModelConfig) -> tuple[ModelConfig, HeadModel]:
    """The options with paths spelt out, and the head with iBUG's points and a base texture. InputError where its file
    is not found."""
    try:
        options = resolved(options)
        head = configured_head(options)
    except InputError as error:
        # Here these options stand by themselves.
        raise InputError(str(error).replace("--model.", "--").replace("--head ", "--to ")) from None
    return options, with_base(with_detector_points(head, "ibug"), options)


@one_torch_thread()
def converted(scene: RunScene, target: HeadModel, offsets: bool = True) -> ConvertedResult:
    """The scene's result in the target's numbers, on the CPU. InputError where both heads are the same."""
    source = with_detector_points(scene.model.to("cpu"), "ibug")
    if source.identity == target.identity:
        raise InputError(
            f"expected another head than the run's own to convert {scene.folder} to, found {target.identity} for both; "
            "name another one by --to, or take the run as it is"
        )
    match = correspondence(source, target)
    # A world whose unit is not the metre: heads are compared in metres, and put back.
    unit = 1.0 if scene.result.scale is None else float(scene.result.scale)
    params = result_head_params(scene.result, list(range(scene.n_rows)))
    params = replace(params, translation=params.translation / unit, scale=None)
    data = scene.config.data
    step = 2 if isinstance(data, DataConfig | MultiviewDataConfig) and data.unordered else 1
    motion = Motion(source, params, torch.from_numpy(np.asarray(scene.result.timestep_index, np.int64)) * step)
    found = convert(motion, target, match)
    offset = found.offset if offsets else None
    frames = {name: value.numpy() for name, value in vars(found.params.head()).items() if value is not None}
    result = replace(
        scene.result,
        **{**frames, "translation": frames["translation"] * np.float32(unit)},
        head_model=np.array(target.identity),
        static_offset=None if offset is None else offset[None].numpy(),
        dynamic_offset=None,
        tex_extra=None,
        albedo=None,
    )
    residuals = residuals_mm(motion, target, found.params.head(), offset, match)
    return ConvertedResult(result, target, match, residuals)
