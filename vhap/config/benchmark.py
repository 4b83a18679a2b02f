"""Options of `vhap benchmark`: data of the NeRSemble benchmark, and submissions to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from vhap.config.data import LandmarkSource
from vhap.config.ranges import CountOrNone, Index, Range
from vhap.config.track import ModelConfig

Benchmark = Literal["nvs", "mono_flame_avatar", "svfr"]


@dataclass(frozen=True)
class ListConfig:
    """Lists participants, files and sizes of the benchmarks; asks no server."""

    benchmark: Literal["all", "nvs", "mono_flame_avatar", "svfr"] = "all"
    """Which benchmark is listed."""


@dataclass(frozen=True)
class DownloadConfig:
    """Downloads the chosen part of a benchmark; given again, it completes what is missing."""

    folder: Path
    """Where the data are written, in a folder of the benchmark's name."""
    benchmark: Benchmark
    """nvs (novel views), mono_flame_avatar (monocular FLAME avatars) or svfr (single-view face reconstruction)."""
    assets: tuple[str, ...] = ("all",)
    """all (without flame2023_tracking, which version 2 replaces), or names: calibration images alpha_maps pointclouds
    flame2023_tracking_v2 flame2023_tracking."""
    participant: tuple[str, ...] = ("all",)
    """all, or numbers of participants: 388 422."""
    sequence: tuple[str, ...] = ("all",)
    """all, or names of sequences: EXP-1-head FREE."""
    pointcloud_frames: tuple[str, ...] = ("0",)
    """Timesteps whose pointclouds are downloaded (nvs only): all (66 GB), or numbers: 0 10 20."""
    n_workers: Annotated[int, Range(1, 1024)] = 1
    """Files that are transferred at the same time."""
    overwrite: bool = False
    """Compare also what is known to be whole with the server's version, and fetch again what differs."""
    yes: bool = False
    """Start without asking."""
    timeout_s: Annotated[float, Range(0, 86_400, above=True)] = 30.0
    """Seconds for a reply to begin, and then without data (or with less than 1 kB for each of them), after which a
    connection counts as broken."""
    retries: CountOrNone = 6
    """Attempts at a file after the first that bring nothing new, before it counts as failed."""


@dataclass(frozen=True)
class ValidateConfig:
    """Checks a submission before it is sent, without the network."""

    zip: Path
    """The submission."""
    folder: Path | None = None
    """The benchmark's folder, whose metadata.json give the lengths of the videos; not needed for svfr."""
    benchmark: Benchmark | None = None
    """Which benchmark it is for; left out, its files say so."""
    participant: tuple[str, ...] = ("all",)
    """all, or the numbers of those whom a part of the submission is of; what the others lack is no fault then."""
    sequence: tuple[str, ...] = ("all",)
    """all, or the names of the sequences that a part is of."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkTrackingConfig:
    """Which data of a benchmark are tracked, and how."""

    folder: Path
    """The benchmark's folder, as the download made it."""
    benchmark: Benchmark
    """nvs, mono_flame_avatar or svfr."""
    participant: tuple[str, ...] = ("all",)
    """all, or numbers of participants: 388 422."""
    sequence: tuple[str, ...] = ("all",)
    """all, or names of sequences: GLASSES FREE."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The head, as in every tracking command."""
    landmark_source: LandmarkSource = "mediapipe"
    """Landmark detector."""
    n_downsample_rgb: Literal[2, 4, 8] | None = None
    """Track on smaller copies of the pictures, which are made where they are missing."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkTrackConfig(BenchmarkTrackingConfig):
    """Tracks the sequences, or the pictures, of a benchmark; those that are tracked already are left alone."""

    output_folder: Path = Path("output/benchmark")
    """Holds captures/ (pictures, mattes, landmarks) and run folders in BENCHMARK/388_GLASSES."""
    tracking: Literal["own", "given"] = "own"
    """given: no tracking, but a run of the FLAME tracking that mono_flame_avatar comes with."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkRunConfig(BenchmarkTrackingConfig):
    """From the downloaded folder to a valid submission: tracks, renders or reconstructs, packs, validates. Given again,
    it goes on where it was stopped."""

    benchmark: Literal["nvs", "svfr"]
    """nvs: videos of the hold-out cameras. svfr: posed and neutral meshes."""
    zip: Path
    """The submission that is written."""
    output_folder: Path | None = None
    """Where captures and run folders are made; by default beside the zip, in OUT.zip.runs."""
    dry_run: bool = False
    """Try on one moment how long preprocessing and tracking take, and how much they write; then stop."""


@dataclass(frozen=True)
class CamerasConfig:
    """Draws a participant's cameras with their pictures and the point cloud of a timestep: a picture, or a page."""

    folder: Path
    """The benchmark's folder."""
    participant: Index
    """Number of the participant: 388."""
    benchmark: Literal["nvs", "mono_flame_avatar"] = "nvs"
    """nvs, or mono_flame_avatar, whose points are the vertices of the FLAME tracking (with a FLAME file)."""
    sequence: str | None = None
    """Name of the sequence. None: the first one with videos; novel views have one."""
    timestep: Index = 0
    """Which frame, counted from 0."""
    output: Path | None = None
    """Where the picture is written (.png, .jpg). None: cameras_PARTICIPANT_SEQUENCE_TIMESTEP.png, in the folder in
    which the command is given; with --view no picture."""
    view: bool = False
    """Show the cameras in the browser, until Ctrl-C; needs viser (pip install "vhap[viewer]")."""
    port: Annotated[int, Range(1, 65_535)] = 8080
    """Of the page, which only this machine can open; where it is taken, the next free one."""
