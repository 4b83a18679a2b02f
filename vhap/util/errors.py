"""The one error a user causes; everything else keeps its traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InputError(Exception):
    """Bad input: one line that says what was expected, what was found, where, and what to do."""


def exits_cleanly(main: Callable[P, R]) -> Callable[P, R]:
    """Turns an InputError into one line on stderr and exit status 2; other errors keep their traceback."""

    @functools.wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except InputError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted; give the same command again", file=sys.stderr)
            sys.exit(130)

    return wrapped
