"""How many points of the surface count as one: errors of neighbours are correlated, and so are those of pictures that
follow each other.

What a head model cannot show (wrinkles, hair, shadows) moves many points the same way. Counted one by one they are
trusted more than they can bear, and an identity follows them beyond what people look like.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA
from vhap.fit.photometric.equations import point_rows
from vhap.fit.photometric.point_albedo import patches
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

    @torch.no_grad()
    def rows_of(number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = point_rows(task, now, number)
        weighted = rows.by_shared * rows.weight[:, None]
        known = rows.weight * rows.by_albedo.square()
        squares = (rows.by_shared * weighted).sum(0)
        return weighted * rows.residual[:, None], weighted * rows.by_albedo[:, None], known, squares

    numbers = list(range(len(task.batches)))
    for number, (scores, mixed, known, squares) in zip(numbers, for_each(rows_of, numbers, patch.device)):
        index = now.views[number].index
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
