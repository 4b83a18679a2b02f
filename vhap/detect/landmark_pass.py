"""One landmark detector over all pictures of a recording, in chunks that survive an interruption.

A chunk is always of the same pictures and knows nothing of the others, and chunk files hold every face found, so that
a pass completed later gives exactly what a single run gives, by any number of detectors; which face is the person is
settled afterwards, from all of them.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.data.pictures import common_size, read_rgb, some_names
from vhap.data.plausible import FaceError
from vhap.data.provenance import Provenance
from vhap.detect.person import AUTO, PERSON, faces_as_text, find_face, follow_person, fullest_frame, parse_person
from vhap.util.cached import read_cached
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger
from vhap.util.progress import progress
from vhap.util.schema import REAL, TEXT, WHOLE, ArrayRule, check_arrays
from vhap.util.threads import one_torch_thread

CHUNK = 32
"""Pictures of a file of a chunk, through which faces are followed."""
MOST_FACES = 10_000
"""In a picture."""


class FaceDetector(Protocol):
    """A detector of N points; one instance serves one thread."""

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (N, 3) for each face: x, y in px, and the detector's own third value."""
        ...

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The face (N, 3) near where one stood in a neighbouring frame, or None."""
        ...

    def confidence(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) -> (N,) in [0, 1]."""
        ...


