"""Regions that FLAME's mask file would name, found from 68 landmarks and a head's proportions.

Lengths are in units of the distance between the eyes' centres, so that they follow the head's size. All tests are
made on the upright template (metres, y up, face towards +z), left and right alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points, open_edges
from vhap.head.model import HeadModel

NOT_SKIN = ("left_eyeball", "right_eyeball", "teeth", "lip_inside", "eye_sockets")
RIM_WIDTH = 0.65


def bases_from_landmarks(model: HeadModel, masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """face, scalp, forehead, neck, boundary, ears, eye regions, nose and lips as (V,) bool masks.

    masks: what the model names already; eyeballs, teeth and the mouth's inside are no skin. Empty where the model
    has no `ibug` landmarks.
    """
    if "ibug" not in model.landmarks:
        return {}
    points = landmark_places(model)[:68]
    outside = torch.ones(model.n_vertices, dtype=torch.bool)
    for name in NOT_SKIN:
        if name in masks:
            outside &= ~masks[name].cpu()
    vertices = model.template.cpu().float()
    unit = float((points[42:48].mean(0) - points[36:42].mean(0)).norm())
    found = {"boundary": outside & near_lowest_rim(vertices, model.faces.cpu(), RIM_WIDTH * unit)}
    found["nose"] = outside & _nose(vertices, points, unit)
    found["lips"] = outside & _lips(vertices, points, unit)
    for side, ids in (("right", range(36, 42)), ("left", range(42, 48))):
        found[f"{side}_eye_region"] = outside & _eye_region(vertices, points, list(ids))
        found[f"{side}_ear"] = outside & _ear(vertices, points, 1 if side == "left" else -1, unit)
    ears = found["left_ear"] | found["right_ear"]
    above_neck = _above_neck(vertices, points, unit)
    found["scalp"] = outside & ~ears & above_neck & _above_hairline(vertices, points, unit)
    front = vertices[:, 2] > points[[0, 16], 2].mean() - 0.25 * unit
    found["face"] = outside & ~ears & ~found["scalp"] & above_neck & front
    low = vertices[:, 1] < points[[2, 14], 1].mean()
    found["neck"] = outside & low & ~(found["face"] | found["boundary"] | found["scalp"] | ears)
    brows = points[17:27, 1].mean() + 0.12 * unit
    within = vertices[:, 0].abs() < points[26, 0].abs() * 1.05
    face = masks["face"].cpu() if "face" in masks else found["face"]
    found["forehead"] = face & within & (vertices[:, 1] > brows)
    return {name: mask.to(model.template.device) for name, mask in found.items()}


def landmark_places(model: HeadModel) -> Tensor:
    """(L, 3) places of the `ibug` landmarks on the template, metres."""
    marks = model.landmarks["ibug"]
    return barycentric_points(model.template, model.faces, marks.face_ids, marks.barycentrics).cpu().float()


def near_lowest_rim(vertices: Tensor, faces: Tensor, width: float) -> Tensor:
    """Vertices within width of the open edges below the mesh's lower third."""
    rim = torch.unique(open_edges(faces))
    low, high = vertices[:, 1].min(), vertices[:, 1].max()
    rim = rim[vertices[rim, 1] < low + (high - low) / 3]
    if not len(rim):
        return torch.zeros(len(vertices), dtype=torch.bool)
    return torch.cdist(vertices, vertices[rim]).amin(-1) < width


def _nose(vertices: Tensor, points: Tensor, unit: float) -> Tensor:
    """A wedge from between the eyes to below the nostrils, widening towards the wings."""
    top, bottom = points[27, 1], points[33, 1] - 0.03 * unit
    down = (top - vertices[:, 1]) / (top - bottom)
    half = (points[35, 0] - points[31, 0]) / 2
    width = half * (0.6 + 0.85 * down.clamp(0, 1))
    inside = (down > 0) & (down < 1) & (vertices[:, 0].abs() < width)
    return inside & (vertices[:, 2] > points[[31, 35], 2].mean() - 0.3 * unit)


