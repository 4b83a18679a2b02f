"""What belongs together in a union: told by the values in the exports' files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_union import INTRINSICS, SERIALS, read, write_export

from vhap.export.union import combine_exports
from vhap.util.errors import InputError
from vhap.util.log import get_logger

SHAPE = np.linspace(-1, 1, 30)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(get_logger(), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


def pair(parent: Path, first: dict[str, Any], second: dict[str, Any], names: tuple[str, str] = ("074_A", "074_B")):
    return [write_export(parent / name, **options) for name, options in zip(names, (first, second))]


def head(**arrays: object) -> dict[str, Any]:
    return {"arrays": {name: np.asarray(value, np.float32) for name, value in arrays.items()}}


def test_sequences_of_one_identity_give_no_warning(tmp_path: Path, lines) -> None:
    same = head(shape=SHAPE, static_offset=np.full((1, 5, 3), 0.001))
    combine_exports(pair(tmp_path, same, same), tmp_path / "074_U", "last")
    assert not lines.messages


def test_differing_identity_is_named_with_numbers_and_remedy(tmp_path: Path, lines) -> None:
    other = SHAPE.copy()
    other[:10] += 0.7
    combine_exports(pair(tmp_path, head(shape=SHAPE), head(shape=other)), tmp_path / "074_U", "last")
    (line,) = lines.messages
    assert "that of 074_A" in line
    assert "074_B 0.70" in line
    assert "track all together with `vhap track-person`" in line
    assert "--model.flame_params_path NPZ --model.fix_shape" in line
    assert "\n" not in line


def test_trainers_take_the_first_training_sequence(tmp_path: Path, lines) -> None:
    """Which is not the first source, where that one is held out."""
    sources = [
        write_export(tmp_path / f"074_{number}", timesteps=1, **head(shape=SHAPE + (0.5 if number == 4 else 0)))
        for number in range(10)
    ]
    union = combine_exports(sources[4:] + sources[:4], tmp_path / "U")  # holds out the fifth: 074_8
    assert (union / "sequences_test.txt").read_text() == "074_8\n"
    (line,) = lines.messages
    assert "that of 074_4" in line
    assert all(f"074_{number} 0.50" in line for number in range(10) if number != 4)


def test_a_late_coefficient_that_differs_is_named_as_well(tmp_path: Path, lines) -> None:
    other = SHAPE.copy()
    other[25] += 0.3
    combine_exports(pair(tmp_path, head(shape=SHAPE), head(shape=other)), tmp_path / "074_U", "last")
    assert "074_B 0.00" in lines.messages[0]


def test_differing_offset_is_named_in_millimetres(tmp_path: Path, lines) -> None:
    offset = np.zeros((1, 5, 3))
    offset[0, 2, 1] = -0.004
    combine_exports(pair(tmp_path, {}, head(static_offset=offset)), tmp_path / "074_U", "last")
    (line,) = lines.messages
    assert "static offsets differ" in line
    assert "`vhap track-person`" in line
    assert "074_B 4 (largest, mm)" in line
    assert "--model.fix_shape" in line


def test_differing_focal_length_is_named_and_the_top_has_no_camera(tmp_path: Path, lines) -> None:
    camera = {"fl_x": 6, "fl_y": 6, "camera_angle_x": 0.64, "camera_angle_y": 0.49}
    union = combine_exports(pair(tmp_path, {}, {"camera": camera}), tmp_path / "074_U", "last")
    (line,) = lines.messages
    assert "6.0 px in 074_B, 5.0 px in 074_A (camera 0)" in line
    assert "track all together with `vhap track-person`" in line
    assert "--data.fx" in line
    for split, focal in (("train", 5), ("test", 6)):
        content = read(union, split)
        assert not set(INTRINSICS) & set(content)
        assert {frame["fl_x"] for frame in content["frames"]} == {focal}


def test_the_camera_at_the_top_is_that_of_every_frame(tmp_path: Path) -> None:
    union = combine_exports(pair(tmp_path, {}, {}), tmp_path / "074_U", "last")
    for split in ("train", "val", "test"):
        assert {key: read(union, split)[key] for key in INTRINSICS} == INTRINSICS


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            head(expr=np.zeros((1, 100))),
            head(expr=np.zeros((1, 50))),
            r"expr alike, found one of \(1, 100\) in .* \(1, 50\)",
        ),
        (head(shape=np.zeros(300)), head(shape=np.zeros(100)), r"arrays shape alike, found one of \(300,\)"),
        (
            head(static_offset=np.zeros((1, 7, 3))),
            head(static_offset=np.zeros((1, 5, 3))),
            "static_offset alike",
        ),
        (head(dynamic_offset=np.zeros((1, 5, 3))), {}, r"arrays dynamic_offset alike, .* and none in "),
        (head(expr=np.zeros((1, 9))), {}, "track all sequences together with `vhap track-person`"),
        ({"head": "ict:1"}, {"head": "flame2023:ab"}, "one head model, .* as `vhap track-person` does"),
        ({}, {"camera": {"w": 8, "h": 6}}, "pictures of one size from camera 0, 4x3 as in 074_A, found 8x6 in 074_B"),
        ({}, head(expr=np.full((1, 3), np.nan)), "expected finite numbers in .*00000.npz, found others in expr"),
    ],
)
def test_what_a_trainer_cannot_take_is_refused(tmp_path: Path, first, second, said: str) -> None:
    with pytest.raises(InputError, match=said):
        combine_exports(pair(tmp_path, first, second), tmp_path / "074_U", "last")
    assert not (tmp_path / "074_U").exists()


def test_one_odd_head_within_a_sequence_is_found(tmp_path: Path) -> None:
    sources = pair(tmp_path, {}, {})
    np.savez(sources[1] / "flame_param/00003.npz", expr=np.zeros((1, 4)), static_offset=np.zeros((1, 5, 3)))
    with pytest.raises(
        InputError, match=r"expr alike, found one of \(1, 3\) in .* and one of \(1, 4\) in .*074_B/flame_param/00003"
    ):
        combine_exports(sources, tmp_path / "074_U", "last")


def test_pictures_of_another_size_than_stated_are_found(tmp_path: Path) -> None:
    sources = pair(tmp_path, {}, {})
    cv2.imwrite(str(sources[1] / "images/00000_00.png"), np.zeros((6, 8), np.uint8))
    with pytest.raises(InputError, match=r"expected a picture of 4x3 .*found 8x6"):
        combine_exports(sources, tmp_path / "074_U", "last")


def test_names_that_say_no_subject_need_one_person(tmp_path: Path) -> None:
    near, far = SHAPE + 0.5, SHAPE + 2
    talk, walk, other = (
        write_export(tmp_path / name, **head(shape=shape))
        for name, shape in zip(("talk", "walk", "x"), (SHAPE, near, far))
    )
    union = combine_exports([talk, walk], tmp_path / "both")
    assert read(union, "train")["frames"]
    with pytest.raises(InputError, match=r"shapes of talk and x that differ by 2\.00 standard deviations"):
        combine_exports([talk, walk, other], tmp_path / "three")
    assert not (tmp_path / "three").exists()


def test_a_head_of_unknown_name_fits_one_of_the_same_arrays(tmp_path: Path) -> None:
    """Exports of other tools do not name the head."""
    sources = pair(tmp_path, {"head": "unknown"}, {"head": "flame2023:ab"})
    content = json.loads((sources[0] / "transforms.json").read_text())
    del content["head_model"]
    (sources[0] / "transforms.json").write_text(json.dumps(content))
    union = combine_exports(sources, tmp_path / "074_U", "last")
    assert read(union, "train")["head_model"] == "flame2023:ab"


@pytest.mark.parametrize(
    "name", ["../074_C/images/00000_00.png", "/etc/hostname", "a/../../b.png", "C:\\b.png", "a\0b", ""]
)
@pytest.mark.parametrize("key", ["file_path", "flame_param_path"])
def test_names_of_files_stay_in_the_export(tmp_path: Path, key: str, name: object) -> None:
    sources = pair(tmp_path, {}, {})
    write_export(tmp_path / "074_C")
    change_frame(sources[1], {key: name})
    with pytest.raises(InputError, match=r"expected names of files below .*074_B"):
        combine_exports(sources, tmp_path / "074_U", "last")
    assert not (tmp_path / "074_U").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"w": "wide"},
        {"file_path": 3},
        {"fl_x": 0},
        {"fl_x": 1e999},
        {"cx": None},
        {"timestep_index": "0"},
        {"timestep_index": [0]},
        {"camera_index": 0.5},
        {"transform_matrix": [[1, 0], [0, 1]]},
        {"transform_matrix": [[float("nan")] * 4] * 4},
    ],
)
def test_values_of_another_kind_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    sources = pair(tmp_path, {}, {})
    change_frame(sources[1], change)
    with pytest.raises(InputError, match=r"frames\[|finite"):
        combine_exports(sources, tmp_path / "074_U", "last")
    assert not (tmp_path / "074_U").exists()


def test_cameras_of_a_rig_are_compared_one_by_one(tmp_path: Path, lines) -> None:
    """A sequence by fewer cameras fits: each of its cameras is as in the others."""
    sources = [write_export(tmp_path / "074_A", cameras=3), write_export(tmp_path / "074_B", cameras=2)]
    combine_exports(sources, tmp_path / "074_U", "last")
    assert not lines.messages
    assert len(SERIALS) == 3


def change_frame(export: Path, change: dict[str, object]) -> None:
    content = json.loads((export / "transforms.json").read_text())
    content["frames"][0].update(change)
    (export / "transforms.json").write_text(json.dumps(content))
