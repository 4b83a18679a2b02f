"""Mattes that lie beside a rig's videos as videos of their own, alpha_maps/cam_<serial>.mp4, as the NeRSemble benchmark
has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vhap.data.provenance import content_digest
from vhap.data.video import probe_video, read_frames
from vhap.util.errors import InputError


@dataclass(frozen=True)
class AlphaVideo:
    """A video in grey, 255 where the person is. It has the frames of the camera's video, in their size."""

    path: Path

    def maps(self, fps: Fraction) -> Iterator[np.ndarray]:
        """(H, W) uint8, at the times of the pictures that are taken from the camera's video at `fps`."""
        for frame in read_frames(self.path, fps):
            yield np.ascontiguousarray(frame[..., 0])

    @property
    def options(self) -> dict[str, str]:
        """What decides, besides the picture, what an alpha map holds."""
        return {"method": "input", "alpha_video": content_digest(self.path)}


def find_alpha_videos(videos: Mapping[str, Path]) -> dict[str, AlphaVideo]:
    """Camera -> the matte of its video: of the same name, in the folder alpha_maps of the sequence. Empty where there
    are none.

    Raises InputError where only some cameras have one, and where a rate differs from the camera's video's.
    """
    found = {camera: AlphaVideo(_beside(path)) for camera, path in videos.items()}
    there = {camera: matte for camera, matte in found.items() if matte.path.is_file()}
    if missing := [matte.path for camera, matte in found.items() if there and camera not in there]:
        raise InputError(
            f"expected an alpha video for each of {len(videos)} cameras, found no {missing[0]} "
            f"(and {len(missing) - 1} more missing); complete them, or move all of them away"
        )
    for camera, matte in there.items():
        rates = [probe_video(path).fps for path in (matte.path, videos[camera])]
        if rates[0] != rates[1]:
            raise InputError(
                f"expected {float(rates[1]):g} frames a second in {matte.path}, as in its camera's video, found "
                f"{float(rates[0]):g}; restore it"
            )
    return there


def _beside(video: Path) -> Path:
    sequence = video.parent.parent if video.parent.name == "images" else video.parent
    return sequence / "alpha_maps" / video.name
