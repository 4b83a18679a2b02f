"""Brings one file, by byte ranges: what has come stays in `<name>.part`, and is renamed when it is proven whole."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vhap.data.nersemble.http import Reply, TransferError, Version, request
from vhap.data.nersemble.part import Part

LONGEST_BACKOFF_S = 30.0
PROGRESS_BYTES = 1 << 14
"""An attempt that brings at least as much has not failed, however it ended."""
REFUSALS_OF_A_REST = (400, 412, 416, 417, 431)
"""What servers answer to a range or a validator that they do not like."""


@dataclass(frozen=True)
class Policy:
    """timeout_s: without data. retries: attempts in a row that bring nothing new. backoff_s: doubled for each."""

    timeout_s: float = 30.0
    retries: int = 6
    backoff_s: float = 1.0


def fetch(url: str, target: Path, policy: Policy, stop: threading.Event | None = None) -> Version:
    """Brings a file to its place and returns its version; what an earlier attempt brought is not asked for again.

    Raises TransferError when the server refuses, after `policy.retries` attempts that brought nothing new, and where
    `stop` is set. OSError of the disk passes through.
    """
    part = Part(target)
    furthest = part.keep_usable()

    def attempt() -> Version:
        nonlocal furthest
        try:
            return _continue(url, part, policy.timeout_s)
        except TransferError as error:
            error.brought_data = part.size() - furthest >= PROGRESS_BYTES
            furthest = max(furthest, part.size())
            raise

    return retry(attempt, policy, stop)


def retry(attempt: Callable[[], Version], policy: Policy, stop: threading.Event | None = None) -> Version:
    """Repeats an attempt, ever more slowly, until it succeeds, fails for good, or has failed too often in a row."""
    stop = stop or threading.Event()
    failures = 0
    while True:
        try:
            return attempt()
        except TransferError as error:
            failures = 1 if error.brought_data else failures + 1
            if error.is_final or failures > policy.retries or stop.is_set():
                raise
            backoff = min(policy.backoff_s * 2 ** (failures - 1), LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)
            stop.wait(max(backoff, error.wait_s))


def remote_version(url: str, policy: Policy, stop: threading.Event | None = None) -> Version:
    """A file's version on the server, for the price of one byte (HEAD is refused by some servers)."""

    def attempt() -> Version:
        with request(url, policy.timeout_s, 0, 1) as reply:
            return reply.version

    return retry(attempt, policy, stop)


def _continue(url: str, part: Part, timeout_s: float) -> Version:
    """What is missing of a part, by one request; the part is finished if all of it comes."""
    start = part.keep_usable()
    try:
        if start and start == part.version.size:
            # What came last may have been lost with its name only; its note may as well be of another file.
            with request(url, timeout_s, 0, 1) as reply:
                _require_same(reply, part)
        else:
            with request(url, timeout_s, start, validator=part.version.validator if start else None) as reply:
                _receive(reply, part)
    except TransferError as error:
        if start and error.status in REFUSALS_OF_A_REST:
            # Asked for the whole file, the server may well answer.
            part.discard()
            error.is_final = False
        raise
    version = part.version
    if version.size is not None and part.size() != version.size:
        raise TransferError(f"server sent {part.size()} of {version.size} bytes")
    part.finish()
    return Version(part.target.stat().st_size, version.validator)


def _receive(reply: Reply, part: Part) -> None:
    if reply.start == 0:
        part.start(reply.version)
    elif reply.start != part.size():
        part.discard()
        raise TransferError("server sent another range than was asked for")
    else:
        _require_same(reply, part)
    with part.open() as append:
        for block in reply.blocks():
            append(block)


def _require_same(reply: Reply, part: Part) -> None:
    if reply.version != part.version:
        part.discard()
        raise TransferError("file changed on the server")
