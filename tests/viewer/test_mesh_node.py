"""Meshes as they are sent: what a reader of glTF finds in them, and which one is seen."""

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from vhap.viewer.mesh_node import BRIGHTEST, MeshNode, glb, painted, plain_surface, textured_surface
from vhap.viewer.screen_colours import before_tone_mapping, to_linear, tone_mapped
from vhap.viewer.server import start_server

VERTICES = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
UVS = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5]])
UV_FACES = np.array([[0, 1, 2], [4, 2, 3]])
RGB = np.array([[0.8, 0.5, 0.4], [0.2, 0.3, 0.6], [0.5, 0.5, 0.5], [0.7, 0.6, 0.5]])


def read(content: bytes) -> trimesh.Trimesh:
    scene = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
    (mesh,) = scene.geometry.values()
    return mesh


def test_a_reader_finds_vertices_and_faces():
    surface = plain_surface(FACES, len(VERTICES))
    mesh = read(glb(surface, VERTICES, painted(surface, RGB)))
    np.testing.assert_allclose(mesh.vertices, VERTICES, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, FACES)


def test_colours_look_as_asked_for():
    surface = plain_surface(FACES, len(VERTICES))
    np.testing.assert_allclose(tone_mapped(painted(surface, RGB)), to_linear(RGB), atol=1e-5)


def test_a_texture_is_split_at_its_seams_and_turned_to_the_upper_left():
    texture = np.full((32, 32, 3), (180, 120, 100), np.uint8)
    surface = textured_surface(FACES, UVS, UV_FACES, texture, 16)
    assert len(surface.vertex_ids) == 5
    mesh = read(glb(surface, VERTICES, painted(surface, RGB, np.tile(texture[0, 0] / 255, (4, 1)))))
    np.testing.assert_allclose(mesh.vertices[mesh.faces], VERTICES[FACES], atol=1e-6)
    # trimesh turns them back.
    np.testing.assert_allclose(mesh.visual.uv[mesh.faces], UVS[UV_FACES], atol=1e-6)
    stored = Image.open(io.BytesIO(surface.texture))
    assert stored.size == (16, 16)
    shown = to_linear(np.array(stored)[8, 8] / 255) * BRIGHTEST
    np.testing.assert_allclose(tone_mapped(shown), to_linear(texture[0, 0] / 255), atol=0.02)


def test_vertices_turn_the_texture_into_the_colour_asked_for():
    texture = np.full((8, 8, 3), (180, 120, 100), np.uint8)
    surface = textured_surface(FACES, UVS, UV_FACES, texture, 8)
    factors = painted(surface, RGB, np.tile(texture[0, 0] / 255, (4, 1)))
    texel = before_tone_mapping(texture[0, 0] / 255) / BRIGHTEST
    np.testing.assert_allclose(tone_mapped(factors * texel), to_linear(RGB[surface.vertex_ids]), atol=1e-4)


def test_large_meshes_have_long_indices():
    count = 70_000
    surface = plain_surface(np.array([[0, 1, count - 1]]), count)
    vertices = np.random.default_rng(0).uniform(0, 1, (count, 3))
    mesh = read(glb(surface, vertices, np.ones((count, 3), np.float32)))
    assert mesh.faces.tolist() == [[0, 1, count - 1]]


def test_one_of_two_meshes_is_seen():
    pytest.importorskip("viser")
    server = start_server("a title", 18_200, 100)
    try:
        node = MeshNode(server, "/head", settle_s=0.0)
        contents = [b"first", b"second", b"third"]
        for content in contents:
            node.show(content)
            assert node.shown is not None
            assert node.shown.glb_data == content
            assert sum(slot.visible for slot in node.slots) == 1
        assert len(node.slots) == 2
        assert [slot.name for slot in node.slots] == ["/head/0", "/head/1"]
    finally:
        server.stop()