@runtime_checkable
class FollowingDetector(Protocol):
    """A detector that is quicker on the pictures of a video one after the other."""

    def faces_through(self, pictures: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """`FaceDetector.faces` of each, followed from one to the next; nothing of an earlier run is known."""
        ...


@dataclass(frozen=True)
class LandmarkPass:
    """Writes `path` (a landmark file) from pictures, name -> file; detectors are made by `make`, one per thread.

    n_jobs: detectors at the same time. points_if_unseen: number of points of the file that is written where no
    picture shows a face; None raises an InputError there. label: what messages call the pass; None: the file's name.
    options: what else decides what is detected, `person` among it (vhap.detect.person); written into the file with the
    pictures' digests.
    """

    path: Path
    pictures: dict[str, Path]
    make: Callable[[], FaceDetector]
    n_jobs: int = 1
    points_if_unseen: int | None = None
    label: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> Path:
        height, width = common_size(list(self.pictures.values()))
        detectors = _PerThread(self.make)
        names, files = list(self.pictures), list(self.pictures.values())
        # Taken before any picture is read: one that is replaced meanwhile will be found changed.
        sources = list(Provenance(_sequence_of(self.path)).sources(self.pictures).values())
        chunks = [range(start, min(start + CHUNK, len(files))) for start in range(0, len(files), CHUNK)]
        label = self.label or self.path.stem
        # Detectors beside each other share the cores, and their number must not change what they find.
        with one_torch_thread(), ThreadPoolExecutor(max(1, self.n_jobs)) as pool:
            parts = pool.map(lambda chunk: self._chunk(chunk, files, sources, detectors), chunks)
            faces = [found for part in progress(parts, label, len(chunks)) for found in part]
        if len({points.shape for found in faces for points in found}) > 1:
            raise InputError(
                f"expected faces of one number of points in {self._parts}, found several; remove that folder to detect "
                "again"
            )
        chosen = self._chosen_faces(faces, (height, width), detectors)
        seen = [points for points in chosen if points is not None]
        if not seen and self.points_if_unseen is None:
            raise FaceError(
                f"expected a face in some of {len(files)} pictures in {files[0].parent}, found none by {label}; "
                "check that the video shows one, or choose another landmark_source"
            )
        count = len(seen[0]) if seen else self.points_if_unseen or 0
        found = _as_landmarks(chosen, count, names, (height, width), detectors.get())
        save_landmarks(self.path, replace(found, sources=sources, options=self.options))
        shutil.rmtree(self._parts, ignore_errors=True)
        unseen = [name for name, points in zip(names, chosen) if points is None]
        get_logger().info(
            "%s: face found in %d of %d pictures%s",
            label, len(seen), len(files), f"; not in {some_names(unseen)}" if unseen else "",
        )  # fmt: skip
        return self.path

    @property
    def _parts(self) -> Path:
        return self.path.parent / f".{self.path.stem}_parts"

    def _chunk(self, chunk: range, files: list[Path], sources: list[str], detectors: _PerThread) -> list[np.ndarray]:
        """All faces of some pictures, (K, N, 3) each; read from the chunk's file where that is of these pictures."""
        part = self._parts / f"{chunk.start:06d}.npz"
        source = np.array([sources[index] for index in chunk])
        saved = read_cached(part, _read_part)
        if saved is not None and np.array_equal(saved["source"], source):
            return np.split(saved["points"], np.cumsum(saved["counts"])[:-1])
        found = _faces_of(detectors.get(), [files[index] for index in chunk])
        counts = [len(faces) for faces in found]
        stacked = [points for faces in found for points in faces]
        # Single precision: these points are all that stays in memory of a long video.
        points = np.stack(stacked).astype(np.float32) if stacked else np.zeros((0, 1, 3), np.float32)
        write_npz(part, {"source": source, "counts": np.array(counts), "points": points})
        return np.split(points, np.cumsum(counts)[:-1])

    def _chosen_faces(
        self, faces: list[np.ndarray], size: tuple[int, int], detectors: _PerThread
    ) -> list[np.ndarray | None]:
        """The person's points per picture; where lost, searched for once more beside the nearest sight in time."""
        boxes = [np.array([_box(points) for points in found]).reshape(-1, 3) for found in faces]
        wanted = parse_person(self.options.get(PERSON) or AUTO)
        first = None if wanted is None else find_face(boxes, wanted, list(self.pictures))
        person = follow_person(boxes, size, first)
        self._report_others(boxes, person)
        chosen = [None if index is None else found[index] for index, found in zip(person, faces)]
        files = list(self.pictures.values())
        for order in (range(1, len(chosen)), range(len(chosen) - 2, -1, -1)):
            for frame in order:
                before = chosen[frame - order.step]
                if chosen[frame] is not None or before is None:
                    continue
                points = detectors.get().face_near(read_rgb(files[frame]), before)
                if points is not None and not _is_other_person(points, boxes[frame]):
                    chosen[frame] = points
        return chosen

    def _report_others(self, boxes: list[np.ndarray], person: list[int | None]) -> None:
        """Says who was followed where a picture shows several faces."""
        frame = fullest_frame(boxes)
        if len(boxes[frame]) > 1:
            index = person[frame]
            followed = "another" if index is None else "{:.0f},{:.0f}".format(*boxes[frame][index, :2])
            get_logger().info(
                "%s: picture %s shows %d faces (%s); following the one at %s, --person chooses another",
                self.label or self.path.stem, list(self.pictures)[frame], len(boxes[frame]),
                faces_as_text(boxes[frame]), followed,
            )  # fmt: skip


def _read_part(path: Path) -> dict[str, np.ndarray]:
    arrays = read_npz(path)
    rules = {
        "source": ArrayRule(TEXT, ("pictures",)),
        "counts": ArrayRule(WHOLE, ("pictures",), most=MOST_FACES),
        "points": ArrayRule(REAL, ("faces", "points", 3)),
    }
    lengths = check_arrays(path, arrays, rules, "detect again")
    if (arrays["counts"] < 0).any() or arrays["counts"].sum() != lengths["faces"]:
        raise InputError(f"expected {lengths['faces']} faces in all in {path}, found other counts; detect again")
    return arrays


def _faces_of(detector: FaceDetector, files: list[Path]) -> list[list[np.ndarray]]:
    pictures = (read_rgb(file) for file in files)
    if isinstance(detector, FollowingDetector):
        return list(detector.faces_through(pictures))
    return [detector.faces(picture) for picture in pictures]


class _PerThread:
    """One detector for each thread that asks."""

    def __init__(self, make: Callable[[], FaceDetector]) -> None:
        self._make, self._local = make, threading.local()

    def get(self) -> FaceDetector:
        if not hasattr(self._local, "detector"):
            self._local.detector = self._make()
        return self._local.detector


def _as_landmarks(
    chosen: list[np.ndarray | None], count: int, names: list[str], size: tuple[int, int], detector: FaceDetector
) -> Landmarks:
    """count: points of a face."""
    points = np.tile(np.array([-1, -1, 0], np.float32), (len(chosen), count, 1))
    boxes = np.tile(np.array([-1.0, -1.0, -1.0, -1.0, 0.0]), (len(chosen), 1))
    scale = np.array(size[::-1], float)
    for frame, found in enumerate(chosen):
        if found is not None:
            points[frame, :, :2] = found[:, :2] / scale
            points[frame, :, 2] = detector.confidence(found)
            boxes[frame] = [*points[frame, :, :2].min(0), *points[frame, :, :2].max(0), 1.0]
    return Landmarks(points, boxes, names)


def _sequence_of(path: Path) -> Path:
    """The sequence folder of a file below landmark2d/."""
    return next((folder.parent for folder in path.parents if folder.name == "landmark2d"), path.parent)


def _box(points: np.ndarray) -> np.ndarray:
    """(3,) centre x, y and longer side, px."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return np.array([*(low + high) / 2, (high - low).max()])


def _is_other_person(points: np.ndarray, boxes: np.ndarray) -> bool:
    """Whether a face found beside the last sight is one that was already told apart from the person."""
    centre_x, centre_y, size = _box(points)
    return any(np.hypot(x - centre_x, y - centre_y) < 0.5 * size for x, y, _ in boxes)
