"""The films of bench/parsing.py: what is written as truth is what the pictures show; and how maps are compared."""

from __future__ import annotations

import numpy as np
import pytest
from common import FilmOptions
from dressed_film import DressedFilm, make_dressed_film
from parsing import GROUPS, overlap

from vhap.data.pictures import read_alpha, read_rgb
from vhap.relightable.class_maps import FaceClass


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> DressedFilm:
    return make_dressed_film(FilmOptions(tmp_path_factory.mktemp("bench"), frames=1, size=96), seed=1)


def test_truth_and_picture_belong_together(film: DressedFilm) -> None:
    name = film.names[0]
    classes, alpha = film.classes(name), read_alpha(film.folder / "alpha_maps" / f"{name}.png")
    np.testing.assert_array_equal(classes[alpha == 255] > 0, True)
    np.testing.assert_array_equal(classes[alpha == 0], FaceClass.BACKGROUND)
    picture = read_rgb(film.folder / "images" / f"{name}.png").astype(float)
    rows = {part: np.nonzero(classes == part)[0].mean() for part in (FaceClass.HAIR, FaceClass.SKIN, FaceClass.CLOTH)}
    assert rows[FaceClass.SKIN] < rows[FaceClass.CLOTH]
    # Long hair has a colour of its own, and there is a garment below the neck.
    means = {part: picture[(classes == part) & (alpha == 255)].mean(0) for part in rows}
    assert np.linalg.norm(means[FaceClass.HAIR] - means[FaceClass.SKIN]) > 20
    assert (classes == FaceClass.CLOTH).mean() > 0.1


def test_a_film_that_is_there_is_left_alone(film: DressedFilm) -> None:
    times = {path: path.stat().st_mtime_ns for path in film.folder.rglob("*.png")}
    options = FilmOptions(film.folder.parents[1], frames=1, size=96)
    assert make_dressed_film(options, seed=1).folder == film.folder
    assert {path: path.stat().st_mtime_ns for path in film.folder.rglob("*.png")} == times


def test_overlap_is_intersection_over_union() -> None:
    truth = np.array([[1, 1, 17, 0], [1, 10, 14, 16]])
    found = np.array([[1, 17, 17, 0], [1, 1, 14, 14]])
    assert overlap(found, truth, GROUPS["skin"]) == 3 / 4
    assert overlap(found, truth, GROUPS["hair"]) == 1 / 2
    assert overlap(found, truth, GROUPS["neck"]) == 1 / 2
    assert overlap(found, truth, GROUPS["cloth"]) == 0
