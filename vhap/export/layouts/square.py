"""Square pictures around the principal point."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from vhap.export.centred_result import centre
from vhap.export.nerf_dataset import ExportSource
from vhap.export.recentre import Padding, centring
from vhap.geometry.cameras import Camera

MARGIN = 1.3
"""Half side of the square over the head's farthest reach from the principal point: room for hair."""


@torch.no_grad()
def head_corners(source: ExportSource) -> Tensor:
    """(T, 8, 3): corners of the head's box in each frame, in the world of the source's cameras, divided by its
    scale."""
    track = centre(source.head, source.result, source.cameras, to_origin=False)
    boxes = []
    for row in range(len(source.result.timestep_id)):
        vertices = track.vertices(row)
        ends = torch.stack([vertices.amin(0), vertices.amax(0)])
        boxes.append(torch.cartesian_prod(*ends.unbind(1)))
    return torch.stack(boxes)


def square(camera: Camera, points: Tensor) -> Padding:
    """The square around the principal point that holds the head in all frames, no larger than what holds the picture.
    Pixels keep their values where the principal point lies between two of them, or in the middle of one, along both
    axes."""
    pixels = camera.to(torch.float64).project(points.double())[0].reshape(-1, 2)
    centre_px = torch.stack([camera.cx, camera.cy]).double()
    reach = MARGIN * float((pixels - centre_px).abs().max())
    whole = max(float(camera.cx), camera.width - float(camera.cx), float(camera.cy), camera.height - float(camera.cy))
    half = math.ceil(min(reach, whole) - 1e-6)
    if float(camera.cx) % 1 == float(camera.cy) % 1 == 0.5:
        half += 0.5
    shift = (half - float(camera.cx), half - float(camera.cy))
    return Padding((int(2 * half), int(2 * half)), shift)


def square_around_head(source: ExportSource, side: int | None) -> Padding:
    """Of the source's one camera; scaled to `side` px, if given."""
    return scaled(square(moved_cameras(source)[0], head_corners(source)), side)


def moved_cameras(source: ExportSource) -> list[Camera]:
    """The source's cameras in the world in which `head_corners` are."""
    return centre(source.head, source.result, source.cameras, to_origin=False).cameras


def squares(cameras: list[Camera], side: int | None) -> list[Padding]:
    """Squares of one size that lose no pixel of any camera, every principal point in the middle."""
    paddings = centring(cameras)
    half = max(paddings[0].size) / 2
    return [
        scaled(
            Padding((int(2 * half), int(2 * half)), (half - float(camera.cx), half - float(camera.cy))),
            side,
        )
        for camera in cameras
    ]


def scaled(padding: Padding, side: int | None) -> Padding:
    return padding if side is None else replace(padding, resized=(side, side))
