"""The drawn rig: pictures as their cameras see them, nearer things before farther ones, all of it in view."""

import cv2
import numpy as np
import pytest

from vhap.evaluate.rig_picture import MARGIN, Canvas, View, draw_rig, draw_view, fitted_view
from vhap.evaluate.rig_scene import AXIS_RGB, HELD_OUT_RGB, RigCamera, RigScene

K = np.array([[210.0, 0, 31], [0, 190.0, 22], [0, 0, 1]])
SIZE = (40, 60)
NONE = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)


def pose(turn: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array(turn, float))[0]
    matrix[:3, 3] = -matrix[:3, :3] @ np.array(centre)
    return matrix


def camera(turn=(0.1, -0.3, 0.2), centre=(0.4, -0.2, -1.0), picture=None, **more) -> RigCamera:
    return RigCamera("222200037", K, pose(turn, centre), SIZE, picture, **more)


def plain(rgb: tuple[int, int, int]) -> np.ndarray:
    return np.full((*SIZE, 3), rgb, np.uint8)


def rig(seed: int) -> RigScene:
    rng = np.random.default_rng(seed)
    cameras = [camera(tuple(rng.uniform(-0.5, 0.5, 3)), tuple(rng.uniform(-1, 1, 3) - (0, 0, 2))) for _ in range(6)]
    points = 0.1 * rng.standard_normal((400, 3))
    return RigScene(cameras, points, np.full((400, 3), 90, np.uint8))


def test_frustum_ends_at_the_picture_s_corners():
    made = camera()
    corners = made.frustum(0.3)
    seen = corners[1:] @ made.T_camera_world[:3, :3].T + made.T_camera_world[:3, 3]
    np.testing.assert_allclose(seen[:, 2], 0.3)
    pixels = seen @ K.T / seen[:, 2:]
    np.testing.assert_allclose(pixels[:, :2], [[0, 0], [60, 0], [60, 40], [0, 40]], atol=1e-9)
    np.testing.assert_allclose(corners[0], (0.4, -0.2, -1.0))


