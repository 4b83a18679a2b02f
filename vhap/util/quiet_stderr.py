"""Libraries whose native code writes to stderr what is no trouble to anyone."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_lock = threading.RLock()


@contextlib.contextmanager
def stderr_without(*texts: str) -> Iterator[None]:
    """Holds back what this process writes to stderr, native code too; in the end writes the lines that have no text.

    Where stderr is closed nothing is held back. What native code says just before it aborts the process is lost, so
    that this is for the start of what is known to start.
    """
    # One thread at a time: each puts stderr back as it found it.
    with _lock:
        kept = _duplicate()
        if kept is None:
            yield
            return
        with tempfile.TemporaryFile() as caught:
            os.dup2(caught.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(kept, 2)
                os.close(kept)
                caught.seek(0)
                lines = caught.read().decode(errors="replace").splitlines(keepends=True)
                sys.stderr.write("".join(line for line in lines if not any(text in line for text in texts)))


def _duplicate() -> int | None:
    """A second descriptor of stderr, with nothing left to be written; None where it is closed."""
    try:
        sys.stderr.flush()
        return os.dup(2)
    except (AttributeError, OSError, ValueError):
        return None
