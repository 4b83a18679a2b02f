"""From the folder of a NeRSemble benchmark to a valid submission."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vhap.config.benchmark import BenchmarkRunConfig, ValidateConfig
from vhap.data.pictures import same_shape
from vhap.data.provenance import content_digest
from vhap.data.results import result_path
from vhap.data.rig_capture import RigCapture
from vhap.data.video import frame_times
from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.nersemble.benchmark.constants import BENCHMARK_NVS_HOLD_OUT_SERIALS
from vhap.nersemble.benchmark.mesh_submission import SVFRSubmissionDataWriter
from vhap.nersemble.benchmark.metadata import NVSMetadata
from vhap.nersemble.benchmark.video_submission import NVSSubmissionDataWriter, expected_length, get_video_path
from vhap.pipeline import benchmark_estimate, benchmark_validate, track
from vhap.pipeline.benchmark_meshes import add_meshes
from vhap.pipeline.benchmark_track import BenchmarkSequence, chosen_sequences, track_sequence
from vhap.pipeline.open_run import open_run
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json
from vhap.util.log import get_logger
from vhap.util.progress import progress

SIZE = (1604, 1100)
"""Height and width of a submitted video."""
RENDERED = "rendered.json"
CHECKED_PICTURES = 8


def run(config: BenchmarkRunConfig) -> dict[str, list[Any]] | None:
    """What is wrong with the submission, by kind: nothing, unless an earlier one of the same name held more. None of a
    dry run."""
    output = Path(os.path.abspath(config.output_folder or config.zip.with_name(f"{config.zip.name}.runs")))
    sequences = chosen_sequences(config)
    if config.dry_run:
        benchmark_estimate.describe(sequences, config)
        return None
    (make_videos if config.benchmark == "nvs" else make_meshes)(sequences, config, output)
    folder = config.folder if config.benchmark == "nvs" else None
    return benchmark_validate.run(
        ValidateConfig(config.zip, folder, config.benchmark, config.participant, config.sequence)
    )


def make_videos(sequences: list[BenchmarkSequence], config: BenchmarkRunConfig, output: Path) -> None:
    """Tracks each sequence and renders its hold-out cameras. Videos of a tracking that is still the same are kept, and
    so are those of other participants in an archive of that name."""
    metadata = NVSMetadata.load(config.folder)
    for sequence in sequences:
        require_length(sequence, expected_length(metadata, sequence.participant, sequence.name))
    with NVSSubmissionDataWriter(config.zip, metadata=metadata) as writer:
        writer.keep_packed()
        for sequence in sequences:
            folder = track_sequence(sequence, config, output)
            records, key = Rendered(folder), (sequence.participant, sequence.name)
            missing = [
                serial
                for serial in BENCHMARK_NVS_HOLD_OUT_SERIALS
                if not (
                    writer.has_video(sequence.participant, sequence.name, serial)
                    and records.is_current(serial, writer.path_of(get_video_path(*key, serial)))
                )
            ]
            if not missing:
                get_logger().info("rendered already: %s", sequence.folder_name)
                continue
            scene = open_run(folder, device=track.choose_device(config.device), with_landmarks=False)
            report_left_out(scene, sequence)
            for serial in missing:
                name = get_video_path(sequence.participant, sequence.name, serial)
                frames = hold_out_frames(scene, hold_out_camera(scene, serial), name)
                writer.add_video(sequence.participant, sequence.name, serial, frames)
                records.note(serial, writer.path_of(name))


def make_meshes(pictures: list[BenchmarkSequence], config: BenchmarkRunConfig, output: Path) -> None:
    """Reconstructs the head in each picture by itself. Where no face is found, the mean head stands for it."""
    with SVFRSubmissionDataWriter(config.zip) as writer:
        writer.keep_packed()
        unseen = [
            picture.folder_name
            for picture in progress(pictures, "pictures")
            if not add_meshes(writer, picture, config, output)
        ]
    if unseen:
        get_logger().warning(
            "no face was found in %d of %d pictures, for which the mean head was taken: %s",
            len(unseen),
            len(pictures),
            " ".join(unseen[:5]) + (" ..." if len(unseen) > 5 else ""),
        )


def hold_out_camera(scene: RunScene, serial: str) -> Camera:
    """A camera without pictures, in the tracked world, for pictures of the benchmark's size."""
    assert isinstance(scene.capture, RigCapture), scene.folder
    assert scene.result.T_tracked_given is not None, scene.folder
    camera = scene.capture.other_camera(serial)
    if not same_shape((camera.height, camera.width), SIZE):
        raise InputError(
            f"expected videos in the shape of the benchmark's ({SIZE[1]}x{SIZE[0]}) in {scene.sequence_folder}, found "
            f"{camera.width}x{camera.height}; download them again"
        )
    moved = camera.moved(torch.from_numpy(scene.result.T_tracked_given))
    return moved.resized(*SIZE).to(torch.float32).to(scene.device)


def hold_out_frames(scene: RunScene, camera: Camera, description: str) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 of every timestep: the tracked head over white."""
    white = torch.ones(1, camera.height, camera.width, 3, device=scene.device)
    for row in progress(range(scene.n_rows), description):
        picture = scene.render_vertices(scene.vertices(row), camera, white).picture
        yield (picture[0].clamp(0, 1) * 255).round().byte().cpu().numpy()


def require_length(sequence: BenchmarkSequence, count: int) -> None:
    """InputError where a video has not as many frames as the metadata say."""
    for path in sorted((sequence.source / "images").glob("*.mp4")):
        if (found := len(frame_times(path)[0])) != count:
            raise InputError(
                f"expected {count} frames in {path}, as the metadata say, found {found}; download it again"
            )


def report_left_out(scene: RunScene, sequence: BenchmarkSequence) -> None:
    """How much of the person no head model shows, which is white in the videos: hair beyond the head, clothes."""
    if scene.capture.alpha_paths is None:  # pyright: ignore[reportAttributeAccessIssue]
        return
    places = [(row, view) for row in range(scene.n_rows) for view in range(scene.n_views)]
    shown = person = 0.0
    for row, view in (places[index] for index in even_choice(len(places), CHECKED_PICTURES)):
        rendering, frame = scene.render(row, view)
        assert frame.alpha is not None
        person += float(frame.alpha.sum())
        shown += float((frame.alpha * rendering.raster.mask.reshape(frame.alpha.shape)).sum())
    if person > 0:
        get_logger().info(
            "%s: the head model covers %.0f %% of the person; the rest (other hair, clothes) is white in the videos",
            sequence.folder_name,
            100 * shown / person,
        )


@dataclass(frozen=True)
class Rendered:
    """Which videos show the tracking of a run folder, kept there."""

    run: Path

    def is_current(self, serial: str, video: Path) -> bool:
        return self._read().get(serial) == self._digest(video)

    def note(self, serial: str, video: Path) -> None:
        write_json(self.run / RENDERED, {**self._read(), serial: self._digest(video)})

    def _digest(self, video: Path) -> str:
        return f"{content_digest(result_path(self.run))} {content_digest(video)}"

    def _read(self) -> dict[str, str]:
        path = self.run / RENDERED
        return read_json(path, dict[str, str]) if path.is_file() else {}
