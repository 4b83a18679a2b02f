"""A base texture for heads without a painted one: a flat colour by region, drawn into texture space."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from vhap.head.model import HeadModel, landmark_points
from vhap.head.regions import faces_of_region

COLOURS = {
    "skin": (0.80, 0.62, 0.53),
    "boundary": (0.72, 0.56, 0.48),
    "lips_tight": (0.62, 0.33, 0.31),
    "lips": (0.70, 0.40, 0.37),
    "hair": (0.25, 0.19, 0.15),
    "lip_inside": (0.33, 0.13, 0.12),
    "eye_sockets": (0.62, 0.40, 0.36),
    "teeth": (0.88, 0.84, 0.76),
    "eyeballs": (0.90, 0.88, 0.86),
    "sclerae": (0.90, 0.88, 0.86),
    "irises": (0.27, 0.17, 0.10),
}
"""sRGB; later ones are drawn over earlier ones."""

BROWS = (0.33, 0.24, 0.19)
PUPIL = (0.05, 0.04, 0.04)
PUPIL_PART = 0.4
"""Radius of the pupil in that of the iris."""
BROW_WIDTH_M = 0.007
BROW_LINES = (17, 18, 19, 20, 21), (22, 23, 24, 25, 26)
LASHES = (0.13, 0.09, 0.08)
LASH_WIDTH_M = 0.003
"""On both sides of the upper lids' margins. Closed lids without that line are plain skin, on which a detector of faces
reports open eyes."""
UPPER_LID_LINES = (36, 37, 38, 39), (42, 43, 44, 45)
SUBTEXEL_BITS = 4


def region_texture(model: HeadModel, resolution: int) -> Tensor:
    """(resolution, resolution, 3) sRGB in [0, 1], row 0 on top (v = 1): one colour for each region of the head.

    Brows and lashes follow the `ibug` landmarks where the head has them. Texels outside of all charts take the colour
    of the nearest chart, so that filtering across a border shows no seam.
    """
    colours = face_colours(model)
    texels = texel_corners(model, resolution)
    picture = np.zeros((resolution, resolution, 3), np.float32)
    covered = np.zeros((resolution, resolution), np.uint8)
    for corners, colour in zip(texels, colours):
        cv2.fillConvexPoly(picture, corners, colour.tolist(), shift=SUBTEXEL_BITS)
        cv2.fillConvexPoly(covered, corners, (1,), shift=SUBTEXEL_BITS)
    if "ibug" in model.landmarks and "skin" in model.regions:
        _draw_hair_lines(model, picture, texels)
    _draw_pupils(model, picture, texels)
    return torch.from_numpy(fill_outside(picture, covered > 0))


def face_colours(model: HeadModel) -> np.ndarray:
    """(F, 3) float32: one colour per face; faces across the border of two regions are skin."""
    colours = np.tile(np.array(COLOURS["skin"], np.float32), (len(model.faces), 1))
    for name, colour in COLOURS.items():
        if name in model.regions:
            colours[faces_of_region(model, name).cpu().numpy()] = colour
    return colours


def texel_corners(model: HeadModel, resolution: int) -> np.ndarray:
    """(F, 3, 2) int32 corners of the texture's triangles for OpenCV's fixed point, row 0 on top."""
    uv = model.uvs[model.uv_faces].cpu().numpy().astype(np.float64)
    texels = np.stack([uv[..., 0], 1 - uv[..., 1]], -1) * resolution - 0.5
    return np.round(texels * (1 << SUBTEXEL_BITS)).astype(np.int32)


def fill_outside(picture: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """(H, W, 3) with every texel where covered is False set to the nearest covered one's colour."""
    if covered.all() or not covered.any():
        return picture
    _, found = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(found, np.intp)
    colour_of = np.zeros((label.max() + 1, 3), np.float32)
    colour_of[label[covered]] = picture[covered]
    return colour_of[label]


