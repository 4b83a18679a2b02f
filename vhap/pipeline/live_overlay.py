"""The followed head over the picture: its mesh at the detector's points, its axes, and its strongest curves."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import torch

from vhap.detect.mesh_edges import mesh_edges
from vhap.export.live_link_face import COLUMNS
from vhap.fit.online_person import FollowedPerson
from vhap.fit.params import TrackParams, as_vectors
from vhap.geometry.cameras import camera_from_focal
from vhap.head.model import joint_rotations

MESH_RGB, LOST_RGB, TEXT_RGB = (90, 230, 120), (255, 80, 80), (255, 255, 255)
AXES_RGB = ((255, 80, 80), (80, 220, 80), (90, 140, 255))
AXIS_M = 0.08
SUBPIXEL_BITS = 4
MOST_BARS, BAR_FROM = 6, 0.08
FONT = cv2.FONT_HERSHEY_SIMPLEX


@functools.lru_cache(maxsize=4)
def _edges(ids: tuple[int, ...]) -> np.ndarray:
    """(E, 2) rows of the points ids that the mesh joins."""
    row_of = {point: row for row, point in enumerate(ids)}
    return np.array([(row_of[a], row_of[b]) for a, b in mesh_edges() if a in row_of and b in row_of], int)


@torch.no_grad()
def draw_overlay(
    picture: np.ndarray, params: TrackParams | None, person: FollowedPerson, curves: np.ndarray | None
) -> np.ndarray:
    """(H, W, 3) uint8, not drawn into. params: one frame; None writes that there is no head. curves: (61,)."""
    drawn = picture.copy()
    if params is None:
        cv2.putText(drawn, "no head", (10, 24), FONT, 0.6, LOST_RGB, 2, cv2.LINE_AA)
        return drawn
    points = person.problem.project(*as_vectors(params))[0, 0].numpy()
    lines = _fixed(points)[_edges(tuple(person.ids.tolist()))]
    cv2.polylines(drawn, list(lines), False, MESH_RGB, 1, cv2.LINE_AA, SUBPIXEL_BITS)
    _draw_axes(drawn, params)
    if curves is not None:
        _draw_bars(drawn, curves)
    return drawn


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as OpenCV's fixed-point numbers, bounded."""
    return np.rint((points.clip(-1e4, 1e4) - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)


def _draw_axes(drawn: np.ndarray, params: TrackParams) -> None:
    """Of the head (root and neck), from between its eyes' height: x to the subject's left, y up, z forwards."""
    height, width = drawn.shape[:2]
    camera = camera_from_focal(params.focal_length[0], height, width)
    rotations = joint_rotations(params.head())[0]
    turn = rotations[0] @ rotations[1]
    centre = params.translation[0] + turn @ torch.tensor([0.0, 0.0, 0.12])
    ends = torch.cat([centre[None], centre + AXIS_M * turn.mT])
    start, *others = _fixed(camera.project(ends[None])[0][0].numpy()).tolist()
    for end, colour in zip(others, AXES_RGB):
        cv2.line(drawn, start, end, colour, 2, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_bars(drawn: np.ndarray, curves: np.ndarray) -> None:
    """The strongest curves as bars, lower left."""
    strongest = [index for index in np.argsort(-curves[:52]) if curves[index] > BAR_FROM][:MOST_BARS]
    for row, index in enumerate(strongest):
        bottom = drawn.shape[0] - 8 - 16 * row
        cv2.rectangle(drawn, (8, bottom - 9), (8 + round(60 * float(curves[index])), bottom), MESH_RGB, -1)
        cv2.putText(drawn, COLUMNS[index], (74, bottom), FONT, 0.4, TEXT_RGB, 1, cv2.LINE_AA)
