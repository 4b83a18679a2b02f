"""Videos through ffmpeg; no ffprobe is needed. Time counts from the first video frame, whatever the sound does."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from vhap.data.ffmpeg import find_ffmpeg, input_arguments, last_line, require_file
from vhap.data.video_properties import (
    StreamProperties,
    colour_filters,
    decoder_arguments,
    field_filters,
    read_properties,
)
from vhap.util.errors import InputError
from vhap.util.log import get_logger

STREAM = re.compile(r"^ *Stream #.*$", re.MULTILINE)
DURATION = re.compile(r"Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")
DECODED = re.compile(r"Input stream #\S+ \(video\): (\d+) packets read .*?; (\d+) frames decoded")
LEVEL = re.compile(r"\[(error|fatal|panic)\] ")
DAMAGE = ("partial file", "invalid data", "truncat", "error while decoding", "moov atom", "corrupt")
SQUARE_PIXELS = "scale=round(iw*sar):ih:flags=bicubic+accurate_rnd,setsar=1"


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says. size: (height, width) as stored, before rotation. rotation_deg: 0 where upright.

    fps: mean frames a second, exact for the broadcast rates (30000/1001). duration_s: of the file, 0 where
    unknown.
    """

    size: tuple[int, int]
    fps: Fraction
    duration_s: float
    rotation_deg: float
    properties: StreamProperties = field(default_factory=StreamProperties)


@dataclass(frozen=True)
class FrameCounts:
    """decoded: frames that decoding gives. pictures: those taken at a rate. contained: those in the file's index."""

    decoded: int
    pictures: int
    contained: int


def probe_video(path: Path) -> VideoInfo:
    """Raises InputError where the file is missing, not a video, a playlist, or damaged."""
    require_file(path)
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", *input_arguments(path)]
    output = subprocess.run(command, capture_output=True, text=True, errors="replace").stderr
    line, below = _video_stream(output)
    if not line:
        raise InputError(
            f"expected a video at {path}, found a damaged file or none that ffmpeg reads "
            f"({last_line(output, path)}); "
            "export it again, for example as H.264 mp4"
        )
    size = re.search(r"[ ,](\d{2,})x(\d{2,})[ ,]", line + " ")
    rate = re.search(r"([\d.]+)(k?) fps", line) or re.search(r"([\d.]+)(k?) tbr", line)
    if size is None or rate is None:
        raise InputError(f"expected a video with a size and a frame rate at {path}, found {line.strip()!r}")
    duration, properties = DURATION.search(output), read_properties(line, below)
    hours, minutes, seconds = duration.groups() if duration else (0, 0, 0)
    return VideoInfo(
        size=(int(size[2]), int(size[1])),
        fps=exact_rate(float(rate[1]) * (1000 if rate[2] else 1)),
        duration_s=3600 * int(hours) + 60 * int(minutes) + float(seconds),
        rotation_deg=properties.rotation_deg,
        properties=properties,
    )


def _video_stream(output: str) -> tuple[str, str]:
    """The line of the first video stream that is no cover picture, and the lines below it; empty without one."""
    streams = list(STREAM.finditer(output))
    for match, following in zip(streams, [*streams[1:], None]):
        if ": Video: " in match[0] and "attached pic" not in match[0]:
            return match[0], output[match.end() : following.start() if following else None]
    return "", ""


def exact_rate(fps: float) -> Fraction:
    """The rational frame rate behind a printed one: 29.97 -> 30000/1001, 25.0 -> 25."""
    if not 0 < fps < 100_000:
        raise InputError(f"expected a frame rate above 0, found {fps}; correct it")
    whole = round(fps)
    broadcast = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(fps - whole) > 0.002 and abs(fps - broadcast) < 0.006:
        return broadcast
    return Fraction(fps).limit_denominator(1000)


def extraction_rate(info: VideoInfo, target_fps: float) -> Fraction:
    """Target rate, at most the video's own: repeated frames would tell a tracker nothing."""
    return min(exact_rate(target_fps), info.fps)


