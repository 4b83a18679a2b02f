"""How long a run will take: each of its stages, shortened, is run on a few frames."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import torch
from torch import Tensor

from vhap.data.frame_cache import Frame
from vhap.data.sample import Capture, FrameBatch
from vhap.fit.checkpoint import Progress
from vhap.fit.loop import Tracker
from vhap.fit.photometric.problem import views_each
from vhap.fit.photometric.solver import FIRST_ROUNDS
from vhap.fit.stages import Stage
from vhap.geometry.cameras import Camera

PICTURES_TRIED = 8
ROUNDS_TRIED = (1, 3)


class FewFrames:
    """Some timesteps of a capture as if there were no others."""

    def __init__(self, whole: Capture, rows: list[int]) -> None:
        self.whole, self.rows = whole, rows
        self.folder, self.size = whole.folder, whole.size
        self.camera_ids, self.landmark_set = whole.camera_ids, whole.landmark_set
        self.background_rgb = whole.background_rgb
        self.timestep_ids = [whole.timestep_ids[row] for row in rows]
        self.timestep_indices = [whole.timestep_indices[row] for row in rows]

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        batch = self.whole.load([self.rows[index] for index in timesteps], cameras)
        own = torch.tensor(timesteps).repeat_interleave(len(batch.cameras) // len(timesteps))
        return replace(batch, timesteps=own)

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        return self.whole.frame(self.rows[timestep], camera)

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        points, confidence = self.whole.load_landmarks()
        return points[self.rows], confidence[self.rows]

    def given_camera(self) -> Camera | None:
        return self.whole.given_camera()


def describe(tracker: Tracker, stages: list[Stage]) -> None:
    """Prints frames, stages and about how long each takes at most."""
    height, width = tracker.scene.size
    count, device = tracker.params.n_timesteps, tracker.params.rotation.device
    print(f"{count} frames of {width} x {height}, head {tracker.scene.head.identity}, device {device}")
    total = 0.0
    for stage in stages:
        seconds = stage_seconds(tracker, stage)
        total += seconds
        rounds, groups = rounds_of(tracker, stage), " ".join(stage.groups)
        print(f"{stage.name:28s} at most {rounds:6d} rounds  {seconds / 60:6.1f} min  optimises {groups}")
    print(f"at most about {total / 60:.1f} minutes (stages stop early where they gain nothing more)")


def rounds_of(tracker: Tracker, stage: Stage) -> int:
    """Of all windows, or frames with an offset of their own."""
    if stage.kind == "frames":
        return stage.rounds * len(tracker.windows())
    return stage.rounds * (tracker.params.n_timesteps if stage.kind == "moving_offset" else 1)


def stage_seconds(tracker: Tracker, stage: Stage) -> float:
    """What a stage takes: its beginning and its rounds, measured on a few frames, times how many more there are.

    Landmarks are quick and not solved frame by frame, so they are measured on all frames.
    """
    if stage.rounds == 0 and stage.kind != "surface":
        return 0.0
    if not stage.photometric:
        return _run(tracker, stage, stage.rounds)
    trial = few_frames(tracker)
    if stage.kind == "frames":
        return _windows_seconds(tracker, trial, stage)
    if stage.kind == "hair":
        return _run(trial, stage, 1) * _pictures(tracker, tracker.together) / _pictures(trial, trial.together)
    beginning, one_round = _measured(trial, stage)
    if stage.kind == "moving_offset":
        frames = tracker.params.n_timesteps - tracker.first_row
        looks = (_pictures(tracker, tracker.together) + _pictures(tracker, tracker.together[:1]) * frames) / 2
        tried = _pictures(trial, trial.together)
        return looks * beginning / tried + stage.rounds * one_round * frames / trial.params.n_timesteps
    if stage.kind == "surface":
        texture = _run(trial, stage, 0)
        offsets = beginning - texture + stage.rounds * one_round
        by_pictures = _pictures(tracker, tracker.together) / _pictures(trial, trial.together)
        return texture * len(tracker.texture_frames()) / len(trial.texture_frames()) + offsets * by_pictures
    return _together_seconds(tracker, trial, stage, beginning, one_round)


def _together_seconds(tracker: Tracker, trial: Tracker, stage: Stage, beginning: float, one_round: float) -> float:
    """Of one solution, by its pictures. Points are chosen twice where the rounds allow."""
    beginning *= 2 if stage.rounds > FIRST_ROUNDS else 1
    pictures, tried = _pictures(tracker, tracker.rows_of(stage)), _pictures(trial, trial.rows_of(stage))
    return (beginning + stage.rounds * one_round) * pictures / tried


def _windows_seconds(tracker: Tracker, trial: Tracker, stage: Stage) -> float:
    """Of all windows, and on small pictures too of those that are new: the pictures that tell the albedo are looked at
    once, and each window begins with a look at its own."""
    beginning, one_round = _measured(trial, stage)
    told, windows, seconds = _pictures(tracker, tracker.together), tracker.windows(), 0.0
    for small in (False, True):
        own = sum(_pictures(tracker, window.around) for window in windows if window.far or not small)
        seconds += ((told + own) / 2 * beginning + own * stage.rounds * one_round) if own else 0.0
    return seconds / _pictures(trial, trial.together)


def _pictures(tracker: Tracker, rows: Tensor) -> int:
    """How many are looked at where the frames rows are solved together."""
    return len(rows) * views_each(len(rows), len(tracker.capture.camera_ids))


def _measured(trial: Tracker, stage: Stage) -> tuple[float, float]:
    """Seconds of a stage's beginning and of each round."""
    few, many = ROUNDS_TRIED
    _run(trial, stage, few)  # Kernels are loaded, pictures decoded.
    first, last = _run(trial, stage, few), _run(trial, stage, many)
    round_seconds = max(0.0, (last - first) / (many - few))
    return max(0.0, first - few * round_seconds), round_seconds


def few_frames(tracker: Tracker) -> Tracker:
    """The same run as if there were a few of the initialisation's timesteps only."""
    most = max(1, PICTURES_TRIED // len(tracker.capture.camera_ids))
    rows = sorted(tracker.init_frames[:most])
    some = torch.tensor(rows)
    return replace(
        tracker,
        capture=FewFrames(tracker.capture, rows),
        problem=tracker.problem.select(some),
        found=tracker.found[some.to(tracker.found.device)],
        init_frames=list(range(len(rows))),
        params=tracker.params.rows(some.to(tracker.params.rotation.device)),
        first_row=0,
    )


def _run(tracker: Tracker, stage: Stage, rounds: int) -> float:
    """Seconds of a stage of so many rounds, on a copy of the unknowns."""
    params = tracker.params.mapped(lambda _, value: value.clone())
    trial = replace(tracker, params=params, progress=Progress(), callbacks=())
    started = monotonic()
    trial.run([replace(stage, rounds=rounds)])
    return monotonic() - started
