"""Time of one photometric step of first order (energy, gradients of all unknowns, Adam) on the built-in head before
noise, its split by part, and the memory it takes.

python bench/photometric_step.py --frames 16 --height 256 --width 256
OMP_WAIT_POLICY=ACTIVE python bench/photometric_step.py        # OpenMP's threads spin, as is torch's default
python bench/photometric_step.py --frames 1 --cameras 16 --height 802 --width 550 --all-terms
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING
from unittest.mock import patch

from vhap.cli import parse
from vhap.util.errors import exits_cleanly

if TYPE_CHECKING:
    from vhap.data.sample import FrameBatch
    from vhap.fit.energy import Energy
    from vhap.fit.params import TrackParams
    from vhap.geometry.cameras import Camera

SHADE, REST = "interpolate, texture, shade", "losses, appearance prior"
OPERATIONS = {
    "rasterize": "rasterize",
    **dict.fromkeys(("interpolate", "attribute_derivatives", "texture", "light"), SHADE),
    "antialias": "antialias",
}
FUNCTIONS = {
    "vhap.fit.energy.pose": "pose",
    "vhap.render.scene.vertex_normals": SHADE,
    "vhap.render.scene.compose": SHADE,
    "torch.autograd.grad": "backward",
}
PARTS = ("pose", "rasterize", SHADE, "antialias", REST, "backward", "optimizer")
ARC_RAD = 1.2


@dataclass(frozen=True)
class StepConfig:
    frames: int = 16
    """Timesteps in one step."""
    cameras: int = 1
    """Pictures of each: 1 for a camera whose focal length is solved, else that many calibrated ones on an arc."""
    height: int = 512
    """Of the pictures, in pixels."""
    width: int = 512
    """Of the pictures, in pixels."""
    texture: int = 512
    """Side of the texture."""
    all_terms: bool = False
    """With mattes and the appearance prior, as tracking has them."""
    micro_batch_size: int = 8
    """Pictures rendered at once."""
    steps: int = 8
    """Timed steps, after two to warm up."""


@dataclass
class Clock:
    """Seconds by part."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def timed(self, part: str, function: Callable) -> Callable:
        def run(*args, **options):
            started = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds[part] += time.perf_counter() - started

        return run


class TimedBackend:
    """A renderer whose operations are timed."""

    def __init__(self, clock: Clock) -> None:
        from vhap.render.backend import get_backend

        backend = get_backend("warp")
        self.name = backend.name
        for operation, part in OPERATIONS.items():
            setattr(self, operation, clock.timed(part, getattr(backend, operation)))


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(StepConfig, __doc__, args)
    clock = Clock()
    energy, params, batch = prepared(config, clock)
    before = peak_mebibytes()
    seconds = time_steps(config, clock, energy, params, batch)
    spread = f"{min(seconds):.3f} to {max(seconds):.3f}"
    shape = f"{config.frames * config.cameras} pictures of {config.width} x {config.height}"
    print(f"{shape}, {config.micro_batch_size} at once: {statistics.median(seconds):.3f} s ({spread})")
    print(f"peak memory {peak_mebibytes():.0f} MiB, {peak_mebibytes() - before:.0f} more than before the steps\n")
    print("| part | seconds |\n|---|---|")
    for part in PARTS:
        print(f"| {part} | {clock.seconds[part] / config.steps:.3f} |")


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20


