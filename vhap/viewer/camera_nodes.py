"""Cameras in the scene: frusta of their own intrinsics, names, and pictures on their image planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from vhap.evaluate.rig_picture import FOV_RAD, front_view
from vhap.evaluate.rig_scene import AXES_M, FRUSTUM_EDGES, RigCamera, RigScene
from vhap.geometry.cameras import Camera

if TYPE_CHECKING:
    from viser import FrameHandle, ImageHandle, LabelHandle, LineSegmentsHandle, ViserServer

LINE_PX, JPEG_QUALITY = 2.0, 85
LABEL_SCALE = 0.7
FARTHER = 1.35
"""Than where the whole rig fills the page: what it looks at does not stand in its middle."""
LOST_RGB = (250, 140, 0)
"""Of the frustum of a camera whose picture shows nothing of the head."""


class CameraNodes:
    """The nodes ROOT/cameras/NAME/(frustum, name, picture).

    root: name of the node above, "" for the scene itself. distance: metres from the cameras to their image planes.
    """

    def __init__(self, server: ViserServer, root: str, cameras: Sequence[RigCamera], distance: float) -> None:
        self.server, self.cameras = server, list(cameras)
        self.root = f"{root}/cameras"
        self.top = server.scene.add_frame(self.root, show_axes=False)
        self.distances = [distance] * len(self.cameras)
        self.pictures: dict[int, ImageHandle] = {}
        self.frusta: list[LineSegmentsHandle] = []
        self.labels: list[LabelHandle] = []
        for camera in self.cameras:
            self._add_frustum(camera)

    def place(self, distance: float, index: int | None = None) -> None:
        """Moves the image planes, or that of one camera."""
        for number in range(len(self.cameras)) if index is None else (index,):
            self.distances[number] = distance
            corners = self.cameras[number].frustum(distance)
            self.frusta[number].points = _edges(corners)
            if picture := self.pictures.get(number):
                picture.render_width, picture.render_height = _sides(corners)
                picture.position = corners[1:].mean(0)

    def set_pictures(self, pictures: Sequence[np.ndarray | None]) -> None:
        """One a camera, (H, W, 3) uint8 of any size of its shape; None takes away what was there."""
        for index, picture in enumerate(pictures):
            if picture is None:
                if index in self.pictures:
                    self.pictures.pop(index).remove()
            elif index in self.pictures:
                self.pictures[index].image = picture
            else:
                self._add_picture(index, picture)

    def mark(self, reasons: Sequence[str]) -> None:
        """Why pictures of the first cameras show nothing, empty for those that do: stands beside their names."""
        for index, reason in enumerate(reasons):
            name = self.cameras[index].name
            self.labels[index].text = f"{name}: {reason}" if reason else name
            self.frusta[index].colors = np.array(LOST_RGB if reason else self.cameras[index].rgb, np.uint8)

    def show_frusta(self, visible: bool) -> None:
        """Lines and names; pictures stay."""
        for handle in (*self.frusta, *self.labels):
            handle.visible = visible

    def _add_frustum(self, camera: RigCamera) -> None:
        """Not viser's own, which has its principal point in the middle."""
        name, scene = f"{self.root}/{camera.name}", self.server.scene
        corners = camera.frustum(self.distances[0])
        lines = {"thickness": LINE_PX, "thickness_units": "screen"}
        self.frusta.append(scene.add_line_segments(f"{name}/frustum", _edges(corners), camera.rgb, **lines))
        self.labels.append(
            scene.add_label(f"{name}/name", camera.name, position=corners[0], font_screen_scale=LABEL_SCALE)
        )

    def _add_picture(self, index: int, picture: np.ndarray) -> None:
        camera = self.cameras[index]
        corners = camera.frustum(self.distances[index])
        self.pictures[index] = self.server.scene.add_image(
            f"{self.root}/{camera.name}/picture", picture, *_sides(corners), format="jpeg", jpeg_quality=JPEG_QUALITY,
            wxyz=wxyz(camera.T_camera_world[:3, :3].T), position=corners[1:].mean(0),
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip


def _edges(corners: np.ndarray) -> np.ndarray:
    """(5, 3) of a frustum -> (8, 2, 3)."""
    return corners[np.array(FRUSTUM_EDGES)].astype(np.float32)


def _sides(corners: np.ndarray) -> tuple[float, float]:
    """Width and height of a frustum's image plane."""
    return float(np.linalg.norm(corners[2] - corners[1])), float(np.linalg.norm(corners[4] - corners[1]))


def wxyz(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """(3, 3) -> a unit quaternion."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return w, x, y, z


def add_axes(server: ViserServer, visible: bool = True) -> FrameHandle:
    """The world's."""
    return server.scene.add_frame("/origin", axes_length=AXES_M, axes_radius=AXES_M / 40, visible=visible)


def look_from_the_front(server: ViserServer, scene: RigScene) -> None:
    """Where the page begins: before what the cameras look at, a little from above and from the side, with the whole rig
    in view."""
    view = front_view(scene)
    distance = float(np.linalg.norm(scene.focus - view.centre))
    _look(server, scene, view.centre, view.centre + distance * view.rotation[2])


def look_at_the_head(server: ViserServer, scene: RigScene) -> None:
    """The same with the head in the middle, about which the view turns."""
    view = front_view(scene)
    distance = FARTHER * float(np.linalg.norm(scene.focus - view.centre))
    _look(server, scene, scene.focus - distance * view.rotation[2], scene.focus)


def _look(server: ViserServer, scene: RigScene, position: np.ndarray, look_at: np.ndarray) -> None:
    server.scene.set_up_direction(scene.up)
    server.initial_camera.position = position
    server.initial_camera.fov = float(FOV_RAD)
    server.initial_camera.look_at = look_at


def rig_camera(name: str, camera: Camera, is_held_out: bool = False) -> RigCamera:
    """Of one camera without leading axes."""
    K = np.eye(3)
    K[[0, 1, 0, 1], [0, 1, 2, 2]] = [float(getattr(camera, key)) for key in ("fx", "fy", "cx", "cy")]
    pose = np.diag([1.0, -1.0, -1.0, 1.0]) @ camera.T_camera_world.double().cpu().numpy()
    return RigCamera(name, K, pose, (camera.height, camera.width), is_held_out=is_held_out)


def moved(camera: RigCamera, shift: np.ndarray) -> RigCamera:
    """The same camera elsewhere in the world, by shift (3,)."""
    pose = camera.T_camera_world.copy()
    pose[:3, 3] -= pose[:3, :3] @ shift
    return replace(camera, T_camera_world=pose)