def _distance_to_line(points: Tensor, line: Tensor) -> Tensor:
    """(N, 3) to a polyline (K, 3) -> (N,)."""
    start, step = line[:-1], line[1:] - line[:-1]
    along = ((points[:, None] - start) * step).sum(-1) / (step * step).sum(-1).clamp(min=1e-12)
    nearest = start + along.clamp(0, 1)[..., None] * step
    return (points[:, None] - nearest).norm(dim=-1).amin(-1)


def _curve(points: Tensor, samples: int = 16) -> Tensor:
    """A cubic spline through points (K, 3), K at least 4, as a polyline (samples, 3)."""
    along = torch.cat([points.new_zeros(1), (points[1:] - points[:-1]).norm(dim=-1).cumsum(0)]).numpy()
    return torch.from_numpy(make_interp_spline(along, points.numpy(), k=3)(np.linspace(0, along[-1], samples)))


def _draw_hair_lines(model: HeadModel, picture: np.ndarray, texels: np.ndarray) -> None:
    """Brows and the upper lids' lashes: bands along lines of the 68 landmarks."""
    places = landmark_points(model, model.template, "ibug").cpu().double()
    for ids in BROW_LINES:
        _draw_band(model, picture, texels, places[list(ids)], BROW_WIDTH_M, BROWS)
    for ids in UPPER_LID_LINES:
        _draw_band(model, picture, texels, _curve(places[list(ids)]), LASH_WIDTH_M, LASHES)


def _draw_band(
    model: HeadModel,
    picture: np.ndarray,
    texels: np.ndarray,
    line: Tensor,
    width_m: float,
    colour: tuple[float, float, float],
) -> None:
    """On the skin about a polyline (K, 3)."""
    corners = model.template[model.faces].cpu().double()
    near = _distance_to_line(corners.flatten(0, 1), line).reshape(-1, 3).amin(-1) < 2 * width_m
    for face in (near & faces_of_region(model, "skin").cpu()).nonzero()[:, 0].tolist():
        rows, columns, points = _texels_inside(picture, texels[face], corners[face])
        within = (_distance_to_line(points, line) < width_m / 2).numpy()
        picture[rows[within], columns[within]] = colour


def _draw_pupils(model: HeadModel, picture: np.ndarray, texels: np.ndarray) -> None:
    corners = model.template[model.faces].cpu().double()
    for name in ("left_iris", "right_iris"):
        if name not in model.regions or not len(model.regions[name]):
            continue
        iris = model.template[model.regions[name]].cpu().double()
        middle = (iris.amin(0) + iris.amax(0)) / 2
        radius = PUPIL_PART * (iris - middle)[:, :2].norm(dim=-1).max()
        for face in faces_of_region(model, name).nonzero()[:, 0].tolist():
            rows, columns, points = _texels_inside(picture, texels[face], corners[face])
            within = ((points - middle)[:, :2].norm(dim=-1) < radius).numpy()
            picture[rows[within], columns[within]] = PUPIL


def _texels_inside(picture: np.ndarray, texels: np.ndarray, corners: Tensor) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Rows (N,) and columns (N,) of the texels in one triangle, and their places (N, 3) between its corners (3, 3).

    Painting texel by texel keeps what is painted round whatever the mesh.
    """
    places = texels / (1 << SUBTEXEL_BITS)
    low = np.floor(places.min(0)).astype(int).clip(0)
    high = np.minimum(np.ceil(places.max(0)).astype(int) + 1, picture.shape[1::-1])
    grid = np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    columns, rows = grid[0].ravel(), grid[1].ravel()
    square = np.concatenate([places.T, np.ones((1, 3))])
    if abs(np.linalg.det(square)) < 1e-9:
        columns, rows, weights = columns[:0], rows[:0], np.zeros((3, 0))
    else:
        weights = np.linalg.solve(square, np.stack([columns, rows, np.ones(columns.size)]))
    inside = (weights > -1e-6).all(0)
    return rows[inside], columns[inside], torch.from_numpy(weights.T[inside]) @ corners
