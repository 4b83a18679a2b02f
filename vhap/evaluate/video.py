"""Videos that every browser plays: H.264, yuv420p, index in front."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.ffmpeg import file_url
from vhap.data.video import require_frames
from vhap.util.errors import InputError, shown
from vhap.util.files import atomic_path
from vhap.util.optional import import_or_explain

BT709 = ("-vf", "scale=out_color_matrix=bt709:out_range=tv")
PRESET = "veryfast"
"""x264's: half of the usual one's time for files of the same size."""
BT709_TAGS = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")


class VideoWriter:
    """Takes (H, W, 3) uint8 frames of one size as they come, each gone from memory once it is given.

    Odd sides get one more column or row, a repetition of the last. crf: x264's quality, lower is better, 18 to 28. The
    file appears when the block ends well, else it does not. Raises InputError where there was no frame or ffmpeg does
    not write H.264, ValueError where frames differ in size.
    """

    def __init__(self, path: Path, fps: float, crf: int = 20) -> None:
        self.path, self.fps, self.crf, self.count = path, fps, crf, 0
        self._shape: tuple[int, ...] = ()
        self._encoder: Generator[None, object, None] | None = None
        self._held = ExitStack()

    def __enter__(self) -> VideoWriter:
        self._temporary = self._held.enter_context(atomic_path(self.path))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if kind is None and self._encoder is None:
                raise InputError(f"expected at least one frame for {self.path}, found none; check the frames chosen")
            if self._encoder is not None:
                self._encoder.close()
            if kind is None:
                require_frames(self._temporary, self.count, self.path)
        except BaseException as failure:
            self._held.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._held.__exit__(kind, error, trace)

    def add(self, frame: np.ndarray) -> None:
        if self._encoder is None:
            self._shape = frame.shape
            self._encoder = self._open()
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"expected uint8 frames of shape {self._shape}, found {frame.dtype} {frame.shape}")
        odd = frame.shape[0] % 2, frame.shape[1] % 2
        even = np.pad(frame, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge") if any(odd) else frame
        try:
            self._encoder.send(np.ascontiguousarray(even))
        except OSError as error:
            raise InputError(
                f"expected an ffmpeg that writes H.264 for {self.path}, found it failing "
                f"({shown(str(error))}); free some space, reinstall imageio-ffmpeg or correct IMAGEIO_FFMPEG_EXE"
            ) from error
        self.count += 1

    def _open(self) -> Generator[None, object, None]:
        ffmpeg = import_or_explain("imageio_ffmpeg", "pip install imageio-ffmpeg")
        height, width = self._shape[0] + self._shape[0] % 2, self._shape[1] + self._shape[1] % 2
        encoder = ffmpeg.write_frames(
            file_url(self._temporary),
            (width, height),
            fps=self.fps,
            codec="libx264",
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p",
            macro_block_size=1,
            quality=None,
            output_params=["-preset", PRESET, "-crf", str(self.crf), *BT709, *BT709_TAGS, "-movflags", "+faststart"],
        )
        encoder.send(None)
        return encoder


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, crf: int = 20) -> int:
    """As `VideoWriter`, of frames that are at hand one after the other; returns how many."""
    with VideoWriter(path, fps, crf) as writer:
        for frame in frames:
            writer.add(frame)
    return writer.count
