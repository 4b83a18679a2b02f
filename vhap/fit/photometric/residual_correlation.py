"""How many points of the surface count as one: errors of neighbours are correlated, and so are those of pictures that
follow each other.

What a head model cannot show (wrinkles, hair, shadows) moves many points the same way. Counted one by one they are
trusted more than they can bear, and an identity follows them beyond what people look like.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA
from vhap.fit.photometric.equations import point_equations
from vhap.fit.photometric.point_albedo import patches
from vhap.fit.photometric.posed_heads import posed_heads
from vhap.fit.photometric.problem import State, Task, for_each
from vhap.fit.scene import N_LIGHT

FEWEST = 5.0
"""On films whose person the model can show the median is about that, for some 60 pictures. It counts on top of the
factor by which `point_albedo.with_noise_level` widens what differences show."""


@torch.no_grad()
def correlation_at(task: Task, now: State) -> float:
    """By how much the identity's equations overrate what they know: the variance of their right-hand side, summed over
    patches of the texture in which residuals go together, over what independent residuals would give (Kish 1965; Liang
    and Zeger 1986). The median over the coefficients, at least 5. It grows with the number of pictures whose residuals
    go together. now: near a minimum of the task.
    """
    n_shared, patch = N_CAMERA + len(now.params.shape) + N_LIGHT, patches(task.points.uv)
    score, through = (torch.zeros(len(patch), n_shared, device=patch.device) for _ in range(2))
    right, sure = torch.zeros(n_shared, device=patch.device), now.albedo.prior_precision.clone()
    heads = posed_heads(task.problem.scene.head, now.params.rows(task.rows))

    @torch.no_grad()
    def rows_at(at: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        by_shared, _, by_albedo, weight, residual = point_equations(
            task, now, heads[at[0]], task.pictures[at[0]][at[1]], now.views[at]
        )
        weighted = by_shared * weight[:, None]
        known = weight * by_albedo.square()
        return weighted * residual[:, None], weighted * by_albedo[:, None], known, (by_shared * weighted).sum(0)

    indices = list(now.views)
    for at, (scores, mixed, known, squares) in zip(indices, for_each(rows_at, indices, patch.device)):
        index = now.views[at].index
        score.index_add_(0, index, scores)
        through.index_add_(0, index, mixed)
        sure.index_add_(0, index, known)
        right += squares
    identity = slice(N_CAMERA, n_shared - N_LIGHT)
    known = (right - (through.square() / sure[:, None]).sum(0))[identity]
    together = score.new_zeros(int(patch.max()) + 1, n_shared).index_add(0, patch, score)
    variance = together.square().sum(0)[identity]
    return max(FEWEST, task.problem.prior.correlation * float(_median_ratio(variance, known)))


def _median_ratio(above: Tensor, below: Tensor) -> Tensor:
    """Where there is something below; else zero."""
    moves = below > 0
    return (above[moves] / below[moves]).median() if bool(moves.any()) else above.new_zeros(())
