"""Submissions of videos: novel views, and monocular FLAME avatars."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.ffmpeg import file_url
from vhap.data.nersemble.frames import FrameReader
from vhap.data.video import frame_times, require_frames
from vhap.nersemble.benchmark import constants
from vhap.nersemble.benchmark.archives import SubmissionDataReader, SubmissionDataWriter
from vhap.nersemble.benchmark.metadata import MonoFLAMEAvatarMetadata, NVSMetadata
from vhap.util.errors import InputError, shown
from vhap.util.files import atomic_path
from vhap.util.optional import import_or_explain

CRF = 14
# Readers that know nothing of matrices take BT.601, those that do read the tag: both give the same colours.
COLOUR = ["-colorspace", "smpte170m", "-color_range", "tv"]
VIDEO_NAME = re.compile(r"(\d+)/([\w+-]+)/cam_(\w+)\.mp4")
Key = tuple[int, str, str]
Metadata = NVSMetadata | MonoFLAMEAvatarMetadata


def nvs_keys() -> list[Key]:
    """(participant, sequence, serial) of each video that is wanted, in the official order."""
    serials = constants.BENCHMARK_NVS_HOLD_OUT_SERIALS
    return [(p, name, serial) for p, name in constants.BENCHMARK_NVS_IDS_AND_SEQUENCES for serial in serials]


def mono_flame_avatar_keys() -> list[Key]:
    """As `nvs_keys`; the camera that was trained on is among them."""
    return [
        (participant, name, serial)
        for participant in constants.BENCHMARK_MONO_FLAME_AVATAR_IDS
        for name in constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST
        for serial in constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS
    ]


def get_video_path(participant_id: int, sequence_name: str, serial: str) -> str:
    return f"{participant_id:03d}/{sequence_name}/cam_{serial}.mp4"


def expected_length(metadata: Metadata, participant_id: int, sequence_name: str) -> int:
    """Frames of a submitted video. InputError where the metadata lack the sequence."""
    if isinstance(metadata, NVSMetadata):
        sequence = metadata.sequences.get(participant_id)
        if sequence is not None and sequence.sequence_name == sequence_name:
            return len(sequence.timesteps)
    elif participant_id in metadata.participants_metadata:
        of_participant = metadata.participants_metadata[participant_id].sequences_metadata
        if sequence_name in of_participant:
            return of_participant[sequence_name].n_frames
    raise InputError(
        f"expected participant {participant_id}, {sequence_name} in the benchmark's metadata, found it missing; "
        "download them again"
    )


class _VideoWriter(SubmissionDataWriter):
    def __init__(
        self, zip_path: str | Path, keys: list[Key], size: tuple[int, int], fps: float, metadata: Metadata | None
    ) -> None:
        super().__init__(zip_path, [get_video_path(*key) for key in keys])
        self._keys, self._size, self._fps, self._metadata = keys, size, fps, metadata

    def add_video(self, participant_id: int, sequence_name: str, serial: str, frames: Iterable[np.ndarray]) -> None:
        """frames: (H, W, 3) uint8 RGB, in the order of the timesteps; a generator keeps the memory small.

        InputError where the video is not one of the benchmark's, a frame is of another kind, or, with metadata, their
        number is wrong; nothing of the video is kept then. A video that was added before is replaced.
        """
        with self._noting_failure():
            count = self._expected_length(participant_id, sequence_name, serial)
            target = self.path_of(get_video_path(participant_id, sequence_name, serial))
            with atomic_path(target) as temporary:
                written = _encode(temporary, self._checked(frames, count, target), self._size, self._fps)
                require_frames(temporary, written, target)

    def has_video(self, participant_id: int, sequence_name: str, serial: str) -> bool:
        """Whether it was added, by this run or one that was stopped, and has as many frames as the metadata ask."""
        count = self._expected_length(participant_id, sequence_name, serial)
        path = self.path_of(get_video_path(participant_id, sequence_name, serial))
        return path.is_file() and (count is None or len(frame_times(path)[0]) == count)

    def _expected_length(self, participant_id: int, sequence_name: str, serial: str) -> int | None:
        if (participant_id, sequence_name, serial) not in self._keys:
            raise InputError(
                f"expected a video that this benchmark asks for, found {shown((participant_id, sequence_name, serial))}"
                f"; choose one of {len(self._keys)} like {self._keys[0]}"
            )
        return None if self._metadata is None else expected_length(self._metadata, participant_id, sequence_name)

    def _checked(self, frames: Iterable[np.ndarray], count: int | None, target: Path) -> Iterator[np.ndarray]:
        width, height = self._size
        index = -1
        for index, frame in enumerate(frames):
            if frame.dtype != np.uint8 or frame.shape != (height, width, 3):
                raise InputError(
                    f"expected uint8 frames ({height}, {width}, 3) for {target.name}, found {frame.dtype} "
                    f"{frame.shape} at {index}; render at the size of the benchmark"
                )
            if index == count:
                raise InputError(f"expected {count} frames for {target}, found more; give one for each timestep")
            yield frame
        if index + 1 == 0 or (count is not None and index + 1 != count):
            expected = "at least one frame" if count is None else f"{count} frames"
            raise InputError(f"expected {expected} for {target}, found {index + 1}; give one for each timestep")


class NVSSubmissionDataWriter(_VideoWriter):
    """Novel views: 1100x1604 at 73 fps, the three hold-out cameras of each participant's sequence.

    benchmark_folder: where the download stored the metadata, by which numbers of frames are checked; or the metadata.
    """

    def __init__(
        self,
        zip_path: str | Path,
        benchmark_folder: str | Path | None = None,
        metadata: NVSMetadata | None = None,
    ) -> None:
        if metadata is None and benchmark_folder is not None:
            metadata = NVSMetadata.load(benchmark_folder)
        super().__init__(zip_path, nvs_keys(), (1100, 1604), 73, metadata)


class MonoFlameAvatarSubmissionDataWriter(_VideoWriter):
    """Monocular avatars: 512x512 at 24.3 fps, four cameras of each test sequence. Metadata as for the novel views."""

    def __init__(
        self,
        zip_path: str | Path,
        benchmark_folder: str | Path | None = None,
        metadata: MonoFLAMEAvatarMetadata | None = None,
    ) -> None:
        if metadata is None and benchmark_folder is not None:
            metadata = MonoFLAMEAvatarMetadata.load(benchmark_folder)
        super().__init__(zip_path, mono_flame_avatar_keys(), (512, 512), 24.3, metadata)


class _VideoReader(SubmissionDataReader):
    def __init__(self, zip_path: str | Path, keys: list[Key], size: tuple[int, int], metadata: Metadata | None) -> None:
        super().__init__(zip_path)
        self._keys, self._size, self._metadata = keys, size, metadata

    def get_file_overview(self) -> dict[int, dict[str, list[str]]]:
        """Participant -> sequence -> serials."""
        overview: dict[int, dict[str, list[str]]] = {}
        for name in self._names:
            if found := VIDEO_NAME.fullmatch(name):
                overview.setdefault(int(found[1]), {}).setdefault(found[2], []).append(found[3])
        return overview

    def get_video_path(self, participant_id: int, sequence_name: str, serial: str) -> str:
        return get_video_path(participant_id, sequence_name, serial)

    def load_video(
        self,
        participant_id: int,
        sequence_name: str,
        serial: str,
        every_nth_frame: int | None = None,
        timestep: int | None = None,
        scale: float | None = None,
    ) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB: all frames, every n-th one, or that of a timestep alone."""
        if every_nth_frame is not None and every_nth_frame < 1:
            raise InputError(f"expected every_nth_frame of 1 or more, found {every_nth_frame}; correct it")
        with self._extracted(get_video_path(participant_id, sequence_name, serial)) as path:
            reader = FrameReader(path)
            try:
                indices = range(0, len(reader), every_nth_frame or 1)
                wanted = [timestep] if timestep is not None and every_nth_frame is None else indices
                return [_scaled(reader.read(index), scale) for index in wanted]
            finally:
                reader.close()

    def list_expected_files(self) -> list[str]:
        return [get_video_path(*key) for key in self._keys]

    def list_expected_video_lengths(self) -> dict[str, int]:
        """Path -> frames. InputError without metadata, or where they lack a sequence."""
        return {get_video_path(*key): self._expected_length(key) for key in self._keys}

    def _expected_length(self, key: Key) -> int:
        if self._metadata is None:
            raise InputError(
                f"expected the benchmark's metadata to check {self._zip_path} by, found none given; give the folder of "
                "the download"
            )
        return expected_length(self._metadata, *key[:2])

    def get_expected_resolution(self) -> tuple[int, int]:
        """Width, height."""
        return self._size

    def validate_submission(
        self, participants: Collection[int] | None = None, sequences: Collection[str] | None = None
    ) -> dict[str, list[Any]]:
        """Empty where all is right, else the official kit's keys: missing_files, wrong_frame_counts and
        wrong_resolutions; and unreadable_files, of which the kit raises an error. participants,
        sequences: of which videos are looked at; None: all. InputError where the metadata lack a sequence that there
        are videos of."""
        issues: dict[str, list[Any]] = {}
        for key in self._keys:
            if (participants is not None and key[0] not in participants) or (
                sequences is not None and key[1] not in sequences
            ):
                continue
            name = get_video_path(*key)
            if name not in self._names:
                issues.setdefault("missing_files", []).append(name)
                continue
            length = self._expected_length(key)
            try:
                with self._extracted(name) as path:
                    count, size = _count_and_size(path)
            except InputError as error:
                issues.setdefault("unreadable_files", []).append((name, str(error)))
                continue
            if count != length:
                issues.setdefault("wrong_frame_counts", []).append((name, count, length))
            if size != self._size:
                issues.setdefault("wrong_resolutions", []).append((name, size, self._size))
        return issues

    @contextlib.contextmanager
    def _extracted(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            self.extract(name, path)
            yield path


class NVSSubmissionDataReader(_VideoReader):
    """benchmark_folder or metadata: needed for what asks the expected lengths."""

    def __init__(
        self,
        zip_path: str | Path,
        benchmark_folder: str | Path | None = None,
        metadata: NVSMetadata | None = None,
    ) -> None:
        if metadata is None and benchmark_folder is not None:
            metadata = NVSMetadata.load(benchmark_folder)
        super().__init__(zip_path, nvs_keys(), (1100, 1604), metadata)

    def is_complete(self, participant_id: int, sequence_name: str) -> bool:
        serials = self.get_file_overview().get(participant_id, {}).get(sequence_name, [])
        return set(constants.BENCHMARK_NVS_HOLD_OUT_SERIALS) <= set(serials)


class MonoFlameAvatarSubmissionDataReader(_VideoReader):
    """As `NVSSubmissionDataReader`."""

    def __init__(
        self,
        zip_path: str | Path,
        benchmark_folder: str | Path | None = None,
        metadata: MonoFLAMEAvatarMetadata | None = None,
    ) -> None:
        if metadata is None and benchmark_folder is not None:
            metadata = MonoFLAMEAvatarMetadata.load(benchmark_folder)
        super().__init__(zip_path, mono_flame_avatar_keys(), (512, 512), metadata)

    def is_complete(self, participant_id: int | None = None) -> bool:
        """Of one participant, or of all."""
        wanted = [participant_id] if participant_id is not None else constants.BENCHMARK_MONO_FLAME_AVATAR_IDS
        overview = self.get_file_overview()
        return all(
            set(constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS) <= set(overview.get(participant, {}).get(name, []))
            for participant in wanted
            for name in constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST
        )


def _count_and_size(path: Path) -> tuple[int, tuple[int, int]]:
    """Frames by the file's index, and (width, height) of the first one decoded."""
    reader = FrameReader(path)
    try:
        height, width = reader.read(0).shape[:2]
        return len(reader), (width, height)
    finally:
        reader.close()


def _encode(path: Path, frames: Iterator[np.ndarray], size: tuple[int, int], fps: float) -> int:
    """H.264; returns the number of frames sent."""
    library = import_or_explain("imageio_ffmpeg", "pip install imageio-ffmpeg")
    encoder = library.write_frames(
        file_url(path),
        size,
        fps=fps,
        codec="libx264",
        pix_fmt_in="rgb24",
        pix_fmt_out="yuv420p",
        macro_block_size=1,
        quality=None,
        output_params=["-crf", str(CRF), *COLOUR],
    )
    encoder.send(None)
    count = 0
    try:
        for frame in frames:
            encoder.send(np.ascontiguousarray(frame))
            count += 1
    except OSError as error:
        raise InputError(
            f"expected an ffmpeg that writes H.264 for {path.parent}, found it failing ({shown(str(error))}); free "
            "some space, reinstall imageio-ffmpeg or correct IMAGEIO_FFMPEG_EXE"
        ) from error
    finally:
        encoder.close()
    return count


def _scaled(frame: np.ndarray, scale: float | None) -> np.ndarray:
    if scale is None or scale == 1:
        return frame
    if not scale > 0:
        raise InputError(f"expected a scale above 0, found {scale}; correct it")
    cv2 = import_or_explain("cv2")
    height, width = (max(1, round(side * scale)) for side in frame.shape[:2])
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
