"""Sequence folders of videos that are tracked without one: in the user's cache, bounded, made again when gone."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import time
from pathlib import Path

from vhap.data.provenance import content_digest
from vhap.util.errors import InputError, shown
from vhap.util.log import get_logger
from vhap.util.paths import cache_folder

SIZE_VARIABLE, USUAL_GB = "VHAP_VIDEO_CACHE_GB", 50.0
IN_USE_S = 24 * 3600
"""Folders that were opened within that time are kept, however large all of them are."""


def folder_of(video: Path, options: str) -> Path:
    """Where a video's pictures lie: by its name, its content and the options that decide them."""
    key = hashlib.blake2b(f"{content_digest(video)} {options}".encode(), digest_size=8).hexdigest()
    return _root() / f"{video.stem}-{key}"


def is_folder_of(video: Path, folder: Path) -> bool:
    """Whether a folder is such a one of a video of that name."""
    return folder.parent == _root() and folder.name.rpartition("-")[0] == video.stem


def _root() -> Path:
    return cache_folder() / "videos"


def mark_used(folder: Path) -> None:
    """Notes that a folder is opened, and removes those that were not for longest while all are too large."""
    limit = _limit_gb() * 1e9
    os.utime(folder)
    others = sorted((other for other in _root().iterdir() if other.is_dir() and other != folder), key=_used)
    size = {each: _bytes(each) for each in (*others, folder)}
    for other in others:
        if sum(size.values()) <= limit or time.time() - _used(other) < IN_USE_S:
            break
        get_logger().info("removing %s, pictures of a video, to keep %s below %.0f GB", other, _root(), limit / 1e9)
        shutil.rmtree(other, ignore_errors=True)
        del size[other]


def _limit_gb() -> float:
    text = os.environ.get(SIZE_VARIABLE) or str(USUAL_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < math.inf:
        raise InputError(
            f"expected a number of gigabytes for {SIZE_VARIABLE}, found {shown(text)}; correct the variable"
        )
    return limit


def _used(folder: Path) -> float:
    return folder.stat().st_mtime


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
