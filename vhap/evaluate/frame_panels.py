"""One tracked frame as pictures: input, landmarks, overlay, render, normals, albedo, shading, error."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vhap.evaluate.frame_pass import RenderedFrame
from vhap.evaluate.grid import image_grid, label
from vhap.evaluate.jpeg import shrink
from vhap.evaluate.overlay import blend, cut_out, dimmed, draw_landmarks, error_map, picture_bytes
from vhap.evaluate.run_scene import RunScene

PANELS = ("input", "landmarks", "overlay", "render", "normals", "albedo", "shading", "error")
RENDERED = "window's render"
"""The head over what its window shows of its picture, of which panels are made."""
BESIDE = 255
"""Grey beside the rendered head."""


@torch.no_grad()
def frame_panels(frame: RenderedFrame, names: Collection[str] = PANELS) -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8, those of `names` in the order of PANELS; each is drawn once a frame.

    Landmarks are drawn as detected and as fitted. Normals are in camera axes, x right, y up, z towards the viewer,
    [-1, 1] as [0, 255]; a shading of 1 is mid grey.
    """
    return {name: _panel(frame, name) for name in PANELS if name in names}


def _panel(frame: RenderedFrame, name: str) -> np.ndarray:
    if name not in frame.panels:
        frame.panels[name] = DRAWN[name](frame)
    return frame.panels[name]


DRAWN: Mapping[str, Callable[[RenderedFrame], np.ndarray]] = {
    RENDERED: lambda frame: picture_bytes(frame.rendering.picture[0].cpu().numpy()),
    "input": lambda frame: frame.picture.rgb,
    "landmarks": lambda frame: draw_landmarks(_panel(frame, "input"), *_landmarks(frame)),
    "overlay": lambda frame: _in_window(frame, frame.picture.rgb.copy(), blend),
    "render": lambda frame: _in_window(frame, np.full_like(frame.picture.rgb, BESIDE), _alone),
    "normals": lambda frame: _over_white(frame, (_camera_normals(frame) + 1) / 2),
    "albedo": lambda frame: _over_white(frame, frame.rendering.albedo),
    "shading": lambda frame: _over_white(frame, frame.rendering.shading / 2),
    "error": lambda frame: _in_window(frame, dimmed(frame.picture.rgb), error_map),
}


class PanelConsumer(Protocol):
    """Wants panels of whole rows, cameras side by side."""

    def sure_names(self, row: int) -> Collection[str]:
        """Of the panels that will be wanted of a row, whatever its values; asked from several threads, in any order."""
        ...

    def names(self, row: int) -> Collection[str]:
        """Of the panels that are wanted of a row; empty for none."""
        ...

    def add(self, row: int, panels: Mapping[str, np.ndarray]) -> None:
        """The panels (H, W, 3) uint8 that were wanted, in the order of PANELS."""
        ...


@dataclass
class PanelRows:
    """Takes part in a pass and draws the panels that its consumers want, each once; shrunk to a longest side."""

    scene: RunScene
    consumers: Sequence[PanelConsumer]
    longest_side: int | None = None
    held: dict[int, RenderedFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.views = self.scene.shown_views()

    def look(self, frame: RenderedFrame) -> None:
        """Draws what is sure to be wanted."""
        if frame.view in self.views:
            frame_panels(frame, set[str]().union(*(consumer.sure_names(frame.row) for consumer in self.consumers)))

    def add(self, frame: RenderedFrame, seen: None) -> None:
        # Which panels are wanted may depend on what the other views say of the row: at most three frames wait for it.
        if frame.view in self.views:
            self.held[frame.view] = frame

    def end_row(self, row: int) -> None:
        wanted = [set(consumer.names(row)) for consumer in self.consumers]
        if names := set[str]().union(*wanted):
            panels = shown_panels([self.held[view] for view in self.views], self.longest_side, names)
            for consumer, own in zip(self.consumers, wanted):
                if own:
                    consumer.add(row, {name: panel for name, panel in panels.items() if name in own})
        self.held.clear()


def shown_panels(
    frames: Sequence[RenderedFrame], longest_side: int | None = None, names: Collection[str] = PANELS
) -> dict[str, np.ndarray]:
    """As `frame_panels`, of one row's frames side by side, with the cameras' names where the run has several; each
    shrunk to a longest side."""
    by_view = [frame_panels(frame, names) for frame in frames]
    if longest_side is not None:
        by_view = [{name: shrink(panel, longest_side) for name, panel in panels.items()} for panels in by_view]
    scene = frames[0].scene
    if scene.n_views == 1:
        return by_view[0]
    cameras = [scene.capture.camera_ids[frame.view] for frame in frames]
    return {
        panel: image_grid(
            [label(panels[panel], name, below=True) for name, panels in zip(cameras, by_view)], len(frames)
        )
        for panel in by_view[0]
    }


def _in_window(frame: RenderedFrame, drawn: np.ndarray, paint: Callable[..., np.ndarray]) -> np.ndarray:
    """A picture in whose window stands what is painted of the frame's picture, its render and its mask, all there."""
    window, mask = frame.window, frame.rendering.raster.mask[0].cpu().numpy()
    window.of(drawn)[:] = paint(window.of(frame.picture.rgb), _panel(frame, RENDERED), mask)
    return drawn


def _alone(picture: np.ndarray, render: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return cut_out(render, mask, BESIDE)


def _landmarks(frame: RenderedFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detected and fitted points (L, 2) px, and confidence (L,)."""
    scene = frame.scene
    ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids.cpu()
    detected, confidence = frame.detected_px[ids], frame.confidence[ids]
    return detected.numpy(), frame.landmarks_px.cpu().numpy(), confidence.numpy()


def _camera_normals(frame: RenderedFrame) -> Tensor:
    return frame.rendering.normals @ frame.camera.T_camera_world[:3, :3].T


def _over_white(frame: RenderedFrame, colours: Tensor) -> np.ndarray:
    """colours (N, 3) of the covered pixels."""
    window, drawn = frame.window, np.full_like(frame.picture.rgb, BESIDE)
    within = np.full((window.height, window.width, 3), BESIDE, np.uint8)
    shown = colours.clamp(0, 1).mul_(255).round_().byte()
    within.reshape(-1, 3)[frame.rendering.raster.pixels.cpu().numpy()] = shown.cpu().numpy()
    window.of(drawn)[:] = within
    return drawn
