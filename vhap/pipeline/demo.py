"""The demonstration: one video through the whole chain, measured and shown."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vhap.config.data import DataConfig
from vhap.config.demo import DemoConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import CombineConfig, ExportConfig
from vhap.config.live import LiveConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.results import load_result, result_path
from vhap.pipeline import (
    combine_nerf_datasets,
    evaluate_tracking,
    export_as_nerf_dataset,
    live_start,
    make_synthetic_capture,
    open_run,
    preprocess_video,
    report,
    track,
)
from vhap.util.errors import InputError
from vhap.util.files import atomic_path, read_json, write_json
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

FOLLOWING_LAG = 3
"""Frames that a followed one waits for those after it: as smooth as following gets, since nobody waits for a film."""


@dataclass
class Stopwatch:
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        get_logger().info("%s ...", stage)
        started = time.monotonic()
        yield
        self.seconds[stage] = round(time.monotonic() - started, 2)


def run(config: DemoConfig) -> Path:
    """Runs the chain and prints the quality, the times and where to look. Returns the path of metrics.json."""
    with folder_lock(config.output):
        return run_chain(config)


def run_chain(config: DemoConfig) -> Path:
    """As `run`, in a folder that is held."""
    watch, output = Stopwatch(), config.output
    truth = None
    with watch("make_video"):
        video = place_user_video(config) if config.video else output / "video" / "demo.mp4"
        if config.video is None:
            truth = film_builtin_head(config, video)
    with watch("preprocess"):
        sequence = preprocess_video.run(PreprocessConfig(video))
    with watch("track"):
        tracked = track.run(
            TrackConfig(
                data=DataConfig(root_folder=sequence.parent, sequence=sequence.name),
                exp=ExperimentConfig(output / "track"),
                model=ModelConfig(head=config.head),
            )
        )
    overlay = output / "followed.mp4"
    with watch("follow"):
        followed = live_start.run(
            LiveConfig(video=video, person=tracked, lag=FOLLOWING_LAG, overlay=overlay, output_folder=output / "follow")
        )
    with watch("export"):
        halves = export_halves(tracked, output / "export", sequence.name)
    with watch("combine"):
        union = output / "export" / f"{subject(sequence.name)}_union"
        combine_nerf_datasets.run(CombineConfig(halves, union))
    with watch("evaluate"):
        metrics = evaluate_tracking.clip_values(read_json(evaluate_tracking.run(EvaluateConfig(tracked, truth))))
    stages = {f"track.{name}": value for name, value in report.stage_seconds(tracked).items()}
    with watch("show"):
        scene = open_run.open_run(tracked)
        video_beside = output / "side_by_side.mp4"
        page = report.write_report(scene, output, {**watch.seconds, **stages}, beside=video_beside)
    metrics["followed_frames_per_second"] = read_json(followed / "live.json")["frames_per_second"]
    path = output / "metrics.json"
    write_json(path, {**metrics, "seconds": {**watch.seconds, **stages}})
    tell(metrics, watch.seconds, [page, video_beside, overlay, tracked, *halves, union, path])
    return path


def place_user_video(config: DemoConfig) -> Path:
    """A link to (or copy of) the user's video in the output, so that nothing is written beside the original."""
    assert config.video is not None
    if not config.video.is_file():
        raise InputError(f"expected a video at {config.video}, found none; check the path")
    place = config.output / "video" / config.video.name
    if not place.exists():
        with atomic_path(place) as temporary:
            shutil.copyfile(config.video, temporary)
    return place


def film_builtin_head(config: DemoConfig, video: Path) -> Path:
    """Renders the talking built-in head and puts its mp4, and nothing else, where a user's would be. Returns the
    folder of the truth."""
    capture = make_synthetic_capture.run(
        SyntheticConfig(output=config.output / "truth" / "demo", head="builtin", frames=config.frames, size=config.size)
    )
    with atomic_path(video) as temporary:
        shutil.copyfile(capture.parent / f"{capture.name}.mp4", temporary)
    return capture / "ground_truth"


def subject(sequence: str) -> str:
    return sequence.split("_")[0]


def export_halves(tracked: Path, folder: Path, sequence: str) -> tuple[Path, Path]:
    """Two datasets of one person: the first and the second half of the clip."""
    count = len(load_result(result_path(tracked)).timestep_id)
    middle = max(1, count // 2)
    halves = {"first": f"ti0tj{middle - 1}", "second": f"ti{middle}tj{max(middle, count - 1)}"}
    first, second = (
        export_as_nerf_dataset.run(ExportConfig(tracked, folder / f"{subject(sequence)}_{name}", subset=subset))
        for name, subset in halves.items()
    )
    return first, second


def tell(metrics: dict, seconds: dict[str, float], places: list[Path]) -> None:
    """The summary on standard output."""
    print("\nquality" + (" against the known truth" if "face_vertex_error_mm_mean" in metrics else ""))
    for name, value in metrics.items():
        if value is not None:
            print(f"  {name:28s} {value:.3f}" if isinstance(value, float) else f"  {name:28s} {value}")
    print("seconds")
    for name, value in seconds.items():
        print(f"  {name:28s} {value:.1f}")
    print(f"  {'total':28s} {sum(seconds.values()):.1f}")
    print("look at")
    for place in places:
        print(f"  {place}")