def test_a_camera_sees_its_own_picture():
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 255, (5, 7, 3), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    made = RigCamera("a", np.array([[200.0, 0, 30], [0, 200.0, 20], [0, 0, 1]]), camera().T_camera_world, SIZE, picture)
    canvas = Canvas(View(made.T_camera_world[:3, :3], made.centre, 200.0, SIZE))
    canvas.draw_picture(made, 0.3)
    assert np.abs(canvas.rgb.astype(int) - picture).max() <= 2
    np.testing.assert_allclose(canvas.depth, 0.3, rtol=1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_what_is_nearer_hides_what_is_farther(order):
    made = camera((0, 0, 0), (0, 0, 0), plain((10, 20, 250)))
    canvas = Canvas(View(np.eye(3), np.zeros(3), 200.0, SIZE))
    before, behind = np.array([[0.0, 0, 0.2]]), np.array([[0.01, 0, 0.4]])
    steps = (
        lambda: canvas.draw_points(before, np.uint8([[250, 0, 0]]), 3),
        lambda: canvas.draw_picture(made, 0.3),
        lambda: canvas.draw_points(behind, np.uint8([[0, 250, 0]]), 3),
    )
    for index in order:
        steps[index]()
    assert canvas.rgb[20, 30].tolist() == [250, 0, 0]
    assert (canvas.rgb[19:22, 34:37] == (10, 20, 250)).all()
    assert not (canvas.rgb == (0, 250, 0)).all(-1).any()


def test_the_axes_are_seen_through_the_head():
    cameras = [camera((0, yaw, 0), (-np.sin(yaw), 0, -np.cos(yaw))) for yaw in (-0.5, 0.5)]
    ball = np.random.default_rng(0).standard_normal((4000, 3))
    ball *= 0.15 / np.linalg.norm(ball, axis=1, keepdims=True)
    scene = RigScene(cameras, ball, np.full((4000, 3), 200, np.uint8))
    view = fitted_view(scene, scene.front, scene.up)
    drawn = draw_view(scene, view)
    for axis, rgb in zip(np.eye(3)[:2], AXIS_RGB):
        (column, row), *_ = np.floor(view.project(0.05 * axis[None])[0]).astype(int)
        assert np.abs(drawn[row, column].astype(int) - rgb).max() < 40


def test_of_points_at_one_pixel_the_nearest_is_seen():
    canvas = Canvas(View(np.eye(3), np.zeros(3), 200.0, SIZE))
    points = np.array([[0.0, 0, 0.5], [0, 0, 0.2], [0, 0, 0.9], [0, 0, -0.1]])
    canvas.draw_points(points, np.uint8([[1, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]]), 1)
    assert sorted(np.unique(canvas.rgb)) == [2, 250]


@pytest.mark.parametrize("seed", range(5))
def test_the_view_holds_the_whole_rig_and_is_the_nearest_that_does(seed):
    scene = rig(seed)
    view = fitted_view(scene, scene.front, scene.up)
    corners = np.concatenate([made.frustum(scene.frustum_distance) for made in scene.cameras])
    pixels, depth = view.project(np.concatenate([corners, scene.axes()]))
    assert (depth > 0).all()
    share = pixels / np.array(view.size[::-1])
    assert share.min() > MARGIN - 1e-6
    assert share.max() < 1 - MARGIN + 1e-6
    spread = share.max(0) - share.min(0)
    assert spread.max() > 0.95 * (1 - 2 * MARGIN)


def test_far_away_points_do_not_widen_the_view():
    scene = rig(0)
    points = np.concatenate([scene.points, [[1e4, 0, 0], [0, -1e4, 1e4]]])
    wider = RigScene(scene.cameras, points, np.full((402, 3), 90, np.uint8))
    one, other = (fitted_view(s, s.front, s.up) for s in (scene, wider))
    np.testing.assert_allclose(one.centre, other.centre, atol=0.05)
    assert draw_view(wider, other).shape == (*other.size, 3)


def test_held_out_cameras_are_red_and_the_others_have_their_picture():
    given = camera((0, -0.4, 0), (0.8, 0, -1.6), plain((20, 220, 40)))
    held = camera((0, 0.4, 0), (-0.8, 0, -1.6), is_held_out=True)
    scene = RigScene([given, held], *NONE)
    view = fitted_view(scene, scene.front, scene.up)
    drawn = draw_view(scene, view).astype(int)

    def seen(point: np.ndarray) -> np.ndarray:
        column, row = np.floor(view.project(point[None])[0][0]).astype(int)
        return drawn[row, column]

    for made, rgb in ((given, given.rgb), (held, HELD_OUT_RGB)):
        corners = made.frustum(scene.frustum_distance)
        for edge in ((1, 2), (3, 4)):
            assert np.abs(seen(corners[list(edge)].mean(0)) - rgb).max() < 60, (made.is_held_out, edge)
    # Off the middle, over which an edge of the frustum may lie.
    inside = given.frustum(scene.frustum_distance)[1:]
    assert np.abs(seen(inside[0] * 0.45 + inside[2] * 0.55) - (20, 220, 40)).max() < 5
    assert np.abs(drawn - (20, 220, 40)).max(-1).min() < 5


def test_front_and_up_are_those_of_the_pictures():
    turned = [pose((0, yaw, 0), (-np.sin(yaw), 0, -np.cos(yaw))) for yaw in (-0.5, 0.0, 0.5)]
    scene = RigScene([RigCamera("a", K, matrix, SIZE) for matrix in turned], *NONE)
    np.testing.assert_allclose(scene.up, (0, -1, 0), atol=1e-9)
    np.testing.assert_allclose(scene.front, (0, 0, -1), atol=1e-9)


def test_looks_where_the_axes_meet():
    poses = [pose((0, yaw, 0), (0, 0, 0)) for yaw in (-0.6, 0.1, 0.5)]
    for matrix in poses:
        matrix[:3, 3] = np.array([0, 0, 1.2]) - matrix[:3, :3] @ np.array([0.3, 0.1, -0.2])
    scene = RigScene([RigCamera("a", K, matrix, SIZE) for matrix in poses], *NONE)
    np.testing.assert_allclose(scene.focus, (0.3, 0.1, -0.2), atol=1e-9)
    assert scene.frustum_distance == pytest.approx(0.36)


@pytest.mark.parametrize("count", [1, 2])
def test_one_camera_or_parallel_ones_without_points(count):
    scene = RigScene([camera((0, 0, 0), (0.1 * k, 0, -1)) for k in range(count)], *NONE)
    drawn = draw_rig(scene, "one")
    assert drawn.ndim == 3
    assert (drawn == 250).mean() > 0.5
    assert drawn.min() < 100
