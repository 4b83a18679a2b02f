"""The Adam loop of public first-order head trackers: their stages, steps and learning rates, for time_to_accuracy.py.

Initialisation on the first batch: two stages on landmarks and three on pictures, 500 steps each. Then batches of
consecutive frames one after the other, each starting from the last solved frame. Then passes over all frames in
shuffled batches, one step a batch. A fresh optimiser begins with every stage and every sequential batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from first_order_energy import KEPT_TEXELS, FirstOrderEnergy, Frames, Unknowns
from torch import Tensor
from torch.nn.functional import interpolate

from vhap.data.sample import Capture
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.head.regions import faces_of_region
from vhap.head.texture import region_texture
from vhap.render.backend import get_backend
from vhap.render.scene import Alignment
from vhap.render.shading import uniform_lights
from vhap.render.topology import build_topology

RATES = {"translation": 1e-3, "expr": 5e-2, "static_offset": 5e-4, "focal": 5e-3, "lights": 5e-3}
BASE_RATE = 5e-3
"""Adam's learning rates; all others have the base rate."""
GLOBAL_RATE, EPOCH_DECAY = 0.1, 0.9
"""Factors on them in global passes: at their beginning, and after each."""
PER_FRAME = {"rotation": 3, "translation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "expr": 0}
"""Unknowns of a frame and how many numbers they are; expr: as many as the head has."""
GROUPS = {
    "cam": ("focal",),
    "pose": ("rotation", "translation"),
    "shape": ("shape",),
    "joints": ("neck_pose", "jaw_pose", "eyes_pose"),
    "expr": ("expr",),
    "texture": ("residual",),
    "lights": ("lights",),
    "static_offset": ("static_offset",),
}
TEXTURE_SIDE = 256
FIRST_FOCAL = 1.5


@dataclass(frozen=True)
class Schedule:
    """batch: frames solved together; init_steps: of each stage of the initialisation; frame_steps: of each batch of the
    sequential pass; epochs: global passes."""

    name: str
    batch: int
    frame_steps: int
    epochs: int
    init_steps: int = 500


FIFTY = Schedule("Adam, 50 steps a frame + 30 epochs", batch=16, frame_steps=50, epochs=30)
THREE_HUNDRED_TEN = Schedule("Adam, 310 steps a frame", batch=1, frame_steps=310, epochs=0)


@dataclass(frozen=True)
class Stage:
    """groups: what moves; texture, outline: regions whose texture and outline move no vertex; pictures: off for
    landmarks alone; temporal: frames are held to the ones before them."""

    name: str
    groups: tuple[str, ...]
    pictures: bool = True
    texture: tuple[str, ...] = ()
    outline: tuple[str, ...] = ()
    temporal: bool = False


_NOT_SKIN = ("hair", "boundary", "neck")
_SURFACE = ("cam", "pose", "shape", "joints", "expr", "texture", "lights")
INITIALISATION = (
    Stage("lmk_init_rigid", ("cam", "pose"), pictures=False),
    Stage("lmk_init_all", ("cam", "pose", "shape", "joints", "expr"), pictures=False),
    Stage("rgb_init_texture", ("cam", "shape", "texture", "lights"), texture=_NOT_SKIN, outline=("hair", "boundary")),
    Stage("rgb_init_all", _SURFACE, texture=_NOT_SKIN, outline=("hair", "bottomline")),
    Stage("rgb_init_offset", (*_SURFACE, "static_offset"), texture=_NOT_SKIN, outline=("bottomline",)),
)
SEQUENTIAL = Stage(
    "rgb_sequential_tracking", ("pose", "joints", "expr", "texture"), outline=("bottomline",), temporal=True
)
GLOBAL = Stage("rgb_global_tracking", (*_SURFACE, "static_offset"), outline=("bottomline",), temporal=True)


@dataclass
class State:
    """shared: focal (1,), shape (S,), lights (9, 3), residual (1, R, R, 3), static_offset (V, 3); frames: for every
    unknown of a frame T tensors, so that a step moves those of its own frames only; reached: frames that were
    solved, the others stand where the last of them does."""

    shared: dict[str, Tensor]
    frames: dict[str, list[Tensor]]
    reached: int = 0

    def rows(self, timesteps: Sequence[int]) -> HeadParams:
        stacked = {name: torch.stack([rows[t] for t in timesteps]) for name, rows in self.frames.items()}
        return HeadParams(shape=self.shared["shape"], static_offset=self.shared["static_offset"], **stacked)

    def leaves(self, name: str, timesteps: Sequence[int]) -> list[Tensor]:
        return [self.frames[name][t] for t in timesteps] if name in self.frames else [self.shared[name]]

    def start_from(self, source: int, timesteps: Sequence[int]) -> None:
        with torch.no_grad():
            for rows in self.frames.values():
                for t in timesteps:
                    rows[t].copy_(rows[source])


Watch = Callable[[str, Callable[[], Tensor]], bool]
"""Called after every step with the stage's name and a function that gives the vertices (T, V, 3) of all frames; False
ends the run."""


class OutOfTime(Exception):
    """The run was ended by its watch."""


@dataclass
class FirstOrderTracker:
    """A capture by one camera whose focal length is not known."""

    energy: FirstOrderEnergy
    capture: Capture
    schedule: Schedule
    watch: Watch
    state: State = field(init=False)

    def __post_init__(self) -> None:
        self.state = first_state(self.energy.head, len(self.capture.timestep_ids))
        self.every = range(len(self.capture.timestep_ids))
        self.loaded = frames_of(self.capture)

    def run(self) -> bool:
        """Whether the schedule was gone through to its end."""
        try:
            self._initialise()
            self._follow()
            self._pass_over_all()
        except OutOfTime:
            return False
        return True

    def vertices(self) -> Tensor:
        """(T, V, 3) metres; frames that were not reached stand as the last one that was."""
        rows = [min(t, max(self.state.reached, 1) - 1) for t in self.every]
        with torch.no_grad():
            return pose(self.energy.head, self.state.rows(rows))

    def _initialise(self) -> None:
        first = list(self.every)[: self.schedule.batch]
        self.state.reached = len(first)
        for stage in INITIALISATION:
            self._descend(stage, first, self.schedule.init_steps)

    def _follow(self) -> None:
        for start in range(0, len(self.every), self.schedule.batch):
            batch = list(self.every)[start : start + self.schedule.batch]
            if start > 0:
                self.state.start_from(start - 1, batch)
            self.state.reached = max(self.state.reached, batch[-1] + 1)
            self._descend(SEQUENTIAL, batch, self.schedule.frame_steps)

    def _pass_over_all(self) -> None:
        """One step a batch; a frame's own momentum lives through all passes."""
        adam = self._optimizer(GLOBAL, self.every, GLOBAL_RATE)
        alignment = self._alignment(GLOBAL)
        decay = torch.optim.lr_scheduler.ExponentialLR(adam, EPOCH_DECAY)
        for _ in range(self.schedule.epochs):
            order = torch.randperm(len(self.every), generator=self.energy.random)
            for batch in order.split(self.schedule.batch):
                self._step(GLOBAL, batch.tolist(), adam, alignment)
            decay.step()

    def _descend(self, stage: Stage, timesteps: Sequence[int], steps: int) -> None:
        adam, alignment = self._optimizer(stage, timesteps, 1.0), self._alignment(stage)
        for _ in range(steps):
            self._step(stage, timesteps, adam, alignment)

    def _alignment(self, stage: Stage) -> Alignment | None:
        return self.energy.exclusions(stage.texture, stage.outline) if stage.pictures else None

    def _optimizer(self, stage: Stage, timesteps: Sequence[int], factor: float) -> torch.optim.Adam:
        names = [name for group in stage.groups for name in GROUPS[group]]
        groups = [
            {"params": self.state.leaves(name, timesteps), "lr": factor * RATES.get(name, BASE_RATE)} for name in names
        ]
        for rows in [*self.state.frames.values(), self.state.shared.values()]:
            for leaf in rows:
                leaf.requires_grad_(False)
        for group in groups:
            for leaf in group["params"]:
                leaf.requires_grad_(True)
        return torch.optim.Adam(groups)

    def _step(
        self, stage: Stage, timesteps: Sequence[int], adam: torch.optim.Adam, alignment: Alignment | None
    ) -> None:
        adam.zero_grad(set_to_none=True)
        shared = self.state.shared
        unknowns = Unknowns(self.state.rows(timesteps), shared["focal"], shared["lights"], shared["residual"])
        if stage.temporal:
            with torch.no_grad():
                before = self.state.rows([max(t - 1, 0) for t in timesteps])
            unknowns = replace(unknowns, before=before, valid=torch.tensor([t > 0 for t in timesteps]))
        self.energy(unknowns, self._shown(timesteps), alignment).backward()
        adam.step()
        if not self.watch(stage.name, self.vertices):
            raise OutOfTime

    def _shown(self, timesteps: Sequence[int]) -> Frames:
        all_of = self.loaded
        which = list(timesteps)
        return Frames(all_of.rgb[which], all_of.points_px[which], all_of.confidence[which])


def first_state(head: HeadModel, count: int) -> State:
    """A neutral head at the origin, base texture, white light."""
    widths = {name: width or head.n_expr for name, width in PER_FRAME.items()}
    shared = {
        "focal": torch.full((1,), FIRST_FOCAL),
        "shape": torch.zeros(head.n_shape),
        "lights": uniform_lights(),
        "residual": torch.zeros(1, TEXTURE_SIDE, TEXTURE_SIDE, 3),
        "static_offset": torch.zeros(head.n_vertices, 3),
    }
    frames = {name: [torch.zeros(width) for _ in range(count)] for name, width in widths.items()}
    return State(shared, frames)


def frames_of(capture: Capture) -> Frames:
    """All pictures and landmarks of a capture, which has to fit into memory."""
    batch = capture.load(list(range(len(capture.timestep_ids))))
    return Frames(batch.rgb, batch.landmarks_px, batch.confidence)


def energy_of(head: HeadModel, landmark_set: str, seed: int) -> FirstOrderEnergy:
    """On the CPU, with the head's own base texture where it has one."""
    backend, topology = get_backend("auto"), build_topology(head.faces, head.uv_faces)
    base = region_texture(head, TEXTURE_SIDE) if head.base_texture is None else head.base_texture
    planes = base.permute(2, 0, 1)[None]
    shrinks = base.shape[0] > TEXTURE_SIDE
    resized = interpolate(planes, (TEXTURE_SIDE, TEXTURE_SIDE), mode="bilinear", antialias=shrinks)
    return FirstOrderEnergy(
        head=head,
        landmark_set=landmark_set,
        backend=backend,
        topology=topology,
        base=resized.permute(0, 2, 3, 1).contiguous(),
        kept=kept_texels(head),
        random=torch.Generator().manual_seed(seed),
    )


def kept_texels(head: HeadModel) -> Tensor:
    """(R, R) float, 1 in the texture of regions that stay near the base texture."""
    inside = [faces_of_region(head, name) for name in KEPT_TEXELS if name in head.regions]
    if not inside:
        return torch.zeros(TEXTURE_SIDE, TEXTURE_SIDE)
    flat = torch.cat([head.uvs * 2 - 1, torch.zeros(len(head.uvs), 1), torch.ones(len(head.uvs), 1)], -1)
    topology = build_topology(head.uv_faces, head.uv_faces)
    raster = get_backend("auto").rasterize(flat[None].contiguous(), topology, TEXTURE_SIDE, TEXTURE_SIDE)
    return torch.stack(inside).any(0).float()[raster.face_id[0].clamp(min=0).long()] * raster.mask[0]
