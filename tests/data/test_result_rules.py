"""Results whose arrays do not fit each other, or hold what no head has, are one line."""

from __future__ import annotations

import numpy as np
import pytest

from vhap.data.results import load_result
from vhap.util.errors import InputError
from vhap.util.files import write_npz

T, V = 4, 7


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    poses = {name: random.normal(0, 0.1, (T, 3)) for name in ("rotation", "translation", "neck_pose", "jaw_pose")}
    return {
        **poses,
        "eyes_pose": random.normal(0, 0.1, (T, 6)),
        "shape": random.normal(size=5),
        "expr": random.normal(size=(T, 6)),
        "timestep_id": np.array([f"{t:06d}" for t in range(T)]),
        "n_processed_frames": np.array(T),
        "image_size": np.array([360, 640]),
        "focal_length": np.array([2.4]),
        "tex_extra": random.uniform(size=(3, 8, 8)),
        "lights": random.normal(size=(9, 3)),
        "static_offset": random.normal(0, 0.01, (1, V, 3)),
        "dynamic_offset": random.normal(0, 0.01, (T, V, 3)),
    }


def load(tmp_path, changed):
    write_npz(tmp_path / "tracked_flame_params_0.npz", changed)
    return load_result(tmp_path / "tracked_flame_params_0.npz")


@pytest.mark.parametrize(
    "honest",
    [
        {},
        {"scale": np.array([[40.0]]), "translation": np.full((T, 3), 5000.0)},
        {"scale": np.array(1.0)},
        {"rotation": np.full((T, 3), 4.0)},
        {"tex_extra": np.full((3, 8, 8), -0.3, np.float32)},
        {"timestep_id": np.arange(T)},
        {"T_tracked_given": np.diag([0.001, 0.001, 0.001, 1])},
    ],
)
def test_honest(tmp_path, honest):
    assert load(tmp_path, {**arrays(), **honest}).rotation.shape == (T, 3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("translation", np.zeros((3, 3)), "T = 4"),
        ("expr", np.zeros((3, 6)), "T = 4"),
        ("dynamic_offset", np.zeros((T, V + 1, 3)), "V = 7"),
        ("timestep_id", np.array(["a"] * 3), "T = 4|found 3"),
        ("timestep_id", np.array(["a", "b", "b", "c"]), "more than once"),
        ("timestep_index", np.array([0, 1, 1, 2]), "more than once"),
        ("eyes_pose", np.full((T, 6), 1e300), "up to 20"),
        ("eyes_pose", np.zeros((T, 3)), "eyes_pose"),
        ("rotation", np.full((T, 3), 170.0), "up to 20"),
        ("translation", np.full((T, 3), 1500.0), "up to 1000"),
        ("translation", np.full((T, 3), np.nan), "finite"),
        ("focal_length", np.array([-2.0]), "positive"),
        ("focal_length", np.array([2.0, 2.0]), "positive"),
        ("image_size", np.array([0, 640]), "positive"),
        ("tex_extra", np.zeros((3, 8, 9)), "tex_extra"),
        ("tex_extra", np.full((3, 8, 8), 180.0), "up to 100"),
        ("static_offset", np.full((1, V, 3), 25.0), "up to 10"),
        ("shape", np.array(["a"] * 5), "real numbers"),
        ("scale", np.array([[0.0]]), "positive"),
        ("T_tracked_given", np.diag([1.0, 1, -1, 1]), "a turn, a scale and a shift"),
        ("T_tracked_given", np.diag([1.0, 2, 1, 1]), "a turn, a scale and a shift"),
    ],
)
def test_refused(tmp_path, name, value, message):
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, {**arrays(), name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
