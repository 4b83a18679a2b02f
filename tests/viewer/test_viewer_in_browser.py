"""The viewer as a browser shows it: the page loads without an error, and meshes have the colours asked for."""

from __future__ import annotations

import chromium
import numpy as np
import pytest
from test_view_pages import free_port

from vhap import api
from vhap.viewer.mesh_node import MeshNode, glb, painted, plain_surface, textured_surface
from vhap.viewer.server import address, start_server

pytest.importorskip("viser")
RGB = np.array([[0.8, 0.5, 0.4], [0.2, 0.3, 0.7], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9], [0.15, 0.1, 0.1]])
CONNECTED = "document.querySelector('canvas') !== null && document.body.innerText.includes('%s')"


def near(picture: np.ndarray, rgb: np.ndarray, most: int = 3) -> int:
    """Pixels of a colour in [0, 1]."""
    return int((np.abs(picture.astype(int) - np.rint(rgb * 255)).max(-1) <= most).sum())


def add_squares(server) -> None:
    """Above coloured at their vertices, below by a texture of another brightness."""
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    for number, rgb in enumerate(RGB):
        place = 0.9 * square + [number - 2.5, 0, 0]
        plain = plain_surface(faces, 4)
        MeshNode(server, f"/plain{number}").show(glb(plain, place, painted(plain, np.tile(rgb, (4, 1)))))
        texture = np.full((8, 8, 3), np.rint(0.7 * rgb * 255), np.uint8)
        textured = textured_surface(faces, square[:, :2], faces, texture, 8)
        colours = painted(textured, np.tile(rgb, (4, 1)), np.tile(texture[0, 0] / 255, (4, 1)))
        MeshNode(server, f"/textured{number}").show(glb(textured, place - [0, 1, 0], colours))


@pytest.mark.slow
def test_meshes_have_the_colours_asked_for(browser, tmp_path):
    server = start_server("squares", free_port())
    try:
        add_squares(server)
        server.scene.set_up_direction("+y")
        server.initial_camera.position, server.initial_camera.look_at = (0.0, 0.0, 6.0), (0.0, 0.0, 0.0)
        with chromium.opened(browser, address(server), tmp_path / "profile") as page:
            page.wait_for(CONNECTED % "squares")
            picture = page.picture_once(lambda seen: near(seen, RGB[2]) > 2000)
            counts = [near(picture, rgb) for rgb in RGB]
        assert page.errors == []
        assert min(counts) > 6000, counts
    finally:
        server.stop()


@pytest.mark.slow
def test_a_run_is_seen_and_follows_the_slider(browser, viewed_run, tmp_path):
    with (
        api.view(viewed_run, port=free_port()) as shown,
        chromium.opened(browser, shown.url, tmp_path / "profile") as page,
    ):
        page.wait_for(CONNECTED % "frames a")
        shown.view.mode.value = "shape"
        shown.view.first.show_pictures(0, None, False)
        first = page.picture_once(lambda seen: grey(seen) > 500)
        # A slider of the page, moved as by its user: the label beside it follows by way of the server.
        box = "[...document.querySelectorAll('input')].find(found => found.value === '0' && found.type !== 'hidden')"
        page.run(f"{box}.focus()")
        page.ask("Input.dispatchKeyEvent", type="keyDown", key="ArrowUp", code="ArrowUp", windowsVirtualKeyCode=38)
        page.wait_for("document.body.innerText.includes('000001')")
        moved = page.picture_once(lambda seen: (seen != first).any())
    assert page.errors == []
    assert grey(moved) > 500


def grey(picture: np.ndarray) -> int:
    """Pixels of the head in its mode without texture: grey, neither white nor the controls' light tones."""
    values = picture[:, :800].astype(int)
    return int(((values.max(-1) - values.min(-1) < 4) & (values.max(-1) < 190) & (values.max(-1) > 60)).sum())
