"""Many independent files written at the same time, with no more of them in memory than there are threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from vhap.util.threads import get_threads

T = TypeVar("T")
MOST_THREADS = 8
WAITING_THREADS = 1
"""More of them than work at the same time: some wait for the disk."""


def for_each(work: Callable[[T], object], items: Iterable[T], threads: int | None = None) -> None:
    """Calls `work` on every item from a few threads; items are drawn only as threads become free.

    The first error stops the rest and is raised.
    """
    threads = threads or min(MOST_THREADS, get_threads()) + WAITING_THREADS
    with ThreadPoolExecutor(threads) as pool:
        pending: set[Future[object]] = set()
        try:
            for item in items:
                if len(pending) >= threads:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                pending.add(pool.submit(work, item))
            for future in pending:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
