"""A tracked result of FLAME as the trainers' files: exact, since they pose FLAME as it was posed here.

Here: x_camera = R (pose(v) + t) + p, with T_camera_world = [R | p]. The trainers multiply the posed head by SCALE, and
no picture changes where camera and head grow alike: world_mat = [R | SCALE p], translation = t. So a head at the
tracked place, seen from the camera that all uncalibrated tracking has, (0, 0, 1), gives world_mat = [1 | (0, 0, -4)].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vhap.data.results import TrackResult
from vhap.geometry.cameras import Camera
from vhap.relightable.head_files import FlameFrame, FlameParams, TrackedFrame, TrackedParams

SCALE = 4.0
"""What trainers multiply FLAME's metres by."""


@dataclass(frozen=True)
class WrittenHead:
    """What is written. result: the tracked motion, one row a picture; camera: single, as `trainer_camera` gives it;
    names: the pictures' file names; with_translation: the head's translation has a key of its own, and the camera stays
    still; without, the movement is in each picture's world_mat."""

    result: TrackResult
    camera: Camera
    names: Sequence[str]
    with_translation: bool = True

    def world_mat(self, row: int) -> np.ndarray:
        """(4, 4) of a picture."""
        matrix = self.camera.T_camera_world.double().numpy().copy()
        if not self.with_translation:
            matrix[:3, 3] += matrix[:3, :3] @ np.asarray(self.result.translation[row], np.float64)
        matrix[:3, 3] *= SCALE
        return matrix

    def translation(self, row: int) -> np.ndarray | None:
        return self.result.translation[row] if self.with_translation else None

    def full_pose(self, row: int) -> np.ndarray:
        """(15,): head, neck, jaw, left eye, right eye."""
        names = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
        return np.concatenate([getattr(self.result, name)[row] for name in names])


def tracked_params(head: WrittenHead, cams: np.ndarray) -> TrackedParams:
    """tracked_params.json. cams (T, 3): DECA's camera of each picture."""
    camera, result = head.camera, head.result
    frames = {
        name: TrackedFrame(
            expcode=result.expr[row],
            fullposecode=head.full_pose(row),
            cam=cams[row],
            world_mat=head.world_mat(row),
            translation=head.translation(row),
        )
        for row, name in enumerate(head.names)
    }
    intrinsics = np.array([float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy)])
    return TrackedParams(intrinsics=intrinsics, shapecode=result.shape.reshape(-1), frames=frames)


def flame_params(head: WrittenHead, points: Tensor, file_paths: Sequence[str]) -> FlameParams:
    """flame_params.json. points (T, 70, 3): the head's 68 iBUG points and irises in the world; file_paths: as the
    reader wants them. Coordinates over the picture are -1 at its left and top edge and 1 at the others, each side by
    itself, which for square pictures is what those readers do."""
    camera, result = head.camera, head.result
    sides = np.array([camera.width, camera.height], np.float64)
    points_ndc = 2 * camera.project(points.double().cpu())[0].numpy() / sides - 1
    frames = tuple(
        FlameFrame(
            file_path=file_paths[row],
            world_mat=head.world_mat(row)[:3],
            expression=result.expr[row],
            pose=head.full_pose(row),
            bbox=np.concatenate([points_ndc[row].min(0), points_ndc[row].max(0)]),
            flame_keypoints=points_ndc[row],
            translation=head.translation(row),
        )
        for row in range(len(head.names))
    )
    shares = [-float(camera.fx) / sides[0], float(camera.fy) / sides[1]]
    shares += [float(camera.cx) / sides[0], float(camera.cy) / sides[1]]
    return FlameParams(np.array(shares), result.shape.reshape(-1), frames)
