"""What stays the same during a run: the head, its landmarks, the camera if known, the renderer, the base albedo."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vhap.data.sample import FrameBatch, shrunk_size
from vhap.fit.params import TrackParams
from vhap.geometry.cameras import Camera
from vhap.geometry.fans import Fans, fans_of
from vhap.geometry.meshes import uniform_laplacian
from vhap.head.model import HeadModel, pose
from vhap.head.regions import faces_of_region
from vhap.render.blocks import in_blocks
from vhap.render.scene import Rendering, render_head
from vhap.render.types import Backend, Topology

N_LIGHT = 9
"""Coefficients of a light's change, the same in all colours."""
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
    """landmark_set: which of the head's landmarks are detected.

    size: (height, width) of the pictures; given: the known cameras with leading axis C, or None; base_texture:
    (1, R, R, 3), row 0 on top; T_tracked_given (4, 4): where the given cameras' own world lies, None without them.
    """

    head: HeadModel
    landmark_set: str
    size: tuple[int, int]
    given: Camera | None
    backend: Backend
    topology: Topology
    base_texture: Tensor
    T_tracked_given: np.ndarray | None = None

    @cached_property
    def laplacian(self) -> Tensor:
        """(V, V) sparse, of the head's mesh."""
        return uniform_laplacian(self.head.n_vertices, self.head.faces)

    @cached_property
    def fans(self) -> Fans:
        """Of the head's vertices."""
        return fans_of(self.head.n_vertices, self.head.faces)

    @cached_property
    def frame_shapes(self) -> Tensor:
        """(V, blocks, 3, BLOCK) expressions, then pose correctives, as kernels take them."""
        head = self.head
        shapes = head.expr_basis if head.pose_basis is None else torch.cat([head.expr_basis, head.pose_basis], -1)
        return in_blocks(shapes, shapes.shape[2])

    @cached_property
    def person_shapes(self) -> Tensor:
        """(V, blocks, 3, BLOCK) identity shapes, then room for the light's coefficients, as kernels take them."""
        return in_blocks(self.head.shape_basis, self.head.n_shape + N_LIGHT)

    def regions(self, names: tuple[str, ...]) -> list[Tensor]:
        """Vertex indices of those regions that the head has."""
        return [self.head.regions[name] for name in names if name in self.head.regions]

    def mask(self, names: tuple[str, ...]) -> Tensor:
        """(V,) bool: vertices in one of the regions."""
        inside = torch.zeros(self.head.n_vertices, dtype=torch.bool, device=self.head.template.device)
        for vertices in self.regions(names):
            inside[vertices] = True
        return inside

    def vertices_in(self, names: tuple[str, ...]) -> Tensor | None:
        """As `mask`, None where there are none."""
        return self.mask(names) if self.regions(names) else None

    def faces_in(self, names: tuple[str, ...]) -> Tensor | None:
        """(F,) bool: triangles inside one of the regions; None where there are none."""
        inside = [faces_of_region(self.head, name) for name in names if name in self.head.regions]
        return torch.stack(inside).any(0) if inside else None

    def shrunk(self, factor: int) -> Scene:
        """The scene for pictures shrunk by a factor."""
        size = shrunk_size(self.size, factor)
        return replace(self, size=size, given=None if self.given is None else self.given.resized(*size))

    def albedo(self, residual: Tensor) -> Tensor:
        """(1, R, R, 3) base texture plus residual."""
        return self.base_texture + residual


def render_frames(scene: Scene, params: TrackParams, batch: FrameBatch, sh_lights: bool = True) -> Rendering:
    """The pictures of a batch as params (its timesteps) have them, over the batch's own."""
    rows = for_pictures(torch.arange(params.n_timesteps), batch)
    return render_head(
        scene.backend,
        pose(scene.head, params.head())[rows],
        scene.topology,
        scene.head.uvs,
        scene.albedo(params.residual_texture),
        params.light if sh_lights else None,
        params.cameras(scene.given, scene.size, batch.cameras),
        batch.rgb,
    )


def for_pictures(value: Tensor, batch: FrameBatch) -> Tensor:
    """(B, ...) of timesteps -> (N, ...) of a batch's pictures, all cameras of a timestep after each other."""
    return value.repeat_interleave(len(batch.cameras) // len(value), 0)


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
