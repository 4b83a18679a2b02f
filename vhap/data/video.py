"""Videos through the ffmpeg that imageio-ffmpeg brings (or `IMAGEIO_FFMPEG_EXE` names): no ffprobe is needed."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

VIDEO_STREAM = re.compile(r"Stream #\S+.*?: Video: .*")
DURATION = re.compile(r"Duration: (\d+):(\d+):(\d+(?:\.\d+)?)")
ROTATION = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees")
DAMAGE = ("partial file", "invalid data", "truncat", "error while decoding", "moov atom", "corrupt")


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


def probe_video(path: Path) -> VideoInfo:
    """Raises InputError where the file is missing, not a video, or damaged."""
    if not path.is_file():
        raise InputError(
            f"expected a video at {path}, found {'a folder' if path.is_dir() else 'nothing'}; check the path"
        )
    output = subprocess.run(
        [_ffmpeg(), "-hide_banner", "-nostdin", "-i", str(path)], capture_output=True, text=True, errors="replace"
    ).stderr
    streams = [line for line in VIDEO_STREAM.findall(output) if "attached pic" not in line]
    if not streams:
        raise InputError(
            f"expected a video at {path}, found a damaged file or none that ffmpeg reads "
            f"({_last_line(output, path)}); "
            "export it again, for example as H.264 mp4"
        )
    size = re.search(r"[ ,](\d{2,})x(\d{2,})[ ,]", streams[0] + " ")
    rate = re.search(r"([\d.]+)(k?) fps", streams[0]) or re.search(r"([\d.]+)(k?) tbr", streams[0])
    if size is None or rate is None:
        raise InputError(f"expected a video with a size and a frame rate at {path}, found {streams[0].strip()!r}")
    duration, rotation = DURATION.search(output), ROTATION.search(output)
    hours, minutes, seconds = duration.groups() if duration else (0, 0, 0)
    return VideoInfo(
        size=(int(size[2]), int(size[1])),
        fps=exact_rate(float(rate[1]) * (1000 if rate[2] else 1)),
        duration_s=3600 * int(hours) + 60 * int(minutes) + float(seconds),
        rotation_deg=float(rotation[1]) if rotation else 0.0,
    )


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
    """Frames as (H, W, 3) uint8 RGB at `fps`, upright, with square pixels; one in memory at a time.

    A variable frame rate is resampled by time. Raises InputError where the video ends in damage.
    """
    filters = f"fps={fps.numerator}/{fps.denominator},scale=round(iw*sar):ih:flags=bicubic+accurate_rnd,setsar=1"
    command = [_ffmpeg(), "-nostdin", "-v", "error", "-i", str(path), "-map", "0:V:0", "-vf", filters]
    # A PPM carries its size, so that no rotation or pixel aspect has to be worked out here.
    command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages) as process:
            assert process.stdout is not None
            count = 0
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
    damaged = any(word in said.lower() for word in DAMAGE)
    if status != 0 or damaged or count == 0:
        raise InputError(
            f"expected a whole video at {path}, found damage after {count} frames "
            f"({_last_line(said, path)}); "
            "copy or export the file again"
        )


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


def _ffmpeg() -> str:
    library = import_or_explain("imageio_ffmpeg", "pip install imageio-ffmpeg")
    try:
        return library.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(
            "expected ffmpeg from the package imageio-ffmpeg, found none for this machine; install ffmpeg "
            "and set "
            "IMAGEIO_FFMPEG_EXE to its path"
        ) from error


def _last_line(said: str, path: Path) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and "At least one output" not in line]
    return lines[-1].replace(f"{path}: ", "") if lines else "it holds no frames"


def frame_times(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """When each frame of a video is shown, from the file's index, without decoding.

    Returns (N,) float64 seconds since the first one, increasing, and (N,) bool, whether the frame can be decoded
    without others.
    """
    command = [_ffmpeg(), "-nostdin", "-v", "error", "-i", str(path), "-map", "0:V:0", "-c", "copy", "-copyts"]
    said = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True, text=True, errors="replace")
    base = re.search(r"^#tb 0: (\d+)/(\d+)", said.stdout, re.MULTILINE)
    # stream, dts, pts, duration, bytes, checksum, and flags (1 key frame, 4 never shown) where they are not 1
    packets = [line.split(",") for line in said.stdout.splitlines() if not line.startswith("#")]
    flags = [int(packet[6].strip().removeprefix("F="), 16) if len(packet) > 6 else 1 for packet in packets]
    shown = sorted((int(packet[2]), bool(flag & 1)) for packet, flag in zip(packets, flags) if not flag & 4)
    if said.returncode or base is None or not shown:
        raise InputError(
            f"expected a whole video at {path}, found damage ({_last_line(said.stderr, path)}); copy it again"
        )
    ticks, is_key = zip(*shown)
    return (np.array(ticks) - ticks[0]) * (int(base[1]) / int(base[2])), np.array(is_key)


def require_frames(path: Path, count: int, target: Path) -> None:
    """InputError where a video that was just written for `target` has another number of frames: ffmpeg's end goes
    unheard, and on a full disk it leaves what it has."""
    written = len(frame_times(path)[0])
    if written != count:
        raise InputError(f"expected {count} frames in {target}, found {written} written; free some space on that disk")
