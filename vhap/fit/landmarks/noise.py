"""How far landmarks may be trusted beside pictures: a detector's systematic errors do not average out, noise does."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.residuals.landmark_problem import LandmarkProblem

HIDDEN = 18.0
"""How many times larger systematic errors are than what residuals show of them: identity and expression explain the
rest. Measured on films with known truth, where a detector's face is 4.9 mm off at residuals of 0.9 px."""
LEAST = 0.002
"""Of the face's size: no landmark is surer than that."""


@torch.no_grad()
def trusted_pixel(problem: LandmarkProblem, params: TrackParams, found: Tensor) -> float:
    """Standard deviation of a landmark beside pictures, as a fraction of the face's size.

    Residuals of pictures found (B, C) fall apart into noise, which changes from one timestep to the next, and what
    stays. The former counts as it is, the latter `HIDDEN` times. Where no frames follow each other all of it stays.
    """
    counted = ((problem.weight > 0) & found.to(problem.weight.device)[..., None]).double()
    residual = problem.residuals_px(params) / problem.extent_px()[..., None, None]
    if not bool(counted.any()):
        return problem.prior.beside_pixels
    total = _mean_square(residual, counted)
    follows = (torch.diff(problem.timesteps) == 1).to(counted)[:, None, None]
    both = counted[1:] * counted[:-1] * follows
    noise = min(total, _mean_square(residual[1:] - residual[:-1], both) / 2) if bool(both.any()) else 0.0
    return max(LEAST, (noise + HIDDEN**2 * (total - noise)) ** 0.5)


def _mean_square(residual: Tensor, counted: Tensor) -> float:
    """Of residuals (..., 2) where counted (...,), one coordinate; robust: from the median length of two normal ones."""
    lengths = residual.norm(dim=-1)[counted > 0].double()
    return float(lengths.median().square() / (2 * torch.tensor(2.0).log()))
