"""Many files that appear whole: their bytes are brought to the disk together before any of them takes its name."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path

from vhap.util.files import drop_temporary, held_file, make_folder, make_readable, sync_file

MOST_WAITING, MOST_BYTES = 128, 1 << 27
"""Of files that wait for their names."""


class FilesTogether:
    """Files are written under temporary names, from any thread; `settle` gives them their own, as do those that come
    when too many wait. What a kill leaves is removed by `remove_unfinished`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Path, tuple[Path, int | None]] = {}
        self._bytes = 0

    def write(self, target: Path, content: bytes | memoryview) -> None:
        make_folder(target.parent)
        temporary, handle = held_file(target)
        try:
            temporary.write_bytes(content)
            make_readable(temporary)
        except BaseException:
            drop_temporary(temporary, handle)
            raise
        with self._lock:
            if earlier := self._waiting.pop(target, None):
                drop_temporary(*earlier)
            self._waiting[target] = temporary, handle
            self._bytes += len(content)
            full = self._taken() if len(self._waiting) >= MOST_WAITING or self._bytes >= MOST_BYTES else {}
        _settle(full)

    def waits(self, target: Path) -> bool:
        """Whether a file is written and waits for its name."""
        with self._lock:
            return target in self._waiting

    def settle(self) -> None:
        """All files that wait are on the disk, and have their names."""
        with self._lock:
            waiting = self._taken()
        _settle(waiting)

    def discard(self) -> None:
        """Removes the files that wait."""
        with self._lock:
            waiting = self._taken()
        for temporary, handle in waiting.values():
            drop_temporary(temporary, handle)

    def _taken(self) -> dict[Path, tuple[Path, int | None]]:
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        return waiting


def _settle(waiting: dict[Path, tuple[Path, int | None]]) -> None:
    try:
        _sync([temporary for temporary, _ in waiting.values()])
        for target, (temporary, _) in waiting.items():
            os.replace(temporary, target)
    finally:
        for temporary, handle in waiting.values():
            drop_temporary(temporary, handle)


def _sync(paths: list[Path]) -> None:
    """Brings files' bytes to the disk: by one call a file system where there is one (Linux), else file by file."""
    if not _sync_file_systems({path.parent for path in paths}):
        for path in paths:
            sync_file(path)


def _sync_file_systems(folders: set[Path]) -> bool:
    """Whether all bytes of the folders' file systems are on the disk."""
    call = getattr(ctypes.CDLL(None), "syncfs", None) if sys.platform == "linux" else None
    if call is None:
        return False
    for folder in {os.stat(folder).st_dev: folder for folder in folders}.values():
        handle = os.open(folder, os.O_RDONLY)
        try:
            if call(handle) != 0:
                return False
        finally:
            os.close(handle)
    return True
