"""Converting a run: a finished run of one head becomes a finished run of another."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from vhap.config.convert import ConvertConfig
from vhap.config.loading import save_config
from vhap.config.track import ModelConfig, TrackConfig
from vhap.data.results import TrackResult, result_epochs, save_result
from vhap.data.run_order import new_run_folder, runs_in
from vhap.evaluate.run_scene import RunScene
from vhap.fit.albedo import tex_extra_of
from vhap.fit.conversion.residuals import table, warnings
from vhap.fit.conversion.texture import resampled_albedo
from vhap.fit.light_file import LIGHT_FILE
from vhap.head.model import HeadModel
from vhap.pipeline.conversion import ConvertedResult, converted, open_converted_head
from vhap.pipeline.open_run import open_run
from vhap.render.backend import get_backend
from vhap.util.cached import read_cached
from vhap.util.files import file_hash, read_bytes, read_json, write_bytes, write_json
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger, log_to_file
from vhap.util.versions import versions

CONVERSION_FILE = "conversion.json"
STAMPED = re.compile(r"\d{4}-\d{2}-\d{2}_")
"""Names of run folders in an output folder."""


class StoredConversion(TypedDict, total=False):
    """What decides on a result, all but the residuals."""

    run: str
    result: str
    head: str
    to: str
    n_shape: int
    n_expr: int
    offsets: bool


def run(config: ConvertConfig) -> Path:
    """Writes a new run folder and returns it, or one that was made of the same run with the same options. The run that
    is converted stays as it is."""
    started = time.monotonic()
    options, target = open_converted_head(model_options(config))
    scene = open_run(config.run, config.epoch, with_landmarks=False)
    output = config.output or beside(scene.folder, config.to)
    key = conversion_key(scene, target, config)
    with folder_lock(output):
        if (made := finished_conversion(output, key)) is not None:
            get_logger().info("complete already: %s", made)
            return made
        found = converted(scene, target, config.offsets)
        folder = new_run_folder(output)
        handler = log_to_file(folder / "log.txt")
        try:
            get_logger().info("%s of %s converted to %s", scene.folder, scene.model.identity, target.identity)
            tracked = run_config(scene.config, options, output, config.offsets)
            write_run(folder, scene, tracked)
            seconds = round(time.monotonic() - started, 1)
            details = {**key, "residuals_mm": found.residuals, "seconds": seconds}
            write_json(folder / CONVERSION_FILE, details)
            report(found, config.offsets)
            # Without its result the folder is no run: it comes last.
            save_result(result_file(folder, scene), with_texture(found, scene, tracked))
        finally:
            get_logger().removeHandler(handler)
            handler.close()
    return folder


def beside(folder: Path, name: str) -> Path:
    """output/anna_flame for the run folder output/anna/2026-01-02_03-04-05, or for a run in output/anna itself."""
    own = folder.absolute()
    own = own.parent if STAMPED.match(own.name) else own
    return own.with_name(f"{own.name}_{name}")


def conversion_key(scene: RunScene, target: HeadModel, config: ConvertConfig) -> StoredConversion:
    """What conversion.json holds beside the residuals. result: hash of the run's result."""
    return {
        "run": str(scene.folder.absolute()),
        "result": file_hash(result_file(scene.folder, scene)),
        "head": scene.model.identity,
        "to": target.identity,
        "n_shape": target.n_shape,
        "n_expr": target.n_expr,
        "offsets": config.offsets,
    }


def finished_conversion(output: Path, key: StoredConversion) -> Path | None:
    """The newest run folder of the same conversion that has its result."""
    for folder in reversed(runs_in(output)):
        if result_epochs(folder) and (folder / CONVERSION_FILE).is_file():
            known = read_cached(folder / CONVERSION_FILE, lambda path: read_json(path, dict[str, Any]))
            if known is not None and all(known.get(name) == value for name, value in key.items()):
                return folder
    return None


def result_file(folder: Path, scene: RunScene) -> Path:
    return folder / f"tracked_flame_params_{scene.epoch}.npz"


def model_options(config: ConvertConfig) -> ModelConfig:
    """The target's head as a tracking run's options name it."""
    return ModelConfig(
        head=config.to,
        flame_model_path=config.flame_model_path,
        gnm_path=config.gnm_path,
        ict_facekit_path=config.ict_facekit_path,
        head_path=config.head_path,
        n_shape=config.n_shape,
        n_expr=config.n_expr,
    )


def write_run(folder: Path, scene: RunScene, tracked: TrackConfig) -> None:
    """What a run folder holds beside its result."""
    write_json(folder / "versions.json", versions())
    save_config(folder / "config.yml", tracked)
    if (scene.folder / LIGHT_FILE).is_file():
        write_bytes(folder / LIGHT_FILE, read_bytes(scene.folder / LIGHT_FILE, "the light of the run"))


def report(found: ConvertedResult, offsets: bool) -> None:
    """The residuals as one table of the log, and what is large."""
    for line in table(found.residuals):
        get_logger().info("%s", line)
    for line in warnings(found.residuals, offsets):
        get_logger().warning("%s", line)


def run_config(tracked: TrackConfig, options: ModelConfig, output: Path, offsets: bool) -> TrackConfig:
    """The run's options with the new head. What an earlier result of the old head gave is left out."""
    model = replace(
        options,
        use_static_offset=offsets,
        tex_resolution=tracked.model.tex_resolution,
        tex_painted=tracked.model.tex_painted,
        residual_tex=tracked.model.residual_tex,
        occluded=tracked.model.occluded,
    )
    return replace(tracked, model=model, exp=replace(tracked.exp, output_folder=output))


def with_texture(found: ConvertedResult, scene: RunScene, tracked: TrackConfig) -> TrackResult:
    """The result with the run's albedo in the new head's texture, where the run has one."""
    if scene.result.albedo is None and scene.result.tex_extra is None:
        return found.result
    backend = get_backend("auto")
    albedo = resampled_albedo(scene.model.to("cpu"), scene.texture.cpu(), found.target, found.match, backend)
    base = found.target.base_texture
    assert base is not None, found.target.name
    extra = tex_extra_of(albedo, base[None], albedo.shape[1], tracked.model.residual_tex)
    planes = [np.ascontiguousarray(texture[0].permute(2, 0, 1).numpy()) for texture in (albedo, extra)]
    return replace(found.result, albedo=planes[0], tex_extra=planes[1])
