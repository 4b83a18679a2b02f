"""One pass over the pictures of a run: each is decoded once, the head is rendered over it once, and everyone who wants
values or panels of it takes part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.render.scene import Rendering
from vhap.util.progress import progress


@dataclass(frozen=True)
class RenderedFrame:
    """One picture of a run with the head over it. Rendered, projected and drawn once, by who asks first.

    row: of the result; view: of the cameras; picture: a batch of one; vertices (V, 3) metres in the tracked world.
    panels: name -> (H, W, 3) uint8, see `frame_panels`.
    """

    scene: RunScene
    row: int
    view: int
    picture: FrameBatch
    vertices: Tensor
    camera: Camera
    panels: dict[str, np.ndarray] = field(default_factory=dict)

    @cached_property
    def rendering(self) -> Rendering:
        """Of the head over the picture; a batch of one."""
        return self.scene.render_vertices(self.vertices, self.camera, self.picture.rgb)

    @cached_property
    def landmarks_px(self) -> Tensor:
        """(L, 2) pixels of the model's points, in the order of its landmark set."""
        return self.scene.landmarks_px(self.row, self.view, self.vertices)


class FrameConsumer(Protocol):
    """Takes part in a pass. What it keeps of a frame has to be small: frames of a whole clip do not fit into memory."""

    def add(self, frame: RenderedFrame) -> None:
        """One picture, in the order of rows and, within each, of the views."""
        ...

    def end_row(self, row: int) -> None:
        """All views of a row have been given."""
        ...


@torch.no_grad()
def pass_over(
    scene: RunScene,
    consumers: Sequence[FrameConsumer],
    description: str | None,
    rows: Sequence[int] | None = None,
    views: Sequence[int] | None = None,
) -> None:
    """Gives each picture of some rows and views, by default of all, to the consumers in their order. One frame is in
    memory while the next is decoded; description: for the progress, None for none."""
    rows = range(scene.n_rows) if rows is None else rows
    views = range(scene.n_views) if views is None else views
    cameras = {view: scene.camera(view) for view in views}
    pictures = decoded_ahead(scene, [(row, view) for row in rows for view in views])
    for row in rows if description is None else progress(rows, description):
        vertices = scene.vertices(row)
        for view in views:
            frame = RenderedFrame(scene, row, view, next(pictures), vertices, cameras[view])
            for consumer in consumers:
                consumer.add(frame)
        for consumer in consumers:
            consumer.end_row(row)


def decoded_ahead(scene: RunScene, places: Sequence[tuple[int, int]]) -> Iterator[FrameBatch]:
    """The pictures of rows and views. A thread of its own decodes the next one while the caller works on the last."""
    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for place in places:
            ready, ahead = ahead, pool.submit(scene.load, *place)
            if ready is not None:
                yield ready.result()
        if ahead is not None:
            yield ahead.result()


def rendered_frame(scene: RunScene, row: int, view: int = 0) -> RenderedFrame:
    """A single frame."""
    return RenderedFrame(scene, row, view, scene.load(row, view), scene.vertices(row), scene.camera(view))
