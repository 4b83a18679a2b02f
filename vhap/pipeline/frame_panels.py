"""One tracked frame as pictures: input, landmarks, overlay, render, normals, albedo, shading, error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.pipeline.rendered_frames import RunScene
from vhap.render.scene import Rendering, compose
from vhap.viz.choice import even_choice
from vhap.viz.grid import labelled_grid
from vhap.viz.overlay import blend, cut_out, draw_landmarks, error_map
from vhap.viz.pictures import write_jpeg


@torch.no_grad()
def frame_panels(scene: RunScene, row: int) -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8. Landmarks are drawn as detected and as fitted.

    Normals are in camera axes, x right, y up, z towards the viewer, [-1, 1] as [0, 255]; a shading of 1 is mid grey.
    """
    rendering, frame = scene.render(row)
    picture, render = _as_bytes(frame.rgb[0]), _as_bytes(rendering.picture[0])
    mask = rendering.raster.mask[0].cpu().numpy()
    detected, confidence = frame.landmarks_px[0], frame.confidence[0]
    ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids
    points = (detected[ids], scene.landmarks_px(row).reshape(-1, 2), confidence[ids])
    normals = rendering.normals @ scene.camera().T_camera_world[:3, :3].T
    return {
        "input": picture,
        "landmarks": draw_landmarks(picture, *(values.cpu().numpy() for values in points)),
        "overlay": blend(picture, render, mask),
        "render": cut_out(render, mask),
        "normals": _over_white(rendering, (normals + 1) / 2),
        "albedo": _over_white(rendering, rendering.albedo),
        "shading": _over_white(rendering, rendering.shading / 2),
        "error": error_map(picture, render, mask),
    }


def write_image_grids(scene: RunScene) -> Path:
    """`eval_<epoch>/image_grid/frame_%05d.jpg` in the run folder: all panels of an even choice of frames, at most
    log.max_eval_frames; the number is the row in the result. Returns the folder."""
    folder = scene.folder / f"eval_{scene.epoch}" / "image_grid"
    for row in even_choice(scene.n_rows, scene.config.log.max_eval_frames):
        write_jpeg(folder / f"frame_{row:05d}.jpg", labelled_grid(frame_panels(scene, row)))
    return folder


def _over_white(rendering: Rendering, colours: Tensor) -> np.ndarray:
    white = torch.ones(*rendering.raster.face_id.shape, 3, device=colours.device)
    return _as_bytes(compose(colours, rendering.raster, white)[0])


def _as_bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()
