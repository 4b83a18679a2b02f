"""What a person looks at after a run: one page with pictures, curves and a video, made out of the run folder."""

from __future__ import annotations

from collections.abc import Container, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vhap.config.report import ReportConfig
from vhap.evaluate.frame_panels import PANELS, shown_panels
from vhap.evaluate.grid import labelled_grid
from vhap.evaluate.measure_cameras import worst_line
from vhap.evaluate.page import MOST_FRAMES, PageFrame, Report, render_page
from vhap.evaluate.pictures import encode_jpeg
from vhap.evaluate.report_charts import frame_charts, loss_charts, parameter_charts, worst_frames
from vhap.evaluate.run_scene import RunScene
from vhap.evaluate.video import VideoWriter
from vhap.fit.history import read_seconds
from vhap.pipeline.evaluate_tracking import (
    PER_CAMERA,
    PER_FRAME,
    SHOWS_NOTHING,
    WORST_CAMERAS,
    clip_values,
    read_or_evaluate,
)
from vhap.pipeline.open_run import open_run
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.files import write_text
from vhap.util.lock import folder_lock
from vhap.util.progress import progress

TILE_SIDE = 512
"""Longest side in pixels of the pictures on the page and of the video's panels."""
TILE_SIDE_OF_SEVERAL = 400
"""The same of each where several cameras stand side by side."""
WORST_SHOWN = 3
VIDEO_FPS = 25
OVERLAY = ("input", "overlay")
SIDE_BY_SIDE = ("landmarks", "overlay", "render", "error")


def run(config: ReportConfig) -> Path:
    """Writes report.html and overlay.mp4 into the run folder and returns the page's path."""
    if not 1 <= config.frames <= MOST_FRAMES:
        raise InputError(f"expected --frames of 1 to {MOST_FRAMES}, found {config.frames}; correct it")
    scene = open_run(config.run, config.epoch)
    with folder_lock(scene.folder):
        return write_report(scene, scene.folder, stage_seconds(scene.folder), config.frames)


def write_report(
    scene: RunScene, target: Path, seconds: Mapping[str, float], frames: int = 24, beside: Path | None = None
) -> Path:
    """Writes report.html and overlay.mp4 into target, and an mp4 of more panels to `beside`; returns the page's path.

    seconds: stage -> seconds, for the page. The run is evaluated first where it is not. Memory is bounded by the frames
    on the page, whatever the run's length.
    """
    evaluation = read_or_evaluate(scene.folder, scene.epoch, [str(name) for name in scene.result.timestep_id])
    per_frame = evaluation[PER_FRAME]
    # Read before anything is drawn, which takes long.
    losses = loss_charts(scene.folder / "losses.json", stage_seconds(scene.folder))
    videos = {target / "overlay.mp4": OVERLAY, **({beside: SIDE_BY_SIDE} if beside else {})}
    page_frames = draw_frames(scene, per_frame, chosen_frames(per_frame, frames), videos)
    report = Report(
        title=f"Tracking of {scene.config.data.sequence}",
        notes=notes(scene, evaluation),
        metrics=clip_values(evaluation),
        frames=page_frames,
        video=(target / "overlay.mp4").read_bytes(),
        tables={"Cameras": evaluation[PER_CAMERA]} if scene.n_views > 1 else {},
        charts={
            "Frame by frame": frame_charts(per_frame),
            "Parameters over time": parameter_charts(scene.result),
            "Weighted losses by stage": losses,
        },
        stage_seconds=seconds,
        settings=settings(scene),
    )
    page = target / "report.html"
    write_text(page, render_page(report))
    return page


def draw_frames(
    scene: RunScene, per_frame: Mapping[str, list], on_page: Container[int], videos: Mapping[Path, tuple[str, ...]]
) -> list[PageFrame]:
    """Draws each frame of the run once: writes the videos, file -> its panels, and returns the frames of the page.

    Panels stand in a row, or below each other where they show several cameras.
    """
    in_videos, page_frames = {name for panels in videos.values() for name in panels}, []
    with ExitStack() as held:
        writers = {path: held.enter_context(VideoWriter(path, VIDEO_FPS)) for path in videos}
        for row in progress(range(scene.n_rows), "drawing"):
            panels = shown_panels(scene, row, tile_side(scene), PANELS if row in on_page else in_videos)
            for path, names in videos.items():
                columns = len(names) if scene.n_views == 1 else 1
                writers[path].add(labelled_grid({name: panels[name] for name in names}, columns))
            if row in on_page:
                page_frames.append(page_frame(scene, row, per_frame, panels))
    return page_frames


