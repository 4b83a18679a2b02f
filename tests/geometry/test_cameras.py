import torch

from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.geometry.similarities import apply_similarity, similarity


def some_camera() -> Camera:
    T_camera_world = torch.eye(4, dtype=torch.float64)
    T_camera_world[:3, :3] = axis_angle_to_matrix(torch.tensor([0.2, -0.4, 0.1], dtype=torch.float64))
    T_camera_world[:3, 3] = torch.tensor([0.1, -0.05, -1.2])
    numbers = (torch.tensor(value, dtype=torch.float64) for value in (700.0, 720.0, 230.0, 260.0))
    return Camera(*numbers, T_camera_world, height=480, width=512)


def test_clip_space_and_projection_name_the_same_pixel() -> None:
    camera = some_camera()
    points = torch.randn(50, 3, dtype=torch.float64) * 0.1
    pixels, depth = camera.project(points)
    clip = camera.to_clip(points)
    torch.testing.assert_close(clip[:, 3], depth)
    x = (clip[:, 0] / clip[:, 3] + 1) * camera.width / 2
    y = (1 - clip[:, 1] / clip[:, 3]) * camera.height / 2
    torch.testing.assert_close(torch.stack([x, y], -1), pixels)


def test_centre_projects_nowhere_and_maps_to_the_origin() -> None:
    camera = some_camera()
    torch.testing.assert_close(camera.from_world(camera.centre()[None]), torch.zeros(1, 3, dtype=torch.float64))


def test_uncalibrated_camera_sees_the_origin_in_the_middle_upright() -> None:
    camera = camera_from_focal(torch.tensor(2.0), 400, 600)
    pixels, depth = camera.project(torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]]))
    torch.testing.assert_close(pixels, torch.tensor([[300.0, 200], [420, 200], [300, 80]]))
    assert depth[0] == 1


def test_points_behind_the_camera_stay_finite() -> None:
    points = torch.tensor([[0.0, 0, 1], [0.1, 0, 5]], requires_grad=True)
    pixels, depth = camera_from_focal(torch.tensor(1.5), 100, 100).project(points)
    pixels.sum().backward()
    assert pixels.isfinite().all()
    assert points.grad is not None
    assert points.grad.isfinite().all()
    assert (depth <= 0).all()


def test_scaled_cameras_are_those_of_a_scaled_world() -> None:
    camera, factor = some_camera(), torch.tensor(1.3, dtype=torch.float64)
    points = torch.randn(50, 3, dtype=torch.float64) * 0.1
    torch.testing.assert_close(camera.scaled(factor).project(factor * points)[0], camera.project(points)[0])
    _, slopes = torch.func.jvp(
        lambda log: camera.scaled(log.exp()).project(points)[0], (factor.log(),), (torch.ones_like(factor),)
    )
    torch.testing.assert_close(camera.scaled(factor).scale_derivatives(points), slopes)


def test_moved_cameras_see_moved_points_at_the_same_pixels() -> None:
    """Depths grow by the scale; the pose stays rigid; moving back gives the first camera."""
    rotation = axis_angle_to_matrix(torch.tensor([1.9, -0.7, 0.3], dtype=torch.float64))
    T_new_world = similarity(7.0, rotation, torch.tensor([20.0, -3.0, 11.0]))
    camera = some_camera()
    points = torch.randn(50, 3, dtype=torch.float64) * 0.1
    moved = camera.moved(T_new_world)
    pixels, depth = camera.project(points)
    moved_pixels, moved_depth = moved.project(apply_similarity(T_new_world, points))
    torch.testing.assert_close(moved_pixels, pixels)
    torch.testing.assert_close(moved_depth, 7 * depth)
    turn = moved.T_camera_world[:3, :3]
    torch.testing.assert_close(turn @ turn.T, torch.eye(3, dtype=torch.float64))
    back = moved.moved(torch.linalg.inv(T_new_world))
    torch.testing.assert_close(back.T_camera_world, camera.T_camera_world)
    stacked = camera.expand(2).moved(T_new_world)
    torch.testing.assert_close(stacked.select(1).T_camera_world, moved.T_camera_world)
