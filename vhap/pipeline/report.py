"""What a person looks at after a run: one page with pictures, curves and a video, made out of the run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from vhap.config.evaluate import EvaluateConfig
from vhap.config.report import ReportConfig
from vhap.evaluate.frame_panels import PanelRows
from vhap.evaluate.frame_pass import FrameConsumer, pass_over
from vhap.evaluate.measure_cameras import worst_line
from vhap.evaluate.page import MOST_FRAMES, PageFrame, Report, render_page
from vhap.evaluate.report_charts import frame_charts, loss_charts, parameter_charts
from vhap.evaluate.run_scene import RunScene
from vhap.evaluate.video import VideoWriter
from vhap.fit.history import read_seconds
from vhap.pipeline.evaluate_tracking import (
    PER_CAMERA,
    PER_FRAME,
    SHOWS_NOTHING,
    WORST_CAMERAS,
    RunEvaluation,
    clip_values,
    known_evaluation,
    open_truth,
)
from vhap.pipeline.open_run import open_run
from vhap.pipeline.page_frames import LARGER_IS_WORSE, SliderPanels, VideoPanels
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_text
from vhap.util.lock import folder_lock

TILE_SIDE = 512
"""Longest side in pixels of the pictures on the page and of the video's panels."""
TILE_SIDE_OF_SEVERAL = 400
"""The same of each where several cameras stand side by side."""
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

    seconds: stage -> seconds, for the page. One pass over the pictures makes it all, the run's evaluation with it where
    there is none yet. Memory is bounded by the frames on the page, whatever the run's length.
    """
    # Read before anything is drawn, which takes long.
    losses = loss_charts(scene.folder / "losses.json", stage_seconds(scene.folder))
    videos = {target / "overlay.mp4": OVERLAY, **({beside: SIDE_BY_SIDE} if beside else {})}
    evaluation, frame_tiles = evaluate_and_draw(scene, frames, videos)
    per_frame = evaluation[PER_FRAME]
    report = Report(
        title=f"Tracking of {scene.config.data.sequence}",
        notes=notes(scene, evaluation),
        metrics=clip_values(evaluation),
        frames=[page_frame(scene, row, per_frame, tiles) for row, tiles in frame_tiles.items()],
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


def evaluate_and_draw(
    scene: RunScene, frames: int, videos: Mapping[Path, tuple[str, ...]]
) -> tuple[dict[str, Any], dict[int, dict[str, bytes]]]:
    """The one pass over the pictures. Writes the videos, file -> its panels, and evaluation.json where there is none
    yet; returns its content, and the tiles of the slider's frames, row -> panel -> JPEG."""
    known = known_evaluation(scene.folder, scene.epoch, [str(name) for name in scene.result.timestep_id])
    if known is not None:
        slider = SliderPanels(scene.n_rows, frames, partial(row_values, known[PER_FRAME]))
        draw(scene, [], slider, videos)
        return known, slider.tiles()
    evaluation = RunEvaluation(scene, open_truth(EvaluateConfig(scene.folder, epoch=scene.epoch), scene))
    slider = SliderPanels(scene.n_rows, frames, evaluation.row_values)
    draw(scene, [evaluation], slider, videos)
    return read_json(evaluation.write()), slider.tiles()


def draw(
    scene: RunScene, first: Sequence[FrameConsumer], slider: SliderPanels, videos: Mapping[Path, tuple[str, ...]]
) -> None:
    """`first` take part in the pass before the panels of the slider and of the videos are drawn."""
    with ExitStack() as held:
        films = [
            VideoPanels(held.enter_context(VideoWriter(path, VIDEO_FPS)), names, scene.n_views)
            for path, names in videos.items()
        ]
        pass_over(scene, [*first, PanelRows(scene, [slider, *films], tile_side(scene))], "evaluating and drawing")


def row_values(per_frame: Mapping[str, list], row: int) -> dict[str, float | None]:
    """What ranks a frame, out of an evaluation."""
    return {name: per_frame[name][row] for name in LARGER_IS_WORSE}


def tile_side(scene: RunScene) -> int:
    return TILE_SIDE if scene.n_views == 1 else TILE_SIDE_OF_SEVERAL


def page_frame(scene: RunScene, row: int, per_frame: Mapping[str, list], tiles: Mapping[str, bytes]) -> PageFrame:
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
