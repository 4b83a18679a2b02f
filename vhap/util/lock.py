"""One process at a time writes into a folder; the lock goes with the process, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vhap.util.errors import InputError, shown
from vhap.util.files import make_folder

LOCK_FILE = ".vhap.lock"


@contextlib.contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Holds a folder, which is made where it is missing; the same process may hold it several times.

    InputError where another process holds it. A folder that stays empty is taken away again.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    is_new = not folder.exists()
    make_folder(folder)
    path = folder.resolve() / LOCK_FILE
    holder = _holder(path)
    lock = FileLock(path, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(
            f"expected no other vhap at work in {folder}, found process {holder or '?'}; wait for it, or choose "
            "another folder"
        ) from error
    try:
        path.write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        if is_new and set(os.listdir(folder)) == {LOCK_FILE}:
            path.unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()
        lock.release()


def _holder(path: Path) -> str:
    """Number of the process that wrote the lock's file last."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return text if text.isdigit() else shown(text)
