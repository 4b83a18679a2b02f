"""Videos that every browser plays: H.264, yuv420p, index in front."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from vhap.data.ffmpeg import file_url
from vhap.util.errors import InputError
from vhap.util.files import atomic_path
from vhap.util.optional import import_or_explain

BT709 = ("-vf", "scale=out_color_matrix=bt709:out_range=tv")
BT709_TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, crf: int = 20) -> int:
    """Writes (H, W, 3) uint8 frames as they come, one in memory at a time; returns how many.

    Odd sides get one more column or row, a repetition of the last. crf: x264's quality, lower is better, 18 to 28.
    The file appears whole or not at all. Raises InputError where there is no frame or no ffmpeg that writes H.264,
    ValueError where frames differ in size.
    """
    ffmpeg = import_or_explain("imageio_ffmpeg", "pip install imageio-ffmpeg")
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise InputError(f"expected at least one frame for {path}, found none; check the frames chosen")
    size = (first.shape[1] + first.shape[1] % 2, first.shape[0] + first.shape[0] % 2)
    with atomic_path(path) as temporary:
        writer = ffmpeg.write_frames(
            file_url(temporary),
            size,
            fps=fps,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            macro_block_size=1,
            quality=None,
            output_params=["-crf", str(crf), *BT709, *BT709_TAGS, "-movflags", "+faststart"],
        )
        try:
            return _send(writer, chain([first], source), first.shape)
        except OSError as error:
            raise InputError(
                f"expected an ffmpeg that writes H.264 for {path}, found it failing "
                f"({' '.join(str(error).split())[:200]}); reinstall imageio-ffmpeg or correct IMAGEIO_FFMPEG_EXE"
            ) from error
        finally:
            writer.close()


def _send(writer: Generator[None, object, None], frames: Iterable[np.ndarray], shape: tuple[int, ...]) -> int:
    """Feeds an encoder that was just made; returns the number of frames."""
    writer.send(None)
    count = 0
    for frame in frames:
        if frame.shape != shape or frame.dtype != np.uint8:
            raise ValueError(f"expected uint8 frames of shape {shape}, found {frame.dtype} {frame.shape}")
        even = np.pad(frame, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
        writer.send(np.ascontiguousarray(even))
        count += 1
    return count
