"""Hair: offsets that bring the scalp to the border of the matte, solved from the outlines of many pictures at once.

A head model's identity determines the skull. Hair stands off it by what no identity shows, and were the skull to
follow, the face would follow with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array, vstack
from scipy.sparse.linalg import spsolve
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.photometric.offset_lengths import LengthUnknowns, sparse_array
from vhap.fit.photometric.pictures import GreyPicture
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.surface_points import camera_of, surface_at
from vhap.fit.residuals.outlines import Outline, find_outline
from vhap.fit.scene import Scene
from vhap.geometry.robust import Cauchy
from vhap.head.model import pose

ROUNDS, SETTLED_M = 8, 2e-4
REFERENCE_SIDE = 512
"""Longer side of the pictures for which the prior is given: larger ones have more pixels on the same outline."""


@dataclass(frozen=True)
class HairPrior:
    """Standard deviations. spread: of an outline, as a fraction of the picture's longer side; robust: in these units,
    from which distance on a point counts less; bend_m: of a vertex against the mean of its neighbours; length_m: how
    far hair stands off. count: points of a picture."""

    spread: float = 0.004
    robust: float = 5.0
    bend_m: float = 3e-4
    length_m: float = 0.02
    count: int = 600

    def weight(self, distance: Tensor, crown: Tensor) -> Tensor:
        """(n,) of distances (n,) in standard deviations, crown (n,) bool. Cauchy's weights, but nothing where hair may
        hang beside the head: inside the matte, below the crown."""
        return torch.where(crown | (distance > 0), Cauchy(self.robust).weight(distance.square()), 0.0)


@torch.no_grad()
def grow_hair(
    scene: Scene,
    params: TrackParams,
    pictures: Iterable[tuple[TrackParams, GreyPicture]],
    fixed: Tensor | None = None,
    prior: HairPrior | None = None,
) -> TrackParams:
    """Params whose static offset puts the region `hair` on the matte's border.

    pictures: pictures, each with the row of its timestep; fixed (V,) bool: vertices that stay. All pictures together
    count as one: what they err by is alike. Where there is no hair, no matte or no outline of hair params come back as
    they were.
    """
    prior, inside = prior or HairPrior(), scene.mask(("hair",))
    moving = inside if fixed is None else inside & ~fixed
    if params.static_offset is None or not bool(moving.any()):
        return params
    hair = LengthUnknowns.of(scene, params.shape, params.static_offset, moving)
    held = _held(scene, hair, prior)
    shown = [(row, picture) for row, picture in pictures if picture.border is not None]
    length = hair.lengths_in(params.static_offset)
    for _ in range(ROUNDS):
        grown = replace(params, static_offset=hair.offset(length))
        rows, residual, weight = _equations(scene, grown, shown, hair, prior)
        if len(residual) == 0:
            return params
        weighted = rows.T @ diags_array(weight)
        step = spsolve((held + weighted @ rows).tocsc(), -(weighted @ residual) - held @ length)
        length = length + step
        if np.abs(step).max() < SETTLED_M:
            break
    return replace(params, static_offset=hair.offset(length))


def _held(scene: Scene, hair: LengthUnknowns, prior: HairPrior) -> csr_array:
    """(H, H) precision of what is expected of hair's lengths."""
    vertices = hair.vertices.cpu().numpy()
    bend = sparse_array(scene.laplacian)[vertices][:, vertices]
    return (bend.T @ bend / prior.bend_m**2 + diags_array(np.full(len(vertices), prior.length_m**-2.0))).tocsr()


def _equations(
    scene: Scene,
    params: TrackParams,
    pictures: Sequence[tuple[TrackParams, GreyPicture]],
    hair: LengthUnknowns,
    prior: HairPrior,
) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Derivatives (N, H) of all outlines' distances by the lengths, distances (N,) in standard deviations, and how much
    each counts (N,)."""
    still = torch.ones(scene.head.n_vertices, dtype=torch.bool, device=hair.vertices.device)
    still[hair.vertices] = False
    crown = scene.mask(("crown",))
    spread = prior.spread * max(scene.size)
    found = []
    for row, picture in pictures:
        row = replace(row, static_offset=params.static_offset)
        outline = _outline(scene, row, picture, still, prior.count)
        if outline is None:
            continue
        distance = outline.distance / spread
        share = outline.share / len(pictures) * REFERENCE_SIDE / max(scene.size)
        weight = share * prior.weight(distance, crown[outline.corners].all(-1))
        posed, corners = PosedHeads.of(scene, row), outline.corners.flatten()
        slope = _slopes(scene, row, picture, outline, posed.vertices[0]) / spread
        moves = hair.turned(posed.turned)[0, corners]
        line = torch.arange(len(distance)).repeat_interleave(3)
        rows = hair.by_length(line, corners, slope, moves, len(distance))
        found.append((rows, distance.cpu().double().numpy(), weight.cpu().double().numpy()))
    if not found:
        return csr_array((0, len(hair.vertices))), np.zeros(0), np.zeros(0)
    rows, distance, weight = zip(*found)
    return csr_array(vstack(rows)), np.concatenate(distance), np.concatenate(weight)


def _slopes(scene: Scene, row: TrackParams, picture: GreyPicture, outline: Outline, vertices: Tensor) -> Tensor:
    """(3 n, 3): derivatives of an outline's distances by the corners of its points; vertices (V, 3) posed."""
    projected = camera_of(scene, row, picture).projection_derivatives(surface_at(outline, vertices)[None])[0]
    by_point = torch.einsum("nk,nkc->nc", outline.slope, projected)
    return (outline.barycentrics[..., None] * by_point[:, None]).flatten(0, 1)


def _outline(scene: Scene, row: TrackParams, picture: GreyPicture, still: Tensor, count: int) -> Outline | None:
    """Of a picture, where it is hair's."""
    assert picture.border is not None
    clip = camera_of(scene, row, picture).to_clip(pose(scene.head, row.head()))
    raster = scene.backend.rasterize(clip, scene.topology, *scene.size)
    return find_outline(scene.topology.faces, raster, picture.border, count, still)
