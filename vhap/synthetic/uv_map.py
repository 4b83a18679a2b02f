"""The head's texture seen as a picture: which face and which place of the surface every texel shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from vhap.head.model import HeadModel
from vhap.head.regions import faces_of_region
from vhap.render.topology import build_topology
from vhap.render.types import Backend


@dataclass(frozen=True)
class UvMap:
    """face_id (H, W) long and position (H, W, 3) on the template in metres; row 0 on top.

    Texels outside the charts repeat the nearest one inside, so that filtering across a chart's border is harmless.
    """

    face_id: Tensor
    position: Tensor

    def in_region(self, model: HeadModel, *names: str) -> Tensor:
        """(H, W) bool: the texel's face has all its vertices in one of these regions (absent ones are empty)."""
        inside = torch.zeros(len(model.faces), dtype=torch.bool)
        for name in names:
            if name in model.regions:
                inside[faces_of_region(model, name)] = True
        return inside[self.face_id]

    def barycentrics(self, model: HeadModel) -> Tensor:
        """(H, W, 3) weights of the corners of each texel's face."""
        a, b, c = model.template[model.faces[self.face_id]].double().unbind(-2)
        first, second, inside = b - a, c - a, self.position.double() - a
        products = [(x * y).sum(-1) for x, y in ((first, first), (first, second), (second, second))]
        along, across = (inside * first).sum(-1), (inside * second).sum(-1)
        determinant = (products[0] * products[2] - products[1] ** 2).clamp(min=1e-30)
        weight_b = (products[2] * along - products[1] * across) / determinant
        weight_c = (products[0] * across - products[1] * along) / determinant
        return torch.stack([1 - weight_b - weight_c, weight_b, weight_c], -1).float()


def make_uv_map(model: HeadModel, backend: Backend, height: int, width: int) -> UvMap:
    """The map of a head on the CPU; charts may be unwrapped either way round."""
    u, v = model.uvs.unbind(-1)
    clip = torch.stack([2 * u - 1, 2 * v - 1, torch.zeros_like(u), torch.ones_like(u)], -1)[None]
    face_id = torch.full((height, width), -1, dtype=torch.long)
    position = torch.zeros(height, width, 3)
    for order in ([0, 1, 2], [0, 2, 1]):
        uv_faces, faces = model.uv_faces[:, order].int(), model.faces[:, order].int()
        raster = backend.rasterize(clip.contiguous(), build_topology(uv_faces, uv_faces), height, width)
        place = backend.interpolate(model.template[None].contiguous(), faces.contiguous(), raster)
        position.view(-1, 3)[raster.pixels] = place
        face_id.view(-1)[raster.pixels] = raster.face_id.view(-1)[raster.pixels].long()
    outside = (face_id < 0).numpy()
    assert not outside.all(), "no face has an area in the texture"
    rows, columns = distance_transform_edt(outside, return_distances=False, return_indices=True)  # type: ignore[misc]
    nearest = torch.from_numpy(np.asarray(rows)).long(), torch.from_numpy(np.asarray(columns)).long()
    return UvMap(face_id[nearest], position[nearest])
