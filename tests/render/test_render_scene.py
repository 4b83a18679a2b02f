"""Backends by name, shading, topology and whole heads."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys

import pytest
import torch
import trimesh
from render_meshes import sphere, tumbling_heads

from vhap.geometry.cameras import camera_from_focal
from vhap.render.backend import get_backend
from vhap.render.scene import render_head
from vhap.render.shading import sh_basis, shade, uniform_lights
from vhap.render.topology import build_topology
from vhap.util.errors import InputError


def test_names_of_backends():
    assert get_backend("auto", "cpu").name == "warp"
    assert get_backend("reference").name == "reference"
    with pytest.raises(InputError, match="choose one of these"):
        get_backend("opengl")
    with pytest.raises(InputError, match="CUDA device"):
        get_backend("nvdiffrast", "cpu")


def test_import_is_light_and_start_is_quiet():
    code = (
        "import sys, vhap.render.backend, vhap.render.scene; assert 'warp' not in sys.modules;"
        "vhap.render.backend.get_backend('warp'); assert 'warp' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_topology_against_brute_force():
    faces = torch.tensor(trimesh.creation.icosphere(1).faces)[:-7]
    topology = build_topology(faces, faces)
    assert topology.neighbour.shape == (80 - 7, 3)
    for face, corners in enumerate(faces.tolist()):
        for k in range(3):
            edge = {corners[k], corners[(k + 1) % 3]}
            beside = [f for f, other in enumerate(faces.tolist()) if f != face and edge <= set(other)]
            assert int(topology.neighbour[face, k]) == (beside[0] if beside else -1)
            across = set(faces[beside[0]].tolist()) - edge if beside else {-1}
            assert {int(topology.opposite[face, k])} == across


def test_edge_of_three_faces_is_open():
    faces = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    topology = build_topology(faces, faces)
    assert topology.neighbour[:, 0].tolist() == [-1, -1, -1]


def test_uniform_lights_shade_with_one():
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    torch.testing.assert_close(shade(normals, uniform_lights()), torch.ones(50, 3))


def test_shading_is_the_cosine_convolution():
    """sh_basis at n is the projection of the clamped cosine around n, over pi, on orthonormal harmonics."""
    count = 200
    z = (torch.arange(count, dtype=torch.float64) + 0.5) * 2 / count - 1
    phi = (torch.arange(count, dtype=torch.float64) + 0.5) * 2 * torch.pi / count
    z, phi = (grid.reshape(-1) for grid in torch.meshgrid(z, phi, indexing="ij"))
    r = (1 - z * z).sqrt()
    directions = torch.stack([r * phi.cos(), r * phi.sin(), z], -1)
    factors = torch.tensor([1.0] + [2 / 3] * 3 + [1 / 4] * 5, dtype=torch.float64)
    harmonics = sh_basis(directions) / factors
    gram = harmonics.T @ harmonics * (4 * math.pi / len(z))
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), rtol=0, atol=1e-3)
    clamped_cosine = harmonics.T @ z.clamp(min=0) * (4 * math.pi / len(z))
    top = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(clamped_cosine / math.pi, sh_basis(top)[0], rtol=0, atol=1e-3)


def head(batch=2, **changes):
    vertices, topology = sphere(2)
    uvs = vertices[:, :2] / 0.2 + 0.5
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "vertices": vertices.expand(batch, -1, -1) + 0.01 * torch.rand(batch, 1, 3, generator=generator),
        "topology": topology,
        "uvs": uvs,
        "texture": torch.rand(1, 24, 24, 3, generator=generator),
        "lights": uniform_lights(),
        "camera": camera_from_focal(torch.tensor(3.0), 40, 48),
        "background": torch.rand(batch, 40, 48, 3, generator=generator),
    }
    return inputs | changes


def test_head_agrees_with_reference():
    found = render_head(get_backend("warp"), **head())
    expected = render_head(get_backend("reference"), **head())
    torch.testing.assert_close(found.picture, expected.picture, rtol=0, atol=2e-4)
    torch.testing.assert_close(found.normals, expected.normals, rtol=0, atol=1e-4)


def test_picture_is_albedo_times_shading_over_background():
    lights = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    inputs = head(lights=lights)
    result = render_head(get_backend("warp"), **inputs, antialias=False)
    mask = result.raster.mask
    torch.testing.assert_close(result.picture[mask], result.albedo * result.shading)
    torch.testing.assert_close(result.picture[~mask], inputs["background"][~mask])
    torch.testing.assert_close(result.shading, shade(result.normals, lights), rtol=0, atol=1e-5)
    assert bool((render_head(get_backend("warp"), **head(background=None)).picture[:, 0] == 0).all())


def test_normals_of_a_sphere_point_outwards():
    vertices, _ = sphere(2)
    result = render_head(get_backend("warp"), **head(vertices=vertices[None], background=None))
    centre = result.raster.pixels == 20 * 48 + 24
    torch.testing.assert_close(result.normals[centre], torch.tensor([[0.0, 0.0, 1.0]]), rtol=0, atol=0.06)
    torch.testing.assert_close(result.normals.norm(dim=-1), torch.ones(len(result.normals)))


def test_everything_receives_gradients():
    inputs = head()
    leaves = ["vertices", "texture", "lights", "background"]
    inputs |= {name: inputs[name].clone().requires_grad_() for name in leaves}
    render_head(get_backend("warp"), **inputs).picture.square().sum().backward()
    for name in leaves:
        assert bool(inputs[name].grad.isfinite().all()), name
        assert float(inputs[name].grad.abs().max()) > 0, name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.skipif(importlib.util.find_spec("nvdiffrast") is None, reason="nvdiffrast is not installed")
def test_nvdiffrast_agrees_with_warp():
    clip, topology = tumbling_heads()
    clip = clip.cuda()
    topology = type(topology)(*(getattr(topology, name).cuda() for name in topology.__dataclass_fields__))
    ours = get_backend("warp", "cuda").rasterize(clip, topology, 48, 56)
    theirs = get_backend("nvdiffrast", "cuda").rasterize(clip, topology, 48, 56)
    same = ours.face_id == theirs.face_id
    assert float(same.float().mean()) > 0.99
    listed = [same.view(-1)[raster.pixels] for raster in (ours, theirs)]
    torch.testing.assert_close(theirs.barycentrics[listed[1]], ours.barycentrics[listed[0]], rtol=0, atol=1e-2)
