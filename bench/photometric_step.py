"""Time of one photometric step (energy and gradients of all unknowns) on the built-in head before noise.

python bench/photometric_step.py --frames 16 --size 512
OMP_WAIT_POLICY=ACTIVE python bench/photometric_step.py        # OpenMP's threads spin, as is torch's default
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

from vhap.cli import parse
from vhap.util.errors import exits_cleanly


@dataclass(frozen=True)
class StepConfig:
    frames: int = 16
    """Pictures in one step."""
    size: int = 512
    """Their side in pixels."""
    texture: int = 512
    """Side of the texture."""
    steps: int = 8
    """Timed steps, after two to warm up."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(StepConfig, __doc__, args)
    seconds, pixels = time_steps(config)
    spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
    print(f"{config.frames} x {config.size}^2, {pixels} covered pixels: {statistics.median(seconds):.3f} s ({spread})")


def time_steps(config: StepConfig) -> tuple[list[float], int]:
    """Seconds of each step, and how many pixels the head covers."""
    import torch

    from vhap.config.track import LossWeightConfig
    from vhap.data.sample import FrameBatch
    from vhap.model.builtin import load_builtin
    from vhap.model.head import landmark_head
    from vhap.render.backend import get_backend
    from vhap.render.shading import uniform_lights
    from vhap.render.topology import build_topology
    from vhap.tracking.energy import Energy, Neighbours
    from vhap.tracking.params import initial_params
    from vhap.tracking.scene import Scene
    from vhap.tracking.stages import Stage

    torch.manual_seed(0)
    head, frames, size = load_builtin(), config.frames, config.size
    base = torch.rand(1, config.texture, config.texture, 3)
    topology = build_topology(head.faces, head.uv_faces)
    small = landmark_head(head, "ibug")
    kept = torch.zeros(config.texture, config.texture)
    scene = Scene(head, small, "ibug", (size, size), None, get_backend("warp"), topology, base, kept)
    params = initial_params(head, frames, config.texture, uniform_lights())
    params.rotation = 0.2 * torch.randn(frames, 3)
    params.focal_length.fill_(2.0)
    ids, count = torch.arange(frames), len(head.landmarks["ibug"].detector_ids)
    points, confidence = size * torch.rand(frames, count, 2), torch.ones(frames, count)
    batch = FrameBatch(ids, torch.zeros_like(ids), torch.rand(frames, size, size, 3), None, points, confidence)
    stage = Stage("bench", (), True, True, True, 1, None, False, True)
    energy, before = Energy(scene, LossWeightConfig()), Neighbours(params, torch.ones(frames, dtype=torch.bool))
    seconds, pixels = [], 0
    for _ in range(config.steps + 2):
        leaves = params.rows(ids).detached()
        unknowns = [
            value.requires_grad_(True) for f in fields(leaves) if (value := getattr(leaves, f.name)) is not None
        ]
        started = time.perf_counter()
        value = energy(leaves, before, batch, stage)
        torch.autograd.grad(value.total, unknowns, allow_unused=True)
        seconds.append(time.perf_counter() - started)
        pixels = len(value.rendering.raster.pixels) if value.rendering else 0
    return seconds[2:], pixels


if __name__ == "__main__":
    main()
