"""Tracks the data of a NeRSemble benchmark: sequences by their given cameras, svfr's pictures each by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vhap.config.benchmark import Benchmark, BenchmarkTrackConfig, BenchmarkTrackingConfig
from vhap.config.data import DataConfig, NersembleV2DataConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.track import ExperimentConfig, LogConfig, MonocularTrackConfig, NersembleV2TrackConfig, TrackConfig
from vhap.data.results import TrackResult, load_result, result_epochs, result_path, save_result
from vhap.data.run_order import runs_in
from vhap.nersemble.benchmark import assets
from vhap.nersemble.benchmark.constants import (
    ASSETS,
    BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST,
    BENCHMARK_SVFR_IMAGE_KEYS,
)
from vhap.nersemble.benchmark.flame_tracking import FlameTracking
from vhap.pipeline import preprocess_video, track
from vhap.pipeline.captures import read_capture
from vhap.pipeline.heads import configured_head
from vhap.pipeline.run_folder import same_options, start_run_folder
from vhap.util.errors import InputError
from vhap.util.files import read_bytes, write_bytes
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

EVERY_FRAME_FPS = 10_000.0
"""Above any video's own rate, which is what is taken then."""
PICTURE_TEXELS = 512
"""Side of the texture of one of svfr's pictures, which have so many pixels."""
GIVEN = "_given"
"""Ends the name of the folder with the run of a tracking that was given."""


@dataclass(frozen=True)
class BenchmarkSequence:
    """What is tracked as one: the recording of a participant, or one picture of svfr (source: its file)."""

    benchmark: Benchmark
    participant: int
    name: str
    source: Path

    @property
    def folder_name(self) -> str:
        return f"{self.participant:03d}_{self.name}"


def run(config: BenchmarkTrackConfig) -> list[Path]:
    """Run folders of all that was chosen, those of earlier runs included."""
    if config.tracking == "given" and config.benchmark != "mono_flame_avatar":
        raise InputError(
            f"expected mono_flame_avatar for --tracking given, found {config.benchmark}, which comes with no tracking; "
            "leave it out"
        )
    chosen, output = chosen_sequences(config), Path(os.path.abspath(config.output_folder))
    if config.tracking == "given":
        return [run_of_given_tracking(sequence, config, output) for sequence in chosen]
    return [track_sequence(sequence, config, output) for sequence in chosen]


def chosen_sequences(config: BenchmarkTrackingConfig) -> list[BenchmarkSequence]:
    """Everything that the options choose, in the benchmark's order. InputError where some of it was not downloaded."""
    folder, benchmark = config.folder, config.benchmark
    selection = assets.select(benchmark, participants=config.participant, sequences=config.sequence)
    found = []
    for participant in selection.participants:
        names = [name for name in assets.sequences_of(benchmark, participant) if name in selection.sequences]
        root = folder / benchmark / f"{participant:03d}"
        if benchmark == "svfr":
            for name, timestep, serial in BENCHMARK_SVFR_IMAGE_KEYS[participant]:
                if name in names:
                    key = f"{name}_{timestep}_{serial}"
                    found.append(BenchmarkSequence(benchmark, participant, key, root / key / "rgb.png"))
            continue
        for name in names:
            if benchmark == "nvs" or name not in BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST:
                found.append(BenchmarkSequence(benchmark, participant, name, root / "sequences" / name))
    if not found:
        raise InputError(
            "expected sequences with videos, found test sequences alone, of which mono_flame_avatar gives none; choose "
            "others with --sequence"
        )
    wanted = ("images",) if benchmark == "svfr" else ("calibration", "images", "alpha_maps")
    paths = assets.list_files(replace(selection, assets=wanted))
    if missing := [path for path in paths if not (folder / benchmark / path).is_file()]:
        participants = " ".join(dict.fromkeys(str(int(path.split("/")[0])) for path in missing))
        raise InputError(
            f"expected {folder / benchmark / missing[0]}, found nothing (and so {len(missing)} of {len(paths)} files); "
            "download them by "
            f"`vhap benchmark download {folder} {benchmark} --participant {participants}`, or choose with --participant"
        )
    return found


def track_sequence(sequence: BenchmarkSequence, config: BenchmarkTrackingConfig, output: Path) -> Path:
    """The run folder, in output/BENCHMARK/388_GLASSES; one that is finished with the same options is taken as it is."""
    capture = prepared(sequence, config, output)
    return track.run_once(tracking_options(capture, config, output), newest_change_ns(capture.source))


def prepared(sequence: BenchmarkSequence, config: BenchmarkTrackingConfig, output: Path) -> BenchmarkSequence:
    """The same as a capture in output/captures, with pictures, mattes and landmarks; what is missing of them is made.

    The benchmark's own folder stays as it was downloaded: its readers take any file in images/ for a video.
    """
    if sequence.benchmark == "svfr":
        target = output / "captures" / "svfr" / sequence.folder_name
        _place(sequence.source, target / "images" / "000000.png")
        preprocess(target, config)
    else:
        subject = output / "captures" / sequence.benchmark / f"{sequence.participant:03d}"
        target = subject / "sequences" / sequence.name
        calibration = Path("calibration", "camera_params.json")
        _place(sequence.source.parents[1] / calibration, subject / calibration)
        preprocess(sequence.source, config, target)
    return replace(sequence, source=target)


