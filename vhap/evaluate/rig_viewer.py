"""A camera rig as a page in the browser, by viser."""

from __future__ import annotations

import contextlib
import io
import socket
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from vhap.evaluate.rig_picture import front_view
from vhap.evaluate.rig_scene import AXES_M, FRUSTUM_EDGES, RigCamera, RigScene
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

if TYPE_CHECKING:
    from viser import ViserServer

HOST = "127.0.0.1"
PORTS_TRIED = 100
LINE_PX, JPEG_QUALITY = 2.0, 90
POINT_SHARE, POINT_M = 1.2, (0.0004, 0.01)
"""Side of a point: share of the spacing of so many points over the cloud's extent, and its limits in metres."""


def require_viser() -> None:
    import_or_explain("viser", 'pip install "vhap[viewer]"')


def open_viewer(scene: RigScene, title: str, port: int) -> ViserServer:
    """A server of the page, running, which only this machine can reach; `stop()` ends it.

    port: the first one that is tried; `get_port()` is the one taken. InputError where neither it nor one of the next
    ports is free, or viser is not installed.
    """
    viser = import_or_explain("viser", 'pip install "vhap[viewer]"')
    # Its box of addresses comes even where it is asked to be silent.
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host=HOST, port=_free_port(port), label=title, verbose=False)
    view = front_view(scene)
    server.scene.set_up_direction(scene.up)
    server.initial_camera.position = view.centre
    server.initial_camera.look_at = view.centre + view.rotation[2] * np.linalg.norm(scene.focus - view.centre)
    server.scene.add_frame("/origin", axes_length=AXES_M, axes_radius=AXES_M / 40)
    distance = scene.frustum_distance
    for camera in scene.cameras:
        _add_camera(server, camera, distance)
    if len(scene.points):
        size = POINT_SHARE * float(np.ptp(scene.points, 0).max()) / np.sqrt(len(scene.points))
        server.scene.add_point_cloud(
            "/points", scene.points.astype(np.float32), scene.colors, point_size=float(np.clip(size, *POINT_M)),
            point_shape="circle", point_shading="flat", precision="float32",
        )  # fmt: skip
    return server


def _add_camera(server: ViserServer, camera: RigCamera, distance: float) -> None:
    """Not viser's own frustum, which has its principal point in the middle."""
    name, corners = f"/cameras/{camera.name}", camera.frustum(distance)
    edges = corners[np.array(FRUSTUM_EDGES)].astype(np.float32)
    server.scene.add_line_segments(f"{name}/frustum", edges, camera.rgb, thickness=LINE_PX, thickness_units="screen")
    server.scene.add_label(f"{name}/name", camera.name, position=corners[0], font_screen_scale=0.7)
    if camera.picture is None:
        return
    width, height = np.linalg.norm(corners[2] - corners[1]), np.linalg.norm(corners[4] - corners[1])
    x, y, z, w = Rotation.from_matrix(camera.T_camera_world[:3, :3].T).as_quat()
    server.scene.add_image(
        f"{name}/picture", camera.picture, float(width), float(height), format="jpeg", jpeg_quality=JPEG_QUALITY,
        wxyz=(w, x, y, z), position=corners[1:].mean(0), cast_shadow=False, receive_shadow=False,
    )  # fmt: skip


def _free_port(first: int) -> int:
    # Asked for one that cannot be had, viser would wait for ever.
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        with socket.socket() as attempt:
            try:
                attempt.bind((HOST, port))
                return port
            except OSError:
                continue
    raise InputError(f"expected a free port from --port {first} on, found none; choose another one")
