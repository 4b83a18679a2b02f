"""How well the texture shows all pictures of a finished run by how many of them tell it, and how long that takes.

python bench/texture_pictures.py --runs RUN_FOLDER ... --most 100000 128 64
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from common import markdown_table

from vhap.cli import parse
from vhap.config.loading import load_config
from vhap.config.track import TrackConfig
from vhap.data.sample import FrameBatch
from vhap.model.head import pose
from vhap.pipeline.track import build_tracker, choose_device, open_capture, open_textured_head
from vhap.tracking import loop
from vhap.tracking.checkpoint import CHECKPOINT, load_checkpoint
from vhap.tracking.loop import SHARPENING_ROUNDS, Tracker
from vhap.tracking.params import TrackParams
from vhap.tracking.scene import for_pictures
from vhap.tracking.texture import back_project, sharpen
from vhap.util.errors import exits_cleanly

HEADER = ["run", "pictures", "psnr_head_db", "psnr_face_db", "seconds"]


@dataclass(frozen=True)
class TexturePicturesConfig:
    runs: tuple[Path, ...]
    """Finished run folders of today's version."""
    most: tuple[int, ...] = (100_000, 128, 64)
    """Pictures at most that tell the texture, a row each."""
    compared: int = 20
    """Timesteps whose pictures are compared with the render, evenly spread."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(TexturePicturesConfig, __doc__, args)
    rows = []
    for run in config.runs:
        tracker = open_run(run)
        for most in config.most:
            loop.MOST_PAINTED = most
            started = time.monotonic()
            paint(tracker)
            seconds = time.monotonic() - started
            pictures = len(tracker.frames_painted()) * len(tracker.capture.camera_ids)
            head, face = psnr(tracker, config.compared)
            rows.append([run.parent.name, str(pictures), f"{head:.2f}", f"{face:.2f}", f"{seconds:.0f}"])
    print(markdown_table(HEADER, rows))


def open_run(folder: Path) -> Tracker:
    """The run as it ended."""
    config = load_config(folder / "config.yml", TrackConfig)
    device, capture = choose_device(config.device), open_capture(config)
    head = open_textured_head(config, capture, device)
    return build_tracker(config, capture, head, device, load_checkpoint(folder / CHECKPOINT, device))


def paint(tracker: Tracker) -> None:
    """The texture as the global stage begins with it."""
    frames, lit = tracker.frames_painted(), tracker.energy.sh_lights
    residual = back_project(tracker.scene, batches(tracker, frames), lit)
    for _ in range(SHARPENING_ROUNDS):
        residual = sharpen(tracker.scene, residual, batches(tracker, frames), lit)
    tracker.params.residual_texture = residual


def batches(tracker: Tracker, frames: list[int]) -> Iterator[tuple[TrackParams, FrameBatch]]:
    for rows in torch.tensor(frames).split(tracker.config.batch_size):
        yield tracker.params.rows(rows), tracker.capture.load(rows.tolist()).to(tracker.params.rotation.device)


@torch.no_grad()
def psnr(tracker: Tracker, count: int) -> tuple[float, float]:
    """Of the head and of the face, dB: of the mean square over the pictures of so many timesteps."""
    scene, total = tracker.scene, tracker.params.n_timesteps
    of_face, errors = scene.faces_in(("face",)), []
    frames = torch.linspace(0, total - 1, min(count, total)).round().long().tolist()
    for params, batch in (pair for frame in frames for pair in batches(tracker, [frame])):
        vertices = for_pictures(pose(scene.head, params.head()), batch)
        camera = params.cameras(scene.given, scene.size, batch.cameras)
        rendering = tracker.energy.render(params, vertices, camera, batch.rgb)
        squared, head = (rendering.picture - batch.rgb).square().mean(-1), rendering.raster.mask
        assert of_face is not None
        face = head & of_face[rendering.raster.face_id.clamp(min=0).long()]
        errors.append([float(squared[inside].mean()) for inside in (head, face)])
    return tuple(-10 * math.log10(sum(column) / len(column)) for column in zip(*errors))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
