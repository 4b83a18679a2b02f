"""Class maps of a subject's pictures: by weights of yours, a tracked head, or MediaPipe's networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from vhap.config.parsing import ParsingMethod
from vhap.data.pictures import read_alpha, read_rgb, read_stored, require_shape, shrink, some_names
from vhap.data.results import result_path
from vhap.detect.face_parsing import ANOTHER_PARSING, FaceParsing
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.detect.mediapipe_matting import MediapipeMatting
from vhap.detect.selfie_classes import SelfieClasses
from vhap.detect.weights import FACE_PARSING, SELFIE_MULTICLASS, find_weights, weights_if_there
from vhap.evaluate.run_scene import RunScene
from vhap.pipeline.class_map_record import begin_maps, report_foreign
from vhap.pipeline.mesh_classes import MeshClasses
from vhap.pipeline.open_run import open_run
from vhap.relightable.class_completion import complete_classes
from vhap.relightable.class_maps import FaceClass, write_class_map
from vhap.relightable.class_outlines import classes_from_points, place_of
from vhap.relightable.crop import Crop
from vhap.util.errors import InputError
from vhap.util.files import file_hash
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.progress import progress


@dataclass(frozen=True)
class ParsedPicture:
    """name: file name without suffix. picture (H, W, 3) uint8 RGB. alpha (H, W) uint8, or None: found where it is
    needed. points (478, 2 or more) px of the face, or None: found where they are needed."""

    name: str
    picture: np.ndarray
    alpha: np.ndarray | None = None
    points: np.ndarray | None = None


class Parser(Protocol):
    """identity: what decides the maps beside the pictures, for the record beside them."""

    @property
    def identity(self) -> str: ...

    def classes(self, parsed: ParsedPicture) -> np.ndarray | None:
        """(H, W) uint8 class numbers; None where no face is found."""
        ...


class NetworkParser:
    """BiSeNet, which needs neither a matte nor a face."""

    def __init__(self, weights: Path, device: str = "auto") -> None:
        self._network = FaceParsing(weights, device)
        self.identity = f"face-parsing {file_hash(weights)}"

    def classes(self, parsed: ParsedPicture) -> np.ndarray | None:
        return self._network.classes(parsed.picture)


class LandmarkParser:
    """MediaPipe's face mesh and selfie segmentation. What is hair, neck or clothes its multiclass network says, where
    its file is found, else places and colours."""

    def __init__(self) -> None:
        self._landmarks: MediapipeLandmarks | None = None
        self._matting: MediapipeMatting | None = None
        path = weights_if_there(SELFIE_MULTICLASS)
        self._network = None if path is None else SelfieClasses(path)
        self.identity = landmark_identity()

    def classes(self, parsed: ParsedPicture) -> np.ndarray | None:
        points = self.points(parsed)
        if points is None:
            return None
        known = classes_from_points(points, (parsed.picture.shape[0], parsed.picture.shape[1]))
        return complete_classes(parsed.picture, self.alpha(parsed), known, place_of(points), self.shares(parsed))

    def shares(self, parsed: ParsedPicture) -> np.ndarray | None:
        """(H, W, 3) as `coarse_shares`; None without the network that tells them."""
        return None if self._network is None else coarse_shares(self._network.shares(parsed.picture))

    def alpha(self, parsed: ParsedPicture) -> np.ndarray:
        """The picture's own, else one found here."""
        if parsed.alpha is not None:
            return parsed.alpha
        self._matting = self._matting or MediapipeMatting()
        return self._matting.alpha(parsed.picture)

    def points(self, parsed: ParsedPicture) -> np.ndarray | None:
        """(478, 2 or more) px: those that are known, else those found here; None where no face is found."""
        if parsed.points is not None:
            return parsed.points
        self._landmarks = self._landmarks or MediapipeLandmarks()
        return self._landmarks.detect(parsed.picture)


def landmark_identity() -> str:
    """Of the maps that `LandmarkParser` makes."""
    path = weights_if_there(SELFIE_MULTICLASS)
    return "mediapipe" if path is None else f"mediapipe {file_hash(path)}"


def coarse_shares(parts: np.ndarray) -> np.ndarray:
    """(H, W, 6) probabilities of `selfie_classes.PARTS` -> (H, W, 3) of skin, hair and clothes within the matte.
    Accessories lie on any of them, and count as all three alike."""
    _, hair, body, face, clothes, _ = np.moveaxis(parts, -1, 0)
    shares = np.stack([body + face, hair, clothes], -1) + 1e-3
    return shares / shares.sum(-1, keepdims=True)


@dataclass
class MeshParser:
    """A run's head; pictures that are not of the run are parsed as by `LandmarkParser`, and named in `not_in_run`.

    with_networks: MediaPipe's networks say what they know, and the head all else: parts of the face are drawn by the
    detected points, and the multiclass network, where its file is found, says what is hair and clothes.
    """

    scene: RunScene
    crop: Crop | None = None
    with_networks: bool = False
    not_in_run: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._other = LandmarkParser()
        self._mesh = MeshClasses(self.scene)
        self._rows = {_number(str(name)): row for row, name in enumerate(self.scene.result.timestep_id)}
        self.identity = mesh_identity(self.scene.folder, self.with_networks)
        if self.crop is not None:
            self.identity += f" {self.crop.box} {self.crop.size}"

    def classes(self, parsed: ParsedPicture) -> np.ndarray | None:
        row = self._rows.get(_number(parsed.name))
        if row is None:
            self.not_in_run.append(parsed.name)
            return self._other.classes(parsed)
        size = (parsed.picture.shape[0], parsed.picture.shape[1])
        points = self._other.points(parsed) if self.with_networks else None
        shares = self._other.shares(parsed) if self.with_networks else None
        known, place = self._mesh.classes(row, size, self.crop, points)
        return complete_classes(parsed.picture, self._other.alpha(parsed), known, place, shares)

    def points(self, parsed: ParsedPicture) -> np.ndarray | None:
        """As `LandmarkParser.points`."""
        return self._other.points(parsed)


