"""The Warp kernels against the float64 reference, values and gradients."""

from __future__ import annotations

import pytest
import torch
from render_meshes import QUAD_FACES, QUAD_UVS, clip_of, sphere, square, tumbling_heads

from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.util.threads import get_threads, set_threads

H, W = 48, 56
WARP, REFERENCE = get_backend("warp"), get_backend("reference")


@pytest.fixture(scope="module")
def heads():
    clip, topology = tumbling_heads()
    return clip, topology, WARP.rasterize(clip, topology, H, W)


def gradients(function, *inputs):
    """Value and gradients of a fixed random projection of function(*inputs)."""
    leaves = [value.detach().clone().requires_grad_() for value in inputs]
    value = function(*leaves)
    seed = torch.rand(value.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = torch.autograd.grad((value.double() * (seed - 0.3)).sum(), leaves)
    return [value.detach(), *found]


def assert_same(kernel, reference, tolerance=2e-4):
    for found, expected in zip(kernel, reference):
        scale = float(expected.detach().abs().max()) + 1e-6
        torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=tolerance * scale)


def test_rasterize_agrees(heads):
    clip, topology, raster = heads
    expected = REFERENCE.rasterize(clip.double(), topology, H, W)
    assert len(raster.pixels) > 2000
    assert int((raster.face_id != expected.face_id).sum()) == 0
    assert torch.equal(raster.pixels, expected.pixels)
    assert torch.equal(raster.views, expected.views)
    assert_same(
        [raster.barycentrics, raster.barycentric_derivatives], [expected.barycentrics, expected.barycentric_derivatives]
    )


def test_barycentric_gradients_agree(heads):
    clip, topology, _ = heads
    found = gradients(lambda c: WARP.rasterize(c, topology, H, W).barycentrics, clip)
    expected = gradients(lambda c: REFERENCE.rasterize(c, topology, H, W).barycentrics, clip.double())
    assert_same(found, expected)


@pytest.mark.parametrize("shared", [True, False])
def test_interpolate_agrees(heads, shared):
    clip, topology, raster = heads
    attributes = torch.rand(1 if shared else len(clip), clip.shape[1], 5, generator=torch.Generator().manual_seed(1))

    def through(backend):
        return lambda a, c: backend.interpolate(a, topology.faces, backend.rasterize(c, topology, H, W))

    found = gradients(through(WARP), attributes, clip)
    assert_same(found, gradients(through(REFERENCE), attributes.double(), clip.double()))
    slopes = WARP.attribute_derivatives(attributes, topology.faces, raster)
    assert_same([slopes], [REFERENCE.attribute_derivatives(attributes.double(), topology.faces, raster)])


@pytest.mark.parametrize("size", [(32, 32), (17, 40), (1, 9), (64, 3)])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("mipmapped", [True, False])
def test_texture_agrees(heads, size, shared, mipmapped):
    *_, raster = heads
    generator = torch.Generator().manual_seed(2)
    count = len(raster.pixels)
    texture = torch.rand(1 if shared else len(raster.face_id), *size, 3, generator=generator)
    uv = torch.rand(count, 2, generator=generator) * 1.2 - 0.1
    slopes = torch.randn(count, 2, 2, generator=generator) * 10 ** (-3 * torch.rand(count, 1, 1, generator=generator))
    slopes = slopes if mipmapped else None
    found = gradients(lambda t, c: WARP.texture(t, c, slopes, raster), texture, uv)
    expected = gradients(lambda t, c: REFERENCE.texture(t, c, slopes, raster), texture.double(), uv.double())
    assert_same(found, expected, 1e-3)


def test_light_agrees(heads):
    *_, raster = heads
    generator = torch.Generator().manual_seed(4)
    normals = torch.randn(len(raster.pixels), 3, generator=generator)
    lights = torch.randn(9, 3, generator=generator)
    for part in (0, 1):
        found = gradients(lambda n, c, part=part: WARP.light(n, 0 * n.sum() + c, raster)[part], normals, lights)
        expected = gradients(
            lambda n, c, part=part: REFERENCE.light(n, 0 * n.sum() + c, raster)[part] + 0 * c.sum(),
            normals.double(),
            lights.double(),
        )
        assert_same(found, expected)


