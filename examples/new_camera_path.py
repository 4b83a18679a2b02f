"""Renders a tracked head from a camera that turns around it: PNG pictures with alpha.

python examples/new_camera_path.py --source output/anna --degrees 40 --pictures 60
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as imageio
import tyro
from tiny import FOLDER, run

import torch  # isort: skip  After vhap, see doc/library.md.


def main(source: Path | None = None, folder: Path = FOLDER, degrees: float = 40, pictures: int = 3) -> Path:
    """From -degrees to +degrees about the head's vertical axis, in so many pictures."""
    opened = run(folder, source)
    target = folder / "orbit"
    target.mkdir(parents=True, exist_ok=True)
    camera, centre = opened.camera(), opened.vertices(0).mean(0)
    for number, angle in enumerate(torch.linspace(-degrees, degrees, pictures).deg2rad()):
        turn = torch.eye(4)
        turn[0, 0] = turn[2, 2] = angle.cos()
        turn[0, 2], turn[2, 0] = angle.sin(), -angle.sin()
        turn[:3, 3] = centre - turn[:3, :3] @ centre
        made = opened.render(0, replace(camera, T_camera_world=camera.T_camera_world @ turn))
        imageio.imwrite(target / f"{number:03d}.png", (made.detach() * 255).round().byte().numpy())
    print(f"{pictures} pictures in {target}")
    return target


if __name__ == "__main__":
    tyro.cli(main)
