"""Which points of the surface a picture shows: looked up at the points, never over the whole picture."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vhap.fit.scene import Scene
from vhap.render.types import Raster

BORDER_PX = 2
"""So far from borders of the head and of the matte colours mix."""
HIDDEN_UV = 0.01
"""A picture shows another part of the surface than a point's from this distance on, in texture coordinates."""
JUMP_UV = 0.04
"""So far parts of the surface lie apart that only look like neighbours."""


def visible_points(scene: Scene, raster: Raster, inside: Tensor, place: Tensor, uv: Tensor) -> Tensor:
    """Indices (n,) of the points at place (M, 2) px, uv (M, 2), that one picture shows: in the picture, not near a
    border, where the pixel shows the same part of the surface, and does not jump, as from a lid to the eye.

    inside (H, W) bool: the matte.
    """
    height, width = scene.size
    corner = place.new_tensor([width, height])
    index = torch.nonzero(((place > 0) & (place < corner)).all(-1)).flatten()
    pixel = place[index].floor().clamp(min=0).minimum(corner - 1)
    column, row = pixel.long().unbind(-1)
    shown = (raster.mask[0] & inside).flatten()
    clear = shown[_around(row, column, BORDER_PX, scene.size)].all(-1)
    index, pixel, row, column = index[clear], pixel[clear], row[clear], column[clear]
    if not len(index):
        return index
    pixels = _around(row, column, 1, scene.size)
    covered = torch.searchsorted(raster.pixels, pixels.flatten())
    uvs, uv_faces = scene.head.uvs[None], scene.topology.uv_faces
    around = scene.backend.interpolate(uvs, uv_faces, _rows(raster, covered)).view(len(index), -1, 2)
    centre = pixels.shape[1] // 2
    at_centre = _rows(raster, covered.view(pixels.shape)[:, centre])
    slopes = scene.backend.attribute_derivatives(uvs, uv_faces, at_centre)
    here = around[:, centre] + (slopes @ (place[index] - pixel - 0.5)[..., None])[..., 0]
    same = (here - uv[index]).abs().amax(-1) < HIDDEN_UV
    # A plane's values span what its slopes say.
    span = around.amax(1) - around.amin(1)
    connected = (span < 2 * slopes.abs().sum(-1) + JUMP_UV).all(-1)
    return index[same & connected]


def _around(row: Tensor, column: Tensor, reach: int, size: tuple[int, int]) -> Tensor:
    """(n, (2 reach + 1)^2) flat indices of the pixels at most `reach` away in rows and columns, those of the picture's
    edge in place of what lies beyond it."""
    height, width = size
    steps = torch.arange(-reach, reach + 1, device=row.device)
    rows = (row[:, None] + steps).clamp(0, height - 1)
    columns = (column[:, None] + steps).clamp(0, width - 1)
    return (rows[:, :, None] * width + columns[:, None, :]).flatten(1)


def _rows(raster: Raster, rows: Tensor) -> Raster:
    """Some of the covered pixels."""
    return replace(
        raster,
        pixels=raster.pixels[rows],
        views=raster.views[rows],
        barycentrics=raster.barycentrics[rows],
        barycentric_derivatives=raster.barycentric_derivatives[rows],
    )
