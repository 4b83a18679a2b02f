"""Moves a tracked head by a loss of one's own through the differentiable renderer: a few gradient steps.

python examples/own_loss.py --source output/anna
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import tyro
from tiny import FOLDER, run

import torch  # isort: skip  After vhap, see doc/library.md.


def main(source: Path | None = None, folder: Path = FOLDER, steps: int = 4) -> list[float]:
    """source: a run. Returns the loss of each step."""
    opened = run(folder, source)
    alpha = opened.picture(0).alpha
    assert alpha is not None, "the loss compares with the matte"
    start = opened.parameters(0)
    translation = (start.translation + torch.tensor([0.01, 0.0, 0.0])).requires_grad_()
    optimizer = torch.optim.Adam([translation], lr=2e-3)
    losses = []
    for _ in range(steps):
        coverage = opened.render(0, parameters=replace(start, translation=translation))[..., 3]
        loss = (coverage - alpha[0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(f"loss {losses[-1]:.5f}, head at {[round(x, 4) for x in translation.tolist()]} m")
    return losses


if __name__ == "__main__":
    tyro.cli(main)
