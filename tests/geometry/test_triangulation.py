from dataclasses import replace

import torch

from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.geometry.triangulation import triangulate

TOLERANCE_PX = 3.0


def ring(count: int, distance: float = 1.0) -> Camera:
    """Cameras over a quarter of a circle that look at the origin."""
    turns = torch.linspace(-0.8, 0.8, count, dtype=torch.float64)
    poses = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    poses[:, :3, :3] = axis_angle_to_matrix(torch.stack([0.3 * torch.cos(5 * turns), -turns, 0 * turns], -1))
    poses[:, 2, 3] = -distance
    focal = torch.full((count,), 1000.0, dtype=torch.float64)
    return Camera(focal, focal, focal / 4, focal / 2, poses, 1000, 500)


def scene(count: int, seed: int = 0) -> tuple[Camera, torch.Tensor, torch.Tensor]:
    """Cameras, points (3, 40, 3) and their pixels (3, count, 40, 2)."""
    random = torch.Generator().manual_seed(seed)
    points = 0.1 * torch.randn(3, 40, 3, generator=random, dtype=torch.float64)
    camera = ring(count)
    return camera, points, camera.project(points[:, None])[0]


def tolerance(camera: Camera) -> torch.Tensor:
    return torch.full_like(camera.fx, TOLERANCE_PX)


def test_exact_pixels_give_the_points_far_from_the_origin_too() -> None:
    camera, points, pixels = scene(2)
    T_far_world = 100 * torch.eye(4, dtype=torch.float64)
    T_far_world[:, 3] = torch.tensor([3e5, -2e6, 1e4, 1])
    found = triangulate(camera.moved(T_far_world), pixels, torch.ones(pixels.shape[:-1]), tolerance(camera))
    assert bool(found.valid.all())
    assert bool(found.used.all())
    assert float(found.error_px.max()) < 1e-3
    torch.testing.assert_close(found.points, 100 * points + T_far_world[:3, 3], rtol=0, atol=1e-4)


def test_wrong_observations_are_found_and_do_no_harm() -> None:
    camera, points, pixels = scene(6)
    random = torch.Generator().manual_seed(1)
    pixels = pixels + 0.5 * torch.randn(pixels.shape, generator=random)
    wrong = torch.rand(pixels.shape[:-1], generator=random) < 0.1
    noisy = torch.where(wrong[..., None], pixels + 60 + 200 * torch.rand(pixels.shape, generator=random), pixels)
    found = triangulate(camera, noisy, torch.ones(wrong.shape), tolerance(camera))
    enough = (~wrong).sum(1) >= 4
    assert bool((found.used == ~wrong).movedim(1, -1)[enough].all())
    distance = (found.points - points).norm(dim=-1)[enough]
    assert float(distance.max()) < 2.5e-3
    assert float(distance.median()) < 5e-4


def test_points_not_seen_or_seen_by_one_camera_are_not_valid() -> None:
    camera, points, pixels = scene(4)
    weight = torch.ones(pixels.shape[:-1])
    weight[0] = 0
    weight[1, 1:] = 0
    weight[2, 0] = 0
    pixels[2, 0] = 0
    found = triangulate(camera, pixels, weight, tolerance(camera))
    assert not bool(found.valid[:2].any())
    assert bool(found.valid[2].all())
    torch.testing.assert_close(found.points[2], points[2])
    assert bool(torch.isfinite(found.points).all())


def test_points_behind_a_camera_count_as_infinitely_wrong() -> None:
    camera, _, pixels = scene(3)
    backwards = camera.T_camera_world.clone()
    backwards[:, 1:3] *= -1
    turned = replace(camera, T_camera_world=backwards)
    mirrored = torch.stack([2 * camera.cx[:, None] - pixels[..., 0], pixels[..., 1]], -1)
    found = triangulate(turned, mirrored, torch.ones(pixels.shape[:-1]), tolerance(camera))
    assert bool(torch.isinf(found.error_px).all())
    assert not bool(found.valid.any())


def test_parallel_rays_meet_nowhere() -> None:
    camera, _, pixels = scene(2)
    same = replace(camera, T_camera_world=camera.T_camera_world[:1].repeat(2, 1, 1))
    found = triangulate(same, pixels[:, :1].repeat(1, 2, 1, 1), torch.ones(pixels.shape[:-1]), tolerance(camera))
    assert not bool(found.valid.any())
