"""A finished run as the library gives it: what was estimated, by timestep and camera, and renderings of it."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.pipeline.open_run import open_run
from vhap.pipeline.track import choose_device
from vhap.render.scene import Alignment, render_head
from vhap.util.errors import InputError


def opened(run: str | Path, epoch: int, device: str) -> Run:
    """A run's folder, or the newest one in an output folder; see `open_run.open_run`."""
    return Run(open_run(run, epoch, choose_device(device), with_landmarks=False))


@dataclass(frozen=True)
class Run:
    """A finished run: one head, posed, lit and rendered at every timestep.

    t is a timestep's index, from 0, or its name. Tensors are float32 on the run's device; metres in the tracked world,
    OpenGL axes. Cameras are counted from 0; a video has one.
    """

    scene: RunScene
    """What the toolkit's own commands work with."""

    @property
    def folder(self) -> Path:
        return self.scene.folder

    @property
    def timesteps(self) -> tuple[str, ...]:
        """Names of the timesteps."""
        return tuple(str(name) for name in self.scene.result.timestep_id)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(self.scene.capture.camera_ids)

    @property
    def head(self) -> HeadModel:
        """The head model, with as many coefficients as the run has."""
        return self.scene.model

    @property
    def faces(self) -> Tensor:
        """(F, 3) vertex ids, counter-clockwise from outside."""
        return self.scene.model.faces

    @property
    def albedo(self) -> Tensor:
        """(R, R, 3) texture in [0, 1], row 0 on top, without light."""
        return self.scene.texture[0]

    def __len__(self) -> int:
        return self.scene.n_rows

    def parameters(self, t: int | str) -> HeadParams:
        """Identity, expression, joints (radians) and translation (metres) of a timestep, without a leading axis."""
        return self.scene.head_params(self.index(t))

    def vertices(self, t: int | str, parameters: HeadParams | None = None) -> Tensor:
        """(V, 3) metres; parameters: others than those of the timestep. Differentiable in them."""
        return pose(self.scene.model, self.parameters(t) if parameters is None else parameters)

    def camera(self, t: int | str = 0, camera: int | str = 0) -> Camera:
        """The camera of a timestep: cameras rest, so it is the same for all of them."""
        self.index(t)
        return self.scene.camera(self._view(camera))

    def picture(self, t: int | str, camera: int | str = 0) -> FrameBatch:
        """What was tracked: rgb (1, H, W, 3) and alpha (1, H, W) or None, in [0, 1]."""
        return self.scene.load(self.index(t), self._view(camera))

    def render(
        self,
        t: int | str,
        camera: int | str | Camera = 0,
        parameters: HeadParams | None = None,
        background: Tensor | None = None,
    ) -> Tensor:
        """(H, W, 4) straight colours and coverage in [0, 1] of the head alone; with background (H, W, 3) the colours
        are those over it. camera: one of the run's by index or name, or any other. Differentiable in parameters and
        camera.
        """
        scene = self.scene
        seen = camera if isinstance(camera, Camera) else scene.camera(self._view(camera))
        if background is not None and background.shape != (seen.height, seen.width, 3):
            raise InputError(
                f"expected a background of {seen.height} x {seen.width} x 3, found "
                f"{' x '.join(map(str, background.shape))}; resize it to the camera's picture"
            )
        vertices = self.vertices(t, parameters)[None]
        behind = None if background is None else background[None]
        made = render_head(
            scene.backend,
            vertices,
            scene.topology,
            scene.model.uvs,
            scene.texture,
            scene.lights,
            seen,
            behind,
            alignment=Alignment(coverage=True),
        )
        assert made.coverage is not None
        coverage = made.coverage[0].clamp(0, 1)[..., None]
        rgb = made.picture[0]
        if background is None:
            rgb = rgb / coverage.clamp(min=1e-4)
        return torch.cat([rgb.clamp(0, 1), coverage], -1)

    def index(self, t: int | str) -> int:
        """A timestep's index by its name or by itself; negative ones count from the end. InputError for others."""
        return _index(t, self.timesteps, f"a timestep of {self.folder}")

    def _view(self, camera: int | str) -> int:
        return _index(camera, self.cameras, f"a camera of {self.folder}")


def _index(which: Any, names: Sequence[str], what: str) -> int:
    """Of one of several by its name or its index."""
    if isinstance(which, str) and which in names:
        return names.index(which)
    try:
        index = operator.index(which)  # pyright: ignore[reportArgumentType]
    except TypeError:
        index = len(names)
    if -len(names) <= index < len(names):
        return index % len(names)
    raise InputError(
        f"expected {what}, an index below {len(names)} or a name ({names[0]} to {names[-1]}), found {which!r}; choose "
        "one of them"
    )
