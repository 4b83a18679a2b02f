"""A result comes back as it was saved; what is not finite is never written, what makes no sense never read."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vhap.data.result_rules import RULES
from vhap.data.results import TrackResult, load_result, save_result
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz


def some_result() -> TrackResult:
    generator = np.random.default_rng(0)

    def real(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    return TrackResult(
        rotation=real(4, 3),
        translation=real(4, 3),
        neck_pose=real(4, 3),
        jaw_pose=real(4, 3),
        eyes_pose=real(4, 6),
        shape=real(7),
        expr=real(4, 5),
        timestep_id=np.array(["a", "b", "c", "d"]),
        timestep_index=np.arange(4),
        n_processed_frames=np.array(4),
        image_size=np.array([20, 30]),
        head_model=np.array("builtin:0"),
        focal_length=np.abs(real(1)),
        tex_extra=real(3, 8, 8),
        lights=real(9, 3),
        static_offset=real(1, 6, 3),
        dynamic_offset=real(4, 6, 3),
        scale=np.array(1.5),
        T_tracked_given=np.eye(4),
        albedo=real(3, 4, 4),
        lost_reason=np.array([[""], ["black"], [""], [""]]),
        camera_id=np.array(["0"]),
    )


def test_every_array_has_a_rule():
    assert set(RULES) == {field.name for field in fields(TrackResult)}
    assert {name for name, rule in RULES.items() if rule.required} == {
        field.name for field in fields(TrackResult) if field.default is MISSING and field.default_factory is MISSING
    }


def test_what_was_saved_comes_back(tmp_path):
    path = tmp_path / "tracked_flame_params_0.npz"
    save_result(path, some_result())
    assert read_npz(path)["scale"].shape == (1, 1)
    found = load_result(path, "builtin:0")
    for field in fields(TrackResult):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(some_result(), field.name))
        assert np.shape(getattr(found, field.name)) == np.shape(getattr(some_result(), field.name))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_scale_of_any_release_is_read(tmp_path, shape):
    path = changed(tmp_path, scale=np.full(shape, 2.5))
    found = load_result(path).scale
    assert found is not None
    assert (found.shape, float(found)) == ((), 2.5)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.kind == "f" and name != "image_size"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_never_written(tmp_path, name, value):
    array = np.array(getattr(some_result(), name), np.float32)
    array[(0,) * array.ndim] = value
    with pytest.raises(InputError, match=f"NaN or infinity in {name};"):
        save_result(tmp_path / "result.npz", replace(some_result(), **{name: array}))
    assert not list(tmp_path.iterdir())


def changed(folder: Path, **arrays: Any) -> Path:
    path = folder / "result.npz"
    save_result(path, some_result())
    write_npz(path, {**read_npz(path), **arrays})
    return path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("translation", np.zeros((2, 3))),
        ("eyes_pose", np.zeros((4, 3))),
        ("eyes_pose", np.full((4, 6), 1e300)),
        ("rotation", np.full((4, 3), np.nan)),
        ("rotation", np.array([["a"] * 3] * 4)),
        ("shape", np.zeros((1, 7))),
        ("timestep_id", np.array(["a", "b"])),
        ("timestep_index", np.zeros(4)),
        ("dynamic_offset", np.zeros((4, 5, 3))),
        ("tex_extra", np.zeros((3, 8, 9))),
        ("scale", np.array("x")),
        ("scale", np.zeros((1, 1))),
        ("scale", np.ones(2)),
        ("T_tracked_given", np.eye(3)),
    ],
)
def test_arrays_that_make_no_sense_are_named(tmp_path, name, value):
    with pytest.raises(InputError, match=name):
        load_result(changed(tmp_path, **{name: value}))


def test_keys_that_are_missing_are_named(tmp_path):
    path = changed(tmp_path)
    write_npz(path, {key: value for key, value in read_npz(path).items() if key not in ("expr", "jaw_pose")})
    with pytest.raises(InputError, match=r"jaw_pose, expr"):
        load_result(path)
