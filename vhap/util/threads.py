"""Python threads for CPU kernels: a Warp launch releases the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

_pool: ThreadPoolExecutor | None = None
_threads = os.cpu_count() or 1


def set_threads(count: int) -> None:
    """How many threads CPU kernels use, >= 1; all cores by default. Results do not depend on it."""
    global _pool, _threads
    if count < 1:
        raise ValueError(f"expected at least one thread, found {count}")
    if _pool is not None:
        _pool.shutdown()
        _pool = None
    _threads = count


def get_threads() -> int:
    return _threads


def run_all(tasks: Sequence[Callable[[], None]]) -> None:
    """Runs independent tasks and waits for all. Tasks must not write one memory place."""
    global _pool
    if _threads == 1 or len(tasks) < 2:
        for task in tasks:
            task()
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(_threads, thread_name_prefix="vhap-kernels")
    for future in [_pool.submit(task) for task in tasks]:
        future.result()
