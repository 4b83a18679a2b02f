"""Renders a tracked head under another light, and with another texture.

python examples/relight_and_swap_texture.py --source output/anna --texture checks.png
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import imageio.v3 as imageio
import tyro
from tiny import FOLDER, run

from vhap.api import Run

import torch  # isort: skip  After vhap, see doc/library.md.


def main(source: Path | None = None, texture: Path | None = None, folder: Path = FOLDER) -> Path:
    """texture: a picture in the head's UV layout; without it, one of the mesh's UV coordinates as colours."""
    opened = run(folder, source)
    target = folder / "relit"
    target.mkdir(parents=True, exist_ok=True)
    # Spherical harmonics, (9, 3): a constant, and brighter towards +x, the subject's left.
    lights = torch.zeros(9, 3)
    lights[0], lights[1] = 2.5, torch.tensor([0.9, 0.7, 0.5])
    u, v = torch.meshgrid(torch.linspace(0, 1, 256), torch.linspace(1, 0, 256), indexing="xy")
    painted = torch.stack([u, v, torch.full_like(u, 0.5)], -1)
    if texture is not None:
        painted = torch.from_numpy(imageio.imread(texture, mode="RGB")).float() / 255
    scenes = {"lit": replace(opened.scene, lights=lights), "painted": replace(opened.scene, texture=painted[None])}
    for name, scene in {"tracked": opened.scene, **scenes}.items():
        made = Run(scene).render(0).detach()
        imageio.imwrite(target / f"{name}.png", (made * 255).round().byte().numpy())
    return target


if __name__ == "__main__":
    tyro.cli(main)