def _lips(vertices: Tensor, points: Tensor, unit: float) -> Tensor:
    """Inside the outer lip contour, seen from the front, with a little margin."""
    contour = points[48:60]
    middle = contour.mean(0)
    contour = middle + (contour - middle) * 1.06
    ahead = vertices[:, 2] > points[[48, 54], 2].mean() - 0.25 * unit
    return ahead & _inside(vertices[:, :2], contour[:, :2])


def _inside(queries: Tensor, polygon: Tensor) -> Tensor:
    """(N, 2) points inside a closed polygon (K, 2), by the parity of crossings."""
    start, end = polygon, polygon.roll(-1, 0)
    x, y = queries[:, None, 0], queries[:, None, 1]
    spans = (start[:, 1] > y) != (end[:, 1] > y)
    rise = torch.where(spans, end[:, 1] - start[:, 1], torch.ones_like(y))
    crossing = start[:, 0] + (y - start[:, 1]) / rise * (end[:, 0] - start[:, 0])
    return (spans & (x < crossing)).sum(-1) % 2 == 1


def _eye_region(vertices: Tensor, points: Tensor, lids: list[int]) -> Tensor:
    """An ellipse about the eye that reaches the brow and the cheek bone, front only."""
    middle = points[lids].mean(0)
    width = (points[lids[3]] - points[lids[0]]).norm()
    brow = points[17:22] if middle[0] < 0 else points[22:27]
    height = (brow[:, 1].mean() - middle[1]).abs()
    offset = vertices - middle
    inside = (offset[:, 0] / (0.78 * width)) ** 2 + (offset[:, 1] / (0.9 * height)) ** 2 < 1
    return inside & (offset[:, 2] > -1.0 * width)


def _ear(vertices: Tensor, points: Tensor, side: int, unit: float) -> Tensor:
    """What stands out sideways near the outermost vertex between chin and brow."""
    x = side * vertices[:, 0]
    level = (vertices[:, 1] > points[4, 1]) & (vertices[:, 1] < points[17:27, 1].max() + 0.3 * unit)
    tip = vertices[x.masked_fill(~level, -torch.inf).argmax()]
    offset = vertices - tip
    middle, radii = torch.tensor([-0.21, 0.2]), torch.tensor([0.6, 0.4])
    near = ((offset[:, 1:] / unit - middle) / radii).norm(dim=-1) < 1
    return level & near & (x > 0.85 * side * points[16 if side > 0 else 0, 0])


def _above_neck(vertices: Tensor, points: Tensor, unit: float) -> Tensor:
    """Above a line that runs, seen from the side, from below the chin along the jaw and then to the nape."""
    chin, corner, ear = points[8], points[[4, 12]].mean(0), points[[2, 14]].mean(0)
    back = vertices[:, 2].min()
    line = [
        (float(back), float(corner[1])),
        (float(ear[2]) - 0.6 * unit, float(corner[1])),
        (float(ear[2]), float(corner[1]) - 0.05 * unit),
        (float(chin[2]), float(chin[1]) - 0.12 * unit),
    ]
    depth, height = np.array(sorted(line)).T
    return vertices[:, 1] > torch.from_numpy(np.interp(vertices[:, 2].numpy(), depth, height)).float()


def _above_hairline(vertices: Tensor, points: Tensor, unit: float) -> Tensor:
    """Above a line that runs, seen from the side, along forehead, temple, over the ear and down behind it."""
    brow, temple = points[17:27].mean(0), points[[0, 16]].mean(0)
    hairline = brow[1] + 0.95 * (brow[1] - points[33, 1])
    nape = points[[4, 12], 1].mean()
    line = [
        (float(vertices[:, 2].min()), float(nape)),
        (float(temple[2]) - 0.95 * unit, float(nape)),
        (float(temple[2]) - 0.7 * unit, float(temple[1])),
        (float(temple[2]) - 0.1 * unit, float(temple[1])),
        (float(temple[2]) + 0.25 * unit, float(hairline) - 0.35 * unit),
        (float(brow[2]) - 0.25 * unit, float(hairline)),
    ]
    depth, height = np.array(sorted(line)).T
    return vertices[:, 1] > torch.from_numpy(np.interp(vertices[:, 2].numpy(), depth, height)).float()
