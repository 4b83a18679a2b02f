"""Where closed lips meet, seen from the front: what the shape of lips alone does not tell, and what everybody sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.head.model import HeadModel, landmark_points
from vhap.head.regions import region_mask
from vhap.head.registration.parts import deep_mouth

CORNERS = 60, 64
"""iBUG's inner corners of the mouth, the one on the image's left first."""
BINS = 16
MARGIN = 0.08
"""Share of the mouth's width at either corner, where lips are one."""
TOUCHING_M = 0.0005
"""Points of a lip about as near to the other one as the nearest; the foremost of them is on the line."""
GRID = 4
"""Samples of a triangle along each side."""


@dataclass(frozen=True)
class MouthLine:
    """For each of BINS shares of the mouth's width a point of the upper and one of the lower lip. face_ids (2, BINS),
    barycentrics (2, BINS, 3); known (BINS,) bool."""

    face_ids: np.ndarray
    barycentrics: np.ndarray
    known: np.ndarray


def mouth_line(model: HeadModel, opened: Tensor) -> MouthLine | None:
    """opened (V, 3): the template with an open mouth. None where the head has no lips, or its mouth does not open."""
    if "lips" not in model.regions:
        return None
    inside = region_mask(model, model.regions.get("lip_inside", model.regions["lips"]))
    lips = (region_mask(model, model.regions["lips"]) | inside) & ~deep_mouth(model)
    moved = (opened - model.template).norm(dim=-1)
    most = moved[lips].max()
    if float(most) < 1e-4:
        return None
    lower = moved > most / 2
    samples = [_samples(model, (lips & side)[model.faces].all(1)) for side in (~lower, lower)]
    if any(len(part[0]) == 0 for part in samples):
        return None
    left, right = landmark_points(model, model.template, "ibug")[list(CORNERS)].double().numpy()
    width = right[0] - left[0]
    points = [barycentric_points(model.template, model.faces, *part).double().numpy() for part in samples]
    distance, partner = map(np.asarray, KDTree(points[1]).query(points[0]))
    share = (points[0][:, 0] - left[0]) / width
    edges = np.linspace(MARGIN, 1 - MARGIN, BINS + 1)
    line = MouthLine(np.zeros((2, BINS), int), np.tile([1.0, 0, 0], (2, BINS, 1)), np.zeros(BINS, bool))
    for index in range(BINS):
        rows = np.flatnonzero((share >= edges[index]) & (share < edges[index + 1]))
        if not len(rows):
            continue
        rows = rows[distance[rows] < distance[rows].min() + TOUCHING_M]
        upper = rows[points[0][rows, 2].argmax()]
        for side, row in enumerate((upper, partner[upper])):
            line.face_ids[side, index] = samples[side][0][row]
            line.barycentrics[side, index] = samples[side][1][row]
        line.known[index] = True
    return line


def _samples(model: HeadModel, faces: Tensor) -> tuple[Tensor, Tensor]:
    """face_ids (N,) and barycentrics (N, 3): an even grid on each of some triangles (F,) bool."""
    steps = [(i, j, GRID - i - j) for i in range(GRID + 1) for j in range(GRID + 1 - i)]
    grid = torch.tensor(steps, dtype=model.template.dtype) / GRID
    ids = faces.nonzero()[:, 0]
    return ids.repeat_interleave(len(grid)), grid.repeat(len(ids), 1)
