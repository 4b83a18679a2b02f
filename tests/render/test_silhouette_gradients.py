"""Antialiasing: a picture's sum changes as the covered area does, and gradients agree with finite differences."""

from __future__ import annotations

import math

import pytest
import torch
import trimesh
from render_meshes import QUAD_FACES, clip_of, disc, sphere, square

from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology

H, W = 64, 72
WARP, REFERENCE = get_backend("warp"), get_backend("reference")


def coverage(backend, clip, topology, weight=None):
    """Sum of the antialiased mask, optionally weighted per pixel."""
    raster = backend.rasterize(clip.detach(), topology, H, W)
    mask = backend.antialias(raster.mask[..., None].to(clip.dtype), raster, clip, topology)
    return mask.sum() if weight is None else (mask[..., 0] * weight.to(clip.dtype)).sum()


def slope_of(value_at, step):
    """Derivative at zero by a line fitted over many samples: single pixels change by steps."""
    t = torch.linspace(-step, step, 41, dtype=torch.float64)
    values = torch.stack([value_at(x).detach().double() for x in t])
    return float(((values - values.mean()) * t).sum() / (t * t).sum())


def gradient_at(value_at, dtype=torch.float32):
    x = torch.zeros((), dtype=dtype, requires_grad=True)
    return float(torch.autograd.grad(value_at(x), x)[0])


def test_rectangle_area_and_edge_length():
    topology = build_topology(QUAD_FACES, QUAD_FACES)
    base = square(10.3, 12.6, 41.7, 50.2, H, W)
    assert float(coverage(WARP, base, topology)) == pytest.approx((41.7 - 10.3) * (50.2 - 12.6), rel=2e-3)
    clip = base.clone().requires_grad_()
    (grad,) = torch.autograd.grad(coverage(WARP, clip, topology), clip)
    # The right edge: 50.2 - 12.6 pixels long; x of one pixel is 2 / W.
    assert float(grad[0, 1:3, 0].sum()) * 2 / W == pytest.approx(37.6, rel=0.02)
    assert float(grad[0, 2:4, 1].sum()) * 2 / H == pytest.approx(31.4, rel=0.02)
    assert float(grad[0, :, :2].sum(0).abs().max()) < 1e-2 * W


@pytest.mark.parametrize("radius", [9.3, 20.0, 27.77])
def test_disc_grows_by_its_circumference(radius):
    # A circumscribed polygon of n sides of a circle with r has area n/2 sin(2 pi / n) r^2.
    def area_of(r):
        return coverage(WARP, *disc(r, H, W))

    factor = 32 * math.sin(2 * math.pi / 64)
    assert float(area_of(torch.tensor(radius))) == pytest.approx(factor * radius**2, rel=5e-3)
    r = torch.tensor(radius, requires_grad=True)
    (found,) = torch.autograd.grad(area_of(r), r)
    assert float(found) == pytest.approx(2 * factor * radius, rel=0.05)


@pytest.mark.parametrize("subdivisions", [2, 3, 4])
def test_sphere_grows_by_its_outline(subdivisions):
    """Thin triangles beside the outline cover no pixel centre: their silhouettes must be found all the same."""
    vertices, topology = sphere(subdivisions)

    def area_of(growth):
        return coverage(WARP, clip_of(vertices[None] * (1 + growth), H, W), topology)

    expected = slope_of(lambda g: area_of(g.float()), 0.02)
    assert gradient_at(area_of) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", ["sphere", "cube", "two spheres"])
def test_movement_over_a_ramp(shape, axis):
    """Weights that grow along the movement: the derivative is the area (a fraction of a pixel at a time)."""
    vertices, topology = sphere(3)
    if shape == "cube":
        box = trimesh.creation.box((0.14, 0.14, 0.14))
        vertices, faces = torch.tensor(box.vertices, dtype=torch.float32), torch.tensor(box.faces)
        vertices, topology = (
            vertices @ axis_angle_to_matrix(torch.tensor([0.4, 0.7, 0.2])),
            build_topology(faces, faces),
        )
    if shape == "two spheres":
        vertices = torch.cat([vertices, vertices * 0.6 + torch.tensor([0.05, 0.03, 0.15])])
        faces = torch.cat([topology.faces, topology.faces + len(vertices) // 2])
        topology = build_topology(faces, faces)
    ramp = torch.arange(W).float().expand(H, W) if axis == 0 else torch.arange(H).float()[:, None].expand(H, W)
    direction = torch.eye(3)[axis]

    def moment_at(shift):
        return coverage(WARP, clip_of(vertices[None] + shift * direction, H, W), topology, ramp)

    pixel = 1 / (3.0 * W)
    places = (torch.arange(16) + 0.5) * (pixel / 16)
    expected = float(moment_at(torch.tensor(pixel)).double() - moment_at(torch.zeros(()))) / pixel
    found = sum(gradient_at(lambda s, place=place: moment_at(place + s)) for place in places) / 16
    assert found == pytest.approx(expected, rel=0.02)


def test_inner_silhouette_moves_colours():
    """A small bright sphere before a large dark one: its outline is seen between two covered regions."""
    large, topology = sphere(3)
    faces = torch.cat([topology.faces, topology.faces + len(large)])
    both = build_topology(faces, faces)

    def brightness(growth):
        small = large * 0.4 * (1 + growth) + torch.tensor([0.0, 0.0, 0.12])
        clip = clip_of(torch.cat([large, small])[None], H, W)
        raster = WARP.rasterize(clip.detach(), both, H, W)
        picture = (raster.face_id >= len(topology.faces)).float()[..., None]
        return WARP.antialias(picture, raster, clip, both).sum()

    expected = slope_of(lambda g: brightness(g.float()), 0.04)
    assert expected > 100
    assert gradient_at(brightness) == pytest.approx(expected, rel=0.05)


def test_distances_are_differentiated_exactly():
    """Within one step of the raster the blend is smooth: central differences of the reference in float64."""
    vertices, topology = sphere(2)
    clip = clip_of(vertices[None].double(), H, W)
    raster = REFERENCE.rasterize(clip, topology, H, W)
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, H, W, 2, generator=generator, dtype=torch.float64)
    weight = torch.rand(1, H, W, 2, generator=generator, dtype=torch.float64)
    direction = torch.randn(clip.shape, generator=generator, dtype=torch.float64)

    def value(t):
        return (REFERENCE.antialias(picture, raster, clip + t * direction, topology) * weight).sum()

    step = 1e-7
    expected = float(value(step) - value(-step)) / (2 * step)
    leaf = clip.float().requires_grad_()
    found = WARP.antialias(picture.float(), raster, leaf, topology)
    (grad,) = torch.autograd.grad((found * weight.float()).sum(), leaf)
    assert float((grad * direction).sum()) == pytest.approx(expected, rel=1e-3)


def test_surface_inside_is_left_alone():
    vertices, topology = sphere(3)
    clip = clip_of(vertices[None] * 8, H, W, focal=3.0)
    raster = WARP.rasterize(clip, topology, H, W)
    assert bool(raster.mask.all())
    picture = torch.rand(1, H, W, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(WARP.antialias(picture, raster, clip, topology), picture)
