"""What stays the same during a run: the head, its landmarks, the camera if known, the renderer, the base albedo."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.data.sample import shrunk_size
from vhap.geometry.cameras import Camera
from vhap.model.head import HeadModel, landmark_head
from vhap.render.types import Backend, Topology

IBUG_NOSE = range(27, 36)
IBUG_JAW_LINE = range(17)
NOSE_EMPHASIS = 10.0
MEDIAPIPE_EMPHASIS = (70 + (NOSE_EMPHASIS - 1) * len(IBUG_NOSE)) / 70
"""The mean emphasis of iBUG's points: landmarks pull as hard whichever detector gives them."""
# From ear to ear along the chin, in MediaPipe's own numbering (the lower part of its face oval).
MEDIAPIPE_JAW_LINE = (
    *(234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454),
)


@dataclass(frozen=True)
class Scene:
    """head and landmark_head: the same person, the latter only at the landmarks (cheap to pose).

    size: (height, width) of the pictures; given: the known camera or None; base_texture: (1, R, R, 3), row 0 on
    top; kept_texels: (R, R) float, 1 where the texture keeps near the base.
    """

    head: HeadModel
    landmark_head: HeadModel
    landmark_set: str
    size: tuple[int, int]
    given: Camera | None
    backend: Backend
    topology: Topology
    base_texture: Tensor
    kept_texels: Tensor

    def shrunk(self, factor: int) -> Scene:
        """The scene for pictures shrunk by a factor."""
        size = shrunk_size(self.size, factor)
        return replace(self, size=size, given=None if self.given is None else self.given.resized(*size))

    def albedo(self, residual: Tensor) -> Tensor:
        """(1, R, R, 3) base texture plus residual."""
        return self.base_texture + residual


def emphasis(landmark_set: str, detector_ids: Tensor, jaw_line: bool) -> Tensor:
    """(L,) how much each landmark counts: the jaw line may be left out; iBUG's nose counts 10 times beside it.

    iBUG's jaw line is a contour that slides over the face as it turns, the nose does not: the emphasis keeps the
    contour from turning the head. MediaPipe's points do not slide; all count as much as iBUG's do on average.
    """
    mean = 1.0 if landmark_set == "ibug" else MEDIAPIPE_EMPHASIS
    weight = torch.full((len(detector_ids),), mean, device=detector_ids.device)
    contour = IBUG_JAW_LINE if landmark_set == "ibug" else MEDIAPIPE_JAW_LINE
    if not jaw_line:
        weight[torch.isin(detector_ids, torch.tensor(list(contour), device=detector_ids.device))] = 0
    elif landmark_set == "ibug":
        weight[torch.isin(detector_ids, torch.tensor(list(IBUG_NOSE), device=detector_ids.device))] = NOSE_EMPHASIS
    return weight


def reduced_head(head: HeadModel, landmark_set: str) -> HeadModel:
    """The head at the landmarks of the set that the capture's detector gives."""
    return landmark_head(head, landmark_set)
