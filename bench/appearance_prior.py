"""The appearance prior: pixels beside another cluster show what their own cluster usually looks like.

A texture can learn anything, also the background's colour along an outline that stands in the wrong place; then
nothing pulls the outline. A pixel whose colour is that of any other pixel of its cluster cannot do that: where the
picture shows another cluster, it costs, and antialiasing (done afterwards) says in which direction it costs less.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from vhap.render.types import Raster


@dataclass(frozen=True)
class AppearancePrior:
    """face_cluster (F,) long: the cluster of each triangle, from 1 on, 0 for triangles that keep their colours.

    rate_head, rate_background: how often a pixel is replaced. random: where the choices come from, on the CPU.
    """

    face_cluster: Tensor
    rate_head: float
    rate_background: float
    random: torch.Generator

    def __call__(self, colours: Tensor, raster: Raster, background: Tensor) -> tuple[Tensor, Tensor]:
        """Colours (N, C) of the covered pixels and background (B, H, W, C), some of them exchanged.

        Only pixels that touch another cluster (or the background, cluster 0) take part: elsewhere the exchange would
        move nothing and cost as much. What they take is of their own picture and carries no gradient.
        """
        cluster = torch.where(raster.mask, self.face_cluster[raster.face_id.clamp(min=0).long()] + 1, 1)
        cluster[raster.mask & (cluster == 1)] = 0
        beside, cluster = _touches_another(cluster).flatten(), cluster.flatten()
        replaced, share = self._chosen(torch.nonzero(beside & (cluster > 0)).squeeze(1), cluster)
        is_head = cluster[replaced] > 1
        own = torch.searchsorted(raster.pixels, replaced[is_head])
        others = self._drawn_head(cluster[raster.pixels], raster.views, own, share[is_head])
        changed = colours.index_copy(0, own, colours.detach()[others])
        behind, flat = replaced[~is_head], background.flatten(0, 2)
        drawn = _drawn_background(cluster, raster.face_id[0].numel(), behind, share[~is_head])
        return changed, flat.index_copy(0, behind, flat.detach()[drawn]).view(background.shape)

    def _chosen(self, candidates: Tensor, cluster: Tensor) -> tuple[Tensor, Tensor]:
        """Some of the candidates (flat indices), each at its rate, and a number in [0, 1) for each of them.

        Random numbers go from pixel to pixel: pictures get the same ones, rendered at once or one after the other.
        """
        chance, share = torch.rand(len(candidates), 2, generator=self.random).to(candidates.device).unbind(-1)
        background = cluster[candidates] == 1
        taken = chance < torch.where(background, self.rate_background, self.rate_head)
        return candidates[taken], share[taken]

    def _drawn_head(self, cluster: Tensor, views: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
        """For each of wanted (M,) the index of a random pixel of its picture with the same cluster (N,)."""
        group = views * (int(self.face_cluster.max()) + 2) + cluster
        return group.argsort(stable=True)[_places(group, group[wanted], share)]


def _drawn_background(cluster: Tensor, pixels: int, wanted: Tensor, share: Tensor) -> Tensor:
    """As _drawn_head, among the flat indices of the background; pixels: of one picture."""
    pool = torch.nonzero(cluster == 1).squeeze(1)
    return pool[_places(pool // pixels, wanted // pixels, share)]


def _places(group: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
    """Places in the list sorted by group (N,): for each wanted group (M,) the one at that share of its members."""
    counts = torch.bincount(group, minlength=1)
    starts = counts.cumsum(0) - counts
    return starts[wanted] + (share * counts[wanted]).long().clamp(max=counts[wanted] - 1)


def _touches_another(cluster: Tensor) -> Tensor:
    """(B, H, W) long -> bool: some of the eight neighbours belongs to another cluster."""
    values = cluster.float()[:, None]
    highest, lowest = max_pool2d(values, 3, 1, 1), -max_pool2d(-values, 3, 1, 1)
    return (highest != lowest)[:, 0]