def test_antialias_agrees(heads):
    clip, topology, raster = heads
    pictures = torch.rand(*raster.face_id.shape, 3, generator=torch.Generator().manual_seed(5))
    found = gradients(lambda p, c: WARP.antialias(p, raster, c, topology), pictures, clip)
    expected = gradients(lambda p, c: REFERENCE.antialias(p, raster, c, topology), pictures.double(), clip.double())
    assert float((expected[0] - pictures).abs().max()) > 0.1
    assert_same(found, expected, 1e-3)


def test_back_faces_and_winding():
    clip = square(8, 8, 40, 40, H, W)
    front, back = (build_topology(f, f) for f in (QUAD_FACES, QUAD_FACES.flip(1)))
    for backend in (WARP, REFERENCE):
        assert int(backend.rasterize(clip, front, H, W).mask.sum()) == 32 * 32
        assert len(backend.rasterize(clip, back, H, W).pixels) == 0


def test_no_pixel_lost_or_doubled_on_shared_edges():
    # Corners and the diagonal lie exactly on pixel centres.
    topology = build_topology(QUAD_FACES, QUAD_FACES)
    for offset in (0.0, 0.5):
        clip = square(8 + offset, 8 + offset, 40 + offset, 40 + offset, 64, 64)
        raster = WARP.rasterize(clip, topology, 64, 64)
        assert int(raster.mask.sum()) == 32 * 32
        single = [WARP.rasterize(clip, build_topology(f[None], f[None]), 64, 64).mask.sum() for f in QUAD_FACES]
        assert int(sum(single)) == 32 * 32


def test_nearer_surface_wins():
    clip = torch.cat([square(8, 8, 40, 40, H, W), square(20, 20, 30, 30, H, W)], 1)
    clip[:, 4:, 2] = 0.4
    faces = torch.cat([QUAD_FACES, QUAD_FACES + 4])
    raster = WARP.rasterize(clip, build_topology(faces, faces), H, W)
    assert int((raster.face_id >= 2).sum()) == 100
    assert int((raster.face_id >= 0).sum()) == 1024


@pytest.mark.parametrize("place", ["behind", "beside", "nan", "before the near plane", "no faces"])
def test_nothing_to_see(place):
    vertices, topology = sphere(1)
    shift = {"behind": (0, 0, 3.0), "beside": (5.0, 0, 0), "before the near plane": (0, 0, 0.999)}
    vertices = vertices * (0.05 if "near" in place else 1.0) + torch.tensor(shift.get(place, (0, 0, 0)))
    if place == "nan":
        vertices = torch.full_like(vertices, torch.nan)
    if place == "no faces":
        topology = build_topology(torch.zeros(0, 3).long(), torch.zeros(0, 3).long())
    clip = clip_of(vertices[None]).requires_grad_()
    raster = WARP.rasterize(clip, topology, H, W)
    assert raster.pixels.shape == (0,)
    uv = WARP.interpolate(torch.rand(1, len(vertices), 2), topology.faces, raster)
    slopes = WARP.attribute_derivatives(torch.rand(1, len(vertices), 2), topology.faces, raster)
    assert WARP.texture(torch.rand(1, 8, 8, 3), uv, slopes, raster).shape == (0, 3)
    picture = WARP.antialias(torch.rand(1, H, W, 3).requires_grad_(), raster, clip, topology)
    (picture.sum() + uv.sum()).backward()
    assert bool((clip.grad == 0).all())


