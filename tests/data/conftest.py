"""Videos and sequence folders made for a test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.data.pictures import write_picture


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str, *options: str, size: str = "64x48", rate: str = "25", duration: float = 1.0) -> Path:
        path = tmp_path / name
        source = f"testsrc=size={size}:rate={rate}:duration={duration}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", source]
        pixels = [] if "ffv1" in options else ["-pix_fmt", "yuv420p"]
        subprocess.run([*command, *pixels, *options, str(path)], check=True)
        return path

    return make


@pytest.fixture
def rotated(tmp_path: Path) -> Callable[[Path], Path]:
    def rotate(video: Path) -> Path:
        path = tmp_path / f"rotated_{video.name}"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-display_rotation", "90", "-i", str(video)]
        subprocess.run([*command, "-c", "copy", str(path)], check=True)
        return path

    return rotate


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Ten grey pictures of 24 x 16 whose brightness is ten times their index, with alpha maps and landmarks.

    A parent folder holds the word `images`, which must not matter.
    """
    folder = tmp_path / "my_images" / "person"
    names = [f"{index:06d}" for index in range(10)]
    for index, name in enumerate(names):
        write_picture(folder / "images" / f"{name}.png", np.full((16, 24, 3), 10 * index, np.uint8))
        write_picture(folder / "alpha_maps" / f"{name}.png", np.full((16, 24), 51, np.uint8))
    points = np.tile(np.arange(10)[:, None, None] / 10, (1, 478, 3)).astype(np.float32)
    points[..., 2] = 1
    save_landmarks(folder / "landmark2d" / "mediapipe.npz", Landmarks(points, np.zeros((10, 5)), names))
    return folder


@pytest.fixture
def late_video(make_video: Callable[..., Path], tmp_path: Path) -> Callable[[str, float], Path]:
    """Ten frames that begin some seconds after the sound."""

    def make(name: str, offset_s: float) -> Path:
        video, path = make_video(f"silent_{Path(name).name}", duration=0.4), tmp_path / name
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", "sine=duration=2"]
        command += ["-itsoffset", str(offset_s), "-i", str(video), "-map", "0:a", "-map", "1:v", "-c:v", "copy"]
        subprocess.run([*command, str(path)], check=True)
        return path

    return make
