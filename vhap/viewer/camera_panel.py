"""What a page says of its cameras: which pictures they show, how large, and the view through one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vhap.evaluate.rig_scene import RigCamera
from vhap.viewer.camera_nodes import CameraNodes, add_axes, wxyz

if TYPE_CHECKING:
    from viser import ClientHandle, GuiEvent, ViserServer

NONE = "none"
SHARES = (0.05, 2.0, 0.01)
"""Distances of the image planes, of that from the cameras to what they look at: least, most, step."""
BEHIND = 1.5
"""The same, where a picture stands behind the head."""
WIDEST_RAD = np.radians(120)


class CameraPanel:
    """The folder "Cameras" of a page. refresh: is called when other pictures are to be seen.

    kinds: names of pictures, the first one is shown. focus (3,): what the cameras look at.
    """

    def __init__(
        self, server: ViserServer, nodes: Sequence[CameraNodes], kinds: Sequence[str], has_landmarks: bool,
        focus: np.ndarray, refresh: Callable[[], None],
    ) -> None:  # fmt: skip
        self.nodes, self.focus, self.refresh = nodes, focus, refresh
        self.cameras = nodes[0].cameras
        self.reach = float(np.median([np.linalg.norm(camera.centre - focus) for camera in self.cameras]))
        gui = server.gui
        with gui.add_folder("Cameras"):
            self.kind = gui.add_dropdown("pictures", (*kinds, NONE), initial_value=kinds[0])
            self.landmarks = gui.add_checkbox(
                "landmarks", False, visible=has_landmarks, hint="detected ones green, fitted ones red"
            )
            self.frusta = gui.add_checkbox("frusta and names", True)
            share = float(np.clip(nodes[0].distances[0] / max(self.reach, 1e-6), *SHARES[:2]))
            self.axes = gui.add_checkbox("axes of the world", False, hint="red x, green y, blue z; 10 cm")
            self.share = gui.add_slider(
                "distance of pictures", *SHARES, round(share, 2), hint="1: where the head is; beyond: behind it"
            )
            self.camera = gui.add_dropdown("camera", tuple(camera.name for camera in self.cameras))
            self.through = gui.add_button("Look through it", hint="the head before the camera's picture")
        self.kind.on_update(lambda _: refresh())
        self.landmarks.on_update(lambda _: refresh())
        self.frusta.on_update(lambda _: self._show_frusta())
        axes = add_axes(server, visible=False)
        self.axes.on_update(lambda _: setattr(axes, "visible", self.axes.value))
        self.share.on_update(lambda _: self._place())
        self.through.on_click(self._look_through)

    @property
    def chosen(self) -> int:
        """Index of the camera that is chosen."""
        return [camera.name for camera in self.cameras].index(self.camera.value)

    @property
    def has_pictures(self) -> bool:
        return self.kind.value != NONE

    def _place(self) -> None:
        for nodes in self.nodes:
            nodes.place(self.share.value * self.reach)

    def _show_frusta(self) -> None:
        for nodes in self.nodes:
            nodes.show_frusta(self.frusta.value)

    def _look_through(self, event: GuiEvent) -> None:
        # Pictures of the others would stand in the way there.
        self._place()
        for nodes in self.nodes:
            nodes.place(BEHIND * self.reach, min(self.chosen, len(nodes.cameras) - 1))
        if event.client is not None:
            look_through(event.client, self.cameras[self.chosen], self.focus)


def look_through(client: ClientHandle, camera: RigCamera, focus: np.ndarray) -> None:
    """Moves a browser's view to where a camera stands. The principal point counts as the middle."""
    forward = camera.T_camera_world[2, :3]
    depth = max(float(forward @ (focus - camera.centre)), 0.1)
    with client.atomic():
        client.camera.position = camera.centre
        client.camera.wxyz = wxyz(camera.T_camera_world[:3, :3].T)
        client.camera.look_at = camera.centre + depth * forward
        client.camera.fov = float(min(2 * np.arctan(camera.size[0] / 2 / camera.K[1, 1]), WIDEST_RAD))