def test_triangle_through_the_camera_plane_is_cut_exactly():
    # A floor that reaches from far before the camera to far behind it.
    corners = torch.tensor([[-9.0, -0.2, 4.0], [9.0, -0.2, 4.0], [9.0, -0.2, -6.0], [-9.0, -0.2, -6.0]])
    clip, topology = clip_of(corners[None]), build_topology(QUAD_FACES, QUAD_FACES)
    raster = WARP.rasterize(clip, topology, H, W)
    assert torch.equal(raster.face_id, REFERENCE.rasterize(clip.double(), topology, H, W).face_id)
    assert bool(raster.mask[0, -1].all())
    assert not bool(raster.mask[0, H // 2 - 1].any())
    assert bool(raster.barycentrics.isfinite().all())


def test_interpolation_is_perspective_correct():
    # World x over a tilted quad, seen by a camera of known rays.
    corners = torch.tensor([[-0.2, -0.1, 0.3], [0.2, -0.1, -0.4], [0.2, 0.1, -0.4], [-0.2, 0.1, 0.3]])
    clip = clip_of(corners[None])
    raster = WARP.rasterize(clip, build_topology(QUAD_FACES, QUAD_FACES), H, W)
    place = WARP.interpolate(corners[None], QUAD_FACES, raster)
    column = (raster.pixels % W).float() + 0.5
    torch.testing.assert_close(3.0 * W * place[:, 0] / (1 - place[:, 2]) + W / 2, column, rtol=0, atol=1e-3)


def test_uv_origin_is_lower_left():
    clip, topology = square(8, 8, 40, 40, H, W), build_topology(QUAD_FACES, QUAD_FACES)
    texture = torch.zeros(1, 32, 32, 3)
    texture[:, :16, :, 0], texture[:, :, :16, 1] = 1, 1
    raster = WARP.rasterize(clip, topology, H, W)
    uv = WARP.interpolate(QUAD_UVS[None], topology.uv_faces, raster)
    slopes = WARP.attribute_derivatives(QUAD_UVS[None], topology.uv_faces, raster)
    picture = torch.zeros(H, W, 3)
    picture.view(-1, 3)[raster.pixels] = WARP.texture(texture, uv, slopes, raster)
    torch.testing.assert_close(picture[8:40, 8:40], texture[0], rtol=0, atol=1e-5)


def test_thread_count_changes_no_bit():
    clip, topology = tumbling_heads(batch=6)
    texture = torch.rand(1, 40, 40, 3, generator=torch.Generator().manual_seed(6))
    attributes = torch.rand(1, clip.shape[1], 2, generator=torch.Generator().manual_seed(7))
    lights = torch.randn(9, 3, generator=torch.Generator().manual_seed(8))

    def picture(clip, texture, attributes, lights):
        raster = WARP.rasterize(clip, topology, H, W)
        uv = WARP.interpolate(attributes, topology.faces, raster)
        colours = WARP.texture(texture, uv, WARP.attribute_derivatives(attributes, topology.faces, raster), raster)
        colours = colours * WARP.light(colours + 0.1, lights, raster)[1]
        black = torch.zeros(len(clip) * H * W, 3).index_copy(0, raster.pixels, colours)
        return WARP.antialias(black.view(-1, H, W, 3), raster, clip, topology)

    before = get_threads()
    runs = []
    for threads in (1, 2, 3):
        set_threads(threads)
        runs.append(gradients(picture, clip, texture, attributes, lights))
    set_threads(before)
    first, *others = runs
    assert len(first) > 1
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_cpu():
    clip, topology = tumbling_heads()
    on_gpu = type(topology)(*(getattr(topology, name).cuda() for name in topology.__dataclass_fields__))
    attributes = torch.rand(1, clip.shape[1], 3, generator=torch.Generator().manual_seed(1))

    def picture(table):
        def render(clip, attributes):
            raster = WARP.rasterize(clip, table, H, W)
            colours = WARP.interpolate(attributes, table.faces, raster)
            black = colours.new_zeros(len(clip) * H * W, 3).index_copy(0, raster.pixels, colours)
            return WARP.antialias(black.view(-1, H, W, 3), raster, clip, table).cpu()

        return render

    found = gradients(picture(on_gpu), clip.cuda(), attributes.cuda())
    assert_same([value.cpu() for value in found], gradients(picture(topology), clip, attributes), 1e-3)
