"""A camera rig as a page in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vhap.evaluate.rig_scene import RigScene
from vhap.viewer.camera_nodes import CameraNodes, add_axes, look_from_the_front
from vhap.viewer.server import PORTS_TRIED, start_server

if TYPE_CHECKING:
    from viser import ViserServer

POINT_SHARE, POINT_M = 1.2, (0.0004, 0.01)
"""Side of a point: share of the spacing of so many points over the cloud's extent, and its limits in metres."""


def open_rig_page(scene: RigScene, title: str, port: int) -> ViserServer:
    """A running server of the page, which only this machine can reach; `stop()` ends it.

    port: the first one that is tried; `get_port()` is the one taken. InputError where neither it nor one of the next
    ports is free, or viser is not installed.
    """
    server = start_server(title, port, PORTS_TRIED)
    look_from_the_front(server, scene)
    add_axes(server)
    CameraNodes(server, "", scene.cameras, scene.frustum_distance).set_pictures(
        [camera.picture for camera in scene.cameras]
    )
    if len(scene.points):
        add_cloud(server, "/points", scene.points, scene.colors)
    return server


def add_cloud(server: ViserServer, name: str, points: np.ndarray, colors: np.ndarray) -> None:
    """points (N, 3) metres, colors (N, 3) uint8."""
    size = POINT_SHARE * float(np.ptp(points, 0).max()) / np.sqrt(len(points))
    server.scene.add_point_cloud(
        name, points.astype(np.float32), colors, point_size=float(np.clip(size, *POINT_M)),
        point_shape="circle", point_shading="flat", precision="float32",
    )  # fmt: skip
