"""Tracking of a static avatar: a run like any other, and its result in the avatar's own world and unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.config.track import SingleFrameTrackConfig
from vhap.data.results import arrays_of
from vhap.evaluate.run_scene import RunScene
from vhap.export.mesh_files import DEFAULT_FPS, TrackedHead
from vhap.export.meshes import ObjWriter, write_material
from vhap.export.worlds import given_result
from vhap.fit.albedo import tex_extra_of
from vhap.pipeline import track
from vhap.pipeline.export_mesh import tracked_head
from vhap.pipeline.open_run import open_run
from vhap.util.files import write_npz
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

PARAMS, MESH = "tracked_flame_params_0.npz", "fitted_flame_mesh_0"
LEFT_OUT = ("timestep_id",)


def run(config: SingleFrameTrackConfig, lines: Sequence[str] = ()) -> Path:
    """Tracks, writes the avatar into the output folder and returns the run folder (as `track.run`)."""
    folder = track.run(config, lines)
    if not config.dry_run:
        with folder_lock(config.exp.output_folder):
            write_avatar(folder, config.exp.output_folder)
    return folder


def write_avatar(run_folder: Path, target: Path) -> None:
    """target/tracked_flame_params_0.npz and fitted_flame_mesh_0.obj, .mtl, .jpg: the last result of a run."""
    scene = open_run(run_folder, with_landmarks=False)
    result = given_result(scene.result, scene.model)
    if result.scale is None:
        result = replace(result, scale=np.array(1.0))
    if result.albedo is not None:
        result = replace(result, tex_extra=enlarged_tex_extra(scene))
    # A static avatar has no names of timesteps.
    arrays = {name: value for name, value in arrays_of(result, target / PARAMS).items() if name not in LEFT_OUT}
    head = tracked_head(scene, result, DEFAULT_FPS)
    write_mesh(target, head)
    write_npz(target / PARAMS, arrays)
    get_logger().info("avatar in its own world: %s and %s.obj", target / PARAMS, target / MESH)


def enlarged_tex_extra(scene: RunScene) -> np.ndarray:
    """(3, R, R) of the size that tools expect which add it to a base texture of theirs: model.tex_resolution."""
    options = scene.config.model
    base = track.with_base(scene.model, options).base_texture
    assert base is not None, scene.model.name
    extra = tex_extra_of(scene.texture, base[None], options.tex_resolution, options.residual_tex)
    return extra[0].permute(2, 0, 1).numpy()


def write_mesh(target: Path, head: TrackedHead) -> None:
    """The head of the first timestep, with its UVs and its albedo."""
    model = head.model
    material = (target / MESH).with_suffix(".mtl")
    write_material(material, head.albedo, ".jpg")
    assert head.params.scale is not None
    writer = ObjWriter(model.faces.numpy(), model.uvs.numpy(), model.uv_faces.numpy(), float(head.params.scale))
    writer.write(material.with_suffix(".obj"), head.vertices(0), material)
