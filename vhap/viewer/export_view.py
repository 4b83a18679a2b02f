"""An exported dataset on a page: cameras with pictures and masks, and the head, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from vhap.evaluate.jpeg import shrink
from vhap.evaluate.rig_scene import RigScene
from vhap.geometry.meshes import vertex_normals
from vhap.util.log import get_logger
from vhap.viewer import colours
from vhap.viewer.camera_nodes import CameraNodes, look_at_the_head
from vhap.viewer.camera_panel import CameraPanel
from vhap.viewer.export_files import ExportFiles, Pose
from vhap.viewer.mesh_node import MeshNode, glb, painted, plain_surface
from vhap.viewer.timeline import Timeline

if TYPE_CHECKING:
    from viser import ViserServer

PICTURES = ("picture", "mask")
MODES = ("shape", "normals")


class ExportView:
    """Adds a dataset to a page. pose, faces: of the head, where its files are parameters; None without that head."""

    def __init__(
        self, server: ViserServer, files: ExportFiles, picture_px: int, pose: Pose | None, faces: np.ndarray | None
    ) -> None:
        self.server, self.files, self.picture_px, self.pose = server, files, picture_px, pose
        from_meshes = files.faces()
        self.faces = faces if from_meshes is None else from_meshes
        first = files.vertices(0, pose)
        if first is None or self.faces is None:
            get_logger().warning("no meshes in %s, and no head to pose its parameters: shown without", files.folder)
            first, self.faces = np.zeros((0, 3)), None
        self.view = RigScene(files.cameras, first, np.zeros((len(first), 3), np.uint8))
        self.cameras = CameraNodes(server, "", files.cameras, self.view.frustum_distance)
        self.mesh = MeshNode(server, "/head")
        look_at_the_head(server, self.view)
        self.timeline = Timeline(server, [self._title(moment) for moment in range(len(files.moments))], self.show, {})
        with server.gui.add_folder("Head", visible=self.faces is not None):
            self.visible = server.gui.add_checkbox("head", True)
            self.mode = server.gui.add_dropdown("colours", MODES)
        for handle in (self.visible, self.mode):
            handle.on_update(lambda _: self.timeline.refresh())
        self.panel = CameraPanel(
            server, [self.cameras], PICTURES, has_landmarks=False, focus=self.view.focus, refresh=self.timeline.refresh
        )
        self.timeline.refresh()

    def stop(self) -> None:
        self.timeline.stop()

    def show(self, moment: int) -> None:
        pictures = [self._picture(moment, camera) for camera in range(len(self.files.cameras))]
        with self.server.atomic():
            self.cameras.set_pictures(pictures)
        self.mesh.top.visible = self.visible.value
        if self.faces is None or not self.visible.value:
            return
        vertices = self.files.vertices(moment, self.pose)
        assert vertices is not None
        surface = plain_surface(self.faces, len(vertices))
        normals = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(self.faces))
        rotation = np.diag([1.0, -1.0, -1.0]) @ self.files.cameras[self.panel.chosen].T_camera_world[:3, :3]
        paint = colours.normal_colours if self.mode.value == "normals" else colours.shape_colours
        self.mesh.show(glb(surface, vertices, painted(surface, paint(normals, torch.from_numpy(rotation)))))

    def _picture(self, moment: int, camera: int) -> np.ndarray | None:
        if not self.panel.has_pictures:
            return None
        read = self.files.mask if self.panel.kind.value == "mask" else self.files.picture
        picture = read(moment, camera)
        return None if picture is None else shrink(picture, self.picture_px)

    def _title(self, moment: int) -> str:
        parts = self.files.parts[moment]
        return self.files.moments[moment] + (f" ({', '.join(parts)})" if parts else "")