def chosen_frames(per_frame: Mapping[str, list], most: int) -> list[int]:
    """Rows for the slider: the worst ones (where they leave half the places free) and an even choice, ascending."""
    count = len(per_frame["timestep_id"])
    if count <= most:
        return list(range(count))
    ranked = worst_frames(per_frame).values()
    bad = sorted({row for rows in ranked for row in rows[:WORST_SHOWN]})
    bad = bad if 2 * len(bad) <= most else []
    return sorted({*bad, *even_choice(count, most - len(bad))})


def tile_side(scene: RunScene) -> int:
    return TILE_SIDE if scene.n_views == 1 else TILE_SIDE_OF_SEVERAL


def page_frame(scene: RunScene, row: int, per_frame: Mapping[str, list], panels: Mapping[str, np.ndarray]) -> PageFrame:
    """The frame's pictures and a line with its number, name and values."""
    texts = {
        "landmark_nme_percent": "landmarks {:.2f} %",
        "psnr_face_db": "face {:.1f} dB",
        "psnr_head_db": "head {:.1f} dB",
    }
    values = [text.format(per_frame[name][row]) for name, text in texts.items() if per_frame[name][row] is not None]
    reason = per_frame[SHOWS_NOTHING][row]
    lost = [f"lost: {reason}" if reason else "lost"] if per_frame["lost"][row] else []
    caption = " · ".join([f"frame {row} of 0 to {scene.n_rows - 1} ({per_frame['timestep_id'][row]})", *lost, *values])
    tiles = {name: encode_jpeg(panel) for name, panel in panels.items()}
    return PageFrame(row, caption, tiles)


def notes(scene: RunScene, evaluation: Mapping[str, Any]) -> list[str]:
    """Sentences on what a reader should know before the numbers."""
    per_frame, said = evaluation[PER_FRAME], []
    if missing := len(scene.capture.timestep_ids) - scene.n_rows:
        said.append(f"{missing} frames of the capture have no result.")
    nothing = per_frame[SHOWS_NOTHING]
    lost = [
        name
        for name, is_lost, reason in zip(per_frame["timestep_id"], per_frame["lost"], nothing)
        if is_lost and not reason
    ]
    unseen = [
        name
        for name, error, is_lost in zip(per_frame["timestep_id"], per_frame["landmark_nme_percent"], per_frame["lost"])
        if error is None and not is_lost
    ]
    if lost:
        said.append(f"{len(lost)} frames are lost (landmarks off by more than 10 %): {_listed(lost)}.")
    for reason in dict.fromkeys(filter(None, nothing)):
        names = [name for name, why in zip(per_frame["timestep_id"], nothing) if why == reason]
        said.append(f"{len(names)} frames show nothing of the head ({reason}): {_listed(names)}.")
    if unseen:
        said.append(f"No face was found in {len(unseen)} frames, tracked through: {_listed(unseen)}.")
    if line := worst_line(evaluation[WORST_CAMERAS]):
        said.append(line)
    return said


def settings(scene: RunScene) -> dict[str, str | int | float | None]:
    height, width = scene.capture.size
    focal = scene.result.focal_length
    return {
        "run": scene.folder.name,
        "epoch": scene.epoch,
        "head": scene.model.identity,
        "frames": scene.n_rows,
        "cameras": scene.n_views,
        "picture size": f"{width} x {height}",
        "landmarks": scene.config.data.landmark_source,
        "focal length, in longer sides": "given" if focal is None else float(focal.reshape(-1)[0]),
        "texture size": scene.texture.shape[1],
    }


def stage_seconds(run: Path) -> dict[str, float]:
    """Seconds of every stage as the run recorded them; empty where it did not."""
    return read_seconds(run / "seconds.json")


def _listed(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")
