"""One run in the scene: its mesh and its cameras, below a node of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vhap.data.frame_cache import Frame
from vhap.data.pictures import shrink as shrink_to
from vhap.data.result_cameras import similarity_of, unused_cameras
from vhap.data.sample import shrunk_size
from vhap.evaluate.frame_panels import frame_panels
from vhap.evaluate.frame_pass import RenderedFrame, shrunk_frame
from vhap.evaluate.jpeg import shrink
from vhap.evaluate.overlay import draw_landmarks
from vhap.evaluate.run_scene import RunScene
from vhap.head.model import landmark_points
from vhap.viewer import colours
from vhap.viewer.camera_nodes import CameraNodes, rig_camera
from vhap.viewer.mesh_node import MeshNode, glb, painted, plain_surface, textured_surface

if TYPE_CHECKING:
    from viser import ViserServer

PICTURES = ("input", "alpha", "overlay", "render", "normals", "albedo", "shading", "error")
LANDMARK_RGB, LANDMARK_M = (255, 70, 70), 0.0016


@dataclass(frozen=True)
class PicturePixels:
    """Longest sides of what is sent: pictures of cameras, and the texture."""

    picture: int
    texture: int


class RunNodes:
    """The nodes NAME/head, NAME/landmarks and NAME/cameras/... of a run.

    has_landmarks: whether the run was opened with its landmarks. shift (3,): moves everything, of runs side by side.
    """

    def __init__(
        self, server: ViserServer, name: str, scene: RunScene, pixels: PicturePixels, has_landmarks: bool,
        shift: np.ndarray,
    ) -> None:  # fmt: skip
        self.server, self.name, self.scene, self.pixels = server, name, scene, pixels
        self.has_landmarks = has_landmarks
        self.top = server.scene.add_frame(name, show_axes=False, position=shift)
        self.mesh = MeshNode(server, f"{name}/head")
        self.cameras = CameraNodes(server, name, self._rig(), 1.0)
        texture, model = scene.albedo_bytes(), scene.model
        self.albedo = colours.vertex_albedo(model, texture)
        self.plain = plain_surface(model.faces.cpu().numpy(), model.n_vertices)
        arrays = (model.faces.cpu().numpy(), model.uvs.cpu().numpy(), model.uv_faces.cpu().numpy())
        self.textured = textured_surface(*arrays, texture, pixels.texture)
        self._frame: RenderedFrame | None = None

    def lost_reasons(self, row: int) -> list[str]:
        """By view: why a picture shows nothing of the head, empty where it does."""
        reasons = self.scene.result.lost_reason
        return [""] * self.scene.n_views if reasons is None else [str(reason) for reason in reasons[row]]

    @torch.no_grad()
    def vertices(self, row: int) -> Tensor:
        return self.scene.vertices(row)

    @torch.no_grad()
    def show_head(self, row: int, mode: str, view: int, region: str | None, values: np.ndarray | None = None) -> None:
        """values (V,) in [0, 1]: of the mode `distance`."""
        vertices = self.vertices(row)
        rgb = self._mesh_colours(row, mode, view, vertices, values)
        if region is not None:
            rgb = colours.highlighted(rgb, self.scene.model.regions[region].cpu().numpy())
        surface = self.textured if mode in colours.TEXTURED else self.plain
        self.mesh.show(glb(surface, vertices.cpu().numpy(), painted(surface, rgb, self.albedo)))

    @torch.no_grad()
    def show_landmarks(self, row: int | None) -> None:
        """The fitted ones, as points on the head; None takes them away."""
        name = f"{self.name}/landmarks"
        if row is None or not self.has_landmarks:
            self.server.scene.remove_by_name(name)
            return
        points = landmark_points(self.scene.model, self.vertices(row), self.scene.capture.landmark_set)
        self.server.scene.add_point_cloud(
            name, points.cpu().numpy(), LANDMARK_RGB, point_size=LANDMARK_M, point_shape="circle",
            precision="float32", point_shading="flat",
        )  # fmt: skip

    @torch.no_grad()
    def show_pictures(self, row: int, kind: str | None, with_landmarks: bool) -> None:
        """kind: of PICTURES; None for no pictures."""
        views = range(self.scene.n_views)
        if kind is None:
            self.cameras.set_pictures([None] * len(views))
        else:
            self.cameras.set_pictures([self._picture(row, view, kind, with_landmarks) for view in views])
        self.cameras.mark(self.lost_reasons(row))

    def _rig(self) -> list:
        """Cameras with pictures come first, in the order of the run's views; then those held out."""
        scene = self.scene
        used = [rig_camera(name, scene.camera(view)) for view, name in enumerate(scene.capture.camera_ids)]
        others = unused_cameras(scene.capture, similarity_of(scene.capture, scene.result))
        return [*used, *(rig_camera(name, camera, is_held_out=True) for name, camera in others.items())]

    def _mesh_colours(self, row: int, mode: str, view: int, vertices: Tensor, values: np.ndarray | None) -> np.ndarray:
        if mode == colours.DISTANCE:
            assert values is not None
            return colours.heat(values, 1.0)
        if mode == "albedo":
            return self.albedo
        if mode == "error":
            return colours.heat(colours.vertex_errors(self._small_frame(row, view)))
        normals = colours.normals_of(self.scene.model, vertices)
        if mode in ("normals", "shape"):
            rotation = self.scene.camera(view).T_camera_world[:3, :3]
            paint = colours.normal_colours if mode == "normals" else colours.shape_colours
            return paint(normals, rotation)
        shading = colours.vertex_shading(normals, self.scene.lights)
        return colours.shading_colours(shading) if mode == "shading" else colours.lit(self.albedo, shading)

    def _picture(self, row: int, view: int, kind: str, with_landmarks: bool) -> np.ndarray:
        """(H, W, 3) uint8, at most as large as is sent."""
        frame = self._small_frame(row, view)
        if kind == "alpha":
            rgb, alpha = frame.picture
            picture = np.full_like(rgb, 255) if alpha is None else np.repeat(alpha[..., None], 3, -1)
        else:
            picture = frame_panels(frame, (kind,))[kind]
        if with_landmarks and self.has_landmarks:
            picture = self._with_landmarks(picture, frame)
        return shrink(picture, self.pixels.picture)

    def _with_landmarks(self, picture: np.ndarray, frame: RenderedFrame) -> np.ndarray:
        scene = self.scene
        ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids.cpu()
        detected, confidence, fitted = frame.detected_px[ids], frame.confidence[ids], frame.landmarks_px.cpu()
        return draw_landmarks(picture, detected.numpy(), fitted.numpy(), confidence.numpy())

    def _small_frame(self, row: int, view: int) -> RenderedFrame:
        """A picture and its camera, averaged over whole pixels to at least the size that is sent; the last one is
        kept."""
        kept = self._frame
        if kept is None or (kept.row, kept.view) != (row, view):
            scene = self.scene
            rgb, alpha = scene.frame(row, view)
            size = shrunk_size(scene.capture.size, max(1, max(scene.capture.size) // self.pixels.picture))
            small = Frame(shrink_to(rgb, size), None if alpha is None else shrink_to(alpha, size))
            kept = shrunk_frame(scene, row, view, small)
            self._frame = kept
        return kept
