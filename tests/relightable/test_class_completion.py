"""Hair, neck and clothes by place and colour, on painted people whose classes are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from vhap.relightable.class_completion import FacePlace, complete_classes
from vhap.relightable.class_maps import FaceClass

SIZE = (240, 200)
PLACE = FacePlace(np.array([100.0, 90.0]), np.array([100.0, 145.0]))
SKIN_RGB, HAIR_RGB, CLOTH_RGB, WALL_RGB = (205, 150, 120), (60, 40, 25), (70, 110, 90), (180, 185, 190)


@dataclass(frozen=True)
class Painted:
    picture: np.ndarray
    alpha: np.ndarray
    known: np.ndarray
    truth: np.ndarray


def ellipse(centre: tuple[int, int], radii: tuple[int, int]) -> np.ndarray:
    area = np.zeros(SIZE, np.uint8)
    cv2.ellipse(area, centre, radii, 0, 0, 360, 1, -1)
    return area > 0


def below(row: int, half_width: int) -> np.ndarray:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (rows >= row) & (np.abs(columns - 100) <= half_width)


def painted(long_hair: bool = False) -> Painted:
    """A person with a pullover whose neckline the head does not know."""
    truth = np.zeros(SIZE, np.uint8)
    neck = below(130, 24)
    truth[ellipse((100, 90), (52, 68))] = FaceClass.HAIR
    if long_hair:
        truth[below(90, 50) & ~below(185, 100)] = FaceClass.HAIR
    truth[below(182, 80)] = FaceClass.CLOTH
    truth[neck & ~below(190, 100)] = FaceClass.NECK
    face = ellipse((100, 95), (38, 50))
    truth[face] = FaceClass.SKIN
    known = np.zeros(SIZE, np.uint8)
    known[ellipse((100, 85), (44, 55))] = FaceClass.HAIR
    known[neck & ~below(205, 100)] = FaceClass.NECK
    known[ellipse((102, 94), (38, 50))] = FaceClass.SKIN
    return Painted(colours(truth), np.where(truth > 0, 255, 0).astype(np.uint8), known, truth)


def colours(truth: np.ndarray) -> np.ndarray:
    table = np.zeros((19, 3))
    table[FaceClass.BACKGROUND] = WALL_RGB
    table[FaceClass.SKIN] = table[FaceClass.NECK] = SKIN_RGB
    table[FaceClass.HAIR], table[FaceClass.CLOTH] = HAIR_RGB, CLOTH_RGB
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 25, (*SIZE, 3)), (0, 0), 1.5)
    return (table[truth] + noise).clip(0, 255).astype(np.uint8)


def overlap(found: np.ndarray, truth: np.ndarray, number: FaceClass) -> float:
    ours, theirs = found == number, truth == number
    return float((ours & theirs).sum() / (ours | theirs).sum())


@pytest.mark.parametrize("long_hair", [False, True])
def test_colours_find_what_the_head_does_not_know(long_hair: bool) -> None:
    person = painted(long_hair)
    found = complete_classes(person.picture, person.alpha, person.known, PLACE)
    assert found.dtype == np.uint8
    for number in (FaceClass.SKIN, FaceClass.HAIR, FaceClass.NECK, FaceClass.CLOTH):
        assert overlap(found, person.truth, number) > 0.93, number
    # The head alone knows neither the neckline nor the hair beside and below the face.
    assert overlap(person.known, person.truth, FaceClass.NECK) < 0.9
    assert overlap(person.known, person.truth, FaceClass.HAIR) < 0.8


def test_nothing_is_outside_of_the_matte_and_everything_inside_is_something() -> None:
    person = painted()
    found = complete_classes(person.picture, person.alpha, person.known, PLACE)
    np.testing.assert_array_equal(found > 0, person.alpha >= 128)
    nobody = complete_classes(person.picture, np.zeros(SIZE, np.uint8), person.known, PLACE)
    assert not nobody.any()


def test_parts_of_the_face_stay_as_they_are_known_though_dark_as_hair() -> None:
    person = painted()
    brow, beard = (slice(80, 84), slice(85, 95)), (slice(125, 133), slice(90, 112))
    known, picture = person.known.copy(), person.picture.copy()
    known[brow] = FaceClass.RIGHT_BROW
    picture[brow] = picture[beard] = HAIR_RGB
    found = complete_classes(picture, person.alpha, known, PLACE)
    assert (found[brow] == FaceClass.RIGHT_BROW).all()
    assert (found[beard] == FaceClass.SKIN).all()


def test_a_dark_badge_is_no_hair_and_a_hand_counts_as_clothes() -> None:
    person = painted()
    badge, hand = (slice(205, 220), slice(140, 160)), (slice(212, 230), slice(40, 60))
    picture = person.picture.copy()
    picture[badge], picture[hand] = HAIR_RGB, SKIN_RGB
    found = complete_classes(picture, person.alpha, person.known, PLACE)
    assert (found[badge] == FaceClass.CLOTH).mean() > 0.95
    assert (found[hand] == FaceClass.CLOTH).mean() > 0.95


def test_bare_shoulders_are_no_clothes() -> None:
    person = painted()
    truth = np.where(person.truth == FaceClass.CLOTH, int(FaceClass.NECK), person.truth)
    found = complete_classes(colours(truth), person.alpha, person.known, PLACE)
    assert overlap(found, truth, FaceClass.NECK) > 0.8


def test_skin_beside_the_head_is_what_is_known_next_to_it() -> None:
    person = painted()
    ear = ellipse((146, 95), (8, 14))
    truth, known = person.truth.copy(), person.known.copy()
    truth[ear] = FaceClass.LEFT_EAR
    known[ellipse((143, 95), (5, 9))] = FaceClass.LEFT_EAR
    shown = np.where(truth == FaceClass.LEFT_EAR, int(FaceClass.SKIN), truth)
    found = complete_classes(colours(shown), np.where(truth > 0, 255, 0).astype(np.uint8), known, PLACE)
    assert overlap(found, truth, FaceClass.LEFT_EAR) > 0.7


def test_equal_pictures_give_equal_classes_wherever_the_person_is() -> None:
    person = painted(long_hair=True)
    first = complete_classes(person.picture, person.alpha, person.known, PLACE)
    np.testing.assert_array_equal(first, complete_classes(person.picture, person.alpha, person.known, PLACE))
    moved = [np.roll(values, 7, 1) for values in (person.picture, person.alpha, person.known)]
    shift = np.array([7, 0])
    place = replace(PLACE, eyes=PLACE.eyes + shift, chin=PLACE.chin + shift)
    assert (np.roll(first, 7, 1) == complete_classes(moved[0], moved[1], moved[2], place)).mean() > 0.999
