"""One process at a time writes into a folder; the lock goes with the process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vhap.util.errors import InputError
from vhap.util.files import make_folder, remove_unfinished

LOCK_FILE = ".vhap.lock"
_held: Counter[Path] = Counter()


@contextlib.contextmanager
def folder_lock(folder: str | Path) -> Iterator[None]:
    """Holds a folder, which is made where it is missing; the same process may hold it several times.

    InputError where another process holds it. What an earlier process left unfinished there is removed. Afterwards
    nothing of the lock is left, nor a folder that stayed empty.
    Where the file system or the machine (Windows) has no such locks it is left to the user.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    path = make_folder(folder).resolve() / LOCK_FILE
    handle = None if _held[path] else _acquire(path, folder)
    _held[path] += 1
    try:
        if handle is not None:
            remove_unfinished(folder)
        yield
    finally:
        _held[path] -= 1
        if handle is not None:
            path.unlink(missing_ok=True)
            os.close(handle)
        if is_new:
            # Not empty, or held by the next process by now: it stays.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _acquire(path: Path, folder: Path) -> int | None:
    """A descriptor that holds the lock's file; None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            # A holder that ended in between took the empty folder away.
            make_folder(folder)
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 20).decode(errors="replace")
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise InputError(
                f"expected no other vhap at work in {folder}, found process {holder if holder.isdigit() else '?'}; "
                "wait for it, or choose another folder"
            ) from error
        if _is_still(path, handle):
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            return handle
        os.close(handle)


def _is_still(path: Path, handle: int) -> bool:
    """Whether the file that was opened has not been taken away by a holder that ended in between."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
