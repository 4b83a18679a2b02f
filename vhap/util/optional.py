"""Imports that can fail for a reason the user can cure: a missing package, or a system library it needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from vhap.util.errors import InputError

SYSTEM_LIBRARIES = {
    "libGL": "apt-get install libgl1 libglib2.0-0",
    "libgthread": "apt-get install libgl1 libglib2.0-0",
    "libglib": "apt-get install libgl1 libglib2.0-0",
    "libEGL": "apt-get install libegl1",
    "libGLES": "apt-get install libgles2",
}


def import_or_explain(name: str, remedy: str | None = None) -> ModuleType:
    """Imports a module; an InputError where it, or a system library it needs, is missing.

    remedy: what installs the module; by default `pip install <its top-level name>`.
    """
    package = name.split(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        reason = " ".join(str(error).split())
        for library, command in SYSTEM_LIBRARIES.items():
            if library in reason:
                raise InputError(
                    f"expected the system library {library}, which {package} needs, found none ({reason}); "
                    f"install it, on Debian and Ubuntu: {command}"
                ) from error
        if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] != package:
            raise InputError(
                f"expected the package {error.name}, which {package} needs, found none; pip install {error.name}"
            ) from error
        raise InputError(
            f"expected the package {package}, found none that imports ({reason}); {remedy or f'pip install {package}'}"
        ) from error
