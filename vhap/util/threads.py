"""Python threads for CPU kernels: a Warp launch releases the interpreter lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from vhap.util.errors import InputError, shown

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS_VARIABLE, MOST_THREADS = "VHAP_THREADS", 1024

_pool: ThreadPoolExecutor | None = None
_threads: int | None = None


def usable_cores() -> int:
    """Cores that this process may use: those of its share of a machine, where the system gives it one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(count: int) -> None:
    """How many threads CPU kernels use, >= 1. Results do not depend on it."""
    global _pool, _threads
    if count < 1:
        raise ValueError(f"expected at least one thread, found {count}")
    if _pool is not None:
        _pool.shutdown()
        _pool = None
    _threads = count


def get_threads() -> int:
    """As set; else `VHAP_THREADS`, else all usable cores. InputError where the variable is no number above 0."""
    global _threads
    if _threads is None:
        text = os.environ.get(THREADS_VARIABLE)
        if text and not (text.isascii() and text.isdigit() and 0 < int(text) <= MOST_THREADS):
            raise InputError(
                f"expected a number of threads from 1 to {MOST_THREADS} for {THREADS_VARIABLE}, found {shown(text)}; "
                "correct the variable"
            )
        _threads = int(text) if text else usable_cores()
    return _threads


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    # A forked process (a loader's worker) inherits the pool without its threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=_forget_pool)


def run_all(tasks: Sequence[Callable[[], None]]) -> None:
    """Runs independent tasks and waits for all. Tasks must not write one memory place."""
    global _pool
    if get_threads() == 1 or len(tasks) < 2:
        for task in tasks:
            task()
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(get_threads(), thread_name_prefix="vhap-kernels")
    for future in [_pool.submit(task) for task in tasks]:
        future.result()


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], first_alone: bool = False) -> Iterator[Result]:
    """Results of independent work in the order of the items. first_alone: the first is made before threads start, for
    work that compiles kernels at its first time (those of the renderer see to it themselves)."""
    if get_threads() == 1 or len(items) < 2:
        yield from map(work, items)
        return
    if first_alone:
        yield work(items[0])
        items = items[1:]
    with ThreadPoolExecutor(min(get_threads(), len(items)), thread_name_prefix="vhap-work") as pool:
        yield from pool.map(work, items)


@contextmanager
def beside(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Does work in a thread of its own meanwhile; what it yields waits for the result. On one thread the work is done
    then."""
    if get_threads() == 1:
        yield work
        return
    with ThreadPoolExecutor(1, thread_name_prefix="vhap-beside") as pool:
        yield pool.submit(work).result


def results_ahead(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """As `in_threads`, of items whose number need not be known: no more are worked on, or wait to be taken, than there
    are threads and one."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="vhap-work") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def each_in_threads(work: Callable[[Item], object], items: Iterable[Item]) -> None:
    """Work on every item, whose number need not be known; at most two a thread are in memory. What work raises is
    raised here when all threads have ended."""
    if get_threads() == 1:
        for item in items:
            work(item)
        return
    waiting: deque[Future[object]] = deque()
    with ThreadPoolExecutor(get_threads(), thread_name_prefix="vhap-work") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) == 2 * get_threads():
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch works on one thread within, and on as many as before afterwards: its sums on several threads have other
    bits than on one. Pictures still use all cores (`in_threads`)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """As `one_torch_thread`, and OpenCV on one thread as well: for pictures beside each other (`in_threads`), each of
    which then has the same bits on any machine. OpenCV's optical flow cuts a picture into as many stripes."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with one_torch_thread():
            yield
    finally:
        cv2.setNumThreads(before)
