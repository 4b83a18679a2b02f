"""A recording on a page: cameras with pictures, mattes and landmarks, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from vhap.data.result_cameras import unused_cameras
from vhap.data.rig_capture import RigCapture
from vhap.data.sample import Capture, FrameBatch
from vhap.evaluate.jpeg import shrink
from vhap.evaluate.overlay import draw_landmarks
from vhap.evaluate.rig_scene import RigCamera, RigScene
from vhap.geometry.cameras import camera_from_focal
from vhap.util.log import get_logger
from vhap.viewer.camera_nodes import CameraNodes, look_from_the_front, rig_camera
from vhap.viewer.camera_panel import CameraPanel
from vhap.viewer.timeline import Timeline

if TYPE_CHECKING:
    from viser import ViserServer

PICTURES = ("picture", "matte", "picture by matte")
GUESSED_FOCAL = 2.0
"""In longer sides of a picture: of a camera that nobody knows, to draw its frustum."""
DIM = 0.25
"""Brightness of what the matte leaves out."""


class CaptureView:
    """Adds a recording to a page. has_landmarks: whether it was opened with them."""

    def __init__(self, server: ViserServer, capture: Capture, picture_px: int, has_landmarks: bool) -> None:
        self.server, self.capture, self.picture_px = server, capture, picture_px
        self.has_landmarks = has_landmarks
        cameras = known_cameras(capture)
        self.view = RigScene(cameras, np.zeros((0, 3)), np.zeros((0, 3), np.uint8))
        self.cameras = CameraNodes(server, "", cameras, self.view.frustum_distance)
        look_from_the_front(server, self.view)
        self.timeline = Timeline(server, capture.timestep_ids, self.show, {})
        self.panel = CameraPanel(
            server, [self.cameras], PICTURES, has_landmarks, self.view.focus, self.timeline.refresh
        )
        self.timeline.refresh()

    def stop(self) -> None:
        self.timeline.stop()

    def show(self, timestep: int) -> None:
        views = range(len(self.capture.camera_ids))
        if not self.panel.has_pictures:
            self.cameras.set_pictures([None for _ in views])
            return
        pictures = [self._picture(self.capture.load([timestep], [view])) for view in views]
        with self.server.atomic():
            self.cameras.set_pictures(pictures)

    def _picture(self, batch: FrameBatch) -> np.ndarray:
        batch = batch.shrunk(max(1, max(batch.size) // self.picture_px))
        rgb, alpha = batch.rgb[0], batch.alpha
        matte = torch.ones(rgb.shape[:2]) if alpha is None else alpha[0]
        if self.panel.kind.value == "matte":
            rgb = matte[..., None].expand(-1, -1, 3)
        elif self.panel.kind.value == "picture by matte":
            rgb = rgb * (DIM + (1 - DIM) * matte[..., None])
        picture = (rgb.clamp(0, 1) * 255).round().byte().numpy()
        if self.panel.landmarks.value and self.has_landmarks:
            picture = draw_landmarks(picture, batch.landmarks_px[0].numpy(), None, batch.confidence[0].numpy())
        return shrink(picture, self.picture_px)


def known_cameras(capture: Capture) -> list[RigCamera]:
    """Those of the recording, then those of the calibration that are not used, in the calibration's own world; one by
    itself where none is known."""
    given = capture.calibrated_camera() if isinstance(capture, RigCapture) else capture.given_camera()
    if given is None:
        get_logger().info("the camera of %s is not known: its frustum is a guess", capture.folder)
        guess = camera_from_focal(torch.tensor(GUESSED_FOCAL), *capture.size)
        return [rig_camera(name, guess) for name in capture.camera_ids[:1]]
    used = [rig_camera(name, given.select(view)) for view, name in enumerate(capture.camera_ids)]
    others = unused_cameras(capture, np.eye(4))
    return [*used, *(rig_camera(name, camera, is_held_out=True) for name, camera in others.items())]
