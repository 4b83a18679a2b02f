"""Files that list pictures instead of cameras: which camera took each, and one camera out of many pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vhap.data.cameras.rig import RigCameras, mean_rotation
from vhap.data.pictures import natural_order
from vhap.util.errors import InputError

ANGLE_TOLERANCE_DEG = 0.2
POSITION_TOLERANCE = 0.005
"""Of the mean distance of the cameras from their centre."""
INTRINSICS_TOLERANCE = 0.001
"""Of the picture's longer side."""
DISTORTION_TOLERANCE = 0.01


@dataclass(frozen=True)
class Shot:
    """A picture with its camera; arrays as in `RigCameras`, without the leading axis."""

    K: np.ndarray
    T_camera_world: np.ndarray
    size: tuple[int, int]
    distortion: np.ndarray


def camera_names(paths: Iterable[str]) -> list[str]:
    """What tells the cameras apart in their pictures' paths.

    Where pictures stand in several folders, a folder is a camera (cam01/000000.jpg, images/cam01/000000.jpg); where
    all stand in one, each picture is one (cam01.jpg). What all folders begin or end with is left out.
    """
    files = [PurePosixPath(path.replace("\\", "/")) for path in paths]
    folders = [tuple(part for part in file.parent.parts if part != ".") for file in files]
    if len(set(folders)) < 2:
        return [file.stem for file in files]
    start = _count_common(folders)
    end = _count_common([folder[start:][::-1] for folder in folders])
    return ["_".join(folder[start : len(folder) - end]) or file.stem for folder, file in zip(folders, files)]


def _count_common(rows: Sequence[tuple[str, ...]]) -> int:
    """How many first entries all rows share; one of the shortest row's is left to tell it apart."""
    count, most = 0, min(map(len, rows)) - 1
    while count < most and len({row[count] for row in rows}) == 1:
        count += 1
    return count


def collapse_shots(shots: Mapping[str, Sequence[Shot]], path: Path, remedy: str) -> RigCameras:
    """One camera of each name, the average of its pictures'; InputError where these do not agree.

    remedy: ends that message.
    """
    if not shots:
        raise InputError(f"expected at least one camera in {path}, found none; remake the file")
    names = sorted(shots, key=natural_order)
    centres = {name: np.stack([_centre(shot) for shot in shots[name]]) for name in names}
    middles = np.stack([centres[name].mean(0) for name in names])
    extent = np.linalg.norm(middles - middles.mean(0), axis=1).mean()
    cameras = []
    for name in names:
        if found := _disagreement(shots[name], centres[name], extent):
            raise InputError(f"expected a still camera {name} in {path}, found pictures {found}; {remedy}")
        cameras.append(_average(shots[name], centres[name]))
    return RigCameras(
        tuple(names),
        np.stack([camera.K for camera in cameras]),
        np.stack([camera.T_camera_world for camera in cameras]),
        np.array([camera.size for camera in cameras]),
        np.stack([camera.distortion for camera in cameras]),
    )


def _disagreement(shots: Sequence[Shot], centres: np.ndarray, extent: float) -> str | None:
    """What differs between a camera's pictures, in words."""
    first = shots[0]
    if len({shot.size for shot in shots}) > 1:
        return "of several sizes"
    rotations = np.stack([shot.T_camera_world[:3, :3] @ first.T_camera_world[:3, :3].T for shot in shots])
    # The chord between two rotations, since the arc cosine of their trace is coarse near zero.
    chords = np.linalg.norm(rotations - np.eye(3), axis=(1, 2))
    angle = np.degrees(2 * np.arcsin(np.minimum(chords / np.sqrt(8), 1))).max()
    if angle > ANGLE_TOLERANCE_DEG:
        return f"turned by up to {angle:.3g} degrees"
    distance = np.linalg.norm(centres - centres[0], axis=1).max()
    # A single camera has no extent to compare with; its distance from the world's origin stands in.
    allowed = POSITION_TOLERANCE * (extent or np.linalg.norm(centres[0]))
    if distance > allowed + 1e-9:
        return f"up to {distance:.3g} apart (at most {allowed:.3g} would do)"
    lenses = np.stack([shot.K for shot in shots]) - first.K
    if np.abs(lenses).max() > INTRINSICS_TOLERANCE * max(first.size):
        return f"whose intrinsics differ by up to {np.abs(lenses).max():.3g} pixels"
    bends = np.stack([shot.distortion for shot in shots]) - first.distortion
    if np.abs(bends).max() > DISTORTION_TOLERANCE:
        return f"whose distortion differs by up to {np.abs(bends).max():.3g}"
    return None


def _average(shots: Sequence[Shot], centres: np.ndarray) -> Shot:
    if len(shots) == 1:
        return shots[0]
    pose = np.eye(4)
    pose[:3, :3] = mean_rotation(np.stack([shot.T_camera_world[:3, :3] for shot in shots]))
    pose[:3, 3] = -pose[:3, :3] @ centres.mean(0)
    intrinsics = np.mean([shot.K for shot in shots], 0)
    return Shot(intrinsics, pose, shots[0].size, np.mean([shot.distortion for shot in shots], 0))


def _centre(shot: Shot) -> np.ndarray:
    return -shot.T_camera_world[:3, :3].T @ shot.T_camera_world[:3, 3]
