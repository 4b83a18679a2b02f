"""One tracked frame as pictures: input, landmarks, overlay, render, normals, albedo, shading, error."""

from __future__ import annotations

from collections.abc import Callable, Container

import numpy as np
import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.evaluate.grid import image_grid, label
from vhap.evaluate.overlay import blend, cut_out, draw_landmarks, error_map
from vhap.evaluate.pictures import shrink
from vhap.evaluate.run_scene import RunScene
from vhap.render.scene import Rendering, compose

PANELS = ("input", "landmarks", "overlay", "render", "normals", "albedo", "shading", "error")


@torch.no_grad()
def frame_panels(scene: RunScene, row: int, view: int = 0, names: Container[str] = PANELS) -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8, of one camera, those of `names` in the order of PANELS.

    Landmarks are drawn as detected and as fitted. Normals are in camera axes, x right, y up, z towards the viewer,
    [-1, 1] as [0, 255]; a shading of 1 is mid grey.
    """
    rendering, frame = scene.render(row, view)
    picture, render = _as_bytes(frame.rgb[0]), _as_bytes(rendering.picture[0])
    mask = rendering.raster.mask[0].cpu().numpy()
    drawn: dict[str, Callable[[], np.ndarray]] = {
        "input": lambda: picture,
        "landmarks": lambda: draw_landmarks(picture, *_landmarks(scene, row, view, frame)),
        "overlay": lambda: blend(picture, render, mask),
        "render": lambda: cut_out(render, mask),
        "normals": lambda: _over_white(rendering, (_camera_normals(scene, view, rendering) + 1) / 2),
        "albedo": lambda: _over_white(rendering, rendering.albedo),
        "shading": lambda: _over_white(rendering, rendering.shading / 2),
        "error": lambda: error_map(picture, render, mask),
    }
    return {name: drawn[name]() for name in PANELS if name in names}


def shown_panels(
    scene: RunScene, row: int, longest_side: int | None = None, names: Container[str] = PANELS
) -> dict[str, np.ndarray]:
    """As `frame_panels`, of several cameras side by side with their names; each shrunk to a longest side."""
    views = scene.shown_views()
    by_view = [frame_panels(scene, row, view, names) for view in views]
    if longest_side is not None:
        by_view = [{name: shrink(panel, longest_side) for name, panel in panels.items()} for panels in by_view]
    if scene.n_views == 1:
        return by_view[0]
    cameras = [scene.capture.camera_ids[view] for view in views]
    return {
        panel: image_grid(
            [label(panels[panel], name, below=True) for name, panels in zip(cameras, by_view)], len(views)
        )
        for panel in by_view[0]
    }


def _landmarks(scene: RunScene, row: int, view: int, frame: FrameBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detected and fitted points (L, 2) px, and confidence (L,)."""
    ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids
    fitted = scene.landmarks_px(row, view).reshape(-1, 2)
    detected, confidence = frame.landmarks_px[0, ids], frame.confidence[0, ids]
    return detected.cpu().numpy(), fitted.cpu().numpy(), confidence.cpu().numpy()


def _camera_normals(scene: RunScene, view: int, rendering: Rendering) -> Tensor:
    return rendering.normals @ scene.camera(view).T_camera_world[:3, :3].T


def _over_white(rendering: Rendering, colours: Tensor) -> np.ndarray:
    white = torch.ones(*rendering.raster.face_id.shape, 3, device=colours.device)
    return _as_bytes(compose(colours, rendering.raster, white)[0])


def _as_bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()
