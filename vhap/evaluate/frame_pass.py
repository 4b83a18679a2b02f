"""One pass over the pictures of a run: each is decoded once, the head is rendered over it once, and everyone who wants
values or panels of it takes part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vhap.data.frame_cache import Frame
from vhap.data.sample import unit_floats
from vhap.evaluate.run_scene import RunScene
from vhap.evaluate.window import Window, head_windows, seen_through
from vhap.geometry.cameras import Camera, stacked_cameras
from vhap.render.scene import Rendering, single_renderings
from vhap.util.progress import progress
from vhap.util.threads import get_threads, one_thread_each, results_ahead

AT_ONCE, PIXELS_AT_ONCE = 4, 4 * 512 * 512
"""Pictures whose heads are posed and rendered together, and the pixels that these have at most."""
MOST_THREADS = 4
"""Of a pass: the video's encoder, which has threads of its own, is no faster."""


@dataclass(frozen=True)
class Together:
    """Pictures whose heads are drawn at once, when the first of them is asked for. One a place of these lists.

    rows: of the result; views: of the cameras; pictures: as the capture gives them, or shrunk; vertices (B, V, 3)
    metres in the tracked world; cameras: of the pictures, with leading axis B.
    """

    scene: RunScene
    rows: tuple[int, ...]
    views: tuple[int, ...]
    pictures: Sequence[Frame]
    vertices: Tensor
    cameras: Camera

    @cached_property
    def points_px(self) -> Tensor:
        """(B, V, 2) pixels of the vertices."""
        return self._projected[0]

    @cached_property
    def windows(self) -> list[Window]:
        """What of each picture the head may cover, with its surroundings; of one size."""
        return head_windows(*self._projected, (self.cameras.height, self.cameras.width))

    @cached_property
    def renderings(self) -> list[Rendering]:
        """Of the heads over the windows of their pictures; batches of one."""
        shown = np.stack([window.of(frame.rgb) for window, frame in zip(self.windows, self.pictures)])
        background = unit_floats(shown).to(self.scene.device)
        camera = seen_through(self.cameras, self.windows)
        return single_renderings(self.scene.render_heads(self.vertices, camera, background))

    @cached_property
    def landmarks_px(self) -> Tensor:
        """(B, L, 2) pixels of the model's points, in the order of its landmark set."""
        return self.scene.heads_landmarks_px(list(self.rows), self.vertices, self.cameras)

    def frames(self) -> list[RenderedFrame]:
        return [RenderedFrame(self, number) for number in range(len(self.rows))]

    @cached_property
    def _projected(self) -> tuple[Tensor, Tensor]:
        return self.cameras.project(self.vertices)


@dataclass(frozen=True)
class RenderedFrame:
    """One picture of a run with the head over it. Rendered, projected and drawn once, by who asks first.

    panels: name -> (H, W, 3) uint8, see `frame_panels`.
    """

    together: Together
    number: int
    panels: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def scene(self) -> RunScene:
        return self.together.scene

    @property
    def row(self) -> int:
        """Of the result."""
        return self.together.rows[self.number]

    @property
    def view(self) -> int:
        """Of the cameras."""
        return self.together.views[self.number]

    @property
    def picture(self) -> Frame:
        return self.together.pictures[self.number]

    @property
    def vertices(self) -> Tensor:
        """(V, 3) metres in the tracked world."""
        return self.together.vertices[self.number]

    @property
    def camera(self) -> Camera:
        """Of the whole picture."""
        return self.together.cameras.select(self.number)

    @property
    def points_px(self) -> Tensor:
        """(V, 2) pixels of the vertices."""
        return self.together.points_px[self.number]

    @property
    def window(self) -> Window:
        """What of the picture is rendered: the head is nowhere else."""
        return self.together.windows[self.number]

    @property
    def rendering(self) -> Rendering:
        """Of the head over the picture's window; a batch of one."""
        return self.together.renderings[self.number]

    @property
    def landmarks_px(self) -> Tensor:
        """(L, 2) pixels of the model's points, in the order of its landmark set."""
        return self.together.landmarks_px[self.number]

    @property
    def detected_px(self) -> Tensor:
        """(D, 2) pixels of the detector's points, in its own order; 0 where nothing was found."""
        return self._detected[0] * self._shrunk_by

    @property
    def confidence(self) -> Tensor:
        """(D,) of the detector's points, in [0, 1]; 0 where nothing was found."""
        return self._detected[1]

    @property
    def _detected(self) -> tuple[Tensor, Tensor]:
        points, confidence = self.scene.detected
        place = self.scene.timesteps[self.row], self.view
        return points[place], confidence[place]

    @property
    def _shrunk_by(self) -> Tensor:
        (height, width), cameras = self.scene.capture.size, self.together.cameras
        return torch.tensor([cameras.width / width, cameras.height / height])


