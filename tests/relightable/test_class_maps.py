"""Class maps as files: what is written is read back, and what is none is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vhap.relightable.class_maps import (
    CLASS_NAMES,
    COLOURS,
    LEGEND_PX,
    FaceClass,
    class_picture,
    read_class_map,
    write_class_map,
)
from vhap.util.errors import InputError

CELEBAMASK = "skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l cloth hair hat"
"""The classes from 1 on, by the names of CelebAMask-HQ's files."""
SHORT = {"LEFT": "l", "RIGHT": "r", "UPPER": "u", "LOWER": "l", "EYE_GLASSES": "eye_g", "EARRING": "ear_r"}


def test_numbers_are_those_of_the_data_set() -> None:
    for number, name in enumerate(CELEBAMASK.split(), 1):
        ours = FaceClass(number).name
        first, _, rest = ours.partition("_")
        short = (
            "neck_l"
            if ours == "NECKLACE"
            else SHORT.get(ours) or "_".join([SHORT.get(first, first), rest] if rest else [first])
        )
        assert short.lower() == name
    assert len(FaceClass) == len(CLASS_NAMES) == len(COLOURS) == 19
    assert len(np.unique(COLOURS, axis=0)) == 19


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    classes = np.arange(20 * 30).reshape(20, 30) % 19
    write_class_map(tmp_path / "seg" / "00000.png", classes)
    found = read_class_map(tmp_path / "seg" / "00000.png", (20, 30))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, classes)
    # As any other program reads it: plain numbers in one channel.
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "seg" / "00000.png"), cv2.IMREAD_UNCHANGED), classes)


@pytest.mark.parametrize(
    "classes",
    [np.full((4, 4), 19), np.full((4, 4), -1), np.zeros((4, 4, 3), int), np.zeros((4, 4)), np.zeros((0, 4), int)],
)
def test_what_is_no_class_map_is_not_written(tmp_path: Path, classes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="class numbers"):
        write_class_map(tmp_path / "a.png", classes)
    with pytest.raises(ValueError, match="PNG"):
        write_class_map(tmp_path / "a.jpg", np.zeros((4, 4), int))
    assert not list(tmp_path.iterdir())


def test_what_is_no_class_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    faulty = {
        "one channel of 8 bits.*found 3 of 8": np.zeros((4, 4, 3), np.uint8),
        "one channel of 8 bits.*found 1 of 16": np.zeros((4, 4), np.uint16),
        "from 0 to 18 .*found 255": np.full((4, 4), 255, np.uint8),
        r"picture's size \(5x4\).*found 4x4": np.zeros((4, 4), np.uint8),
    }
    for message, content in faulty.items():
        cv2.imwrite(str(path), content)
        with pytest.raises(InputError, match=message) as caught:
            read_class_map(path, (4, 5))
        assert "\n" not in str(caught.value)
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="readable picture"):
        read_class_map(path)


def test_the_picture_to_look_at_names_the_classes_that_are_there() -> None:
    picture = np.full((64, 40, 3), 100, np.uint8)
    classes = np.zeros((64, 40), np.uint8)
    classes[:32] = FaceClass.HAIR
    drawn = class_picture(picture, classes)
    assert drawn.shape == (64, 40 + LEGEND_PX, 3)
    assert (drawn[40:, :40] == 100).all()
    np.testing.assert_allclose(drawn[0, 0], 0.6 * COLOURS[FaceClass.HAIR] + 0.4 * 100, atol=1)
    assert (drawn[18:36, 40:] == COLOURS[FaceClass.HAIR]).all(-1).sum() > 50
    assert (drawn[36:, 40:] == 24).all()
