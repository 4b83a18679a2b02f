"""A film of the built-in head for live runs: pictures, a follower that knows where the head is, and a device that can
disappear."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.fit.tracked_heads import builtin_head, frame_batch, moving_params
from vhap.fit.params import TrackParams
from vhap.geometry.cameras import camera_from_focal
from vhap.head.head_file import save_head
from vhap.head.model import HeadModel, LandmarkSet, landmark_points, pose
from vhap.head.regions import faces_of_region
from vhap.pipeline.live_sources import LiveFrame

SIZE, FPS, TEXELS = (180, 240), Fraction(25), 64
POINTS = 478


@cache
def marked_head() -> HeadModel:
    """The built-in head with made-up points of a detector, evenly over its face."""
    head = builtin_head()
    faces = faces_of_region(head, "face").nonzero()[:, 0]
    chosen = faces[torch.linspace(0, len(faces) - 1, POINTS).long()]
    points = LandmarkSet(chosen, torch.full((POINTS, 3), 1 / 3), torch.arange(POINTS))
    return replace(head, name="marked", landmarks={"mediapipe": points, "ibug": head.landmarks["ibug"]})


def head_file(folder: Path) -> Path:
    return save_head(folder / "head.npz", marked_head())


@dataclass(frozen=True)
class Film:
    """params: what is true; pictures (T, H, W, 3) uint8; points (T, 478, 2) px."""

    params: TrackParams
    pictures: np.ndarray
    points: np.ndarray


@cache
def film(frames: int = 24) -> Film:
    params = moving_params(frames, TEXELS)
    batch = frame_batch(params, SIZE)
    head = marked_head()
    camera = camera_from_focal(params.focal_length[0], *SIZE)
    points = camera.project(landmark_points(head, pose(head, params.head()), "mediapipe"))[0]
    return Film(params, (batch.rgb * 255).round().byte().numpy(), points.numpy())


@dataclass(frozen=True)
class Sighting:
    points: np.ndarray
    confidence: np.ndarray
    is_new: bool = False


@dataclass
class KnowingFollower:
    """Gives the true points of the picture it is shown; none of the frames `lost`, those of `anew` as if they were in
    another place. seconds: that it takes."""

    film: Film
    lost: range = range(0)
    seconds: float = 0.0
    anew: range = range(0)

    def follow(self, picture: np.ndarray, time_s: float, predicted: np.ndarray | None = None) -> Sighting | None:
        time.sleep(self.seconds)
        row = self.row(picture)
        if row is None or row in self.lost:
            return None
        points = np.column_stack([self.film.points[row], np.zeros(POINTS)])
        return Sighting(points, np.ones(POINTS), row in self.anew)

    def row(self, picture: np.ndarray) -> int | None:
        found = np.flatnonzero((self.film.pictures == picture).all(axis=(1, 2, 3)))
        return int(found[0]) if len(found) else None


@dataclass
class FilmSource:
    """The film's frames, `passes` times; is_live: as a camera films them. breaks_at: where `error` is raised; given:
    frames that were given so far."""

    film: Film
    passes: int = 1
    is_live: bool = False
    error: Exception | None = None
    breaks_at: int = -1
    name: str = "the film"
    fps: Fraction = FPS
    size: tuple[int, int] = SIZE
    given: list[int] = field(default_factory=list)

    def frames(self, stopped: threading.Event) -> Iterator[LiveFrame]:
        started, count = time.perf_counter(), len(self.film.pictures)
        for number in range(self.passes * count):
            due = started + number / float(self.fps)
            if stopped.wait(max(0.0, due - time.perf_counter()) if self.is_live else 0.0):
                return
            if number == self.breaks_at and self.error is not None:
                raise self.error
            self.given.append(number)
            yield LiveFrame(
                number, number / float(self.fps), time.perf_counter(), self.film.pictures[number % count].copy()
            )


@dataclass
class Device:
    """A camera, as OpenCV has it, that gives the film and is gone then."""

    film: Film
    released: bool = False
    row: int = 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.row >= len(self.film.pictures):
            return False, None
        time.sleep(0.04)
        self.row += 1
        return True, np.ascontiguousarray(self.film.pictures[self.row - 1][..., ::-1])

    def release(self) -> None:
        self.released = True


def true_vertices(film: Film, row: int) -> Tensor:
    """(V, 3) metres."""
    return pose(marked_head(), film.params.rows(torch.tensor([row])).head())[0]
