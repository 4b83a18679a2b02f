"""Runs the stages: the person by landmarks, by pictures of frames that differ, every frame, the surface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, starmap
from typing import Literal

import torch
from torch import Tensor

from vhap.config.track import TrackConfig, keeps_texture, usual_weights
from vhap.data.sample import Capture, FrameBatch
from vhap.fit.checkpoint import Checkpoint, Progress, moved_on
from vhap.fit.events import Callback, StepEvent
from vhap.fit.landmarks.first_guess import choose_more, fill_between, follow_landmarks, solve_person
from vhap.fit.landmarks.solver import landmark_cost
from vhap.fit.light_views import MOST_PICTURES, PosedPicture, light_of_pictures, lights_of_recordings
from vhap.fit.params import CAMERA, GROUPS, PER_FRAME, TrackParams
from vhap.fit.photometric.eyes import follow_eyes
from vhap.fit.photometric.hair import grow_hair
from vhap.fit.photometric.pictures import Pictures
from vhap.fit.photometric.point_albedo import PointPrior
from vhap.fit.photometric.problem import (
    FEWEST_VIEWS,
    FixedAlbedo,
    PhotometricProblem,
    most_timesteps,
    observed_pictures,
)
from vhap.fit.photometric.solver import observed_albedo, solve_identity, solve_jointly
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.teeth_gaps import find_teeth_gaps
from vhap.fit.scene import Scene, emphasis, render_frames
from vhap.fit.stages import Kind, Stage, coarse_factor, fine_factor
from vhap.fit.surface import OffsetWeights, fit_moving_offset, fit_static_offset
from vhap.fit.texture import fit_texture, texture_pixels
from vhap.head.model import landmark_head, pose
from vhap.util.choice import even_choice
from vhap.util.memory import give_back

MOST_TEXTURED, LEAST_TEXTURED = 128, 24
"""Pictures at most that make a texture: 373 show no more than 128 (doc/benchmarks.md). At least, where they are large:
for each of up to three cameras."""
KEPT_PIXELS = 20_000_000
"""Of the pictures that make a texture: more show no more, and so many are kept with what they read, half a GiB."""
MOST_POINTS = 2000
"""Of known albedo that place a frame: twice as many place it no better (doc/benchmarks.md)."""
LOOK_AHEAD, TIED = 2, 2
"""Frames after a window that are solved with it, and those before that stay."""


ScaleName = Literal["coarse", "fine", "whole"]


@dataclass(frozen=True)
class Scale:
    """The scene and its pictures, shrunk alike."""

    scene: Scene
    pictures: Pictures


@dataclass(frozen=True)
class Window:
    """Frames rows that are solved with those after them, around, and tied to those before. far: some have neither
    landmarks nor been solved together, so that small pictures are looked at first."""

    rows: Tensor
    around: Tensor
    before: range
    far: bool


@dataclass
class Tracker:
    """One run's state. problem: all frames' landmarks; found (T, C): in which pictures they are the head's;
    init_frames: rows of the initialisation; params: the unknowns of all frames, updated in place as stages run;
    first_row: where the sequential pass begins; progress: the unit that comes next; correlation: so many
    points count as one (residual_correlation.py); known: the albedo that the frames solved together have told, on
    pictures "coarse" and "fine", none where no picture shows the head; recordings (T,): which of several recordings
    each frame is of, where these have a light each."""

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
    known: dict[str, FixedAlbedo] = field(default_factory=dict)
    recordings: Tensor | None = None

    def __post_init__(self) -> None:
        self.sh_lights = self.config.render.lighting_type == "SH"
        self.problem = self.problem.only(self.found)
        self.frames_found = self.found.any(1)
        fine = fine_factor(self._face_px())
        factors = {"coarse": max(fine, coarse_factor(self.scene.size)), "fine": fine, "whole": 1}
        self.scales = {name: self._scale(factor) for name, factor in factors.items()}
        usable = self.frames_found & (torch.arange(len(self.frames_found)) >= self.first_row)
        self.window = most_timesteps(len(self.capture.camera_ids))
        self.few, self.together = (
            torch.tensor(choose_more(self.problem, self.init_frames, usable, count))
            for count in (max(1, self.window // 2), self.window)
        )
        self.teeth = find_teeth_gaps(self.scene.head)
        self.weights = OffsetWeights(self.config.w, usual_weights(self.config))

    def _face_px(self) -> float:
        """Of the landmarks' box in a picture, in the middle of all that show the head; 0 where none does."""
        extents = self.problem.extent_px()[self.found.to(self.problem.weight.device)]
        return float(extents.median()) if len(extents) else 0.0

    def _scale(self, factor: int) -> Scale:
        return Scale(self.scene.shrunk(factor), Pictures(lambda rows: self.load(rows).shrunk(factor)))

    def run(self, stages: list[Stage]) -> TrackParams:
        """Goes on where progress says. After every unit (a stage, or a window of one) callbacks get a checkpoint."""
        begun = -1
        give_back()
        while self.progress.stage < len(stages):
            stage = stages[self.progress.stage]
            if begun != self.progress.stage:
                begun = self.progress.stage
                for callback in self.callbacks:
                    callback.on_stage_begin(stage)
            finished = self._advance(stage)
            if finished:
                for callback in self.callbacks:
                    callback.on_stage_end(stage, self.params)
            self.progress = moved_on(self.progress, finished)
            self._keep(finished=self.progress.stage == len(stages))
            give_back()
        return self.params

    def resume(self, checkpoint: Checkpoint) -> None:
        """Takes over everything that a checkpoint holds."""
        self.params, self.progress, self.step = checkpoint.params, checkpoint.progress, checkpoint.step
        self.correlation, self.known = checkpoint.correlation, checkpoint.known

    def _keep(self, finished: bool) -> None:
        state = Checkpoint(
            params=self.params,
            progress=self.progress,
            step=self.step,
            found=self.found,
            init_frames=self.init_frames,
            beside_pixels=self.problem.prior.beside_pixels,
            correlation=self.correlation,
            known=self.known,
            finished=finished,
        )
        for callback in self.callbacks:
            callback.on_checkpoint(state)

    def _advance(self, stage: Stage) -> bool:
        """One unit of a stage. Returns whether that was its last."""
        advance: dict[Kind, Callable[[Stage], bool]] = {
            "landmark_identity": self._fit_landmarks,
            "landmark_frames": self._fit_landmarks,
            "landmark_all": self._fit_landmarks,
            "identity": self._solve_together,
            "hair": self._grow_hair,
            "frames": self._advance_window,
            "moving_offset": self._advance_offset,
            "surface": self._fit_surface,
        }
        works = stage.rounds > 0 or stage.kind == "surface"
        return advance[stage.kind](stage) if works else True

    def _fit_landmarks(self, stage: Stage) -> bool:
        """On landmarks alone: what all frames share, with the frames that differ most; or every frame; or both."""
        problem, names = self._landmarks(stage), self._names(stage)
        if stage.kind != "landmark_frames":
            self.params = solve_person(problem, self.params, self.frames_found, names, stage.rounds)
        if stage.kind != "landmark_identity":
            before = self.params.rows(torch.arange(self.first_row))
            self.params = follow_landmarks(problem, self.params, self.frames_found, names, stage.rounds)
            for name in PER_FRAME:
                getattr(self.params, name)[: self.first_row] = getattr(before, name)
        everything = torch.arange(self.params.n_timesteps)
        self._report_step(stage, 1, 1, everything, float(landmark_cost(problem, self.params)))
        self._report_result(stage)
        return True

    def _photometric_problem(self, stage: Stage, at: ScaleName | None = None) -> PhotometricProblem:
        """at: on pictures of this scale, else on the stage's."""
        scale = self.scales[at or ("coarse" if stage.coarse else "fine")]
        scene = scale.scene
        usual = usual_weights(self.config)
        return PhotometricProblem(
            scene=scene,
            landmarks=self._landmarks(stage),
            pictures=scale.pictures,
            landmark_share=self.config.w.landmark / usual.landmark,
            photo_share=self.config.w.photo / usual.photo,
            outline_share=self.config.w.silhouette / usual.silhouette,
            fixed_texture=scene.faces_in(stage.fixed_texture),
            fixed_outline=scene.vertices_in(stage.fixed_outline),
            teeth=self.teeth,
            recordings=self.recordings,
            prior=PointPrior(correlation=self.correlation),
        )

    def rows_of(self, stage: Stage) -> Tensor:
        """Frames that are solved together: on small pictures half as many."""
        return self.few if stage.coarse else self.together

    def _solve_together(self, stage: Stage) -> bool:
        """What all frames share, together with the frames that differ most."""
        rows = self.rows_of(stage)

        def report(index: int, cost: float) -> None:
            self._report_step(stage, index + 1, stage.rounds + 1, rows, cost)

        if self.recordings is not None and self.sh_lights:
            self.params = replace(self.params, lights=self._light_of_each(rows.tolist()))
        problem, names = self._photometric_problem(stage), self._names(stage)
        self.params, self.correlation = solve_identity(
            problem, self.params, rows, names, stage.rounds, report, rough=stage.coarse
        )
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
            placed = self.frames_found[rows] | torch.isin(rows, self.together)
            found.append(Window(rows, around, before, far=not bool(placed.all())))
        return found

    def _advance_window(self, stage: Stage) -> bool:
        """Consecutive frames, on the albedo that the frames solved together determine."""
        windows, index = self.windows(), self.progress.done
        if index == 0:
            self._bring_others(stage, self.together)
            self._know_albedo(stage, coarse=any(window.far for window in windows))
        window, total = windows[index], stage.rounds * len(windows)
        rows, around, before = window.rows, window.around, window.before
        names = [name for name in self._names(stage) if name in PER_FRAME]

        def report(done: int, cost: float) -> None:
            self._report_step(stage, min(index * stage.rounds + done + 1, total), total, rows, cost)

        solved = self.params
        for name in ("coarse", "fine"):
            if name in self.known and (window.far or name == "fine"):
                problem, known = self._photometric_problem(stage, name), self.known[name].thinned(MOST_POINTS)
                solved = solve_jointly(problem, solved, around, names, stage.rounds, known, before, report)
        for name in names:
            getattr(self.params, name)[rows] = getattr(solved, name)[rows]
        if index + 1 < len(windows):
            return False
        if "eyes_pose" in names:
            problem = self._photometric_problem(stage, "whole")
            self.params = follow_eyes(problem, self.params, self._frames_shown(self.first_row))
        self._report_result(stage)
        return True

    def _know_albedo(self, stage: Stage, coarse: bool = False) -> None:
        """Of the frames that have been solved together, as they stand. coarse: on small pictures too."""
        self.known = {}
        names: tuple[ScaleName, ...] = ("coarse", "fine") if coarse else ("fine",)
        for name in names:
            known = observed_albedo(self._photometric_problem(stage, name), self.params, self.together)
            if known is not None:
                self.known[name] = known

    def _grow_hair(self, stage: Stage) -> bool:
        problem = self._photometric_problem(stage)
        shown = observed_pictures(problem, self.params, self.together)
        if "static_offset" in stage.groups:
            self.params = grow_hair(problem.scene, self.params, shown, problem.fixed_outline)
        return True

    def _advance_offset(self, stage: Stage) -> bool:
        """The offset of every frame of a window, beside the static one."""
        windows, index = self.windows(), self.progress.done
        rows, problem = windows[index].rows, self._photometric_problem(stage)
        if index == 0:
            self._know_albedo(stage)
        known = self.known.get("fine")
        if known is None or "dynamic_offset" not in stage.groups:
            return True
        assert self.params.dynamic_offset is not None
        for row in rows.tolist():

            def report(done: int, cost: float, row: int = row) -> None:
                self._report_step(stage, row + 1, self.params.n_timesteps, torch.tensor([row]), cost)

            self.params.dynamic_offset[row] = fit_moving_offset(
                problem, self.params, row, known, self.weights, stage.rounds, report
            )
        return index + 1 == len(windows)

    def _fit_surface(self, stage: Stage) -> bool:
        """Light, then offsets, then texture, as the head stands."""
        if "lights" in stage.groups:
            self.separate_light(self.texture_frames(), known_albedo=keeps_texture(self.config.model))
        if "static_offset" in stage.groups and stage.rounds > 0:
            problem = self._photometric_problem(stage)

            def report(done: int, cost: float) -> None:
                self._report_step(stage, done + 1, stage.rounds + 1, self.together, cost)

            self.params = fit_static_offset(problem, self.params, self.together, self.weights, stage.rounds, report)
        if "texture" in stage.groups:
            self.params = replace(self.params, residual_texture=self.texture())
        self._report_result(stage)
        return True

    def _report_step(self, stage: Stage, done: int, total: int, rows: Tensor, cost: float) -> None:
        self.step += 1
        event = StepEvent(stage, self.step, done, total, rows, cost, self.params)
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

    def load(self, rows: Tensor) -> FrameBatch:
        """Frames as the capture has them; landmarks that are not the head's without confidence."""
        batch = self.capture.load(rows.tolist()).to(self.params.rotation.device)
        known = self.found.to(batch.timesteps.device)[batch.timesteps, batch.cameras].to(batch.confidence)
        return replace(batch, confidence=batch.confidence * known[:, None])

    def render(self, params: TrackParams, batch: FrameBatch) -> Tensor:
        """(N, H, W, 3) pictures of a batch; params: its timesteps."""
        return render_frames(self.scene, params, batch, self.sh_lights).picture

    def separate_light(self, frames: list[int], known_albedo: bool = False) -> None:
        """The light in closed form, from pictures of these rows as the head stands. known_albedo: the texture is that
        of the person, so that light alone explains the pictures."""
        scene = self.scene
        if self.recordings is not None:
            self.params = replace(self.params, lights=self._light_of_each(frames))
            return
        pictures = [(row, camera) for row in frames for camera in range(len(self.capture.camera_ids))]
        chosen = (pictures[index] for index in even_choice(len(pictures), MOST_PICTURES))
        albedo = scene.albedo(self.params.residual_texture) if known_albedo else None
        shown = (self._posed(*picture) for picture in chosen)
        light = light_of_pictures(scene.head, scene.backend, scene.topology, shown, albedo)
        self.params = replace(self.params, lights=light.lights.to(self.params.lights))
        for callback in self.callbacks:
            callback.on_light(light)

    def _light_of_each(self, frames: list[int]) -> Tensor:
        """(T, 9, 3): the light of every recording in closed form, from pictures of these rows as the head stands."""
        assert self.recordings is not None
        scene, cameras, recordings = self.scene, range(len(self.capture.camera_ids)), self.recordings.tolist()
        numbers = sorted({recordings[row] for row in frames})
        most = max(1, MOST_PICTURES // len(numbers))
        chosen = []
        for number in numbers:
            pictures = [(row, camera) for row in frames if recordings[row] == number for camera in cameras]
            some = [pictures[index] for index in even_choice(len(pictures), most)]
            chosen.append(starmap(self._posed, some))
        lights = dict(zip(numbers, lights_of_recordings(scene.head, scene.backend, scene.topology, chosen)))
        kept = self.params.lights.expand(len(recordings), -1, -1)
        each = [lights.get(number, old) for number, old in zip(recordings, kept)]
        return torch.stack([light.to(old) for light, old in zip(each, kept)])

    def _posed(self, row: int, camera: int) -> PosedPicture:
        one = self.params.rows(torch.tensor([row]))
        frame = self.capture.load([row], [camera]).to(one.rotation.device)
        cameras = one.cameras(self.scene.given, self.scene.size, frame.cameras)
        return PosedPicture(pose(self.scene.head, one.head())[0], cameras, frame)

    def texture(self) -> Tensor:
        """(1, R, R, 3): the residual of the texture that all pictures show."""
        frames, height, width = self.texture_frames(), *self.scene.size
        made = partial(texture_pixels, self.scene, sh_lights=self.sh_lights)
        if len(frames) * len(self.capture.camera_ids) * height * width > KEPT_PIXELS:
            return fit_texture(self.scene, lambda: made(self.batches(frames)))
        kept = list(made(self.batches(frames)))
        return fit_texture(self.scene, lambda: kept)

    def _frames_shown(self, first: int = 0) -> Tensor:
        """Rows (N,) from `first` on in which the head was found: others may show something else. All where none was."""
        shown = torch.nonzero(self.frames_found | ~self.frames_found.any()).flatten()
        return shown[shown >= first]

    def texture_frames(self) -> list[int]:
        """Rows whose pictures make the texture, evenly spread over those that show the head."""
        frames, (height, width), cameras = self._frames_shown(), self.scene.size, len(self.capture.camera_ids)
        most = max(KEPT_PIXELS // (height * width), LEAST_TEXTURED * min(cameras, FEWEST_VIEWS))
        count = min(len(frames), max(1, min(MOST_TEXTURED, most) // cameras))
        return frames[torch.linspace(0, len(frames) - 1, count).round().long()].tolist()

    def batches(self, frames: list[int]) -> Iterator[tuple[TrackParams, FrameBatch]]:
        """Rows of the unknowns with their pictures."""
        recordings = self.recordings
        of_one = groupby(frames, lambda row: 0 if recordings is None else int(recordings[row]))
        for some in (list(some) for _, some in of_one):
            for rows in torch.tensor(some).split(self.config.batch_size):
                yield self.params.rows(rows), self.load(rows)

    def _report_result(self, stage: Stage) -> None:
        if stage.result is not None:
            for callback in self.callbacks:
                callback.on_epoch(stage.result, self.params)

    def _names(self, stage: Stage) -> list[str]:
        return [name for group in stage.groups for name in GROUPS[group] if self._moves(name)]

    def _moves(self, name: str) -> bool:
        """What is known of the cameras stays; a constant light too."""
        if name in CAMERA:
            return self.problem.unknown_unit if name == "rig_scale" else self.scene.given is None
        return getattr(self.params, name) is not None and (name != "lights" or self.sh_lights)
