"""Texture coordinates: free room in a layout, and a plain layout for heads that come without one."""

from __future__ import annotations

import cv2
import numpy as np

GRID = 256
EYES_BAND = 0.2
"""Height of the strip below the head's chart; the eyeballs' charts lie there."""


def largest_gap(corners: np.ndarray) -> tuple[float, float, float, float]:
    """The largest rectangle that no triangle touches: left, bottom, width, height.

    corners: (F, 3, 2) texture coordinates, origin at the lower left. A one-texel margin on a GRID of 256 is kept.
    """
    used = np.zeros((GRID, GRID), np.uint8)
    for triangle in np.round(corners * GRID * 16 - 8).astype(np.int32):
        cv2.fillConvexPoly(used, triangle, (1,), shift=4)
    used = cv2.dilate(used, np.ones((3, 3), np.uint8))
    best, place = 0, (0, 0, 1, 1)
    heights = np.zeros(GRID + 1, int)
    for row in range(GRID):
        heights[:GRID] = np.where(used[row] > 0, 0, heights[:GRID] + 1)
        stack: list[tuple[int, int]] = []
        for column, height in enumerate(heights.tolist()):
            start = column
            while stack and stack[-1][1] >= height:
                start, top = stack.pop()
                if top * (column - start) > best:
                    best, place = top * (column - start), (start, row - top + 1, column - start, top)
            stack.append((start, height))
    left, bottom, width, height = place
    return left / GRID, bottom / GRID, width / GRID, height / GRID


def cylinder_layout(points: np.ndarray, faces: np.ndarray, balls: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A layout from the template alone: the head unrolled as a cylinder, cut behind; each eyeball seen from its front.

    points (V, 3); balls: vertex ids of the eyeballs, whose charts go below the head's. The inside of the mouth shares
    room with the lips in front of it. Returns uvs (U, 2) and uv_faces (F, 3).
    """
    low, high = points.min(0), points.max(0)
    turn = np.arctan2(points[:, 0], points[:, 2]) / (2 * np.pi) + 0.5
    rise = (points[:, 1] - low[1]) / (high[1] - low[1])
    margin = 0.01
    flat = np.stack([turn, EYES_BAND + margin + rise * (1 - EYES_BAND - 2 * margin)], -1)
    for number, ids in enumerate(balls):
        offset = points[ids] - (points[ids].min(0) + points[ids].max(0)) / 2
        polar = np.arccos(np.clip(offset[:, 2] / np.linalg.norm(offset, axis=-1), -1, 1)) / np.pi
        side = np.linalg.norm(offset[:, :2], axis=-1, keepdims=True)
        disc = offset[:, :2] / np.maximum(side, 1e-9) * polar[:, None]
        flat[ids] = (disc * 0.48 + 0.5 + (number, 0)) * EYES_BAND
    turns = flat[faces, 0]
    across = (turns.max(1) - turns.min(1) > 0.5)[:, None] & (turns < 0.5)
    keys = faces * 2 + across
    used, uv_faces = np.unique(keys, return_inverse=True)
    uvs = flat[used // 2]
    uvs[:, 0] = np.where(used % 2 == 1, 1.0, uvs[:, 0])
    return uvs, uv_faces.reshape(faces.shape)


def match_corners(faces: np.ndarray, other_faces: np.ndarray, other_uv_faces: np.ndarray) -> np.ndarray | None:
    """uv_faces (F, 3) in the order of faces, from another list of the same triangles; None where one is missing."""
    found: dict[tuple[int, ...], int] = {tuple(sorted(face)): index for index, face in enumerate(other_faces.tolist())}
    rows = []
    for face in faces.tolist():
        index = found.get(tuple(sorted(face)))
        if index is None:
            return None
        corner_of = dict(zip(other_faces[index].tolist(), other_uv_faces[index].tolist()))
        rows.append([corner_of[vertex] for vertex in face])
    return np.array(rows)
