"""The faces that a subject's landmarks follow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from vhap.data.landmark_files import POINT_COUNTS, Landmarks, load_landmarks
from vhap.data.pictures import common_size
from vhap.data.provenance import Provenance
from vhap.detect.landmark_pass import LandmarkPass
from vhap.detect.landmarks import detector_maker, is_current
from vhap.detect.person import person_options
from vhap.util.errors import InputError
from vhap.util.threads import get_threads


def find_faces(
    folder: Path,
    pictures: Iterable[Path],
    source: Literal["mediapipe", "face-alignment"],
    person: str | None,
    n_jobs: int = 0,
    device: str = "auto",
) -> Landmarks:
    """Rows in the pictures' order; nothing found in any picture is no error.

    The file folder/landmark2d/<source>.npz is kept where it is of these pictures and of the person. InputError where
    the pictures differ in size, two have one name before their suffix, or the detector's package is missing.
    """
    named = by_stem(pictures)
    path, options = folder / "landmark2d" / f"{source}.npz", person_options(person)
    common_size(list(named.values()))
    make = detector_maker(source, device)
    if not (path.is_file() and is_current(path, Provenance(folder).sources(named), options)):
        jobs = n_jobs or get_threads()
        LandmarkPass(path, named, make, jobs, POINT_COUNTS[source][0], options=options or {}).run()
    return load_landmarks(path, list(named))


def by_stem(pictures: Iterable[Path]) -> dict[str, Path]:
    """Name without suffix -> file, in the order given; InputError where two have one name."""
    found: dict[str, Path] = {}
    for path in pictures:
        other = found.setdefault(path.stem, path)
        if other != path:
            raise InputError(
                f"expected one picture per name in {path.parent}, found {other.name} and {path.name}; remove one"
            )
    return found
