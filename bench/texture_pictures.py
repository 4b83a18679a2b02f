"""How well the texture shows all pictures of a finished run by how many of them tell it, and how long that takes.

python bench/texture_pictures.py --runs RUN_FOLDER ... --most 100000 128 64
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tables import markdown_table

from vhap.cli import parse
from vhap.config.loading import load_config
from vhap.config.track import TrackConfig
from vhap.evaluate.metrics import SquaredErrorSum
from vhap.fit import loop
from vhap.fit.checkpoint import load_checkpoint
from vhap.fit.loop import Tracker
from vhap.fit.scene import render_frames
from vhap.pipeline.track import build_tracker, choose_device, open_capture, open_textured_head
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
            loop.MOST_TEXTURED = most
            started = time.monotonic()
            tracker.params = replace(tracker.params, residual_texture=tracker.texture())
            seconds = time.monotonic() - started
            pictures = len(tracker.texture_frames()) * len(tracker.capture.camera_ids)
            head, face = psnr(tracker, config.compared)
            rows.append([run.parent.name, str(pictures), f"{head:.2f}", f"{face:.2f}", f"{seconds:.0f}"])
    print(markdown_table(HEADER, rows))


def open_run(folder: Path) -> Tracker:
    """The run as it ended."""
    config = load_config(folder / "config.yml", TrackConfig)
    device, capture = choose_device(config.device), open_capture(config)
    head = open_textured_head(config, capture.landmark_set, device)
    return build_tracker(config, capture, head, device, load_checkpoint(folder, device))


@torch.no_grad()
def psnr(tracker: Tracker, count: int) -> tuple[float, float]:
    """Of the head and of the face, dB: over all their pixels in the pictures of so many timesteps."""
    scene, total = tracker.scene, tracker.params.n_timesteps
    of_face = scene.faces_in(("face",))
    assert of_face is not None
    sums = [SquaredErrorSum(), SquaredErrorSum()]
    frames = torch.linspace(0, total - 1, min(count, total)).round().long().tolist()
    for params, batch in (pair for frame in frames for pair in tracker.batches([frame])):
        rendering = render_frames(scene, params, batch, tracker.sh_lights)
        head = rendering.raster.mask
        face = head & of_face[rendering.raster.face_id.clamp(min=0).long()]
        for each, inside in zip(sums, (head, face)):
            each.add(rendering.picture, batch.rgb, inside)
    return sums[0].psnr_db(), sums[1].psnr_db()


if __name__ == "__main__":
    main()
