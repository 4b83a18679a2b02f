"""MediaPipe's own operators: crops of the features around lips and eyes, and their points back in the crop of the face.

As `mediapipe/util/tflite/operations` has them (Apache-2.0), for a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Inputs = Sequence[Tensor]
Options = Mapping[str, Any]


def landmarks_to_transform_matrix(inputs: Inputs, options: Options) -> Tensor:
    """Points (B, N, 3) -> (B, 4, 4): pixels of an upright crop around some of them -> the points' own coordinates.

    Upright: the line from the left to the right one of two points is turned to `target_rotation_radians`.
    """
    points = inputs[0][..., :2]
    left, right = points[:, options["left_rotation_idx"]], points[:, options["right_rotation_idx"]]
    # MediaPipe's angle turns the points upright; the matrix turns the crop back.
    angle = torch.atan2(right[:, 1] - left[:, 1], right[:, 0] - left[:, 0]) - options["target_rotation_radians"]
    turn = _rotation(angle)
    upright = points[:, list(options["subset_idxs"])] @ turn
    low, high = upright.amin(1), upright.amax(1)
    centre = torch.einsum("bij,bj->bi", turn, (low + high) / 2)
    size = centre.new_tensor([options["output_width"], options["output_height"]])
    scale = centre.new_tensor([options["scale_x"], options["scale_y"]]) * (high - low) / size
    linear = turn * scale[:, None]
    shift = centre - (linear * (size / 2)).sum(2)
    matrix = torch.eye(4, dtype=points.dtype, device=points.device).repeat(len(points), 1, 1)
    matrix[:, :2, :2] = linear
    matrix[:, :2, 3] = shift
    return matrix


def transform_tensor_bilinear(inputs: Inputs, options: Options) -> Tensor:
    """Features (B, H, W, C) and (B, 4, 4) pixels of the crop -> of the features: the crop (B, h, w, C).

    Between pixels whose centres are at half integers; 0 where the place lies beyond the outermost centres.
    """
    features, matrix = inputs
    height, width = features.shape[1], features.shape[2]
    rows, columns = options["output_height"], options["output_width"]
    y, x = torch.meshgrid(
        torch.arange(rows, device=matrix.device, dtype=matrix.dtype) + 0.5,
        torch.arange(columns, device=matrix.device, dtype=matrix.dtype) + 0.5,
        indexing="ij",
    )
    pixels = torch.stack([x.flatten(), y.flatten()], -1)
    place = pixels @ matrix[:, :2, :2].transpose(1, 2) + matrix[:, None, :2, 3] - 0.5
    last = place.new_tensor([width - 1, height - 1])
    inside = ((place >= 0) & (place <= last)).all(-1)
    corner = torch.minimum(place.floor().clamp(min=0), last)
    share = (place - corner)[..., None]
    after = torch.minimum(corner + 1, last).long()
    flat, corner = features.reshape(len(features), height * width, -1), corner.long()

    def at(column: Tensor, row: Tensor) -> Tensor:
        return flat.gather(1, (row * width + column)[..., None].expand(-1, -1, flat.shape[2]))

    upper = torch.lerp(at(corner[..., 0], corner[..., 1]), at(after[..., 0], corner[..., 1]), share[:, :, 0])
    lower = torch.lerp(at(corner[..., 0], after[..., 1]), at(after[..., 0], after[..., 1]), share[:, :, 0])
    found = torch.where(inside[..., None], torch.lerp(upper, lower, share[:, :, 1]), 0.0)
    return found.reshape(len(features), rows, columns, -1)


def transform_landmarks(inputs: Inputs, options: Options) -> Tensor:
    """Points (B, N, 2 or 3) and (B, 4, 4) -> points of the same shape; a third coordinate stays as it is."""
    points, matrix = inputs
    moved = points[..., :2] @ matrix[:, :2, :2].transpose(1, 2) + matrix[:, None, :2, 3]
    return torch.cat([moved, points[..., 2:]], -1)


def _rotation(angle: Tensor) -> Tensor:
    """(B,) radians -> (B, 2, 2)."""
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)
