"""The head's JSON files: exact round trips, nesting as readers index it, and files that are something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vhap.relightable.head_files import (
    FlameFrame,
    FlameParams,
    HeadCode,
    TrackedFrame,
    TrackedParams,
    codes_text,
    read_codes,
    read_flame_params,
    read_shape_params,
    read_tracked_params,
    write_flame_params,
    write_tracked_params,
)
from vhap.util.errors import InputError

RNG = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def tracked(lids: bool) -> TrackedParams:
    frames = {
        f"{k:05d}.png": TrackedFrame(some(7), some(15), some(3), some(4, 4), some(2) if lids else None, some(3))
        for k in range(3)
    }
    return TrackedParams(some(4), some(9), frames)


def same(first, second) -> None:
    for name, value in vars(first).items():
        other = getattr(second, name)
        if value is None or isinstance(value, str):
            assert other == value, name
        else:
            np.testing.assert_array_equal(value, other, err_msg=name)


@pytest.mark.parametrize("lids", [False, True])
def test_tracked_params_come_back_and_are_nested_as_the_trainer_indexes(tmp_path, lids) -> None:
    path, params = tmp_path / "tracked_params.json", tracked(lids)
    assert write_tracked_params(path, params)
    read = read_tracked_params(path)
    np.testing.assert_array_equal(read.shapecode, params.shapecode)
    np.testing.assert_array_equal(read.intrinsics, params.intrinsics)
    assert list(read.frames) == list(params.frames)
    for name, frame in params.frames.items():
        same(frame, read.frames[name])
    content = json.loads(path.read_text())
    assert set(content) == {"world_mat", "intrinsics", "shapecode", *params.frames}
    entry = content["00001.png"]
    shapes = {key: np.shape(value) for key, value in entry.items()}
    wanted = {"expcode": (1, 7), "fullposecode": (1, 15), "cam": (1, 3), "world_mat": (4, 4), "translation": (1, 3)}
    assert shapes == ({**wanted, "eyelids": (1, 2)} if lids else wanted)
    assert np.shape(content["shapecode"]) == (1, 9)
    assert content["world_mat"] == content["00000.png"]["world_mat"]


def test_lids_as_a_flat_list_are_read(tmp_path) -> None:
    path = tmp_path / "tracked_params.json"
    write_tracked_params(path, tracked(False))
    content = json.loads(path.read_text())
    content["00000.png"]["eyelids"] = [0.25, 0.5]
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(read_tracked_params(path).frames["00000.png"].eyelids, [0.25, 0.5])


def test_flame_params_come_back(tmp_path) -> None:
    frames = tuple(
        FlameFrame(f"./image/{k}.png", some(3, 4), some(6), some(15), some(4), some(70, 2), some(2), some(3))
        for k in range(2)
    )
    path, params = tmp_path / "flame_params.json", FlameParams(some(4), some(11), frames)
    write_flame_params(path, params)
    for frame, read in zip(frames, read_flame_params(path).frames):
        same(frame, read)
    np.testing.assert_array_equal(read_shape_params(path), params.shape_params)
    entry = json.loads(path.read_text())["frames"][0]
    assert np.shape(entry["eyelids"]) == (2,)
    assert np.shape(entry["translation"]) == (1, 3)


def test_codes_come_back(tmp_path) -> None:
    path, codes = tmp_path / "code.json", {"00000.png": HeadCode(some(100), some(50), some(6), some(3))}
    path.write_text(codes_text(codes))
    assert np.shape(json.loads(path.read_text())["00000.png"]["pose"]) == (1, 6)
    same(codes["00000.png"], read_codes(path)["00000.png"])


def broken(path: Path, change) -> Path:
    write_tracked_params(path, tracked(True))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("shapecode"), "expected 1 x n numbers as shapecode"),
        (lambda c: c.update(shapecode=[1, 2]), "expected 1 x n numbers as shapecode"),
        (lambda c: c["00001.png"].update(expcode=[["a"]]), "expected 1 x n numbers as expcode"),
        (lambda c: c["00001.png"].update(world_mat=[[1, 2], [3]]), "expected 4 x 4 numbers as world_mat"),
        (lambda c: c["00001.png"].update(eyelids=[1, 2, 3]), "expected 2 numbers as eyelids"),
        (lambda c: c.update({"00001.png": 5}), "expected an object as the entry of 00001.png"),
    ],
)
def test_what_is_no_tracked_params_is_refused(tmp_path, change, message) -> None:
    with pytest.raises(InputError, match=message):
        read_tracked_params(broken(tmp_path / "tracked_params.json", change))
