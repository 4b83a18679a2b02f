"""What hangs on the loop: progress bar, TensorBoard, pictures while it runs, results, stage times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vhap.config.track import LogConfig
from vhap.data.pictures import write_picture
from vhap.data.sample import FrameBatch
from vhap.fit.checkpoint import Checkpoint, is_whole, save_checkpoint
from vhap.fit.events import Callback, StepEvent
from vhap.fit.history import read_seconds
from vhap.fit.light_file import LightOrigin, write_light
from vhap.fit.light_views import SeparatedLight
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage
from vhap.util.cached import read_cached
from vhap.util.choice import even_choice
from vhap.util.files import write_json
from vhap.util.log import get_logger
from vhap.util.progress import Progress


class StageProgress(Callback):
    """Rounds of the stage at hand, its cost and the time left."""

    def __init__(self) -> None:
        self.shown: Progress | None = None

    def on_stage_begin(self, stage: Stage) -> None:
        get_logger().info("%s ...", stage.name)
        self.shown = Progress(stage.name)

    def on_step(self, event: StepEvent) -> None:
        if self.shown is not None:
            self.shown.total = event.total
            self.shown.reach(event.done, f"cost {event.cost:.4g}")

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        if self.shown is not None:
            self.shown.close()
        self.shown = None


@dataclass
class StageTimes(Callback):
    """Seconds of every stage into a file, and one log line each. What the file holds already is kept, unless it is
    damaged."""

    path: Path
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    steps: int = 0
    loss: float = 0.0

    def on_step(self, event: StepEvent) -> None:
        self.steps += 1
        self.loss = event.cost

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.seconds[stage.name] = time.monotonic() - self.started
        get_logger().info(
            "%s: %d rounds, %.1f s, cost %.4f", stage.name, self.steps, self.seconds[stage.name], self.loss
        )
        self.report()
        self.steps = 0

    def lap(self, name: str) -> None:
        """The seconds since the last stage are of this name."""
        self.seconds[name] = time.monotonic() - self.started
        self.report()

    def report(self) -> None:
        """Writes the file and starts to count anew."""
        earlier = read_cached(self.path, read_seconds) or {}
        write_json(self.path, {**earlier, **{name: round(value, 2) for name, value in self.seconds.items()}})
        self.started = time.monotonic()


class TensorBoard(Callback):
    """Cost and focal length every interval_scalar rounds (0: none), as event files in the run folder."""

    def __init__(self, folder: Path, config: LogConfig) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))
        self.interval = config.interval_scalar

    def on_step(self, event: StepEvent) -> None:
        if self.interval == 0 or (event.step % self.interval != 1 and self.interval != 1):
            return
        self.writer.add_scalar("loss/total", event.cost, event.step)
        self.writer.add_scalar("params/focal_length", float(event.params.focal_length), event.step)

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.writer.flush()

    def close(self) -> None:
        """Ends the thread that writes."""
        self.writer.close()


@dataclass
class TrainPictures(Callback):
    """Input, render and error of a few pictures of each photometric stage, as it ends, in `train/`. render(params,
    frame batch): pictures (N, H, W, 3); load: frames of rows (B,)."""

    folder: Path
    config: LogConfig
    load: Callable[[torch.Tensor], FrameBatch]
    render: Callable[[TrackParams, FrameBatch], torch.Tensor]
    last: StepEvent | None = None

    def on_step(self, event: StepEvent) -> None:
        self.last = event

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        event, self.last = self.last, None
        if event is None or not stage.photometric or self.config.interval_media == 0:
            return
        rows = event.timesteps[even_choice(len(event.timesteps), self.config.max_num_views)]
        batch = self.load(rows)
        shown = shown_pictures(batch, self.config.max_num_views)
        target, picture = batch.rgb[shown], self.render(params.rows(rows), batch)[shown]
        columns = [target, picture, (picture - target).abs().mul(4).clamp(max=1)]
        grid = torch.cat([torch.cat(list(column), 0) for column in columns], 1).clamp(0, 1)
        pixels = (grid.cpu().numpy() * 255).round().astype(np.uint8)
        write_picture(self.folder / f"{stage.name}_{event.step:06d}.{self.config.image_format}", pixels)


def shown_pictures(batch: FrameBatch, most: int) -> list[int]:
    """Indices of at most that many pictures, evenly chosen: a timestep's cameras, or a single camera's frames."""
    of_timestep = int((batch.timesteps == batch.timesteps[0]).sum())
    return even_choice(of_timestep if of_timestep > 1 else len(batch.timesteps), most)


@dataclass(frozen=True)
class ResultWriter(Callback):
    """Saves the parameters after the sequential pass and when tracking ends."""

    save: Callable[[int, TrackParams], None]

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        self.save(epoch, params)


@dataclass
class LightWriter(Callback):
    """Keeps the light in a file of its own. T_tracked_given: see `write_light`."""

    path: Path
    T_tracked_given: np.ndarray | None

    def on_light(self, light: SeparatedLight) -> None:
        origin = LightOrigin("separated", light.pictures, light.views, light.turn_degrees)
        write_light(self.path, light.lights, origin, self.T_tracked_given)
        get_logger().info(
            "light separated from the albedo: %d pictures, normals turn by %.1f degrees",
            light.pictures,
            light.turn_degrees,
        )


@dataclass
class Checkpoints(Callback):
    """Keeps where the run stands in one file, and the unit before in another."""

    path: Path
    is_ours: bool = False

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        # A damaged file, which an earlier process left, must not take the place of the whole one before it.
        save_checkpoint(self.path, checkpoint, keep=self.is_ours or is_whole(self.path))
        self.is_ours = True
