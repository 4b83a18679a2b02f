"""What a tracked head tells of the classes of a picture: its surface by regions, its parts by landmarks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.head.model import landmark_points, yaw_in_camera
from vhap.relightable.class_completion import FacePlace
from vhap.relightable.class_maps import FaceClass
from vhap.relightable.class_outlines import draw_ibug_parts, draw_parts, place_of, place_of_ibug
from vhap.relightable.crop import Crop
from vhap.relightable.head_classes import head_classes
from vhap.util.errors import InputError

POINT_COUNT = 478
FRONT = (
    FaceClass.SKIN, FaceClass.NOSE, FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP,
    FaceClass.MOUTH,
)  # fmt: skip
"""Classes of the surface over which landmarks draw the parts of the face."""
SAME_FACE = 0.5
"""Distance between a detection's face and the head's up to which they are one, in distances from the eyes to the
chin."""
MOUTH_CLASSES = (FaceClass.MOUTH, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP)


class MeshClasses:
    """The classes of a run's head in its pictures."""

    def __init__(self, scene: RunScene) -> None:
        self._scene = scene
        self._classes = head_classes(scene.model)

    @torch.no_grad()
    def classes(
        self, row: int, size: tuple[int, int], crop: Crop | None = None, detected: np.ndarray | None = None
    ) -> tuple[np.ndarray, FacePlace]:
        """(H, W) uint8 of one row of the result, BACKGROUND where the head is not, and where the face is.

        size: (height, width) of the picture, which shows what the run's pictures show, at any size, or what `crop`
        cuts out of them. detected: 478 points (478, 2 or more) px of the picture's face, which draw the parts of the
        face in place of the head's landmarks, unless they are of another face.
        """
        scene = self._scene
        return self.seen_by(row, scene.vertices(row), picture_camera(scene.camera(), size, crop), detected)

    @torch.no_grad()
    def seen_by(
        self, row: int, vertices: Tensor, camera: Camera, detected: np.ndarray | None = None
    ) -> tuple[np.ndarray, FacePlace]:
        """As `classes`, of the picture of a single camera; vertices (V, 3) of that row in the camera's world."""
        scene = self._scene
        clip = camera.to_clip(vertices[None]).float()
        raster = scene.backend.rasterize(clip, scene.topology, camera.height, camera.width)
        face_id = raster.face_id[0].long()
        found = torch.where(face_id >= 0, self._classes[face_id.clamp(min=0)], int(FaceClass.BACKGROUND))
        return self._with_parts(found.cpu().numpy().astype(np.uint8), row, vertices, camera, detected)

    def _with_parts(
        self, classes: np.ndarray, row: int, vertices: Tensor, camera: Camera, detected: np.ndarray | None
    ) -> tuple[np.ndarray, FacePlace]:
        """Parts of the face by the outlines of landmarks, which are smoother than those of regions; and brows have no
        region."""
        landmarks = self._scene.model.landmarks
        drawn = np.where(np.isin(classes, FRONT), int(FaceClass.SKIN), classes).astype(np.uint8)
        has_all = "mediapipe" in landmarks and len(landmarks["mediapipe"].detector_ids) == POINT_COUNT
        points = self._points(row, vertices, camera, "mediapipe" if has_all else "ibug")
        place = place_of(points) if has_all else place_of_ibug(points)
        if detected is not None and _is_same_face(place_of(detected), place):
            draw_parts(drawn, detected)
        elif has_all:
            draw_parts(drawn, points)
        else:
            drawn[classes == FaceClass.NOSE] = FaceClass.NOSE
            draw_ibug_parts(drawn, points)
        # Through an open mouth one looks past the lips, at nothing.
        is_front = np.isin(classes, FRONT) | ((classes == FaceClass.BACKGROUND) & np.isin(drawn, MOUTH_CLASSES))
        return np.where(is_front, drawn, classes), place

    def _points(self, row: int, vertices: Tensor, camera: Camera, landmark_set: str) -> np.ndarray:
        """(L, 2) px, in the detector's order; NaN for those that the head does not have."""
        model = self._scene.model
        yaw = yaw_in_camera(self._scene.head_params(row), camera.T_camera_world[:3, :3])
        points = landmark_points(model, vertices[None], landmark_set, yaw[None])[0]
        ids = model.landmarks[landmark_set].detector_ids.cpu().numpy()
        ordered = np.full((int(ids.max()) + 1, 2), np.nan, np.float32)
        ordered[ids] = camera.project(points)[0].cpu().numpy()
        return ordered


def _is_same_face(found: FacePlace, place: FacePlace) -> bool:
    """Whether a detection's eyes and chin are about where the head has them."""
    gaps = np.linalg.norm(np.stack([found.eyes - place.eyes, found.chin - place.chin]), axis=1)
    return bool(gaps.max() < SAME_FACE * place.size)


def picture_camera(camera: Camera, size: tuple[int, int], crop: Crop | None) -> Camera:
    """The camera of pictures of size (height, width) that show all of what `camera` shows, or what `crop` cuts out.
    InputError where sizes do not fit."""
    expected = (camera.height, camera.width) if crop is None else crop.size
    if crop is not None and crop.source_size != (camera.height, camera.width):
        raise InputError(
            f"expected a run on the pictures that were cut ({crop.source_size[1]}x{crop.source_size[0]}), found one on "
            f"{camera.width}x{camera.height}; name the run on these pictures"
        )
    if crop is None and abs(size[0] * camera.width - size[1] * camera.height) > 2 * max(*size, *expected):
        raise InputError(
            f"expected pictures of the run's shape ({camera.width}x{camera.height}), found {size[1]}x{size[0]}; name "
            "the run on these pictures"
        )
    if crop is not None:
        x, y = crop.scale
        x0, y0 = crop.box[:2]
        camera = replace(
            camera, fx=camera.fx * x, fy=camera.fy * y, cx=(camera.cx - x0) * x, cy=(camera.cy - y0) * y,
            height=crop.size[0], width=crop.size[1],
        )  # fmt: skip
    return camera.resized(*size)
