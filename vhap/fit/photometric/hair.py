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
from vhap.fit.photometric.problem import for_each
from vhap.fit.photometric.surface_points import (
    ListedPoints,
    OutlineView,
    PictureBatch,
    drawn_in,
    outline_slopes,
    surface_at,
)
from vhap.fit.residuals.outlines import outline_at
from vhap.fit.scene import Scene
from vhap.geometry.robust import Cauchy

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

    @torch.no_grad()
    def rows_at(shown: tuple[TrackParams, GreyPicture]) -> tuple[csr_array, np.ndarray, np.ndarray] | None:
        row, picture = shown
        assert picture.border is not None
        posed = PosedHeads.of(scene, replace(row, static_offset=params.static_offset))
        batch = PictureBatch.of_one(posed, picture)
        (drawn,) = drawn_in(scene, batch, batch.cameras(scene))
        outline = outline_at(scene.topology.faces, drawn.mask, drawn.at, picture.border, prior.count, still)
        if outline is None:
            return None
        distance, corners = outline.distance / spread, outline.corners
        share = outline.share / len(pictures) * REFERENCE_SIDE / max(scene.size)
        weight = share * prior.weight(distance, crown[corners].all(-1))
        listed = ListedPoints.of([corners], [outline.barycentrics], weight, batch.heads).points
        view = OutlineView(outline.distance, outline.slope, surface_at(outline, posed.vertices[0]))
        slope = outline_slopes(scene, batch, listed, view).flatten(0, 1) / spread
        moves = hair.turned(posed.turned)[0, corners.flatten()]
        line = torch.arange(len(distance)).repeat_interleave(3)
        by_length = hair.by_length(line, corners.flatten(), slope, moves, len(distance))
        return by_length, distance.cpu().double().numpy(), weight.cpu().double().numpy()

    found = [rows for rows in for_each(rows_at, pictures, hair.vertices.device) if rows is not None]
    if not found:
        return csr_array((0, len(hair.vertices))), np.zeros(0), np.zeros(0)
    rows, distance, weight = zip(*found)
    return csr_array(vstack(rows)), np.concatenate(distance), np.concatenate(weight)
