"""Base regions of the built-in head, by place; the other region names are derived from the mesh."""

from __future__ import annotations

import numpy as np

from vhap.head.builtin import paint
from vhap.head.builtin.grid import Array, Index
from vhap.head.builtin.mesh import HeadMesh
from vhap.head.builtin.surface import EYE_CENTRE, EYE_RADIUS, MOUTH_HEIGHT, eye_parameter

TORSO_HEIGHT = -172.0


def build_regions(mesh: HeadMesh, points: Array) -> dict[str, Index]:
    """Region name -> ascending vertex ids."""
    skin = np.arange(len(points)) < mesh.n_skin
    x, y, z = points.T
    side, up = np.abs(x), y - EYE_CENTRE[1]
    azimuth = np.arctan2(x, z)
    in_mouth, in_socket = _members(mesh, ("mouth",)), _members(mesh, ("left_eye", "right_eye"))
    lids = _lid_rows(mesh, len(points)) | in_socket
    eye_area = (np.hypot((side - 31.5) / 21, (up - 1) / 17) < 1) & (z > 20) & (skin | in_socket)
    ears = skin & (np.hypot((y + 2) / 36, (z + 12) / 26) < 1) & (side > 72)
    jaw_edge = -118 + 60 * np.clip((np.abs(azimuth) - 0.25) / 1.6, 0, 1)
    throat = skin & (up < np.where(z > 60, -124, jaw_edge))
    torso = skin & (up < TORSO_HEIGHT + 14 * (z < 0))
    scalp = skin & (paint.hair_cover(x, y, z) > 0.5) & ~ears & ~throat
    lips = skin & (paint.lip_cover(side, y - MOUTH_HEIGHT) > 0.45) & (z > 30)
    face = skin & ~throat & ~ears & ~scalp & (z > -15)
    nape = skin & ~(throat | ears | scalp | face)
    masks = {
        "boundary": torso,
        "neck": (throat | nape) & ~torso,
        "scalp": scalp,
        "face": face | in_socket | in_mouth,
        "forehead": skin & (up > 14) & (z > 30) & (side < 62) & ~scalp,
        "nose": skin & (z > 60) & (side < np.where(up > -25, 11, 21)) & (up < 6) & (up > -51),
        "lips": lips | in_mouth,
        "lip_inside": in_mouth,
        "eye_region": eye_area,
        "left_eye_region": eye_area & (x > 0),
        "right_eye_region": eye_area & (x < 0),
        "eyelids": lids,
        "left_ear": ears & (x > 0),
        "right_ear": ears & (x < 0),
    }
    regions = {name: np.flatnonzero(mask) for name, mask in masks.items()}
    for name, ids in mesh.eyeballs.items():
        regions[name] = ids
        depth = points[ids, 2] - EYE_CENTRE[2]
        regions[name.replace("eyeball", "iris")] = ids[depth > EYE_RADIUS * np.cos(paint.IRIS_ANGLE) - 1e-6]
    return regions


def _members(mesh: HeadMesh, names: tuple[str, ...]) -> np.ndarray:
    mask = np.zeros(mesh.n_vertices, dtype=bool)
    for name in names:
        mask[mesh.rings[name].reshape(-1)] = True
    return mask


def _lid_rows(mesh: HeadMesh, count: int) -> np.ndarray:
    """The skin from the margins up to the crease and down to the lower lid's fold."""
    mask = np.zeros(count, dtype=bool)
    near = np.abs(eye_parameter(mesh.skin.azimuth)) < 1.15
    offset = paint.offset_from_eyes(mesh.skin.level)
    mask[: mesh.n_skin] = near & (offset < 9) & (offset > -7)
    return mask
