"""A COLMAP model: cameras and images, as text or binary (https://colmap.github.io/format.html).

COLMAP's pixels are ours: cx, cy from the left and top edge, the first pixel's centre at (0.5, 0.5). Its axes are
OpenCV's. Points and rigs are not read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.data.cameras.checks import Source, check_intrinsics, check_numbers, check_pose, check_size
from vhap.data.cameras.rig import DISTORTION, FROM_OPENCV_AXES, RigCameras
from vhap.data.cameras.shots import Shot, camera_names, collapse_shots
from vhap.util.errors import InputError

MODELS = {
    "SIMPLE_PINHOLE": (0, ("f", "cx", "cy")),
    "PINHOLE": (1, ("fx", "fy", "cx", "cy")),
    "SIMPLE_RADIAL": (2, ("f", "cx", "cy", "k1")),
    "RADIAL": (3, ("f", "cx", "cy", "k1", "k2")),
    "OPENCV": (4, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
}
"""COLMAP's number of each lens that OpenCV's formula describes, and its parameters in their order."""
MODEL_NAMES = {number: name for name, (number, _) in MODELS.items()}
REMEDY = "calibrate with one lens and one pose a camera (colmap: --ImageReader.single_camera_per_folder 1, and a rig)"
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Lens:
    """Arrays as in `RigCameras`, without the leading axis."""

    K: np.ndarray
    size: tuple[int, int]
    distortion: np.ndarray


@dataclass(frozen=True)
class Picture:
    """An image of the model: quaternion w x y z and translation, world to camera in OpenCV axes."""

    name: str
    camera_id: int
    pose: np.ndarray


def find_colmap(folder: Path) -> Path | None:
    """The folder with the model, `folder` or one of the places below it where COLMAP writes; None without one."""
    for place in (folder, *(folder / below for below in ("sparse/0", "sparse", "colmap/sparse/0", "colmap"))):
        if any((place / f"images{suffix}").is_file() for suffix in (".bin", ".txt")):
            return place
    return None


def read_colmap(folder: Path) -> RigCameras:
    """The cameras of a model (binary where both are there), one of each name that `camera_names` finds.

    InputError where files are missing or damaged, for lenses other than `MODELS`, and for pictures of one camera
    that do not agree. Poses have the model's scale, which is metric only if it was made so.
    """
    suffix = ".bin" if (folder / "images.bin").is_file() else ".txt"
    cameras_path, images_path = folder / f"cameras{suffix}", folder / f"images{suffix}"
    for path in (cameras_path, images_path):
        if not path.is_file():
            raise InputError(f"expected a COLMAP model with {path.name} in {folder}, found none; export it again")
    read_lenses, read_pictures = (
        (_binary_lenses, _binary_pictures) if suffix == ".bin" else (_text_lenses, _text_pictures)
    )
    lenses, pictures = _by_id(read_lenses(cameras_path), cameras_path), list(read_pictures(images_path))
    shots: dict[str, list[Shot]] = {}
    for name, picture in zip(camera_names([picture.name for picture in pictures]), pictures):
        source = Source(f"picture {picture.name}", images_path)
        if picture.camera_id not in lenses:
            raise source.error(f"a camera_id of {cameras_path.name}", str(picture.camera_id))
        lens = lenses[picture.camera_id]
        shots.setdefault(name, []).append(Shot(lens.K, _pose(picture, source), lens.size, lens.distortion))
    return collapse_shots(shots, images_path, REMEDY)


def _by_id(lenses: Iterable[tuple[int, Lens]], path: Path) -> dict[int, Lens]:
    found: dict[int, Lens] = {}
    for camera_id, lens in lenses:
        if camera_id in found:
            raise Source(f"camera {camera_id}", path).error("one line for each CAMERA_ID", "a second one")
        found[camera_id] = lens
    return found


def _pose(picture: Picture, source: Source) -> np.ndarray:
    """(4, 4) T_camera_world, OpenGL axes."""
    values = check_numbers(picture.pose, (7,), "QW QX QY QZ TX TY TZ", source)
    length = np.linalg.norm(values[:4])
    if abs(length - 1) > UNIT_TOLERANCE:
        raise source.error("a unit quaternion", f"one of length {length:.4g}")
    w, *xyz = values[:4] / length
    x, y, z = xyz
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    pose = np.eye(4)
    pose[:3, :3] += 2 * w * cross + 2 * cross @ cross
    pose[:3, 3] = values[4:]
    return FROM_OPENCV_AXES @ check_pose(pose, "the pose", source)


def _lens(model: str | None, width: int, height: int, values: list[float], source: Source) -> Lens:
    if model not in MODELS:
        raise source.error(
            f"one of the lenses {', '.join(MODELS)} (others: undistort the pictures with COLMAP's image_undistorter)",
            str(model),
        )
    names = MODELS[model][1]
    found = dict(zip(names, check_numbers(values, (len(names),), " ".join(names), source).tolist()))
    fx, fy = found.get("fx", found.get("f")), found.get("fy", found.get("f"))
    matrix = check_intrinsics([[fx, 0, found["cx"]], [0, fy, found["cy"]], [0, 0, 1]], "the camera matrix", source)
    return Lens(matrix, check_size(height, width, source), np.array([found.get(name, 0.0) for name in DISTORTION]))


def _text_lenses(path: Path) -> Iterator[tuple[int, Lens]]:
    """CAMERA_ID MODEL WIDTH HEIGHT PARAMS..."""
    for number, line in _lines(path):
        if not line:
            continue
        source, words = Source(f"line {number}", path), line.split()
        try:
            camera_id, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            values = [float(word) for word in words[4:]]
        except (IndexError, ValueError) as error:
            raise source.error("CAMERA_ID MODEL WIDTH HEIGHT PARAMS...", repr(line[:60])) from error
        yield camera_id, _lens(model, width, height, values, source)


def _text_pictures(path: Path) -> Iterator[Picture]:
    """IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, and after each a line of points, which may be empty."""
    lines = _lines(path)
    for number, line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        try:
            pose, camera_id, name = np.array(words[1:8], np.float64), int(words[8]), words[9]
        except (IndexError, ValueError) as error:
            raise Source(f"line {number}", path).error(
                "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", repr(line[:60])
            ) from error
        after, points = next(lines, (number, ""))
        if len(points.split()) % 3:
            raise Source(f"line {after}", path).error("points X Y POINT3D_ID... or an empty line", repr(points[:60]))
        yield Picture(name, camera_id, pose)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered from 1, stripped, without comments."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"expected text in {path}, found something else; export the model again") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("#"):
            yield number, line.strip()


def _binary_lenses(path: Path) -> Iterator[tuple[int, Lens]]:
    reader = _Reader(path)
    for _ in range(reader.take("Q")[0]):
        camera_id, model, width, height = reader.take("iiQQ")
        source, name = Source(f"camera {camera_id}", path), MODEL_NAMES.get(model)
        count = len(MODELS[name][1]) if name else 0
        yield camera_id, _lens(name or f"model number {model}", width, height, list(reader.take("d" * count)), source)


def _binary_pictures(path: Path) -> Iterator[Picture]:
    reader = _Reader(path)
    for _ in range(reader.take("Q")[0]):
        _, *pose, camera_id = reader.take("I7dI")
        name = reader.take_name()
        reader.skip(reader.take("Q")[0] * struct.calcsize("<ddQ"))
        yield Picture(name, camera_id, np.array(pose))


class _Reader:
    """Little-endian values one after the other; InputError at the end of a file cut short."""

    def __init__(self, path: Path) -> None:
        self._path, self._data, self._place = path, path.read_bytes(), 0

    def take(self, form: str) -> tuple:
        form = "<" + form
        start = self._place
        self.skip(struct.calcsize(form))
        return struct.unpack_from(form, self._data, start)

    def take_name(self) -> str:
        end = self._data.find(b"\0", self._place)
        if end < 0:
            raise self._cut_short()
        name = self._data[self._place : end].decode(errors="replace")
        self._place = end + 1
        return name

    def skip(self, count: int) -> None:
        if self._place + count > len(self._data):
            raise self._cut_short()
        self._place += count

    def _cut_short(self) -> InputError:
        return InputError(
            f"expected more after byte {self._place} of {self._path}, found its end; export the model again"
        )
