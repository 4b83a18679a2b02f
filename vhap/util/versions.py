"""Versions of everything that a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

OPENCV_WHEELS = ("opencv-python", "opencv-contrib-python", "opencv-python-headless", "opencv-contrib-python-headless")
"""All of them are the module cv2, any of them will do; two of them in one environment write over each other."""
PACKAGES = (
    *("vhap", "torch", "warp-lang", "numpy", "scipy", *OPENCV_WHEELS, "imageio-ffmpeg"),
    *("trimesh", "tyro", "tensorboard", "face-alignment", "nvdiffrast"),
)
UNKNOWN = "0+unknown"


def version() -> str:
    """This package's version: of the tag that it was built from, `...devN` after it; `0+unknown` where the package runs
    from a folder and was never installed."""
    try:
        return metadata.version("vhap")
    except metadata.PackageNotFoundError:
        return UNKNOWN


def versions() -> dict[str, str]:
    """Package name -> version, with the interpreter's and the platform's; packages that are absent are left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