def preprocess(source: Path, config: BenchmarkTrackingConfig, target: Path | None = None) -> None:
    """Every frame of a sequence folder's videos, into target where it is given; or its pictures."""
    scales = () if config.n_downsample_rgb is None else (config.n_downsample_rgb,)
    preprocess_video.run(
        PreprocessConfig(
            source,
            target,
            EVERY_FRAME_FPS,
            downsample_scales=scales,
            landmark_source=config.landmark_source,
            device=config.device,
        )
    )


def newest_change_ns(capture: Path) -> int:
    """When a picture, matte or landmark file last took its place in a sequence folder."""
    tops = [top for pattern in ("images*", "alpha_maps", "landmark2d") for top in capture.glob(pattern)]
    folders = [path for top in tops for path in (top, *top.rglob("*")) if path.is_dir()]
    return max((path.stat().st_mtime_ns for path in folders), default=0)


def tracking_options(sequence: BenchmarkSequence, config: BenchmarkTrackingConfig, output: Path) -> TrackConfig:
    """Of a sequence: its participant's cameras as they are given. Of a picture: one camera of unknown focal length."""
    folder, common = sequence.source, {"n_downsample_rgb": config.n_downsample_rgb}
    common = {**common, "landmark_source": config.landmark_source}
    rest = {
        "exp": ExperimentConfig(output / sequence.benchmark / sequence.folder_name, report=False),
        "model": config.model,
        "device": config.device,
    }
    if sequence.benchmark == "svfr":
        # Hundreds of runs: files of textures that the pictures do not hold, and pictures of each, would fill disks.
        small = replace(config.model, tex_resolution=min(config.model.tex_resolution, PICTURE_TEXELS))
        rest.update(model=small, log=LogConfig(interval_media=0, max_eval_frames=0))
        return MonocularTrackConfig(DataConfig(folder.parent, folder.name, **common), **rest)
    subject = folder.parent.parent
    data = NersembleV2DataConfig(root_folder=subject.parent, subject=subject.name, sequence=folder.name, **common)
    return NersembleV2TrackConfig(data, **rest)


def _place(source: Path, copy: Path) -> None:
    """A copy of a file. InputError where another one is in its place."""
    content = read_bytes(source, "a file of the benchmark")
    if not copy.exists():
        write_bytes(copy, content)
    elif read_bytes(copy, "a copy") != content:
        raise InputError(
            f"expected {copy} to be that of {source}, found another; remove {copy.parents[1]}, or name another "
            "--output_folder"
        )


def run_of_given_tracking(sequence: BenchmarkSequence, config: BenchmarkTrackingConfig, output: Path) -> Path:
    """A run folder whose result is the FLAME tracking that the benchmark gives, so that it exports as ours do."""
    path = sequence.source.parents[2] / ASSETS["mono_flame_avatar"]["per_sequence"]["flame2023_tracking_v2"].format(
        p_id=sequence.participant, seq_name=sequence.name
    )
    if not path.is_file():
        raise InputError(f"expected the FLAME tracking {path}, found nothing; download flame2023_tracking_v2")
    options = tracking_options(prepared(sequence, config, output), config, output)
    options = replace(options, exp=replace(options.exp, output_folder=Path(f"{options.exp.output_folder}{GIVEN}")))
    options = track.spelt_out(replace(options, model=replace(options.model, add_teeth=False)))
    capture = read_capture(options.data)
    result = FlameTracking.load(path).to_result(configured_head(options.model), capture.size)
    if sorted(result.timestep_index.tolist()) != capture.timestep_indices:
        raise InputError(
            f"expected a frame of {path} for each of {len(capture.timestep_ids)} pictures, found "
            f"{len(result.timestep_index)} of other numbers; download both again"
        )
    names = np.array([capture.timestep_ids[index] for index in result.timestep_index.tolist()])
    with folder_lock(options.exp.output_folder):
        result = replace(result, timestep_id=names)
        for made in reversed(runs_in(options.exp.output_folder)):
            if result_epochs(made) and same_options(made, options) and is_saved(made, result):
                return made
        made = start_run_folder(options)
        save_result(made / "tracked_flame_params_0.npz", result)
    get_logger().info("the given tracking of %s as a run: %s", sequence.folder_name, made)
    return made


def is_saved(run: Path, result: TrackResult) -> bool:
    """Whether the run folder's result has the same motion."""
    saved = load_result(result_path(run))
    pairs = [(getattr(saved, name), getattr(result, name)) for name in ("rotation", "translation", "expr", "shape")]
    return all(a.shape == b.shape and np.allclose(a, b, atol=1e-6) for a, b in pairs)
