"""The source's albedo in the target's texture coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.sparse import diags
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.nn.functional import grid_sample

from vhap.fit.texture import resize_texture
from vhap.geometry.meshes import barycentric_points
from vhap.head.model import HeadModel
from vhap.head.regions import faces_of_region
from vhap.head.registration.closest import Triangles
from vhap.head.registration.correspondence import Correspondence
from vhap.head.registration.nonrigid import sparse_laplacian
from vhap.render.types import Backend
from vhap.synthetic.uv_map import UvMap, make_uv_map

SEAM_UV = 0.05
"""Corners of a target's triangle that lie farther apart in the source's texture are on both sides of a seam there."""
FAR_SHARE = 5.0
"""Counterparts of a weight from 1 / FAR_SHARE on count fully."""
CHUNK = 65_536


def resampled_albedo(
    source: HeadModel, albedo: Tensor, target: HeadModel, match: Correspondence, backend: Backend
) -> Tensor:
    """(1, R, R, 3) in the target's coordinates, of the source's albedo (1, R, R, 3). Where the source has no
    counterpart skin goes on in the colours beside it, and all else is the target's base texture."""
    size = albedo.shape[1]
    assert target.base_texture is not None, target.name
    base = resize_texture(target.base_texture[None], size)
    texels = _Texels.of(target, make_uv_map(target, backend, size, size))
    uv = _source_uv(source, target, match, texels)
    read = _read(albedo, uv)[None]
    # A far counterpart has a better colour than none.
    share = texels.blended((match.weights[:, None] * FAR_SHARE).clamp(max=1))[None]
    tinted = _tinted_faces(target)[texels.map.face_id][None, ..., None]
    rest = torch.where(tinted, texels.blended(_spread_colours(source, albedo, target, match))[None], base)
    return (share * read + (1 - share) * rest).clamp(0, 1)


def _tinted_faces(target: HeadModel) -> Tensor:
    """(F,) bool: skin, which where it has no counterpart goes on as the skin beside it."""
    found = torch.zeros(len(target.faces), dtype=torch.bool)
    for name in ("skin", "boundary"):
        if name in target.regions:
            found |= faces_of_region(target, name)
    return found


def _spread_colours(source: HeadModel, albedo: Tensor, target: HeadModel, match: Correspondence) -> Tensor:
    """(V, 3): colours of the target's vertices, of which those without a counterpart change as little as they can from
    one to the next."""
    uv = barycentric_points(source.uvs, source.uv_faces, match.face_ids, match.barycentrics)
    colours = _read(albedo, uv[None])[0].double().numpy()
    known = match.weights.double().numpy()
    laplacian = sparse_laplacian(target.n_vertices, target.faces)
    mean = (known[:, None] * colours).sum(0) / max(known.sum(), 1e-9)
    matrix = laplacian.T @ laplacian + diags(known + 1e-6)
    return torch.from_numpy(splu(matrix.tocsc()).solve(known[:, None] * colours + 1e-6 * mean)).float().clamp(0, 1)


def _read(texture: Tensor, uv: Tensor) -> Tensor:
    """texture (1, R, R, 3) at uv (H, W, 2): (H, W, 3)."""
    grid = (uv * 2 - 1)[None] * torch.tensor([1.0, -1.0])
    planes = grid_sample(texture.permute(0, 3, 1, 2), grid, align_corners=False, padding_mode="border")
    return planes[0].permute(1, 2, 0)


@dataclass(frozen=True)
class _Texels:
    """corners (H, W, 3): the vertices of each texel's face; weights (H, W, 3): of these."""

    map: UvMap
    corners: Tensor
    weights: Tensor

    @classmethod
    def of(cls, head: HeadModel, uv_map: UvMap) -> _Texels:
        return cls(uv_map, head.faces[uv_map.face_id], uv_map.barycentrics(head).clamp(0, 1))

    def blended(self, values: Tensor) -> Tensor:
        """(V, C) at the vertices -> (H, W, C)."""
        return (values[self.corners] * self.weights[..., None]).sum(-2)


def _source_uv(source: HeadModel, target: HeadModel, match: Correspondence, texels: _Texels) -> Tensor:
    """(H, W, 2): where each texel of the target lies in the source's texture."""
    of_vertices = barycentric_points(source.uvs, source.uv_faces, match.face_ids, match.barycentrics)
    uv = texels.blended(of_vertices)
    around = of_vertices[target.faces]
    apart = (around - around.roll(1, 1)).norm(dim=-1).amax(1) > SEAM_UV
    torn = apart[texels.map.face_id] & (match.weights[target.faces] > 0).all(1)[texels.map.face_id]
    rows = torn.nonzero()
    if not len(rows):
        return uv
    places = texels.blended(match.points(source, source.template))[torn]
    faces = torch.unique(match.face_ids[match.weights > 0])
    near = torch.isin(source.faces, source.faces[faces]).any(1).nonzero()[:, 0]
    triangles = Triangles.of(source.template[source.faces[near]].double().numpy())
    found = []
    for part in places.split(CHUNK):
        nearest = triangles.nearest(part.double().numpy())
        ids = near[torch.from_numpy(nearest.rows)]
        bary = torch.from_numpy(nearest.barycentrics).float()
        found.append(barycentric_points(source.uvs, source.uv_faces, ids, bary))
    uv[torn] = torch.cat(found)
    return uv
