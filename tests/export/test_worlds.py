"""Results in another world: posing them there gives the moved vertices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.data.results import TrackResult, load_result, save_result
from vhap.export.worlds import given_result, moved_result
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.geometry.similarities import apply_similarity, similarity
from vhap.head.builtin import load_builtin
from vhap.head.model import HeadModel, HeadParams, map_tensors, pose
from vhap.render.shading import shade

COUNT = 3


def double(head: HeadModel) -> HeadModel:
    return map_tensors(head, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def vertices(head: HeadModel, result: TrackResult) -> torch.Tensor:
    """(T, V, 3) in double precision."""
    names = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    params = HeadParams(
        shape=torch.from_numpy(result.shape).double(),
        **{name: torch.from_numpy(getattr(result, name)).double() for name in names},
        static_offset=torch.from_numpy(result.static_offset[0]).double(),
        scale=None if result.scale is None else torch.from_numpy(np.asarray(result.scale)).double(),
    )
    return pose(double(head), params)


def some_similarity(seed: int, scale: float | None = None) -> np.ndarray:
    random = np.random.default_rng(seed)
    rotation = axis_angle_to_matrix(torch.from_numpy(random.standard_normal(3) * 1.5))
    return similarity(scale or random.uniform(0.1, 9), rotation, torch.from_numpy(random.uniform(-5, 5, 3))).numpy()


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_builtin()


@pytest.fixture(scope="module")
def result(head) -> TrackResult:
    random = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return random.uniform(-0.4, 0.4, shape)

    return TrackResult(
        rotation=draw(COUNT, 3), translation=draw(COUNT, 3), neck_pose=draw(COUNT, 3), jaw_pose=draw(COUNT, 3),
        eyes_pose=draw(COUNT, 6), shape=draw(head.n_shape), expr=draw(COUNT, head.n_expr),
        timestep_id=np.array(["a", "b", "c"]), timestep_index=np.arange(COUNT), n_processed_frames=np.array(COUNT),
        image_size=np.array([10, 10]), head_model=np.array(head.identity), lights=draw(9, 3),
        static_offset=0.02 * draw(1, head.n_vertices, 3), T_tracked_given=some_similarity(1),
    )  # fmt: skip


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("scale", [None, np.array(2.5)])
def test_posing_a_moved_result_gives_the_moved_vertices(head, result, seed, scale):
    before, T = replace(result, scale=scale), some_similarity(seed)
    expected = apply_similarity(torch.from_numpy(T), vertices(head, before))
    torch.testing.assert_close(vertices(head, moved_result(before, head, T)), expected, atol=1e-7, rtol=1e-7)


def test_the_given_world_is_where_the_similarity_came_from(head, result):
    """Its inverse brings the vertices there, and nothing is left to undo."""
    there = given_result(result, head)
    back = torch.from_numpy(np.linalg.inv(result.T_tracked_given))
    torch.testing.assert_close(vertices(head, there), apply_similarity(back, vertices(head, result)), atol=1e-7, rtol=0)
    np.testing.assert_array_equal(there.T_tracked_given, np.eye(4))
    again = given_result(there, head)
    torch.testing.assert_close(vertices(head, again), vertices(head, there), atol=1e-12, rtol=0)
    returned = moved_result(there, head, result.T_tracked_given)
    np.testing.assert_allclose(returned.T_tracked_given, result.T_tracked_given, atol=1e-12)
    assert returned.scale is None


def test_light_turns_with_the_head(head, result):
    T = some_similarity(4)
    normals = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=-1)
    turn = torch.from_numpy(T[:3, :3] / np.cbrt(np.linalg.det(T[:3, :3])))
    moved = torch.from_numpy(moved_result(result, head, T).lights)
    torch.testing.assert_close(shade(normals @ turn.T, moved), shade(normals, torch.from_numpy(result.lights)))


def test_without_given_cameras_there_is_one_world(head, result):
    plain = replace(result, T_tracked_given=None)
    assert given_result(plain, head) is plain


def test_a_turn_alone_brings_no_scale(head, result):
    assert moved_result(result, head, some_similarity(5, scale=1.0)).scale is None


def test_the_similarity_is_kept_in_files(tmp_path, result):
    path = tmp_path / "tracked_flame_params_0.npz"
    save_result(path, result)
    np.testing.assert_array_equal(load_result(path).T_tracked_given, result.T_tracked_given)
    assert result.select([1]).T_tracked_given is result.T_tracked_given
