"""A subject's folder as a recording that tracking reads: links to its pictures in a hidden folder of the subject."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.config.data import BackgroundColor, LandmarkSource
from vhap.data.input_alpha import takes_input_alpha
from vhap.data.landmark_files import save_landmarks
from vhap.data.pictures import common_size, read_stored, some_names
from vhap.data.provenance import Provenance
from vhap.relightable.given_points import detections_behind, read_given_points
from vhap.relightable.premultiplied import is_premultiplied
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.choice import even_choice
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.files import atomic_path, make_folder
from vhap.util.log import get_logger

FOLDER, DETECTED = ".capture", "detected"
"""Of a subject: recordings, by the points that they are tracked by: those that tracking detects, or given ones."""
LOOKED_AT = 8


@dataclass(frozen=True)
class SubjectCapture:
    """path: the recording's folder, which is named after the content of pictures and mattes: other pictures are another
    recording. The folder that holds it is named after the points, so that runs by other points have other options and
    yet are of the same pictures. names: file name of the picture of each timestep id. size: (height, width).
    background: what pictures are put over before they are tracked; None leaves premultiplied ones over their black."""

    path: Path
    names: dict[str, str]
    size: tuple[int, int]
    landmark_source: LandmarkSource
    background: BackgroundColor | None


def subject_capture(subject: SubjectFolder, use_keypoints: bool = True) -> SubjectCapture:
    """Makes the recording where it is not there. Files of other names, sizes or formats are InputErrors.

    Mattes are the pictures' alpha channel, else mask/, else there are none. Landmarks are keypoint.json and iris.json,
    if they are there and wanted; else tracking detects them.
    """
    pictures = subject.pictures()
    size = common_size(list(pictures.values()))
    mattes = _mattes(subject, pictures)
    given = [path for path in (subject.keypoints, subject.irises) if use_keypoints and path.is_file()]
    given = given if subject.keypoints in given else []
    name = f"{subject.path.resolve().name}_{_digest(subject, [*pictures.values(), *mattes.values()])}"
    folder = subject.path / FOLDER / (f"points_{_digest(subject, given)}" if given else DETECTED) / name
    names = {Path(name).stem: name for name in pictures}
    if len(names) < len(pictures):
        raise InputError(f"expected one picture per name in {subject.image_folder}, found two; remove one")
    for kind, files in (("images", pictures), ("alpha_maps", mattes)):
        for name, path in files.items():
            _place(path, folder / kind / name)
    source = _write_points(subject, given, folder / "landmark2d", list(pictures), size) if given else "mediapipe"
    return SubjectCapture(folder, names, size, source, _background(pictures if mattes is pictures else {}))


def _background(pictures: dict[str, Path]) -> BackgroundColor | None:
    """pictures: those with an alpha channel."""
    paths = list(pictures.values())
    stored = (read_stored(paths[index]) for index in even_choice(len(paths), LOOKED_AT))
    if not is_premultiplied(picture for picture in stored if picture.dtype == np.uint8 and picture.shape[2:] == (4,)):
        return "white"
    get_logger().warning(
        "the pictures' colours are multiplied by alpha already: they are tracked over black, and trainers multiply "
        "soft edges twice; `%s` writes straight ones",
        command("crop-and-matting"),
    )
    return None


def _write_points(
    subject: SubjectFolder, given: list[Path], folder: Path, names: list[str], size: tuple[int, int]
) -> LandmarkSource:
    """The given points as a landmark file; those that they were chosen from, where these are there."""
    irises = subject.irises if subject.irises in given else None
    landmarks, without = read_given_points(subject.keypoints, irises, names, size)
    whole = detections_behind(subject.path / "landmark2d" / "mediapipe.npz", landmarks, size)
    source: LandmarkSource = "face-alignment" if whole is None else "mediapipe"
    if not (file := folder / f"{source}.npz").is_file():
        save_landmarks(file, landmarks if whole is None else whole)
    if without and whole is None:
        get_logger().warning(
            "no irises of %d of %d pictures (%s): eyes turn by other pictures and priors there; write them by `%s`",
            len(without), len(names), some_names(without), command("iris"),
        )  # fmt: skip
    return source


def _mattes(subject: SubjectFolder, pictures: dict[str, Path]) -> dict[str, Path]:
    """Name in alpha_maps/ -> file whose alpha channel or brightness is the matte."""
    if takes_input_alpha("auto", {str(subject.image_folder): list(pictures.values())}):
        return pictures
    if not subject.mask_folder.is_dir():
        return {}
    mattes = {name: subject.mask_folder / name for name in pictures}
    if missing := [name for name, path in mattes.items() if not path.is_file()]:
        raise InputError(
            f"expected a mask for each of {len(pictures)} pictures in {subject.mask_folder}, found none for "
            f"{len(missing)} ({some_names(missing)}); complete or remove the folder"
        )
    return mattes


def _digest(subject: SubjectFolder, files: list[Path]) -> str:
    """8 hex digits of all names and contents."""
    digests = Provenance(subject.path).digests(files)
    text = "\n".join(f"{path.parent.name}/{path.name} {digest}" for path, digest in digests.items())
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _place(source: Path, target: Path) -> None:
    """A link at target, a copy where there are no links. What is there is right, by the recording's name."""
    if target.exists():
        return
    make_folder(target.parent)
    try:
        target.symlink_to(os.path.relpath(source.resolve(), target.parent.resolve()))
    except OSError:
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
