"""What a rendering for optimisation adds: regions that move nothing, and the head's coverage."""

from __future__ import annotations

import pytest
import torch
import trimesh
from render_meshes import sphere

from vhap.geometry.cameras import camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.render.backend import get_backend
from vhap.render.scene import Alignment, render_head
from vhap.render.topology import build_topology

H, W = 48, 56
WARP = get_backend("warp")


def two_balls():
    """(1, V, 3) two spheres side by side, their topology, and which faces and vertices are the right one's."""
    ball, single = sphere(2, 0.05)
    offset = torch.tensor([0.06, 0.01, 0.0])
    faces = torch.cat([single.faces, single.faces + len(ball)])
    vertices = torch.cat([ball - offset, ball + offset])[None]
    return vertices, build_topology(faces, faces), len(single.faces), len(ball)


def gradient(alignment: Alignment, antialias: bool, channel: str = "picture") -> torch.Tensor:
    """(V, 3) of a random linear function of the picture, under light that looks the same on every normal."""
    vertices, topology, _, _ = two_balls()
    generator = torch.Generator().manual_seed(0)
    leaf = vertices.clone().requires_grad_()
    uvs = vertices[0, :, :2] / 0.24 + 0.5
    rendering = render_head(
        WARP,
        leaf,
        topology,
        uvs,
        torch.rand(1, 32, 32, 3, generator=generator),
        None,
        camera_from_focal(torch.tensor(3.0), H, W),
        torch.rand(1, H, W, 3, generator=generator),
        antialias,
        alignment,
    )
    value = getattr(rendering, channel)
    (found,) = torch.autograd.grad((value * torch.rand(value.shape, generator=generator)).sum(), leaf)
    return found[0]


def right_ball() -> tuple[torch.Tensor, torch.Tensor]:
    vertices, topology, n_faces, n_vertices = two_balls()
    return torch.arange(len(topology.faces)) >= n_faces, torch.arange(vertices.shape[1]) >= n_vertices


def test_fixed_texture_moves_only_what_other_regions_touch():
    faces, vertices = right_ball()
    plain, fixed = gradient(Alignment(), False), gradient(Alignment(fixed_texture=faces), False)
    assert (plain[vertices] != 0).any()
    assert (fixed[vertices] == 0).all()
    assert (fixed[~vertices] != 0).any()
    assert torch.equal(fixed[~vertices], plain[~vertices])


def test_fixed_texture_of_one_half_leaves_its_border_to_the_other_half():
    """Vertices on the border belong to both: they go on moving with the triangles that count."""
    _, topology, n_faces, _ = two_balls()
    half = torch.zeros(len(topology.faces), dtype=torch.bool)
    half[: n_faces // 2] = True
    only_fixed = torch.ones(two_balls()[0].shape[1], dtype=torch.bool)
    only_fixed[topology.faces[~half].long()] = False
    plain, fixed = gradient(Alignment(), False), gradient(Alignment(fixed_texture=half), False)
    assert (fixed[only_fixed] == 0).all()
    assert (plain[only_fixed] != 0).any()
    elsewhere = torch.ones_like(only_fixed)
    elsewhere[topology.faces[half].long()] = False
    assert torch.equal(fixed[elsewhere], plain[elsewhere])


@pytest.mark.parametrize("channel", ["picture", "coverage"])
def test_fixed_outline_moves_only_other_vertices(channel):
    everything = torch.ones(len(two_balls()[1].faces), dtype=torch.bool)
    _, vertices = right_ball()
    plain = gradient(Alignment(everything, coverage=True), True, channel)
    fixed = gradient(Alignment(everything, vertices, coverage=True), True, channel)
    assert (plain[vertices] != 0).any()
    assert (fixed[vertices] == 0).all()
    assert (fixed[~vertices] != 0).any()
    assert torch.equal(fixed[~vertices], plain[~vertices])


def test_exclusions_leave_the_picture_as_it_is():
    faces, outline = right_ball()
    vertices, topology, _, _ = two_balls()
    inputs = (WARP, vertices, topology, vertices[0, :, :2] / 0.24 + 0.5, torch.rand(1, 8, 8, 3), None)
    camera = camera_from_focal(torch.tensor(3.0), H, W)
    plain = render_head(*inputs, camera)
    fixed = render_head(*inputs, camera, alignment=Alignment(faces, outline, coverage=True))
    assert torch.equal(plain.picture, fixed.picture)
    assert plain.coverage is None


def coverage_of(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    topology = build_topology(faces, faces)
    camera = camera_from_focal(torch.tensor(3.0), H, W)
    uvs, texture = torch.zeros(len(vertices), 2), torch.ones(1, 4, 4, 3)
    drawn = render_head(WARP, vertices[None], topology, uvs, texture, None, camera, alignment=Alignment(coverage=True))
    assert drawn.coverage is not None
    # A white head before black: its picture is its coverage.
    torch.testing.assert_close(drawn.coverage, drawn.picture[..., 0])
    return drawn.coverage[0]


def cube() -> tuple[torch.Tensor, torch.Tensor]:
    box = trimesh.creation.box((0.12, 0.12, 0.12))
    turn = axis_angle_to_matrix(torch.tensor([0.4, 0.7, 0.2]))
    return torch.tensor(box.vertices, dtype=torch.float32) @ turn, torch.tensor(box.faces)


def ball() -> tuple[torch.Tensor, torch.Tensor]:
    vertices, topology = sphere(3, 0.08)
    return vertices, topology.faces


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [ball, cube])
def test_coverage_has_the_gradient_of_finite_differences(shape, axis):
    """Weighted by a ramp, over one pixel's way: single pixels change in steps."""
    vertices, faces = shape()
    x, y = torch.arange(W) - W / 2, torch.arange(H)[:, None] - H / 2
    ramp = (x if axis == 0 else y).expand(H, W)
    direction, pixel = torch.eye(3)[axis], 1 / (3.0 * W)

    def moment(shift: torch.Tensor) -> torch.Tensor:
        return (coverage_of(vertices + shift * direction, faces) * ramp).sum()

    numeric = float(moment(torch.tensor(pixel)).double() - moment(torch.zeros(())).double()) / pixel
    found = []
    for place in (torch.arange(16) + 0.5) * (pixel / 16):
        shift = place.clone().requires_grad_()
        found.append(float(torch.autograd.grad(moment(shift), shift)[0]))
    assert abs(numeric) > 1000
    assert sum(found) / 16 == pytest.approx(numeric, rel=0.05)


def test_coverage_lies_between_nothing_and_everything_and_sums_to_the_area():
    vertices, faces = ball()
    coverage = coverage_of(vertices, faces)
    assert 0 <= float(coverage.min()) < 0.001
    assert 0.999 < float(coverage.max()) <= 1
    assert ((coverage > 0.01) & (coverage < 0.99)).any()
    # The outline of a ball of radius r at distance 1 is a circle of radius f r / sqrt(1 - r^2).
    radius = 3.0 * W * 0.08 / (1 - 0.08**2) ** 0.5
    assert float(coverage.sum()) == pytest.approx(torch.pi * radius**2, rel=0.01)
