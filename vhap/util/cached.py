"""Files that only save time: a damaged one is made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from vhap.util.errors import InputError
from vhap.util.log import get_logger

T = TypeVar("T")


def read_cached(path: Path, read: Callable[[Path], T]) -> T | None:
    """What `read` makes of the file; None where there is none, or one that it refuses by an InputError, which is said
    in the log."""
    if not path.is_file():
        return None
    try:
        return read(path)
    except InputError as error:
        get_logger().warning("%s (done now)", error)
        return None
