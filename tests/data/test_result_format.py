"""Results of this and of earlier releases, and of other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vhap.data.results import FORMAT_VERSION, TrackResult, load_result, save_result
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz

COUNT = 3
TEXTURE = np.linspace(0, 1, 3 * 4 * 4, dtype=np.float32).reshape(3, 4, 4)


def arrays(**more) -> dict[str, np.ndarray]:
    """What every tool writes."""
    rows = {name: np.zeros((COUNT, 3), np.float32) for name in ("rotation", "translation", "neck_pose", "jaw_pose")}
    return {
        **rows,
        "eyes_pose": np.zeros((COUNT, 6), np.float32),
        "expr": np.zeros((COUNT, 5), np.float32),
        "shape": np.zeros(4, np.float32),
        "timestep_id": np.array(["a", "b", "c"]),
        "n_processed_frames": np.array(COUNT),
        "image_size": np.array([10, 20]),
        **more,
    }


def read(path: Path, **more) -> TrackResult:
    write_npz(path / "result.npz", arrays(**more))
    return load_result(path / "result.npz")


def test_results_say_their_version_and_come_back(tmp_path):
    result = TrackResult(
        **arrays(timestep_index=np.arange(COUNT), head_model=np.array("flame:1")),
        albedo=TEXTURE,
        tex_extra=TEXTURE - 0.5,
        lost_reason=np.array([["", "dark"], ["", ""], ["dark", "dark"]]),
        camera_id=np.array(["left", "right"]),
    )
    save_result(tmp_path / "result.npz", result)
    assert int(read_npz(tmp_path / "result.npz")["format_version"]) == FORMAT_VERSION == 2
    back = load_result(tmp_path / "result.npz")
    np.testing.assert_array_equal(back.albedo, TEXTURE)
    np.testing.assert_array_equal(back.tex_extra, TEXTURE - 0.5)
    assert back.select([0, 2]).lost_reason.tolist() == [["", "dark"], ["dark", "dark"]]
    assert back.camera_id.tolist() == ["left", "right"]


def test_results_of_version_1_held_the_albedo_in_tex_extra(tmp_path):
    result = read(tmp_path, head_model=np.array("flame:1"), tex_extra=TEXTURE)
    np.testing.assert_array_equal(result.albedo, TEXTURE)
    assert result.tex_extra is None
    assert result.lost_reason is None
    save_result(tmp_path / "again.npz", result)
    np.testing.assert_array_equal(load_result(tmp_path / "again.npz").albedo, TEXTURE)


def test_results_of_other_tools_hold_a_residual(tmp_path):
    result = read(tmp_path, tex_extra=TEXTURE - 0.5)
    np.testing.assert_array_equal(result.tex_extra, TEXTURE - 0.5)
    assert result.albedo is None


@pytest.mark.parametrize("version", [3, 0, -1, 2.0, [2], "2"])
def test_versions_that_are_not_known_are_refused(tmp_path, version):
    with pytest.raises(InputError, match=r"expected a format_version of 1 to 2 in .*; update vhap"):
        read(tmp_path, format_version=np.array(version))


@pytest.mark.parametrize(
    "more",
    [
        {"lost_reason": np.full((COUNT, 1), "")},
        {"lost_reason": np.full((COUNT, 2), ""), "camera_id": np.array(["0"])},
        {"lost_reason": np.full((COUNT + 1, 1), ""), "camera_id": np.array(["0"])},
        {"lost_reason": np.zeros((COUNT, 1)), "camera_id": np.array(["0"])},
        {"lost_reason": np.full((COUNT, 1), ""), "camera_id": np.array("0")},
    ],
)
def test_reasons_of_other_timesteps_and_cameras_are_refused(tmp_path, more):
    with pytest.raises(InputError, match=r"lost_reason|camera_id"):
        read(tmp_path, **more)
