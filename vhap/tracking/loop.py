"""Steps the optimisers: the initialisation's frames, then batch after batch, then all frames shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from vhap.config.track import LearningRateConfig, TrackConfig
from vhap.data.sample import Capture, FrameBatch
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.model.head import HeadModel, landmark_head
from vhap.render.appearance_prior import AppearancePrior
from vhap.tracking.energy import Energy, EnergyValue, Neighbours
from vhap.tracking.first_guess import choose_frames, follow_landmarks
from vhap.tracking.landmark_solver import LandmarkProblem
from vhap.tracking.optimizer import RowAdam
from vhap.tracking.params import GROUPS, PER_FRAME, TrackParams
from vhap.tracking.photometric_solver import PhotometricProblem, solve_frames, solve_shared
from vhap.tracking.scene import Scene
from vhap.tracking.stages import EPOCH_RATE_DECAY, Bake, Stage, coarse_factor
from vhap.tracking.texture import back_project, low_pass, sharpen

PLATEAU_GAIN_PER_STEP = 3e-4
CAMERA_DISTANCE_M = 1.0
RATE_DIVISOR = 3.0
SHARPENING_ROUNDS, SHARPENING_WHILE_MOVING = 5, 2
MOST_SOLVED_TOGETHER = 64
EXPR_DISPLACEMENT_M = 0.3e-3


@dataclass(frozen=True)
class StepEvent:
    """What a callback sees after a step. step counts all steps of the run; done and total those of the stage."""

    stage: Stage
    step: int
    done: int
    total: int
    timesteps: Tensor
    energy: EnergyValue
    params: TrackParams
    batch: FrameBatch


class Callback(Protocol):
    def on_step(self, event: StepEvent) -> None: ...

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None: ...

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        """After the sequential pass (epoch 0) and after every global epoch."""
        ...


@dataclass
class RateSchedule:
    """Adam moves by its rate even where the gradient says little, so a stage ends with small steps.

    A plateau divides the rates by 3; after the third one the stage ends. Over the last half of the steps they fall
    linearly. Where the counts are obeyed, plateaus do not matter.
    """

    stage: Stage
    factor: float = 1.0

    def at(self, index: int) -> float:
        remaining = (self.stage.steps - index) / max(1, self.stage.steps)
        return self.factor * self.stage.rate_factor * (min(1.0, 2 * remaining) if self.stage.steps > 1 else 1.0)

    def lower(self) -> bool:
        """After a plateau. False where the stage should end."""
        self.factor /= RATE_DIVISOR
        return self.factor > RATE_DIVISOR**-2.5


@dataclass
class Plateau:
    """Says when a stage gains nothing more: the mean of the last window of losses against the window before.

    A batch's loss falls without noise, so short windows do.
    """

    window: int
    losses: list[float]

    @classmethod
    def of(cls, stage: Stage) -> Plateau:
        return cls(min(10, max(5, stage.steps // 20)), [])

    def reached(self, loss: float) -> bool:
        self.losses.append(loss)
        n = self.window
        if len(self.losses) < 2 * n or len(self.losses) % n:
            return False
        earlier, later = sum(self.losses[-2 * n : -n]), sum(self.losses[-n:])
        return earlier - later < PLATEAU_GAIN_PER_STEP * n * abs(earlier)


@dataclass
class Tracker:
    """One run's state. problem, found: all frames' landmarks and which frames have any; init_frames: rows of the
    initialisation; params: the unknowns of all frames, updated in place as stages run."""

    config: TrackConfig
    scene: Scene
    capture: Capture
    problem: LandmarkProblem
    found: Tensor
    init_frames: list[int]
    params: TrackParams
    callbacks: Sequence[Callback] = ()
    step: int = 0

    def __post_init__(self) -> None:
        data = self.config.data
        sh_lights = self.config.render.lighting_type == "SH"
        scale = data.scale_factor / (data.n_downsample_rgb or 1)
        self.coarse_factor = coarse_factor(self.scene.size)
        self.random = torch.Generator().manual_seed(self.config.seed)
        render = self.config.render
        clusters = self.scene.face_clusters(self.config.model.tex_clusters)
        prior = AppearancePrior(clusters, render.disturb_rate_fg, render.disturb_rate_bg, self.random)
        disturbs = max(render.disturb_rate_fg, render.disturb_rate_bg) > 0
        self.energy = Energy(self.scene, self.config.w, scale, sh_lights, prior if disturbs else None)
        self.coarse_energy = replace(self.energy, scene=self.scene.shrunk(self.coarse_factor))

    def run(self, stages: list[Stage]) -> TrackParams:
        for stage in stages:
            if stage.newton:
                self._solve(stage)
            else:
                self._bake_texture(stage.bake)
                self._run_first_order(stage)
            self._tell_stage_end(stage)
        return self.params

    def _run_first_order(self, stage: Stage) -> None:
        if stage.sequential:
            self._run_sequential(stage)
        elif stage.epochs is not None:
            self._run_epochs(stage)
        else:
            rows = torch.tensor(self.init_frames)
            self._descend(stage, rows, self._load(rows), RowAdam(), 0, stage.steps)

    def _tell_stage_end(self, stage: Stage) -> None:
        for callback in self.callbacks:
            callback.on_stage_end(stage, self.params)

    def _solve(self, stage: Stage) -> None:
        """A second-order stage: every frame by itself, or first what all share, on the frames that differ most."""
        scene, factor = (self.coarse_energy.scene, self.coarse_factor) if stage.coarse else (self.scene, 1)
        sh_lights = self.energy.sh_lights
        landmarks = self._landmarks()
        problem = PhotometricProblem(scene, landmarks, lambda rows: self._load(rows).shrunk(factor), sh_lights)
        names = self._names(stage)
        everything = torch.arange(self.params.n_timesteps)
        if stage.sequential:
            self._solve_frames(problem, stage, everything, names)
            self._tell_epoch(0)
            return
        chosen = choose_frames(self.problem, self.params, self.found, MOST_SOLVED_TOGETHER)
        pictures = [(rows, problem.load(rows)) for rows in torch.tensor(chosen).split(1)]

        def bake(params: TrackParams) -> Tensor:
            shown = ((params.rows(rows), batch) for rows, batch in pictures)
            return low_pass(back_project(scene, shown, sh_lights))

        self.params = solve_shared(problem, self.params, torch.tensor(chosen), names, bake, stage.steps)
        others = everything[~torch.isin(everything, torch.tensor(chosen))]
        self._solve_frames(problem, replace(stage, bake="keep"), others, names)

    def _landmarks(self) -> LandmarkProblem:
        """The landmarks of this person, whose static offset stands still in second-order stages."""
        if self.params.static_offset is None:
            return self.problem
        head = self.scene.head
        person = replace(head, template=head.template + self.params.static_offset)
        return replace(self.problem, head=landmark_head(person, self.scene.landmark_set))

    def _solve_frames(self, problem: PhotometricProblem, stage: Stage, rows: Tensor, names: list[str]) -> None:
        for _ in range(stage.steps):
            self._bake_texture(stage.bake, SHARPENING_WHILE_MOVING)
            for part in rows.split(self.config.batch_size) if len(rows) else ():
                self.params = solve_frames(problem, self.params, part, names)

    def _load(self, rows: Tensor) -> FrameBatch:
        return self.capture.load(rows.tolist()).to(self.params.rotation.device)

    def _bake_texture(self, bake: Bake, sharpening: int = SHARPENING_ROUNDS) -> None:
        """The albedo that explains the pictures best as the head stands. The global stage would else begin with the
        texture of the last batch."""
        if bake in ("keep", "tint"):
            return
        frames = list(range(self.params.n_timesteps)) if bake == "all" else self.init_frames
        self.params.residual_texture = back_project(self.scene, self._batches(frames), self.energy.sh_lights)
        if bake == "all":
            self._sharpen_texture(sharpening)

    def _sharpen_texture(self, rounds: int = SHARPENING_ROUNDS) -> None:
        """A few rounds over all frames as they stand: details that the mean and the energy's smoothness blur."""
        frames = list(range(self.params.n_timesteps))
        for _ in range(rounds):
            residual = self.params.residual_texture
            self.params.residual_texture = sharpen(self.scene, residual, self._batches(frames), self.energy.sh_lights)

    def _batches(self, frames: list[int]) -> Iterator[tuple[TrackParams, FrameBatch]]:
        for rows in torch.tensor(frames).split(self.config.batch_size):
            yield self.params.rows(rows), self._load(rows)

    def _run_sequential(self, stage: Stage) -> None:
        guess = follow_landmarks(self.problem, self.params.detached(), self.found)
        batches = torch.arange(self.params.n_timesteps).split(self.config.batch_size)
        total = stage.steps * len(batches)
        for index, rows in enumerate(batches):
            self._start_from_predecessor(rows, guess)
            self._descend(stage, rows, self._load(rows), RowAdam(), index * stage.steps, total)
        self._tell_epoch(0)

    def _run_epochs(self, stage: Stage) -> None:
        optimizer, plateau = RowAdam(), Plateau(3, [])
        count, size = self.params.n_timesteps, self.config.batch_size
        per_epoch = -(-count // size)
        for epoch in range(stage.epochs or 0):
            factor = stage.rate_factor * EPOCH_RATE_DECAY**epoch
            order = torch.randperm(count, generator=self.random).split(size)
            losses = []
            for index, rows in enumerate(order):
                done = epoch * per_epoch + index
                loss = self._descend(
                    replace(stage, rate_factor=factor),
                    rows,
                    self._load(rows),
                    optimizer,
                    done,
                    (stage.epochs or 0) * per_epoch,
                )
                losses.append(loss * len(rows))
            flat = plateau.reached(sum(losses) / count) and not stage.obeyed
            last = flat or epoch + 1 == stage.epochs
            if last and stage.bake == "all":
                self._sharpen_texture()
            self._tell_epoch(epoch + 1)
            if last:
                break

    def _tell_epoch(self, epoch: int) -> None:
        for callback in self.callbacks:
            callback.on_epoch(epoch, self.params)

    @torch.no_grad()
    def _start_from_predecessor(self, rows: Tensor, guess: TrackParams) -> None:
        """Frames of a batch start from the last solved frame, moved as the landmarks moved since then.

        The first batch starts from the initialisation's frame nearest to it.
        """
        first = int(rows[0])
        solved = first - 1 if first > 0 else min(self.init_frames)
        for name in PER_FRAME:
            value, landmarks = getattr(self.params, name), getattr(guess, name)
            anchor = value[solved].clone()
            if name == "rotation":
                turn = axis_angle_to_matrix(landmarks[rows]) @ axis_angle_to_matrix(landmarks[solved]).mT
                value[rows] = matrix_to_axis_angle(turn @ axis_angle_to_matrix(anchor))
            else:
                value[rows] = anchor + landmarks[rows] - landmarks[solved]
        if self.params.dynamic_offset is not None:
            self.params.dynamic_offset[rows] = self.params.dynamic_offset[solved].clone()

    def _descend(
        self, stage: Stage, rows: Tensor, batch: FrameBatch, optimizer: RowAdam, done: int, total: int
    ) -> float:
        """stage.steps Adam steps on one batch (fewer on a plateau). Returns the last loss."""
        names = self._names(stage)
        plateau, schedule, loss = Plateau.of(stage), RateSchedule(stage), 0.0
        evaluate = self.coarse_energy if stage.coarse else self.energy
        batch = batch.shrunk(self.coarse_factor) if stage.coarse else batch
        for index in range(stage.steps):
            leaves = self._leaves(rows, names)
            energy = evaluate(leaves, self._before(rows), batch, stage)
            loss = float(energy.total.detach())
            found = self._gradients(energy, leaves, names)
            focal = self.params.focal_length.clone()
            rates = learning_rates(self.config.lr, self.scene.head, schedule.at(index))
            optimizer.step(self.params, found, rows, rates)
            if "focal_length" in found:
                dolly(self.params, focal)
            self.step += 1
            event = StepEvent(stage, self.step, done + index + 1, total, rows, energy, self.params, batch)
            for callback in self.callbacks:
                callback.on_step(event)
            if not stage.obeyed and plateau.reached(loss):
                plateau.losses.clear()
                if not schedule.lower():
                    break
        return loss

    @staticmethod
    def _gradients(energy: EnergyValue, leaves: TrackParams, names: list[str]) -> dict[str, Tensor]:
        """Gradients by name; those that are not finite, or that the stage's terms do not reach, are left out.

        The focal length moves along the dolly: its derivative includes that of the distance, which follows it.
        """
        asked = list(names)
        if "focal_length" in names and "translation" not in names:
            leaves.translation.requires_grad_(True)
            asked.append("translation")
        values = torch.autograd.grad(energy.total, [getattr(leaves, name) for name in asked], allow_unused=True)
        found = {name: g for name, g in zip(asked, values) if g is not None and bool(g.isfinite().all())}
        if "focal_length" in found and "translation" in found:
            by_distance = -found["translation"][:, 2]
            distance = CAMERA_DISTANCE_M - leaves.translation.detach()[:, 2]
            found["focal_length"] = (
                found["focal_length"] + (by_distance * distance).sum() / leaves.focal_length.detach()
            )
        return {name: g for name, g in found.items() if name in names}

    def _names(self, stage: Stage) -> list[str]:
        return [name for group in stage.groups for name in GROUPS[group] if self._moves(name)]

    def _moves(self, name: str) -> bool:
        """A known camera stays; a constant light too."""
        if name == "focal_length":
            return self.scene.given is None
        return getattr(self.params, name) is not None and (name != "lights" or self.energy.sh_lights)

    def _leaves(self, rows: Tensor, names: list[str]) -> TrackParams:
        taken = self.params.rows(rows).detached()
        for field in fields(taken):
            if field.name in names:
                getattr(taken, field.name).requires_grad_(True)
        return taken

    def _before(self, rows: Tensor) -> Neighbours:
        return Neighbours(self.params.rows((rows - 1).clamp(min=0)), (rows > 0).to(self.params.rotation.device))


@torch.no_grad()
def dolly(params: TrackParams, focal_before: Tensor) -> None:
    """Moves every frame's head away from the camera as the focal length has grown, so that its size in the picture
    stays. Focal length and distance alone are nearly interchangeable; moved one by one they creep."""
    distance = CAMERA_DISTANCE_M - params.translation[:, 2]
    params.translation[:, 2] = CAMERA_DISTANCE_M - distance * params.focal_length / focal_before


def learning_rates(config: LearningRateConfig, head: HeadModel, factor: float) -> dict[str, float | Tensor]:
    """Adam's rate of every unknown; for the expression one for each coefficient (E,).

    lr.expr is told for coefficients that move the head as much as FLAME's do. Those of other heads can move it ten
    times further (an activation of 1 opens the mouth wide); they take smaller steps, equal in millimetres.
    """
    displacement = head.expr_basis.square().sum(1).mean(0).sqrt()
    special = {
        "translation": config.translation,
        "expr": config.expr * (EXPR_DISPLACEMENT_M / displacement.clamp(min=1e-9)).clamp(max=1),
        "focal_length": config.camera,
        "lights": config.light,
        "static_offset": config.static_offset,
        "dynamic_offset": config.dynamic_offset,
    }
    names = [name for group in GROUPS.values() for name in group]
    return {name: factor * special.get(name, config.base) for name in names}