def read_frames(path: Path, fps: Fraction) -> Iterator[np.ndarray]:
    """Frames as (H, W, 3) uint8 RGB of BT.709 at `fps`, upright, progressive, with square pixels; one in memory at a
    time.

    Time 0 is that of the first frame; a clip of any length gives at least one picture. A variable frame rate is
    resampled by time. Raises InputError where the video ends in damage; a warning names frames of the container that
    cannot be decoded.
    """
    properties = probe_video(path).properties
    after = [*colour_filters(properties), SQUARE_PIXELS]
    yield from _decode(path, properties, fps, after, ["-c:v", "ppm", "-pix_fmt", "rgb24"])


def read_alpha_frames(path: Path, fps: Fraction) -> Iterator[np.ndarray]:
    """The alpha channel of what `read_frames` gives, (H, W) uint8, 255 where opaque."""
    properties = probe_video(path).properties
    after = ["format=rgba", "alphaextract", SQUARE_PIXELS]
    for frame in _decode(path, properties, fps, after, ["-c:v", "ppm", "-pix_fmt", "rgb24"]):
        yield np.ascontiguousarray(frame[..., 0])


def _decode(
    path: Path, properties: StreamProperties, fps: Fraction, after: list[str], encoding: list[str]
) -> Iterator[np.ndarray]:
    # A PPM carries its size, so that no rotation or pixel aspect has to be worked out here.
    output = ["-f", "image2pipe", *encoding, "-"]
    count = 0
    for one_only in (False, True):
        filters = _time_filters(properties, None if one_only else fps) + after
        command = [*_reading(path, properties), "-vf", ",".join(filters), *(["-frames:v", "1"] if one_only else [])]
        with tempfile.TemporaryFile() as messages:
            with subprocess.Popen([*command, *output], stdout=subprocess.PIPE, stderr=messages) as process:
                assert process.stdout is not None
                try:
                    while (frame := _read_ppm(process.stdout)) is not None:
                        count += 1
                        yield frame
                finally:
                    process.stdout.close()
                    if process.poll() is None and count == 0:
                        process.terminate()
                status = process.wait()
            messages.seek(0)
            said = messages.read().decode(errors="replace")
        _require_undamaged(path, status, said, count)
        if count:
            if not one_only:
                _warn_of_lost_frames(path, said)
            return
        # A clip that is shorter than half the time between two pictures: its first frame stands for it.
    raise InputError(f"expected a whole video at {path}, found no frames in it; copy or export the file again")


def _reading(path: Path, properties: StreamProperties) -> list[str]:
    """ffmpeg, reading the video stream, with what it says marked by its level."""
    command = [find_ffmpeg(), "-nostdin", "-hide_banner", "-nostats", "-v", "level+verbose"]
    return [*command, *decoder_arguments(properties), *input_arguments(path), "-map", "0:V:0"]


def _time_filters(properties: StreamProperties, fps: Fraction | None) -> list[str]:
    """Time counts from the first video frame: ffmpeg's own zero is that of the stream that starts first."""
    rate = [] if fps is None else [f"fps={fps.numerator}/{fps.denominator}"]
    return ["setpts=PTS-STARTPTS", *field_filters(properties), *rate]


def _require_undamaged(path: Path, status: int, said: str, count: int) -> None:
    errors = "\n".join(LEVEL.sub("", line) for line in said.splitlines() if LEVEL.search(line))
    if status != 0 or any(word in errors.lower() for word in DAMAGE):
        raise InputError(
            f"expected a whole video at {path}, found damage after {count} frames "
            f"({last_line(errors, path)}); "
            "copy or export the file again"
        )


