"""The one error a user causes, and what the program says where the machine refuses; all else keeps its traceback."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import reprlib
import sys
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, TypeVar

from vhap.util.log import log_to_stderr

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_VALUE, LONGEST_LINE = 80, 2000
"""Characters of a value in a message, and of a message."""
REMEDIES = {
    (errno.ENOSPC, errno.EDQUOT): "free some space on that disk, then give the same command again",
    (errno.EROFS, errno.EACCES, errno.EPERM): "choose a folder that may be read and written, or correct its rights",
    (errno.ENAMETOOLONG,): "choose shorter names",
    (errno.EMFILE, errno.ENFILE): "raise the limit of open files (ulimit -n)",
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP): "check the path",
    (errno.EIO,): "check the disk",
}
LESS_MEMORY = (
    "read smaller pictures (--data.n_downsample_rgb, --data.scale_factor), fewer at a time (--batch_size), "
    "or close other programs"
)
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Insufficient memory", "out of memory")


class _Short(reprlib.Repr):
    def repr1(self, x: Any, level: int) -> str:
        # numpy 2 writes np.float64(0.5), which is no value that a user typed or a file holds.
        if type(x).__module__ == "numpy" and getattr(x, "shape", None) == ():
            x = x.item()
        return super().repr1(x, level)


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = LONGEST_VALUE
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = 6
_short.maxlevel = 3


class InputError(Exception):
    """Bad input: one line that says what was expected, what was found, where, and what to do."""


def shown(value: Any) -> str:
    """A value for a message: its repr on one line, shortened, control characters escaped."""
    text = " ".join(_short.repr(value).split())
    middle = LONGEST_VALUE - 3
    return text if len(text) <= 2 * LONGEST_VALUE else f"{text[:middle]}...{text[-middle:]}"


def as_one_line(text: str) -> str:
    """Text for a terminal: one line, bounded, control characters (and so escape sequences) written out."""
    words = " ".join(text.split())
    line = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in words)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def exits_cleanly(main: Callable[P, R]) -> Callable[P, R]:
    """Turns bad input, and what the machine refuses (disk, rights, memory), into one line on stderr and exit status 2;
    other errors keep their traceback. The log goes to stderr."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        _print_any_name()
        log_to_stderr()
        try:
            return main(*args, **kwargs)
        except KeyboardInterrupt:
            _complain("interrupted; give the same command again", 130)
        except BrokenPipeError:
            # Whoever read the output has gone, as `head` does. What Python flushes at its end must not complain again.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Exception as error:
            line = explained(error)
            if line is None:
                raise
            _complain(f"error: {line}", 2)

    return wrapped


def explained(error: Exception) -> str | None:
    """The line for an error that is no fault of the program; None for all others."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, ImportError):
        from vhap.util.optional import failed_import

        return failed_import(error)
    if isinstance(error, OSError) and error.errno is not None:
        at = f" at {error.filename}" if error.filename else ""
        return f"expected the system to allow it, found {error.strerror} (errno {error.errno}){at}; {_remedy(error)}"
    if isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY):
        return f"expected enough memory, found none left ({shown(str(error))}); {LESS_MEMORY}"
    return None


def _remedy(error: OSError) -> str:
    return next((remedy for codes, remedy in REMEDIES.items() if error.errno in codes), "check the path and the disk")


def _complain(line: str, status: int) -> NoReturn:
    with contextlib.suppress(OSError, ValueError):
        print(as_one_line(line), file=sys.stderr)
    sys.exit(status)


def _print_any_name() -> None:
    """File names need not be UTF-8: printing one must not end a program that has done its work."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