def mesh_identity(run: Path, with_networks: bool = False) -> str:
    """Of the maps that `MeshParser` makes of the whole pictures of a run; another fit has another."""
    of_mesh = f"mesh {file_hash(result_path(run))}"
    return f"{landmark_identity()} and {of_mesh}" if with_networks else of_mesh


def _number(name: str) -> int | str:
    """Names that count are equal where their numbers are: 00012 and 000012."""
    return int(name) if name.isdecimal() and name.isascii() else name


def open_parser(
    method: ParsingMethod = "auto",
    weights: Path | None = None,
    run: Path | None = None,
    crop: Crop | None = None,
    device: str = "auto",
) -> Parser:
    """weights: of face-parsing, None: where all weights are looked for. run: a run folder, or an output folder's
    newest; crop: what the pictures show of the run's. InputError where what a method needs is missing."""
    if method == "mesh" and run is None:
        raise InputError("expected a run for --parsing mesh, found none; name one, or take --parsing mediapipe")
    if method == "face-parsing":
        return NetworkParser(find_weights(FACE_PARSING, weights, otherwise=ANOTHER_PARSING), device)
    if method == "auto" and (found := weights_if_there(FACE_PARSING, weights)):
        return NetworkParser(found, device)
    if run is not None and method in ("auto", "mesh"):
        return MeshParser(open_run(run), crop, with_networks=method == "auto")
    return LandmarkParser()


def class_maps_of(
    pictures: Mapping[str, Path],
    folder: Path,
    method: ParsingMethod = "auto",
    *,
    alphas: Mapping[str, Path] | None = None,
    points: Mapping[str, np.ndarray] | None = None,
    weights: Path | None = None,
    run: Path | None = None,
    crop: Crop | None = None,
    device: str = "auto",
) -> dict[str, Path]:
    """Name without suffix -> class map, folder/NAME.png, of every picture; made where they are missing, or of other
    pictures, or made in another way (FOLDER.json beside the folder says how).

    pictures: names without suffix -> files. alphas: mattes of these names; else a picture's own alpha channel, unless
    it is opaque everywhere, else one found here. points: the 478 points px of faces that are known already. weights,
    run, crop, device: as `open_parser` takes them. Pictures without a face have no classes (all background), and are
    named in a warning. InputError where something that the method needs is missing or does not fit.
    """
    parser = open_parser(method, weights, run, crop, device)
    with folder_lock(folder.parent):
        maps = write_class_maps(parser, pictures, folder, alphas or {}, points or {})
    if isinstance(parser, MeshParser) and parser.not_in_run:
        get_logger().warning(
            "%d of %d pictures are not in the run and were parsed without the mesh: %s",
            len(parser.not_in_run), len(pictures), some_names(parser.not_in_run),
        )  # fmt: skip
    return maps


def write_class_maps(
    parser: Parser,
    pictures: Mapping[str, Path],
    folder: Path,
    alphas: Mapping[str, Path],
    points: Mapping[str, np.ndarray],
) -> dict[str, Path]:
    """As `class_maps_of`, by a parser."""
    maps = {name: folder / f"{name}.png" for name in pictures}
    work = begin_maps(pictures, alphas, folder, parser.identity)
    report_foreign(pictures, folder)
    without_face = []
    for name, origin in progress(work.missing.items(), "parsing", len(work.missing)):
        parsed = _opened(name, pictures[name], alphas.get(name), points.get(name))
        classes = parser.classes(parsed)
        if classes is None:
            without_face.append(name)
            classes = np.full(parsed.picture.shape[:2], int(FaceClass.BACKGROUND))
        work.provenance.write(work.folder / f"{name}.png", origin, partial(write_class_map, classes=classes))
    if without_face:
        get_logger().warning(
            "%d of %d pictures show no face that was found, and their class maps are empty: %s",
            len(without_face), len(pictures), some_names(without_face),
        )  # fmt: skip
    return maps


def _opened(name: str, path: Path, alpha_path: Path | None, points: np.ndarray | None) -> ParsedPicture:
    picture = read_rgb(path)
    size = (picture.shape[0], picture.shape[1])
    if alpha_path is not None:
        alpha = read_alpha(alpha_path)
        require_shape((alpha.shape[0], alpha.shape[1]), size, alpha_path.parent)
        return ParsedPicture(name, picture, shrink(alpha, size), points)
    stored = read_stored(path)
    has_alpha = stored.ndim == 3 and stored.shape[2] == 4 and int(stored[..., 3].min()) < np.iinfo(stored.dtype).max
    return ParsedPicture(name, picture, read_alpha(path) if has_alpha else None, points)
