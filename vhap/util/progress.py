"""Progress bars: on a terminal a bar, elsewhere nothing (the log has the lines that matter)."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
IS_TERMINAL = sys.stderr is not None and sys.stderr.isatty()
"""Asked once: later a library's start may be holding stderr back (`quiet_stderr.py`)."""


def progress(items: Iterable[T], description: str, total: int | None = None) -> tqdm[T]:
    return tqdm(items, desc=description, total=total, disable=not IS_TERMINAL, leave=False)
