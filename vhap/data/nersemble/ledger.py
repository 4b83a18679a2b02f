"""Which files of a folder have been proven whole, so that a later run need not ask the server about each."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from vhap.data.nersemble.http import Version
from vhap.util.errors import InputError
from vhap.util.files import make_folder

# A file, not a folder: the official kit takes every folder beside the participants' for one of them.
NAME = ".nersemble_download.jsonl"


class Ledger:
    """One JSON line a file, appended; the last line about a file counts, a line cut short by a kill is passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._lock = threading.Lock()
        self._versions = self._read()

    def version(self, path: str) -> Version | None:
        """What was downloaded as this relative path, or None where nothing was, or where its size is another now."""
        version = self._versions.get(path)
        target = self.folder / path
        return version if version is not None and target.is_file() and target.stat().st_size == version.size else None

    def add(self, path: str, version: Version) -> None:
        """From any thread."""
        line = json.dumps({"path": path, "size": version.size, "validator": version.validator})
        with self._lock:
            self._versions[path] = version
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def _read(self) -> dict[str, Version]:
        versions = {}
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.is_file() else []
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                entry = json.loads(line)
                versions[entry["path"]] = Version(entry["size"], entry["validator"])
        return versions


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[Ledger]:
    """The folder's ledger, for one process at a time: two would write into the same unfinished files.

    Raises InputError where another one is at work. The lock ends with the process, however that ends; where the file
    system has no locks (or the machine no `fcntl`) it is left to the user.
    """
    make_folder(folder)
    try:
        handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"expected a folder to write to at {folder}, found {error.strerror}; choose another"
        ) from error
    try:
        _lock(handle, folder)
        # A kill can leave half a line: the next one must not be glued to it.
        if (
            (size := os.fstat(handle).st_size)
            and os.lseek(handle, size - 1, os.SEEK_SET)
            and os.read(handle, 1) != b"\n"
        ):
            os.write(handle, b"\n")
        yield Ledger(folder)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise InputError(f"expected {folder} for this download alone, found another at work; let it end") from error
