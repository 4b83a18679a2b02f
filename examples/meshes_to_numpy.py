"""Vertices of all frames, faces, and their places in the pictures, as numpy arrays in one file.

python examples/meshes_to_numpy.py --source output/anna --target anna.npz
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro
from tiny import FOLDER, run


def main(source: Path | None = None, target: Path | None = None, folder: Path = FOLDER) -> Path:
    """source: a run; target: the file."""
    opened = run(folder, source)
    target = target or folder / "meshes.npz"
    vertices = np.stack([opened.vertices(t).numpy() for t in range(len(opened))])
    camera = opened.camera()
    # OpenGL axes: y up, the camera looks along -z. Pixels: x from the left, y from the top.
    seen = vertices @ camera.T_camera_world[:3, :3].numpy().T + camera.T_camera_world[:3, 3].numpy()
    x_px = float(camera.cx) - float(camera.fx) * seen[..., 0] / seen[..., 2]
    y_px = float(camera.cy) + float(camera.fy) * seen[..., 1] / seen[..., 2]
    pixels = np.stack([x_px, y_px], -1)
    np.savez(target, vertices=vertices, faces=opened.faces.numpy(), pixels=pixels, names=opened.timesteps)
    print(f"{vertices.shape} metres, {opened.faces.shape} faces, in {target}")
    return target


if __name__ == "__main__":
    tyro.cli(main)