class FrameConsumer(Protocol):
    """Takes part in a pass. What it keeps of a frame has to be small: frames of a whole clip do not fit into memory."""

    def look(self, frame: RenderedFrame) -> Any:
        """What of a picture can be told without the others; asked from several threads, in any order."""
        ...

    def add(self, frame: RenderedFrame, seen: Any) -> None:
        """One picture with what `look` told, in the order of rows and, within each, of the views."""
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
    """Gives each picture of some rows and views, by default of all, to the consumers in their order.

    Threads decode, render and look at some pictures while the caller's adds those before them; few are in memory at a
    time. description: for the progress, None for none.
    """
    rows = range(scene.n_rows) if rows is None else rows
    views = range(scene.n_views) if views is None else views
    cameras = {view: scene.camera(view) for view in views}

    @torch.no_grad()
    def look(places: list[tuple[int, int]]) -> list[tuple[RenderedFrame, list[Any]]]:
        frames = opened(scene, places, cameras)
        return [(frame, [consumer.look(frame) for consumer in consumers]) for frame in frames]

    places = iter([(row, view) for row in rows for view in views])
    count = pictures_at_once(scene)
    blocks = iter(lambda: list(islice(places, count)), [])
    with one_thread_each():
        pictures = (found for block in results_ahead(look, blocks, pass_threads()) for found in block)
        for row in rows if description is None else progress(rows, description):
            for frame, told in islice(pictures, len(views)):
                for consumer, seen in zip(consumers, told):
                    consumer.add(frame, seen)
            for consumer in consumers:
                consumer.end_row(row)


def pass_threads() -> int:
    return min(MOST_THREADS, get_threads())


def pictures_at_once(scene: RunScene) -> int:
    height, width = scene.capture.size
    return max(1, min(AT_ONCE, PIXELS_AT_ONCE // (height * width)))


def opened(
    scene: RunScene, places: Sequence[tuple[int, int]], cameras: dict[int, Camera] | None = None
) -> list[RenderedFrame]:
    """The pictures of some rows and views; cameras: of the views, where they are at hand."""
    rows, views = zip(*places)
    known = {view: scene.camera(view) for view in set(views)} if cameras is None else cameras
    posed = list(dict.fromkeys(rows))
    vertices = scene.vertices(posed)[[posed.index(row) for row in rows]]
    pictures = [scene.frame(row, view) for row, view in places]
    return Together(scene, rows, views, pictures, vertices, stacked_cameras([known[view] for view in views])).frames()


def rendered_frame(scene: RunScene, row: int, view: int = 0) -> RenderedFrame:
    """A single frame."""
    return opened(scene, [(row, view)])[0]


def shrunk_frame(scene: RunScene, row: int, view: int, picture: Frame) -> RenderedFrame:
    """A single frame by another size of its picture."""
    camera = scene.camera(view).resized(*picture.rgb.shape[:2])
    return Together(scene, (row,), (view,), [picture], scene.vertices([row]), camera.expand(1)).frames()[0]
