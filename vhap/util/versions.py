"""Versions of everything that a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = (
    *("vhap", "torch", "warp-lang", "mediapipe", "numpy", "scipy", "opencv-contrib-python", "imageio-ffmpeg"),
    *("trimesh", "tyro", "tensorboard", "face-alignment", "nvdiffrast"),
)


def versions() -> dict[str, str]:
    """Package name -> version, with the interpreter's and the platform's; packages that are absent are left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