def prepared(config: StepConfig, clock: Clock) -> tuple[Energy, TrackParams, FrameBatch]:
    import torch

    from vhap.config.track import LossWeightConfig, ModelConfig, RenderConfig
    from vhap.data.sample import FrameBatch
    from vhap.fit.energy import Energy
    from vhap.fit.params import initial_params
    from vhap.fit.scene import Scene
    from vhap.head.builtin import load_builtin
    from vhap.render.appearance_prior import AppearancePrior
    from vhap.render.shading import uniform_lights
    from vhap.render.topology import build_topology

    torch.manual_seed(0)
    head, frames, size = load_builtin(), config.frames, (config.height, config.width)
    base, kept = torch.rand(1, config.texture, config.texture, 3), torch.zeros(config.texture, config.texture)
    topology, given = build_topology(head.faces, head.uv_faces), rig(config) if config.cameras > 1 else None
    scene = Scene(head, "ibug", size, given, TimedBackend(clock), topology, base, kept)  # type: ignore[arg-type]
    params = initial_params(head, frames, config.texture, uniform_lights())
    params.rotation = 0.2 * torch.randn(frames, 3)
    params.focal_length.fill_(2.0)
    pictures, count = frames * config.cameras, len(head.landmarks["ibug"].detector_ids)
    batch = FrameBatch(
        timesteps=torch.arange(frames).repeat_interleave(config.cameras),
        cameras=torch.arange(config.cameras).repeat(frames),
        rgb=torch.rand(pictures, *size, 3),
        alpha=torch.rand(pictures, *size) if config.all_terms else None,
        landmarks_px=min(size) * torch.rand(pictures, count, 2),
        confidence=torch.ones(pictures, count),
    )
    clusters, render = scene.face_clusters(ModelConfig().tex_clusters), RenderConfig()
    prior = AppearancePrior(clusters, render.disturb_rate_fg, render.disturb_rate_bg, torch.Generator())
    energy = Energy(
        scene, LossWeightConfig(), prior=prior if config.all_terms else None, micro_batch_size=config.micro_batch_size
    )
    return energy, params, batch


def rig(config: StepConfig) -> Camera:
    """Cameras on an arc, a metre away, with the angle of view of NeRSemble's."""
    import torch

    from vhap.geometry.cameras import Camera
    from vhap.synthetic.rig import look_from

    turn = torch.linspace(-ARC_RAD / 2, ARC_RAD / 2, config.cameras).double()
    places = torch.stack([turn.sin(), 0 * turn, turn.cos()], -1).numpy()
    poses = torch.stack([torch.from_numpy(look_from(place)).float() for place in places])
    focal, middle = (torch.full((config.cameras,), value) for value in (2.55 * config.height, 0.5))
    return Camera(focal, focal, config.width * middle, config.height * middle, poses, config.height, config.width)


def time_steps(config: StepConfig, clock: Clock, energy: Energy, params: TrackParams, batch: FrameBatch) -> list[float]:
    """Seconds of each step; the clock's are of all timed steps together."""
    import torch

    from vhap.config.track import LearningRateConfig
    from vhap.fit.energy import Neighbours
    from vhap.fit.optimizer import RowAdam
    from vhap.fit.schedule import learning_rates
    from vhap.fit.stages import Stage

    stage = Stage("bench", (), True, True, True, 1, None, False, True)
    before = Neighbours(params.detached(), torch.ones(config.frames, dtype=torch.bool))
    rates = learning_rates(LearningRateConfig(), energy.scene.head, 1e-3)
    rows, adam, seconds = torch.arange(config.frames), RowAdam(), []
    step = clock.timed("optimizer", adam.step)
    with ExitStack() as patches:
        for name, part in FUNCTIONS.items():
            module, _, attribute = name.rpartition(".")
            function = getattr(sys.modules[module], attribute)
            patches.enter_context(patch(name, clock.timed(part, function)))
        for index in range(config.steps + 2):
            if index == 2:
                clock.seconds.clear()
            started = time.perf_counter()
            leaves = params.rows(rows).detached()
            moving = [f.name for f in fields(leaves) if getattr(leaves, f.name) is not None]
            values = [getattr(leaves, name).requires_grad_(True) for name in moving]
            total = energy(leaves, before, batch, stage).total
            found = torch.autograd.grad(total, values, allow_unused=True)
            step(params, {name: g for name, g in zip(moving, found) if g is not None}, rows, rates)
            seconds.append(time.perf_counter() - started)
    clock.seconds[REST] = sum(seconds[2:]) - sum(clock.seconds.values())
    return seconds[2:]


if __name__ == "__main__":
    main()
