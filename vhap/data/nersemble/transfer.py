"""Brings one file, by byte ranges: what has come stays in `<name>.part`, and is renamed when it is proven whole."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.http import Reply, TransferError, Version, request
from vhap.util.files import make_folder

LONGEST_BACKOFF_S = 30.0
PROGRESS_BYTES = 1 << 14
"""An attempt that brings at least as much has not failed, however it ended."""


@dataclass(frozen=True)
class Policy:
    """timeout_s: without data. retries: attempts in a row that bring nothing new. backoff_s: doubled for each."""

    timeout_s: float = 30.0
    retries: int = 6
    backoff_s: float = 1.0


class Part:
    """The beginning of a file and, in a small JSON beside it, of which version on the server."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")
        self.version = self._read_note()

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def keep_usable(self) -> int:
        """Bytes that the rest can be added to; whatever cannot be continued is thrown away."""
        # Without a validator nobody can tell whether the rest belongs to this beginning.
        if self.version.validator is None or self.version.size is None or self.size() > self.version.size:
            self.discard()
        return self.size()

    def start(self, version: Version) -> None:
        """Empty, for this version. The order matters: no beginning may ever stand beside another version's note."""
        make_folder(self.path.parent)
        self.discard()
        # A note cut short by a kill is not believed, so it need not be written atomically.
        self.note.write_text(json.dumps(asdict(version)), encoding="utf-8")
        self.version = version

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.version = Version(None, None)

    def finish(self) -> None:
        """Renames; raises TransferError, and throws away what came, where the content is not whole."""
        if damage := find_damage(self.path, self.target.suffix):
            self.discard()
            raise TransferError(f"{self.target.suffix[1:]} from the server is damaged: {damage}")
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.target)
        self.note.unlink(missing_ok=True)

    def _read_note(self) -> Version:
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            size, validator = note["size"], note["validator"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return Version(None, None)
        is_sound = isinstance(size, int) and isinstance(validator, str)
        return Version(size, validator) if is_sound else Version(None, None)


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
    """One request for what is missing of a part, which is finished if all of it comes."""
    start = part.keep_usable()
    if not start or start != part.version.size:
        try:
            with request(url, timeout_s, start, validator=part.version.validator if start else None) as reply:
                _receive(reply, part)
        except TransferError as error:
            if error.status == 416:
                part.discard()
            raise
    version = part.version
    if version.size is not None and part.size() != version.size:
        raise TransferError(f"server sent {part.size()} of {version.size} bytes")
    part.finish()
    return Version(part.target.stat().st_size, version.validator)


def _receive(reply: Reply, part: Part) -> None:
    if reply.start == 0:
        part.start(reply.version)
    elif reply.start != part.size() or reply.version != part.version:
        part.discard()
        raise TransferError("file changed on the server, or it sent another range than was asked for")
    with open(part.path, "ab") as file:
        for block in reply.blocks():
            file.write(block)
