"""What a person looks at after a run: a video and a page with input, overlay, render and error side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from vhap.pipeline.rendered_frames import RunScene, open_run
from vhap.util.files import write_text
from vhap.util.progress import progress
from vhap.viz.grid import tracking_grid
from vhap.viz.page import Report, even_choice, render_page
from vhap.viz.video import write_video

FRAMES_ON_PAGE = 24


@torch.no_grad()
def frame_grid(scene: RunScene, row: int) -> np.ndarray:
    """(H, 4 W, 3) uint8: input with landmarks, overlay, render, error."""
    rendering, frame = scene.render(row)
    detected, confidence = frame.landmarks_px[0], frame.confidence[0]
    fitted = scene.landmarks_px(row)
    ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids
    points = (detected[ids].cpu().numpy(), fitted.cpu().numpy().reshape(-1, 2), confidence[ids].cpu().numpy())
    mask = rendering.raster.mask[0].cpu().numpy()
    return tracking_grid(_as_bytes(frame.rgb[0]), _as_bytes(rendering.picture[0]), mask, points)


def show_run(run: Path, target: Path, metrics: Mapping[str, float | int | str | None], seconds: Mapping[str, float]):
    """Writes side_by_side.mp4 and report.html into target; returns both paths. Memory grows with neither frames."""
    scene = open_run(run)
    video = target / "side_by_side.mp4"
    write_video(video, _grids(scene), fps=25)
    chosen = even_choice(scene.n_rows, FRAMES_ON_PAGE)
    report = Report(
        title=f"Tracking of {scene.config.data.sequence}",
        metrics=metrics,
        stage_seconds=seconds,
        settings={"head": scene.model.identity, "frames": scene.n_rows, "run": scene.folder.name},
        frames=[(str(scene.result.timestep_id[row]), frame_grid(scene, row)) for row in chosen],
        video=video.read_bytes(),
    )
    page = target / "report.html"
    write_text(page, render_page(report))
    return video, page


def stage_seconds(run: Path) -> dict[str, float]:
    """Seconds of every stage, as the run recorded them."""
    return json.loads((run / "seconds.json").read_text(encoding="utf-8"))


def _grids(scene: RunScene) -> Iterator[np.ndarray]:
    for row in progress(range(scene.n_rows), "side by side"):
        yield frame_grid(scene, row)


def _as_bytes(picture: torch.Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()
