"""Exporting meshes: turns a tracking run into mesh files that other programs open."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.config.export import MeshExportConfig
from vhap.config.track import ModelConfig
from vhap.data.extraction import extracted_fps
from vhap.data.result_cameras import given_cameras
from vhap.data.results import TrackResult, result_epochs
from vhap.data.subset import select_timesteps
from vhap.evaluate.run_scene import RunScene, result_head_params
from vhap.export.animated_head import write_animated_head
from vhap.export.blendshapes import arkit_sources, write_blendshapes
from vhap.export.mesh_files import DEFAULT_FPS, FRAME_FORMATS, FrameMeshes, TrackedHead, write_cameras
from vhap.export.parallel import for_each
from vhap.export.target import MESHES, fingerprint, finish_target, open_target, target_folder
from vhap.export.worlds import given_result
from vhap.fit.conversion.residuals import table
from vhap.geometry.cameras import Camera
from vhap.head.ict_facekit import SOURCE as ICT_SOURCE
from vhap.head.load import ICT_VARIABLE, find_ict
from vhap.pipeline.conversion import converted, open_converted_head
from vhap.pipeline.open_run import open_run
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.progress import progress


def run(config: MeshExportConfig) -> Path:
    """Exports the meshes of one tracking run. Returns their folder."""
    if not config.format:
        raise InputError("expected at least one of obj, ply, gltf for --format, found none; name one")
    if config.fps is not None and not 0 < config.fps < float("inf"):
        raise InputError(f"expected an --fps above 0, found {config.fps}; correct it")
    whole = open_run(config.src_folder, config.epoch, with_landmarks=False)
    scene = select_rows(whole, select_timesteps(config.subset, whole.n_rows))
    fps = config.fps or extracted_fps(scene.sequence_folder) or DEFAULT_FPS
    result = scene.result
    if config.world == "given":
        result = given_result(result, scene.model)
    head = tracked_head(scene, result, fps)
    curves = curves_head(scene, head, fps) if config.curves else tracked_head(scene, scene.result, fps)
    if "gltf" in config.format and config.gltf_animation == "blendshapes" and head.has_moving_offset:
        raise InputError(
            f"expected a result without dynamic_offset in {scene.folder} for --gltf_animation blendshapes, found one; "
            "take --gltf_animation frames"
        )
    target = target_folder(config)
    mark = fingerprint(result_epochs(scene.folder)[scene.epoch], replace(config, fps=fps), scene.config.data)
    get_logger().info("exporting %d timesteps of %s to %s", scene.n_rows, scene.folder, target)
    with folder_lock(target):
        open_target(target, mark, MESHES)
        write_files(target, scene, head, config)
        # Angles mean something along the axes of tracking only: y up, the face towards +z.
        write_blendshapes(target / "blendshapes.csv", curves, fps)
        cameras = exported_cameras(scene, result)
        write_cameras(target / "cameras.json", cameras, result, head.times_s, frame_kinds(config))
        finish_target(target, mark, MESHES)
    return target


def write_files(target: Path, scene: RunScene, head: TrackedHead, config: MeshExportConfig) -> None:
    """Meshes."""
    for kind in frame_kinds(config):
        meshes = FrameMeshes(target, head, kind)
        for_each(meshes.write, progress(range(scene.n_rows), kind))
    if "gltf" in config.format:
        write_animated_head(target / "head.glb", head, config.gltf_animation)


def curves_head(scene: RunScene, head: TrackedHead, fps: float) -> TrackedHead:
    """The head whose expressions have ARKit's names: the run's own where it has all but the tongue's, else
    ICT-FaceKit's, to which the run is converted. InputError where that is not found."""
    lacking = [name for name, found in arkit_sources(head.model.expr_names).items() if not found]
    if set(lacking) <= {"TongueOut"}:
        return tracked_head(scene, scene.result, fps)
    if find_ict() is None:
        raise InputError(
            f"expected ICT-FaceKit's folder FaceXModel for --curves, since the expressions of {head.model.name} lack "
            f"{len(lacking)} of ARKit's, found none; get it from {ICT_SOURCE} and name it by {ICT_VARIABLE}"
        )
    found = converted(scene, open_converted_head(ModelConfig(head="ict"))[1])
    for line in table(found.residuals):
        get_logger().info("%s", line)
    return tracked_head(replace(scene, model=found.target), found.result, fps)


def frame_kinds(config: MeshExportConfig) -> list[str]:
    return [kind for kind in FRAME_FORMATS if kind in config.format]


def exported_cameras(scene: RunScene, result: TrackResult) -> dict[str, Camera]:
    """The recording's cameras by name, in the world of `result`: the scene's own, or moved from there."""
    given = given_cameras(scene.capture, result)
    views = enumerate(scene.capture.camera_ids)
    return {name: scene.camera(view) if given is None else given.select(view) for view, name in views}


def select_rows(scene: RunScene, rows: list[int]) -> RunScene:
    """The run with only some rows of its result."""
    return replace(scene, result=scene.result.select(rows), timesteps=tuple(scene.timesteps[row] for row in rows))


def tracked_head(scene: RunScene, result: TrackResult, fps: float) -> TrackedHead:
    """The head of all rows in the world of `result`; fps: frames a second of the recording."""
    times_s = np.asarray(result.timestep_index, np.float64) / fps
    params = result_head_params(result, list(range(scene.n_rows)))
    return TrackedHead(scene.model, params, scene.albedo_bytes(), times_s)
