"""The page of a rig: what viser is told of each camera, and where."""

import io
import socket

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from vhap.evaluate.rig_scene import GIVEN_RGB, HELD_OUT_RGB, RigCamera, RigScene
from vhap.util.errors import InputError
from vhap.viewer import rig_page
from vhap.viewer.server import HOST

pytest.importorskip("viser")
K = np.array([[210.0, 0, 41], [0, 190.0, 12], [0, 0, 1]])
SIZE = (40, 60)


def scene(n_points: int = 30) -> RigScene:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.2, -0.5, 0.3]).as_matrix()
    pose[:3, 3] = 0.1, -0.2, 1.0
    shifted = pose.copy()
    shifted[0, 3] = 0.6
    given = RigCamera("222200036", K, pose, SIZE, np.full((*SIZE, 3), (20, 220, 40), np.uint8))
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (n_points, 3))
    held_out = RigCamera("222200037", K, shifted, SIZE, is_held_out=True)
    return RigScene([given, held_out], points, np.full((n_points, 3), (9, 8, 7), np.uint8))


@pytest.fixture
def shown():
    made = scene()
    server = rig_page.open_rig_page(made, "a title", 18_000)
    yield made, server
    server.stop()


def handles(server) -> dict:
    return server.scene._handle_from_node_name


def test_every_camera_has_its_frustum_in_its_colour(shown):
    made, server = shown
    for camera, rgb in zip(made.cameras, (GIVEN_RGB, HELD_OUT_RGB)):
        lines = handles(server)[f"/cameras/{camera.name}/frustum"]
        corners = camera.frustum(made.frustum_distance)
        np.testing.assert_allclose(
            np.unique(lines.points.reshape(-1, 3), axis=0), np.unique(corners, axis=0), atol=1e-6
        )
        assert np.asarray(lines.colors).reshape(-1, 3)[0].tolist() == list(rgb)
        assert handles(server)[f"/cameras/{camera.name}/name"].text == camera.name


def test_the_picture_lies_on_the_image_plane(shown):
    """Its corners, as viser places them (x right, y down, middle at the node's origin), are the frustum's."""
    made, server = shown
    camera = made.cameras[0]
    image = handles(server)[f"/cameras/{camera.name}/picture"]
    w, x, y, z = image.wxyz
    half = np.array([image.render_width, image.render_height, 0]) / 2
    signs = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    placed = (signs * half) @ Rotation.from_quat([x, y, z, w]).as_matrix().T + image.position
    np.testing.assert_allclose(placed, camera.frustum(made.frustum_distance)[1:], atol=1e-6)
    decoded = np.array(Image.open(io.BytesIO(image._data)))
    assert decoded.shape == (*SIZE, 3)
    assert np.abs(decoded.astype(int) - (20, 220, 40)).max() < 8
    assert f"/cameras/{made.cameras[1].name}/picture" not in handles(server)


def test_the_cloud_and_the_axes(shown):
    made, server = shown
    cloud = handles(server)["/points"]
    np.testing.assert_allclose(cloud.points, made.points, atol=1e-6)
    assert (np.asarray(cloud.colors) == (9, 8, 7)).all()
    assert handles(server)["/origin"].axes_length == 0.1


def test_a_rig_without_points(monkeypatch):
    server = rig_page.open_rig_page(scene(0), "a title", 18_000)
    try:
        assert "/points" not in handles(server)
    finally:
        server.stop()


def test_no_free_port_is_one_line(monkeypatch):
    monkeypatch.setattr(rig_page, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        with pytest.raises(InputError, match="free port"):
            rig_page.open_rig_page(scene(), "a title", taken.getsockname()[1])
