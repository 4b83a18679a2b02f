"""How long a submission takes and how much it writes: tried on one moment of the first sequence."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import torch

from vhap.config.benchmark import BenchmarkRunConfig
from vhap.data.joined import FewFrames
from vhap.data.nersemble.frames import FrameReader
from vhap.data.pictures import read_rgb, write_picture
from vhap.data.rig_extraction import find_videos
from vhap.data.rig_recording import flat_name
from vhap.fit.loop import Tracker
from vhap.fit.stages import Stage, build_stages
from vhap.nersemble.benchmark.metadata import NVSMetadata
from vhap.nersemble.benchmark.video_submission import expected_length
from vhap.pipeline import track
from vhap.pipeline.benchmark_track import BenchmarkSequence, preprocess, tracking_options
from vhap.pipeline.captures import open_capture
from vhap.pipeline.estimate import stage_seconds
from vhap.util.choice import even_choice

MOMENT = "000000"
RESULTS, TEXEL_BYTES = 5, 24
"""Results that a run writes, each with two textures of three channels in single precision."""


@dataclass(frozen=True)
class Trial:
    """What one moment took: bytes written and seconds of preprocessing, seconds of the first guess, and its tracker.
    run_bytes: of a run folder."""

    bytes_written: int
    run_bytes: int
    preprocess_s: float
    guess_s: float
    tracker: Tracker
    stages: list[Stage]

    def seconds(self, count: int) -> float:
        """Of count moments like it."""
        tracker = repeated(self.tracker, count)
        return count * (self.preprocess_s + self.guess_s) + sum(stage_seconds(tracker, stage) for stage in self.stages)


def describe(sequences: list[BenchmarkSequence], config: BenchmarkRunConfig) -> None:
    """Prints frames, hours and gigabytes of each sequence, or of all pictures."""
    is_video = config.benchmark == "nvs"
    metadata = NVSMetadata.load(config.folder) if is_video else None
    counts = [1 if metadata is None else expected_length(metadata, each.participant, each.name) for each in sequences]
    with tempfile.TemporaryDirectory() as folder:
        trial = try_moment(sequences[0], config, Path(folder))
        if metadata is None:
            entries = [(f"{len(sequences)} pictures", len(sequences), len(sequences) * trial.seconds(1))]
        else:
            names = [f"{each.folder_name}, {count} timesteps" for each, count in zip(sequences, counts)]
            entries = [(name, count, trial.seconds(count)) for name, count in zip(names, counts)]
    device = trial.tracker.params.rotation.device
    print(f"tried on one {'moment' if is_video else 'picture'} of {sequences[0].folder_name}, device {device}")
    runs = len(sequences) // len(entries)
    total_s = total_bytes = 0.0
    for name, count, seconds in entries:
        size = count * trial.bytes_written + runs * trial.run_bytes
        print(f"{name}: about {seconds / 60:.0f} min and {size / 1e6:.0f} MB")
        total_s, total_bytes = total_s + seconds, total_bytes + size
    print(
        f"in all about {total_s / 3600:.1f} h of preprocessing and tracking, and {total_bytes / 1e9:.1f} GB "
        "(what is there already is not done again)"
    )


def try_moment(sequence: BenchmarkSequence, config: BenchmarkRunConfig, folder: Path) -> Trial:
    """Preprocesses one moment in a folder that is thrown away, and starts tracking it."""
    copy = copied_moment(sequence, folder)
    started = monotonic()
    preprocess(copy.source, config)
    preprocess_s = monotonic() - started
    options = track.spelt_out(tracking_options(copy, config, folder / "runs"))
    device = track.choose_device(options.device)
    capture = open_capture(options)
    head = track.open_textured_head(options, capture.landmark_set, device)
    started = monotonic()
    tracker = track.build_tracker(options, capture, head, device)
    guess_s = monotonic() - started
    written = sum(path.stat().st_size for path in copy.source.rglob("*") if path.is_file())
    run_bytes = RESULTS * TEXEL_BYTES * tracker.scene.base_texture.shape[1] ** 2
    return Trial(written, run_bytes, preprocess_s, guess_s, tracker, build_stages(options))


def copied_moment(sequence: BenchmarkSequence, folder: Path) -> BenchmarkSequence:
    """The first frame of every camera and its matte, with the calibration; or the picture of svfr."""
    if sequence.benchmark == "svfr":
        target = folder / sequence.folder_name
        write_picture(target / "images" / f"{MOMENT}.png", read_rgb(sequence.source))
        return replace(sequence, source=target)
    subject = sequence.source.parents[1]
    target = folder / subject.name / "sequences" / sequence.name
    shutil.copytree(subject / "calibration", folder / subject.name / "calibration")
    for camera, video in find_videos(sequence.source).items():
        with opened(video) as reader:
            write_picture(target / "images" / f"{flat_name(camera, MOMENT)}.jpg", reader.read(0))
        matte = sequence.source / "alpha_maps" / video.name
        if matte.is_file():
            with opened(matte) as reader:
                write_picture(target / "alpha_maps" / f"{flat_name(camera, MOMENT)}.png", reader.read(0)[..., 0])
    return replace(sequence, source=target)


@contextmanager
def opened(video: Path) -> Iterator[FrameReader]:
    reader = FrameReader(video)
    try:
        yield reader
    finally:
        reader.close()


def repeated(tracker: Tracker, count: int) -> Tracker:
    """The run as if its only moment came count times."""
    rows = [0] * count
    index = torch.tensor(rows)
    problem = replace(tracker.problem.select(index), timesteps=torch.arange(count))
    return replace(
        tracker,
        capture=FewFrames(tracker.capture, rows),
        problem=problem,
        found=tracker.found[index.to(tracker.found.device)],
        init_frames=even_choice(count, tracker.config.batch_size),
        params=tracker.params.rows(index.to(tracker.params.rotation.device)),
    )
