"""Steps the optimisers: the initialisation's frames, then batch after batch, then all frames shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vhap.config.track import TrackConfig, usual_weights
from vhap.data.sample import Capture, FrameBatch
from vhap.fit.checkpoint import Checkpoint, Progress, moved_on
from vhap.fit.energy import Energy, EnergyValue, Neighbours
from vhap.fit.events import Callback, StepEvent
from vhap.fit.landmarks.first_guess import choose_more, fill_between, follow_landmarks, solve_person
from vhap.fit.landmarks.problem import LandmarkProblem
from vhap.fit.landmarks.solver import landmark_cost
from vhap.fit.landmarks.teeth_gaps import find_teeth_gaps
from vhap.fit.light_views import MOST_PICTURES, PosedPicture, light_of_pictures
from vhap.fit.optimizer import RowAdam
from vhap.fit.params import CAMERA, CAMERA_DISTANCE_M, GROUPS, PER_FRAME, TrackParams
from vhap.fit.photometric.eyes import follow_eyes
from vhap.fit.photometric.hair import grow_hair
from vhap.fit.photometric.point_albedo import PointPrior
from vhap.fit.photometric.problem import PhotometricProblem, most_timesteps, observed_pictures
from vhap.fit.photometric.solver import observed_albedo, residual_correlation, solve_jointly
from vhap.fit.scene import Scene, emphasis
from vhap.fit.schedule import Plateau, RateSchedule, learning_rates
from vhap.fit.stages import EPOCH_RATE_DECAY, BackProjection, Stage, coarse_factor
from vhap.fit.texture import back_project, sharpen
from vhap.head.model import landmark_head, pose
from vhap.render.appearance_prior import AppearancePrior
from vhap.util.choice import even_choice

SHARPENING_ROUNDS, MOST_TEXTURED = 5, 128
"""Rounds, and pictures at most, that make a texture: 373 show no more than 128 (doc/benchmarks.md)."""
LOOK_AHEAD, TIED = 2, 2
"""Frames after a window that are solved with it, and those before that stay."""


@dataclass(frozen=True)
class Window:
    """Frames rows that are solved with those after them, around, and tied to those before. new: not all of them have
    been solved together, so that small pictures are looked at first."""

    rows: Tensor
    around: Tensor
    before: range
    new: bool


@dataclass
class Tracker:
    """One run's state. problem: all frames' landmarks; found (T, C): in which pictures they are the head's;
    init_frames: rows of the initialisation; params: the unknowns of all frames, updated in place as stages run;
    first_row: where the sequential pass begins; progress: the unit that comes next; correlation: so many
    points count as one (residual_correlation.py)."""

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
    correlation: float = PointPrior().correlation

    def __post_init__(self) -> None:
        data = self.config.data
        sh_lights = self.config.render.lighting_type == "SH"
        scale = data.scale_factor / (data.n_downsample_rgb or 1)
        self.coarse_factor = coarse_factor(self.scene.size)
        self.problem = self.problem.only(self.found)
        self.frames_found = self.found.any(1)
        usable = self.frames_found & (torch.arange(len(self.frames_found)) >= self.first_row)
        self.window = most_timesteps(len(self.capture.camera_ids))
        self.few, self.together = (
            torch.tensor(choose_more(self.problem, self.init_frames, usable, count))
            for count in (max(1, self.window // 2), self.window)
        )
        self.teeth = find_teeth_gaps(self.scene.head)
        self.random = torch.Generator().manual_seed(self.config.seed)
        render = self.config.render
        clusters = self.scene.face_clusters(self.config.model.tex_clusters)
        prior = AppearancePrior(clusters, render.disturb_rate_fg, render.disturb_rate_bg, self.random)
        disturbs = max(render.disturb_rate_fg, render.disturb_rate_bg) > 0
        at_once = self.config.micro_batch_size
        self.energy = Energy(self.scene, self.config.w, scale, sh_lights, prior if disturbs else None, at_once)
        self.coarse_energy = replace(self.energy, scene=self.scene.shrunk(self.coarse_factor))

    def run(self, stages: list[Stage]) -> TrackParams:
        """Goes on where progress says. After every unit (a batch, an epoch, a round) callbacks get a checkpoint."""
        begun = -1
        while self.progress.stage < len(stages):
            stage = stages[self.progress.stage]
            if begun != self.progress.stage:
                begun = self.progress.stage
                for callback in self.callbacks:
                    callback.on_stage_begin(stage)
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
        self.correlation = checkpoint.correlation
        self.random.set_state(checkpoint.random)

    def _keep(self, finished: bool) -> None:
        state = Checkpoint(
            params=self.params,
            progress=self.progress,
            step=self.step,
            found=self.found,
            init_frames=self.init_frames,
            beside_pixels=self.problem.prior.beside_pixels,
            correlation=self.correlation,
            random=self.random.get_state(),
            finished=finished,
        )
        for callback in self.callbacks:
            callback.on_checkpoint(state)

    def _begin(self, stage: Stage) -> None:
        """What a stage starts from. Nothing here is kept before the stage's first unit, so it may be repeated."""
        if stage.hair:
            self._grow_hair(stage)
        if stage.light:
            self.separate_light(self.texture_frames())
        self.back_project_texture(stage.bake)
        if stage.sequential and stage.newton:
            self._bring_others(stage, self.together)

    def _grow_hair(self, stage: Stage) -> None:
        problem = self._photometric_problem(replace(stage, coarse=False))
        shown = observed_pictures(problem, self.params, self.together)
        self.params = grow_hair(problem.scene, self.params, shown, problem.fixed_outline)

    def _advance(self, stage: Stage) -> bool:
        """One unit of a stage. Returns whether that was its last."""
        if stage.steps == 0 or stage.epochs == 0:
            return True
        if not stage.photometric:
            return self._fit_landmarks(stage)
        if stage.newton:
            return self._advance_window(stage) if stage.sequential else self._solve_together(stage)
        advance = self._advance_batch if stage.sequential else self._advance_epoch
        if not self._names(stage):
            return self._rest(stage)
        if stage.sequential or stage.epochs is not None:
            return advance(stage)
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
        self._report_step(stage, 1, 1, everything, energy, None)
        if stage.sequential or stage.epochs is not None:
            self._report_epoch(stage.epochs or 0)
        return True

    def _photometric_problem(self, stage: Stage) -> PhotometricProblem:
        scene, factor = (self.coarse_energy.scene, self.coarse_factor) if stage.coarse else (self.scene, 1)
        usual = usual_weights(self.config)
        return PhotometricProblem(
            scene=scene,
            landmarks=self._landmarks(stage),
            load=lambda rows: self._load(rows).shrunk(factor),
            landmark_share=self.config.w.landmark / usual.landmark,
            outline_share=self.config.w.silhouette / usual.silhouette,
            fixed_texture=scene.faces_in(stage.fixed_texture),
            fixed_outline=scene.vertices_in(stage.fixed_outline),
            teeth=self.teeth,
            prior=PointPrior(correlation=self.correlation),
        )

    def rows_of(self, stage: Stage) -> Tensor:
        """Frames that are solved together: on small pictures half as many."""
        return self.few if stage.coarse else self.together

    def _solve_together(self, stage: Stage) -> bool:
        """What all frames share, together with the frames that differ most."""
        rows = self.rows_of(stage)

        def report(index: int, cost: Tensor) -> None:
            self._report_step(stage, index + 1, stage.steps + 1, rows, EnergyValue(cost, {}, None), None)

        problem, names = self._photometric_problem(stage), self._names(stage)
        self.params = solve_jointly(problem, self.params, rows, names, stage.steps, report=report)
        self.correlation = residual_correlation(problem, self.params, rows)
        if stage.coarse:
            self._bring_others(stage, rows)
        return True

    def _bring_others(self, stage: Stage, together: Tensor) -> None:
        """Other frames go as far beside their landmarks as solved frames near them do: a detector's errors repeat."""
        solved = torch.isin(torch.arange(self.params.n_timesteps), together)
        if bool(solved.all()):
            return
        guess = follow_landmarks(self.problem, self.params.detached(), self.frames_found)
        names = [name for name in self._names(stage) if name in PER_FRAME]
        beside = replace(guess, **{name: getattr(self.params, name) - getattr(guess, name) for name in names})
        beside = fill_between(beside, solved)
        rows = torch.nonzero(~solved & (torch.arange(len(solved)) >= self.first_row)).flatten().to(guess.shape.device)
        for name in names:
            getattr(self.params, name)[rows] = (getattr(guess, name) + getattr(beside, name))[rows]

    def windows(self) -> list[Window]:
        """Of the sequential pass."""
        count, found = self.params.n_timesteps, []
        for rows in torch.arange(self.first_row, count).split(self.window):
            first, last = int(rows[0]), int(rows[-1])
            around = torch.arange(first, min(last + 1 + LOOK_AHEAD, count))
            before = range(max(self.first_row, first - TIED), first)
            found.append(Window(rows, around, before, new=not bool(torch.isin(rows, self.together).all())))
        return found

    def _advance_window(self, stage: Stage) -> bool:
        """Consecutive frames, on the albedo that the frames solved together determine."""
        windows, index = self.windows(), self.progress.done
        window, total = windows[index], stage.steps * len(windows)
        rows, around, before = window.rows, window.around, window.before
        names = [name for name in self._names(stage) if name in PER_FRAME]

        def report(done: int, cost: Tensor) -> None:
            count = min(index * stage.steps + done + 1, total)
            self._report_step(stage, count, total, rows, EnergyValue(cost, {}, None), None)

        solved = self.params
        for scale in (replace(stage, coarse=True), stage) if window.new else (stage,):
            problem = self._photometric_problem(scale)
            known = observed_albedo(problem, self.params, self.together)
            if known is not None:
                solved = solve_jointly(problem, solved, around, names, stage.steps, known, before, report)
        for name in names:
            getattr(self.params, name)[rows] = getattr(solved, name)[rows]
        if index + 1 < len(windows):
            return False
        if "eyes_pose" in names:
            self.params = follow_eyes(self._photometric_problem(stage), self.params, self._frames_shown(self.first_row))
        self._report_epoch(0)
        return True

    def _report_step(
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

    def separate_light(self, frames: list[int]) -> None:
        """The light in closed form, from pictures of these rows as the head stands."""
        scene = self.scene
        places = [(row, camera) for row in frames for camera in range(len(self.capture.camera_ids))]
        chosen = (places[index] for index in even_choice(len(places), MOST_PICTURES))
        light = light_of_pictures(scene.head, scene.backend, scene.topology, (self._posed(*place) for place in chosen))
        self.params.lights = light.lights
        for callback in self.callbacks:
            callback.on_light(light)

    def _posed(self, row: int, camera: int) -> PosedPicture:
        one = self.params.rows(torch.tensor([row]))
        frame = self.capture.load([row], [camera]).to(one.rotation.device)
        cameras = one.cameras(self.scene.given, self.scene.size, frame.cameras)
        return PosedPicture(pose(self.scene.head, one.head())[0], cameras, frame)

    def back_project_texture(self, bake: BackProjection) -> None:
        """The albedo that explains the pictures best as the head stands. The global stage would else begin with the
        texture of the last batch."""
        if bake == "keep":
            return
        frames = self.texture_frames() if bake == "all" else self.init_frames
        self.params.residual_texture = back_project(self.scene, self.batches(frames), self.energy.sh_lights)
        if bake == "all":
            self._sharpen_texture()

    def _sharpen_texture(self) -> None:
        """A few rounds over the frames as they stand: details that the mean and the energy's smoothness blur."""
        frames = self.texture_frames()
        for _ in range(SHARPENING_ROUNDS):
            residual = self.params.residual_texture
            self.params.residual_texture = sharpen(self.scene, residual, self.batches(frames), self.energy.sh_lights)

    def _frames_shown(self, first: int = 0) -> Tensor:
        """Rows (N,) from `first` on in which the head was found: others may show something else. All where none was."""
        shown = torch.nonzero(self.frames_found | ~self.frames_found.any()).flatten()
        return shown[shown >= first]

    def texture_frames(self) -> list[int]:
        """Rows whose pictures make the texture, evenly spread over those that show the head."""
        frames = self._frames_shown()
        count = min(len(frames), max(1, MOST_TEXTURED // len(self.capture.camera_ids)))
        return frames[torch.linspace(0, len(frames) - 1, count).round().long()].tolist()

    def batches(self, frames: list[int]) -> Iterator[tuple[TrackParams, FrameBatch]]:
        """Rows of the unknowns with their pictures."""
        for rows in torch.tensor(frames).split(self.config.batch_size):
            yield self.params.rows(rows), self._load(rows)

    def _advance_batch(self, stage: Stage) -> bool:
        """Consecutive frames, started from the last one before them."""
        batches = torch.arange(self.first_row, self.params.n_timesteps).split(self.config.batch_size)
        index = self.progress.done
        rows = batches[index]
        if self.params.dynamic_offset is not None and index:
            self.params.dynamic_offset[rows] = self.params.dynamic_offset[rows[0] - 1].clone()
        total = stage.steps * len(batches)
        self._descend(stage, rows, self._load(rows), RowAdam(), index * stage.steps, total)
        return index + 1 == len(batches)

    def _advance_epoch(self, stage: Stage) -> bool:
        """All frames that surely show the head once, in shuffled batches."""
        epoch, plateau = self.progress.done, Plateau(3, self.progress.losses)
        frames = self._frames_shown()
        order = frames[torch.randperm(len(frames), generator=self.random)].split(self.config.batch_size)
        slower = replace(stage, rate_factor=stage.rate_factor * EPOCH_RATE_DECAY**epoch)
        epochs = stage.epochs_of(len(order))
        total, loss = epochs * len(order), 0.0
        for index, rows in enumerate(order):
            done = epoch * len(order) + index
            loss += len(rows) * self._descend(slower, rows, self._load(rows), self.progress.optimizer, done, total)
        flat = plateau.reached(loss / len(frames)) and not stage.obeyed
        last = flat or epoch + 1 >= epochs
        if last and stage.bake == "all":
            self._sharpen_texture()
        self._report_epoch(epoch + 1)
        return last

    def _rest(self, stage: Stage) -> bool:
        """Nothing moves: the texture alone is taken anew, in what counts as one epoch."""
        if stage.epochs is not None:
            if stage.bake == "all":
                self._sharpen_texture()
            self._report_epoch(1)
        return True

    def _report_epoch(self, epoch: int) -> None:
        for callback in self.callbacks:
            callback.on_epoch(epoch, self.params)

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
            self._report_step(stage, done + index + 1, total, rows, energy, batch)
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
        asked = dict.fromkeys([*names, "translation"] if "focal_length" in names else names)
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
        """What is known of the cameras stays; a constant light too."""
        if name in CAMERA:
            return self.problem.unknown_unit if name == "rig_scale" else self.scene.given is None
        return getattr(self.params, name) is not None and (name != "lights" or self.energy.sh_lights)

    def _leaves(self, rows: Tensor, names: list[str]) -> TrackParams:
        taken = self.params.rows(rows).detached()
        for name in [*names, "translation"] if "focal_length" in names else names:
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
