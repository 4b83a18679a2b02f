"""Tracks with a linear head of one's own, kept in an npz file.

python examples/own_head.py --head_path anna_head.npz
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import load_head, open_run, track
from vhap.head.head_file import save_head


def main(head_path: Path | None = None, folder: Path = FOLDER) -> Path:
    """head_path: a file of `save_head`; without it one is made out of the built-in head."""
    if head_path is None:
        head = load_head("builtin")
        # One more identity coefficient: everything above the neck 2 % wider.
        wider = torch.zeros(head.n_vertices, 3, 1)
        wider[:, 0, 0] = 0.02 * head.template[:, 0]
        bases = torch.cat([head.shape_basis, wider], -1), torch.cat([head.joint_shape_basis, torch.zeros(5, 3, 1)], -1)
        mine = replace(head, name="wide_head", shape_basis=bases[0], joint_shape_basis=bases[1], shape_names=())
        head_path = save_head(folder / "wide_head.npz", mine)
    options = {**QUICK, "head": "file", "head_path": head_path}
    done = track(film(folder), output_folder=folder / "own_head", **options)
    run = open_run(done)
    print(
        f"{run.head.identity}: {run.head.n_shape} identity coefficients,", run.parameters(0).shape.tolist()[-1], "last"
    )
    return done


if __name__ == "__main__":
    tyro.cli(main)
