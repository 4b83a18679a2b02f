"""Imports that can fail for a reason the user can cure: a missing package, or a system library it needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from vhap.util.errors import InputError

OF_OPENCV = "apt-get install libgl1 libglib2.0-0, or take the wheel opencv-python-headless, which needs none"
SYSTEM_LIBRARIES = {
    "libGLES": "apt-get install libgles2",
    "libGL": OF_OPENCV,
    "libgthread": OF_OPENCV,
    "libglib": OF_OPENCV,
    "libEGL": "apt-get install libegl1",
}
"""Start of a library's name -> what helps where it is missing, on Debian and Ubuntu. The longer of two comes first."""
WHEELS = {
    "cv2": "opencv-python-headless",
    "warp": "warp-lang",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
}
"""What to install for modules whose wheels have other names."""


def import_or_explain(name: str, remedy: str | None = None) -> ModuleType:
    """Imports a module; an InputError where it, or a system library it needs, is missing.

    remedy: what installs the module; by default `pip install` with its top-level name, or that of its wheel (WHEELS).
    """
    package = name.split(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = " ".join(str(error).split())
        if explanation := missing_library(error, package):
            raise InputError(explanation) from error
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] != package:
            needed = (error.name or "").split(".")[0]
            raise InputError(
                f"expected the package {error.name}, which {package} needs, found none; pip install "
                f"{WHEELS.get(needed, needed)}"
            ) from error
        raise InputError(
            f"expected the package {package}, found none that imports ({reason}); "
            f"{remedy or f'pip install {WHEELS.get(package, package)}'}"
        ) from error


def missing_library(error: ImportError, package: str) -> str | None:
    """The line for an import of `package` that failed for want of a system library; None for another cause."""
    reason = " ".join(str(error).split())
    for library, command in SYSTEM_LIBRARIES.items():
        if library in reason:
            return (
                f"expected the system library {library}, which {package} needs, found none ({reason}); "
                f"install it, on Debian and Ubuntu: {command}"
            )
    return None


def failed_import(error: ImportError) -> str | None:
    """The line for a requirement that is not there, or that lacks a system library; None where the fault is ours."""
    package = (error.name or "").split(".")[0]
    if explanation := missing_library(error, package or "a package"):
        return explanation
    if isinstance(error, ModuleNotFoundError) and package not in ("", "vhap"):
        return f"expected the package {package}, found none; pip install {WHEELS.get(package, package)}"
    return None
