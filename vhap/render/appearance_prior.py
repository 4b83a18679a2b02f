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
        move nothing and cost as much. What they take carries no gradient.
        """
        cluster = torch.where(raster.mask, self.face_cluster[raster.face_id.clamp(min=0).long()] + 1, 1)
        cluster[raster.mask & (cluster == 1)] = 0
        beside = _touches_another(cluster)
        of_pixel = cluster.flatten()[raster.pixels]
        replaced = self._chosen(beside.flatten()[raster.pixels] & (of_pixel > 0), self.rate_head)
        others = self._drawn(of_pixel, of_pixel[replaced])
        colours = colours.index_copy(0, replaced, colours.detach()[others])
        return colours, self._exchange_background(background, beside & (cluster == 1), cluster == 1)

    def _exchange_background(self, background: Tensor, beside: Tensor, free: Tensor) -> Tensor:
        replaced = self._chosen(beside.flatten(), self.rate_background)
        pool = torch.nonzero(free.flatten()).squeeze(1)
        if not len(replaced) or not len(pool):
            return background
        flat = background.flatten(0, 2)
        drawn = pool[self._below(len(pool), len(replaced), pool.device)]
        return flat.index_copy(0, replaced, flat.detach()[drawn]).view(background.shape)

    def _chosen(self, allowed: Tensor, rate: float) -> Tensor:
        """Indices of allowed (N,) bool, each taken with probability rate."""
        candidates = torch.nonzero(allowed).squeeze(1)
        return candidates[(torch.rand(len(candidates), generator=self.random) < rate).to(candidates.device)]

    def _drawn(self, cluster: Tensor, wanted: Tensor) -> Tensor:
        """For each of wanted (M,) the index of a random pixel with the same cluster (N,)."""
        order = cluster.argsort()
        counts = torch.bincount(cluster, minlength=int(self.face_cluster.max()) + 2)
        starts = counts.cumsum(0) - counts
        share = torch.rand(len(wanted), generator=self.random).to(cluster.device)
        return order[starts[wanted] + (share * counts[wanted]).long().clamp(max=counts[wanted] - 1)]

    def _below(self, bound: int, count: int, device: torch.device) -> Tensor:
        return torch.randint(bound, (count,), generator=self.random).to(device)


def _touches_another(cluster: Tensor) -> Tensor:
    """(B, H, W) long -> bool: some of the eight neighbours belongs to another cluster."""
    values = cluster.float()[:, None]
    highest, lowest = max_pool2d(values, 3, 1, 1), -max_pool2d(-values, 3, 1, 1)
    return (highest != lowest)[:, 0]
