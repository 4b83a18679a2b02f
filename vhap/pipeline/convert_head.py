"""Converting a run: a finished run of one head becomes a finished run of another."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.config.convert import ConvertConfig
from vhap.config.loading import save_config
from vhap.config.track import ModelConfig, TrackConfig
from vhap.data.results import TrackResult, save_result
from vhap.data.run_order import new_run_folder
from vhap.evaluate.run_scene import RunScene
from vhap.fit.albedo import tex_extra_of
from vhap.fit.conversion.residuals import table, warnings
from vhap.fit.conversion.texture import resampled_albedo
from vhap.fit.light_file import LIGHT_FILE
from vhap.pipeline.conversion import ConvertedResult, converted, open_converted_head
from vhap.pipeline.open_run import open_run
from vhap.render.backend import get_backend
from vhap.util.files import read_bytes, write_bytes, write_json
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger, log_to_file
from vhap.util.versions import versions

CONVERSION_FILE = "conversion.json"


def run(config: ConvertConfig) -> Path:
    """Writes a new run folder and returns it. The run that is converted stays as it is."""
    started = time.monotonic()
    options, target = open_converted_head(model_options(config))
    scene = open_run(config.run, config.epoch, with_landmarks=False)
    output = config.output or scene.folder.parent.with_name(f"{scene.folder.parent.name}_{config.to}")
    found = converted(scene, target, config.offsets)
    with folder_lock(output):
        folder = new_run_folder(output)
        handler = log_to_file(folder / "log.txt")
        try:
            write_run(folder, output, scene, found, options, config, started)
        finally:
            get_logger().removeHandler(handler)
            handler.close()
    return folder


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


def write_run(
    folder: Path,
    output: Path,
    scene: RunScene,
    found: ConvertedResult,
    options: ModelConfig,
    config: ConvertConfig,
    started: float,
) -> None:
    """Everything of the run folder, the result at the end: without it the folder is no run."""
    log = get_logger()
    log.info("%s of %s converted to %s", scene.folder, scene.model.identity, found.target.identity)
    tracked = run_config(scene.config, options, output, config.offsets)
    write_json(folder / "versions.json", versions())
    save_config(folder / "config.yml", tracked)
    if (scene.folder / LIGHT_FILE).is_file():
        write_bytes(folder / LIGHT_FILE, read_bytes(scene.folder / LIGHT_FILE, "the light of the run"))
    result = with_texture(found, scene, tracked)
    path = folder / f"tracked_flame_params_{scene.epoch}.npz"
    seconds = round(time.monotonic() - started, 1)
    write_json(
        folder / CONVERSION_FILE,
        {
            "run": str(scene.folder.absolute()),
            "epoch": scene.epoch,
            "from": scene.model.identity,
            "to": found.target.identity,
            "offsets": config.offsets,
            "residuals_mm": found.residuals,
            "seconds": seconds,
        },
    )
    for line in table(found.residuals):
        log.info("%s", line)
    for line in warnings(found.residuals, config.offsets):
        log.warning("%s", line)
    save_result(path, result)


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