def _warn_of_lost_frames(path: Path, said: str) -> FrameCounts | None:
    """Names an input that decodes to fewer frames than its container counts."""
    found = DECODED.search(said)
    if found is None:
        return None
    packets, decoded = int(found[1]), int(found[2])
    # The index is asked only where packets and frames differ: it knows packets that are never shown.
    contained = _count_contained(path) if decoded < packets else packets
    if decoded < contained:
        get_logger().warning(
            "%s: %d of the %d frames that its container counts can be decoded; the others are left out",
            path.name, decoded, contained,
        )  # fmt: skip
    return FrameCounts(decoded, 0, contained)


def _read_ppm(stream: IO[bytes]) -> np.ndarray | None:
    """The next picture, or None at the end (or in the middle of a frame, where ffmpeg died)."""
    if stream.readline() != b"P6\n":
        return None
    width, height = map(int, stream.readline().split())
    stream.readline()
    data = stream.read(height * width * 3)
    if len(data) < height * width * 3:
        return None
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def count_frames(path: Path, fps: Fraction) -> FrameCounts:
    """What `read_frames` will give, by decoding, without converting or keeping a picture.

    Raises InputError, and warns, as it does.
    """
    properties = probe_video(path).properties
    filters = [*_time_filters(properties, fps), "scale=16:16:flags=neighbor", "format=gray"]
    command = [*_reading(path, properties), "-vf", ",".join(filters), "-f", "framecrc", "-"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    pictures = sum(not line.startswith("#") for line in done.stdout.splitlines())
    _require_undamaged(path, done.returncode, done.stderr, pictures)
    counts = _warn_of_lost_frames(path, done.stderr)
    decoded = counts.decoded if counts else len(frame_times(path)[0])
    return FrameCounts(decoded, max(pictures, min(decoded, 1)), counts.contained if counts else decoded)


def _count_contained(path: Path) -> int:
    """Frames of the file's index that are to be shown, also those before the first key frame."""
    return sum(not flag & 4 for _, flag in _packets(path, "-copyinkf")[0])


def frame_times(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """When each frame of a video is shown, from the file's index, without decoding.

    Returns (N,) float64 seconds since the first one, increasing, and (N,) bool, whether the frame can be decoded
    without others.
    """
    packets, base_s = _packets(path)
    shown = sorted((time, bool(flag & 1)) for time, flag in packets if not flag & 4)
    ticks, is_key = zip(*shown)
    return (np.array(ticks) - ticks[0]) * base_s, np.array(is_key)


def require_frames(path: Path, count: int, target: Path) -> None:
    """InputError where a video that was just written for `target` has another number of frames: ffmpeg's end goes
    unheard, and on a full disk it leaves what it has."""
    written = len(frame_times(path)[0])
    if written != count:
        raise InputError(f"expected {count} frames in {target}, found {written} written; free some space on that disk")


def _packets(path: Path, *options: str) -> tuple[list[tuple[int, int]], float]:
    """(time in ticks, flags: 1 key frame, 4 never shown) of each packet, and the seconds of a tick."""
    require_file(path)
    command = [find_ffmpeg(), "-nostdin", "-v", "error", *input_arguments(path), "-map", "0:V:0", "-c", "copy"]
    command += ["-copyts", *options, "-f", "framecrc", "-"]
    said = subprocess.run(command, capture_output=True, text=True, errors="replace")
    base = re.search(r"^#tb 0: (\d+)/(\d+)", said.stdout, re.MULTILINE)
    # stream, dts, pts, duration, bytes, checksum, flags where they are not 1, side data where there are some
    rows = [line.split(",") for line in said.stdout.splitlines() if not line.startswith("#")]
    marks = [next((cell.strip()[2:] for cell in row[6:] if cell.strip().startswith("F=")), "1") for row in rows]
    flags = [int(mark, 16) for mark in marks]
    if said.returncode or base is None or all(flag & 4 for flag in flags):
        raise InputError(
            f"expected a whole video at {path}, found damage ({last_line(said.stderr, path)}); copy it again"
        )
    return [(int(row[2]), flag) for row, flag in zip(rows, flags)], int(base[1]) / int(base[2])
