"""Pictures of a subject without light: each divided by the shading of the tracked head."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.config.relightable import AlbedoConfig, OptimizeConfig
from vhap.data.results import result_path
from vhap.evaluate.run_scene import RunScene
from vhap.fit.light_separation import shading_of
from vhap.pipeline import track
from vhap.pipeline.albedo_record import albedo_work
from vhap.pipeline.heads import resolved
from vhap.pipeline.light_of_run import light_of_run
from vhap.pipeline.open_run import open_run
from vhap.pipeline.relightable_capture import SubjectCapture, subject_capture
from vhap.pipeline.relightable_fit import model_options, track_config
from vhap.pipeline.relightable_network import write_network_albedo
from vhap.pipeline.relightable_runs import ALBEDO_RUNS, finished_subject_run, subject_of_pictures
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.errors import InputError
from vhap.util.files import file_hash
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain
from vhap.util.progress import progress

SMOOTH_SHARE = 0.01
"""Spread of the blur of the shading, in sides of a square as large as the head: normals of the mesh have facets."""


def run(config: AlbedoConfig) -> Path:
    """Writes the albedo pictures that are missing, or of other pictures or another fit, and returns their folder.
    InputError where there are no pictures. What another tool made is kept.

    The run is `finished_subject_run`'s, whatever its head; without one they are tracked. Neither counts for a network.
    """
    check_options(config)
    subject = subject_of_pictures(config.input_dir, "--input_dir")
    with folder_lock(subject.path):
        capture = subject_capture(subject, use_keypoints=config.model_dir is None)
        wanted = wanted_names(list(capture.names.values()), config.image_interval)
        if config.model_dir is not None:
            write_network_albedo(config, subject, capture, wanted)
            return config.output_dir
        folder = run_of(config, subject, capture)
        work = albedo_work(config, wanted, f"{config.method} {file_hash(result_path(folder))}", subject)
        if not work.missing:
            get_logger().info("complete already: %s", config.output_dir)
            return config.output_dir
        scene = open_run(folder, device=track.choose_device(config.device), with_landmarks=False)
        if config.method == "texture" and scene.result.albedo is None and scene.result.tex_extra is None:
            raise InputError(
                f"expected a run with a texture for --method texture, found {folder} fitted to landmarks only; take "
                "--method picture"
            )
        rows = {capture.names[str(name)]: row for row, name in enumerate(scene.result.timestep_id)}
        make = albedo_of_picture if config.method == "picture" else albedo_of_texture
        with torch.no_grad():
            lights = light_of_run(scene)
            work.begin()
            for name in progress(work.missing, "albedo"):
                work.write(name, make(scene, rows[name], lights))
    return config.output_dir


def check_options(config: AlbedoConfig) -> None:
    """InputError for options that do not go together; a line for each without effect."""
    if config.model_dir is not None and config.method != "picture":
        raise InputError(f"expected --method {config.method} or --model_dir, found both; leave out one of them")
    if config.ddim is not None:
        get_logger().warning("--ddim %d has no effect: a network of --model_dir holds its own steps", config.ddim)
    for name in ("allow_unknown_weights", "model_size", "batch_size"):
        if config.model_dir is None and getattr(config, name) != getattr(AlbedoConfig, name):
            get_logger().warning("--%s has no effect without --model_dir", name)


def wanted_names(names: list[str], interval: int) -> list[str]:
    """Those whose number is a multiple of interval. InputError where they are asked for and have no numbers."""
    if interval == 1:
        return names
    numbers = {name: re.fullmatch(r"\d+", Path(name).stem) for name in names}
    if odd := [name for name, number in numbers.items() if number is None]:
        raise InputError(
            f"expected pictures named by numbers for --image_interval {interval}, found {odd[0]}; leave it out"
        )
    return [name for name in names if int(Path(name).stem) % interval == 0]


def run_of(config: AlbedoConfig, subject: SubjectFolder, capture: SubjectCapture) -> Path:
    """The finished run of these pictures, else a new one, where readers of optimize.py's do not find it."""
    found = finished_subject_run(subject, capture)
    if found is not None:
        return found
    options = OptimizeConfig(
        subject.path,
        head=config.head,
        flame_model_path=config.flame_model_path,
        gnm_path=config.gnm_path,
        ict_facekit_path=config.ict_facekit_path,
        device=config.device,
        allow_other_head=True,
    )
    made = track_config(options, subject, capture, resolved(model_options(options)), None)
    return track.run_once(replace(made, exp=replace(made.exp, output_folder=subject.path / ALBEDO_RUNS)))


def albedo_of_picture(scene: RunScene, row: int, lights: Tensor) -> np.ndarray:
    """(H, W, 3) uint8: the picture divided by the shading, in the colours' own values, as tracking models it; over
    white. Beside the head the shading goes on as it is at the head's rim."""
    rendering, frame = scene.render(row)
    mask = rendering.raster.mask[0].cpu().numpy()
    shading = np.ones((*mask.shape, 3), np.float32)
    shading.reshape(-1, 3)[rendering.raster.pixels.cpu().numpy()] = shading_of(rendering.normals, lights).cpu()
    shading = carried_on(shading, mask)
    picture = frame.rgb[0].cpu().numpy()
    alpha = np.ones(mask.shape, np.float32) if frame.alpha is None else frame.alpha[0].cpu().numpy()
    white = 1 - alpha[..., None]
    # Tracking has put the person over white already, unless colours came times alpha; no light shades that.
    under = 0 if scene.config.data.background_color is None else white
    return to_bytes((picture - under) / shading + white)


def albedo_of_texture(scene: RunScene, row: int, lights: Tensor) -> np.ndarray:
    """(H, W, 3) uint8: the head as it was fitted, texture times the fit's light, divided by the shading; over white."""
    rendering, frame = scene.render(row)
    picture = torch.ones_like(frame.rgb)
    fitted = rendering.albedo * rendering.shading
    picture.view(-1, 3)[rendering.raster.pixels] = fitted / shading_of(rendering.normals, lights)
    return to_bytes(picture[0].cpu().numpy())


def carried_on(shading: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) the shading inside mask (H, W), smoothed, and outside that of the nearest pixel inside."""
    cv2 = import_or_explain("cv2")
    if not mask.any():
        return np.ones_like(shading)
    _, labels = cv2.distanceTransformWithLabels(
        (~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros((labels.max() + 1, 3), np.float32)
    of_label[labels[mask]] = shading[mask]
    sigma = SMOOTH_SHARE * float(np.sqrt(mask.sum()))
    return cv2.GaussianBlur(of_label[labels], (0, 0), max(sigma, 0.5))


def to_bytes(picture: np.ndarray) -> np.ndarray:
    return np.round(255 * picture.clip(0, 1)).astype(np.uint8)
