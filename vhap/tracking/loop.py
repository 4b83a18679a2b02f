"""Steps the optimisers: the initialisation's frames, then batch after batch, then all frames shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vhap.config.track import LossWeightConfig, TrackConfig
from vhap.data.sample import Capture, FrameBatch
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.model.head import landmark_head
from vhap.render.appearance_prior import AppearancePrior
from vhap.tracking.checkpoint import Checkpoint, Progress, moved_on
from vhap.tracking.energy import Energy, EnergyValue, Neighbours
from vhap.tracking.first_guess import choose_frames, follow_landmarks, solve_person
from vhap.tracking.landmark_problem import LandmarkProblem
from vhap.tracking.landmark_solver import landmark_cost
from vhap.tracking.optimizer import RowAdam
from vhap.tracking.params import GROUPS, PER_FRAME, TrackParams
from vhap.tracking.photometric_solver import PhotometricProblem, solve_frames, solve_shared
from vhap.tracking.scene import Scene, emphasis
from vhap.tracking.schedule import Plateau, RateSchedule, learning_rates
from vhap.tracking.stages import EPOCH_RATE_DECAY, Bake, Stage, coarse_factor
from vhap.tracking.texture import back_project, low_pass, sharpen

CAMERA_DISTANCE_M = 1.0
SHARPENING_ROUNDS, SHARPENING_WHILE_MOVING = 5, 2
MOST_SOLVED_TOGETHER = 64


@dataclass(frozen=True)
class StepEvent:
    """What a callback sees after a step. step counts all steps of the run; done and total those of the stage. batch:
    None where energy has no rendering."""

    stage: Stage
    step: int
    done: int
    total: int
    timesteps: Tensor
    energy: EnergyValue
    params: TrackParams
    batch: FrameBatch | None


class Callback:
    """What may hang on the loop; each does nothing unless it is overridden."""

    def on_step(self, event: StepEvent) -> None:
        """After every first-order step."""

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        """After every stage."""

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        """After the sequential pass (epoch 0) and after every global epoch."""

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """After every unit of work: where the run stands."""


@dataclass
class Tracker:
    """One run's state. problem: all frames' landmarks; found (T, C): in which pictures they are the head's;
    init_frames: rows of the initialisation; params: the unknowns of all frames, updated in place as stages run;
    first_row: where the sequential pass begins; progress: the unit that comes next."""

    config: TrackConfig
    scene: Scene
    capture: Capture
    problem: LandmarkProblem
    found: Tensor
    init_frames: list[int]
    params: TrackParams
    callbacks: Sequence[Callback] = ()
    first_row: int = 0
    step: int = 0
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        data = self.config.data
        sh_lights = self.config.render.lighting_type == "SH"
        scale = data.scale_factor / (data.n_downsample_rgb or 1)
        self.coarse_factor = coarse_factor(self.scene.size)
        self.problem = self.problem.only(self.found)
        self.frames_found = self.found.any(1)
        self.random = torch.Generator().manual_seed(self.config.seed)
        render = self.config.render
        clusters = self.scene.face_clusters(self.config.model.tex_clusters)
        prior = AppearancePrior(clusters, render.disturb_rate_fg, render.disturb_rate_bg, self.random)
        disturbs = max(render.disturb_rate_fg, render.disturb_rate_bg) > 0
        self.energy = Energy(self.scene, self.config.w, scale, sh_lights, prior if disturbs else None)
        self.coarse_energy = replace(self.energy, scene=self.scene.shrunk(self.coarse_factor))

    def run(self, stages: list[Stage]) -> TrackParams:
        """Goes on where progress says. After every unit (a batch, an epoch, a round) callbacks get a checkpoint."""
        while self.progress.stage < len(stages):
            stage = stages[self.progress.stage]
            if self.progress.done == 0:
                self._begin(stage)
            finished = self._advance(stage)
            if finished:
                for callback in self.callbacks:
                    callback.on_stage_end(stage, self.params)
            self.progress = moved_on(self.progress, finished)
            self._keep(finished=self.progress.stage == len(stages))
        return self.params

    def resume(self, checkpoint: Checkpoint) -> None:
        """Takes over everything that a checkpoint holds."""
        self.params, self.progress, self.step = checkpoint.params, checkpoint.progress, checkpoint.step
        self.random.set_state(checkpoint.random)

    def _keep(self, finished: bool) -> None:
        state = Checkpoint(
            params=self.params,
            progress=self.progress,
            step=self.step,
            found=self.found,
            init_frames=self.init_frames,
            beside_pixels=self.problem.prior.beside_pixels,
            random=self.random.get_state(),
            finished=finished,
        )
        for callback in self.callbacks:
            callback.on_checkpoint(state)

    def _begin(self, stage: Stage) -> None:
        """What a stage starts from. Nothing here is kept before the stage's first unit, so it may be repeated."""
        if not stage.newton:
            self._bake_texture(stage.bake)
        if stage.sequential and not stage.newton:
            self.progress.guess = follow_landmarks(self.problem, self.params.detached(), self.frames_found)

    def _advance(self, stage: Stage) -> bool:
        """One unit of a stage. Returns whether that was its last."""
        if stage.steps == 0 or stage.epochs == 0:
            return True
        if not stage.photometric:
            return self._fit_landmarks(stage)
        if stage.newton:
            return self._refine(stage) if stage.sequential else self._solve(stage)
        if stage.sequential:
            return self._advance_batch(stage)
        if stage.epochs is not None:
            return self._advance_epoch(stage)
        rows = torch.tensor(self.init_frames)
        self._descend(stage, rows, self._load(rows), RowAdam(), 0, stage.steps)
        return True

    def _fit_landmarks(self, stage: Stage) -> bool:
        """On landmarks alone: what all frames share, with the frames that differ most; or every frame; or both."""
        problem, names = self._landmarks(stage), self._names(stage)
        if not stage.sequential:
            self.params = solve_person(problem, self.params, self.frames_found, names, stage.steps)
        if stage.sequential or stage.epochs is not None:
            before = self.params.rows(torch.arange(self.first_row))
            self.params = follow_landmarks(problem, self.params, self.frames_found, names, stage.steps)
            for name in PER_FRAME:
                getattr(self.params, name)[: self.first_row] = getattr(before, name)
        everything = torch.arange(self.params.n_timesteps)
        energy = EnergyValue(landmark_cost(problem, self.params), {}, None)
        self._tell_step(stage, 1, 1, everything, energy, None)
        if stage.sequential or stage.epochs is not None:
            self._tell_epoch(stage.epochs or 0)
        return True

    def _photometric_problem(self, stage: Stage) -> PhotometricProblem:
        scene, factor = (self.coarse_energy.scene, self.coarse_factor) if stage.coarse else (self.scene, 1)
        return PhotometricProblem(
            scene=scene,
            landmarks=self._landmarks(stage),
            load=lambda rows: self._load(rows).shrunk(factor),
            sh_lights=self.energy.sh_lights,
            landmark_share=self.config.w.landmark / LossWeightConfig().landmark,
        )

    def _solve(self, stage: Stage) -> bool:
        """What all frames share, together with the frames that differ most; then the others by themselves."""
        problem, names = self._photometric_problem(stage), self._names(stage)
        most = max(1, MOST_SOLVED_TOGETHER // len(self.capture.camera_ids))
        chosen = torch.tensor(choose_frames(self.problem, self.params, self.frames_found, most))
        pictures = [(rows, problem.load(rows)) for rows in chosen.split(1)]

        def bake(params: TrackParams) -> Tensor:
            if stage.bake == "keep":
                return params.residual_texture
            shown = ((params.rows(rows), batch) for rows, batch in pictures)
            return low_pass(back_project(problem.scene, shown, problem.sh_lights))

        everything = torch.arange(self.params.n_timesteps)
        others = everything[~torch.isin(everything, chosen)]
        batches = -(-len(others) // self.config.batch_size)
        total = stage.steps + 1 + batches * stage.steps

        def tell(index: int, cost: Tensor) -> None:
            self._tell_step(stage, index + 1, total, chosen, EnergyValue(cost, {}, None), None)

        self.params = solve_shared(problem, self.params, chosen, names, bake, stage.steps, tell)
        for index in range(stage.steps):
            self._solve_frames(stage, problem, others, (stage.steps + 1 + index * batches, total))
        return True

    def _refine(self, stage: Stage) -> bool:
        """A round over all frames, each by itself, with the albedo that they give as they stand."""
        self._bake_texture(stage.bake, SHARPENING_WHILE_MOVING)
        everything = torch.arange(self.first_row, self.params.n_timesteps)
        batches = -(-len(everything) // self.config.batch_size)
        counts = (self.progress.done * batches, stage.steps * batches)
        self._solve_frames(stage, self._photometric_problem(stage), everything, counts)
        last = self.progress.done + 1 == stage.steps
        if last:
            self._tell_epoch(0)
        return last

    def _solve_frames(self, stage: Stage, problem: PhotometricProblem, rows: Tensor, counts: tuple[int, int]) -> None:
        """A step of each frame. counts: batches of the stage that are done, and all of them."""
        names = self._names(stage)
        for index, part in enumerate(rows.split(self.config.batch_size) if len(rows) else ()):
            self.params, cost = solve_frames(problem, self.params, part, names)
            self._tell_step(stage, counts[0] + index + 1, counts[1], part, EnergyValue(cost, {}, None), None)

    def _tell_step(
        self, stage: Stage, done: int, total: int, rows: Tensor, energy: EnergyValue, batch: FrameBatch | None
    ) -> None:
        self.step += 1
        event = StepEvent(stage, self.step, done, total, rows, energy, self.params, batch)
        for callback in self.callbacks:
            callback.on_step(event)

    def _landmarks(self, stage: Stage) -> LandmarkProblem:
        """The landmarks of this person, whose static offset stands still in second-order stages."""
        problem = self.problem
        if not stage.jaw_line:
            ids = self.problem.head.landmarks[self.problem.name].detector_ids
            problem = problem.counting((emphasis(problem.name, ids, jaw_line=False) > 0).to(problem.weight))
        if self.params.static_offset is None:
            return problem
        head = self.scene.head
        person = replace(head, template=head.template + self.params.static_offset)
        return replace(problem, head=landmark_head(person, self.scene.landmark_set))

    def _load(self, rows: Tensor) -> FrameBatch:
        """Frames as the capture has them; landmarks that are not the head's without confidence."""
        batch = self.capture.load(rows.tolist()).to(self.params.rotation.device)
        known = self.found.to(batch.timesteps.device)[batch.timesteps, batch.cameras].to(batch.confidence)
        return replace(batch, confidence=batch.confidence * known[:, None])

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

    def _advance_batch(self, stage: Stage) -> bool:
        """Consecutive frames, started from the last one before them."""
        batches = torch.arange(self.first_row, self.params.n_timesteps).split(self.config.batch_size)
        index, guess = self.progress.done, self.progress.guess
        assert guess is not None
        rows = batches[index]
        self._start_from_predecessor(rows, guess)
        total = stage.steps * len(batches)
        self._descend(stage, rows, self._load(rows), RowAdam(), index * stage.steps, total)
        last = index + 1 == len(batches)
        if last:
            self._tell_epoch(0)
        return last

    def _advance_epoch(self, stage: Stage) -> bool:
        """All frames once, in shuffled batches."""
        epoch, plateau = self.progress.done, Plateau(3, self.progress.losses)
        count, size = self.params.n_timesteps, self.config.batch_size
        order = torch.randperm(count, generator=self.random).split(size)
        slower = replace(stage, rate_factor=stage.rate_factor * EPOCH_RATE_DECAY**epoch)
        total, loss = (stage.epochs or 0) * len(order), 0.0
        for index, rows in enumerate(order):
            done = epoch * len(order) + index
            loss += len(rows) * self._descend(slower, rows, self._load(rows), self.progress.optimizer, done, total)
        flat = plateau.reached(loss / count) and not stage.obeyed
        last = flat or epoch + 1 == stage.epochs
        if last and stage.bake == "all":
            self._sharpen_texture()
        self._tell_epoch(epoch + 1)
        return last

    def _tell_epoch(self, epoch: int) -> None:
        for callback in self.callbacks:
            callback.on_epoch(epoch, self.params)

    @torch.no_grad()
    def _start_from_predecessor(self, rows: Tensor, guess: TrackParams) -> None:
        """Frames of a batch start from the last solved frame, moved as the landmarks moved since then.

        The first batch starts from the initialisation's frame nearest to it.
        """
        first = int(rows[0])
        solved = first - 1 if first > self.first_row else min(self.init_frames)
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
            self._tell_step(stage, done + index + 1, total, rows, energy, batch)
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
        for name in names:
            getattr(taken, name).requires_grad_(True)
        return taken

    def _before(self, rows: Tensor) -> Neighbours:
        return Neighbours(self.params.rows((rows - 1).clamp(min=0)), (rows > 0).to(self.params.rotation.device))


@torch.no_grad()
def dolly(params: TrackParams, focal_before: Tensor) -> None:
    """Moves every frame's head away from the camera as the focal length has grown, so that its size in the picture
    stays. Focal length and distance alone are nearly interchangeable; moved one by one they creep."""
    distance = CAMERA_DISTANCE_M - params.translation[:, 2]
    params.translation[:, 2] = CAMERA_DISTANCE_M - distance * params.focal_length / focal_before
