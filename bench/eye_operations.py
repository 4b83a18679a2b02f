"""The kernel of eyes in pictures as an operation whose time and values are compared."""

from __future__ import annotations

import torch
from kernel_scene import KernelScene, Operation
from torch import Tensor
from torch.nn.functional import normalize

from vhap.geometry.rotations import axis_angle_derivatives, axis_angle_to_matrix
from vhap.render import reference_eyes
from vhap.render.backend import Backend
from vhap.render.warp_eye_pixels import EyeDifferences, EyeRays, EyeShapes, differences_of_eyes

FRAMES, CHART, ANGLES = 4, 41, 46
RADIUS_M, AWAY_M = 0.012, 0.05


def eye_operations(scene: KernelScene) -> list[Operation]:
    """As many pixels as the scene has points, of rays that meet the front of an eye."""
    count, device = len(scene.points), scene.clip.device

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))).to(device)

    aim = (random(count, 3) - 0.5) * torch.tensor([RADIUS_M, RADIUS_M, 0.0], device=device)
    origin = torch.tensor([0.0, 0.0, AWAY_M], device=device).expand(count, 3).contiguous()
    every = torch.arange(count, device=device)
    shapes = EyeShapes(
        axis=torch.tensor([[0.0, 0.0, 1.0]], device=device).repeat(2, 1),
        radius=RADIUS_M * (1 + 0.01 * random(2, CHART, CHART, 1)),
        detail=0.9 + 0.1 * random(2, CHART, CHART, 3),
        reach=1.2,
        profile=random(ANGLES, 3),
        angle_step=torch.pi / 90,
    )
    turns = 0.1 * random(FRAMES, 2, 3)
    turn, by_turn = axis_angle_to_matrix(turns), axis_angle_derivatives(turns)[..., :2, :, :]

    def differences(backend: Backend, colour: Tensor, shading: Tensor, across: Tensor, gain: Tensor) -> Tensor:
        rays = EyeRays(
            view=every % (2 * FRAMES),
            frame=every % FRAMES,
            eye=every % 2,
            colour=colour,
            shading=shading,
            ray=normalize(aim - origin, dim=-1),
            origin=origin,
            across=across,
        )
        if backend.name == "reference":
            return _joined(reference_eyes.differences_of_eyes(rays, shapes, turn, by_turn, gain))
        return _joined(differences_of_eyes(rays, shapes, turn, by_turn, gain, slopes=True))

    inputs = random(count, 3), 0.5 + random(count, 3), random(count, 2), 0.1 * random(2 * FRAMES, 3)
    return [Operation("eye_differences", inputs, differences, differentiable=False)]


def _joined(found: EyeDifferences) -> Tensor:
    return torch.cat([part.flatten() for part in (found.value, found.factor, found.angle)])
