"""Brings many files at the same time; what fails is told at the end, and completed by the same call later."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vhap.data.nersemble.catalogue import METADATA_SEQUENCES, Catalogue, read_catalogue
from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.http import TransferError, join_url
from vhap.data.nersemble.ledger import Ledger
from vhap.data.nersemble.part import Part
from vhap.data.nersemble.transfer import Policy, fetch, remote_version
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.progress import progress

GIVE_UP_AFTER = 20
LOG_EVERY_S = 60.0
Done = Literal["brought", "there"]


@dataclass
class Outcome:
    """brought: files that came now. there: were whole before. failed: path -> reason. untried: paths given up on."""

    brought: int = 0
    brought_bytes: int = 0
    there: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    untried: list[str] = field(default_factory=list)


def fetch_catalogue(base_url: str, policy: Policy) -> Catalogue:
    """The dataset's table of sequences. Raises InputError where the address is wrong, TransferError if none answers."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / METADATA_SEQUENCES
        try:
            fetch(join_url(base_url, METADATA_SEQUENCES), target, policy)
            return read_catalogue(target.read_text(encoding="utf-8-sig"))
        except TransferError as error:
            if error.status in (401, 403, 404, 410):
                raise InputError(
                    f"expected {METADATA_SEQUENCES} at the dataset's address, found: {error}; the address in the "
                    "settings is wrong or out of date, copy it from the mail again"
                ) from error
            raise TransferError(f"{METADATA_SEQUENCES}: {error}; check the network and the settings") from error
        except ValueError as error:
            raise InputError(
                f"expected the table of sequences at the dataset's address, found another ({error}); correct the "
                "address in the settings"
            ) from error


def is_settled(path: str, ledger: Ledger) -> bool:
    """Whether a file is known to be whole without asking. Tables may change on the server, recordings do not."""
    return not path.endswith(".csv") and ledger.version(path) is not None


def download(
    paths: Sequence[str],
    base_url: str,
    ledger: Ledger,
    policy: Policy,
    n_workers: int,
    is_settled: Callable[[str, Ledger], bool] = is_settled,
) -> Outcome:
    """Brings files into the ledger's folder, `n_workers` at a time. is_settled: which need not be asked for.

    A failure does not stop the others, unless many follow each other without one success: then the rest is not tried.
    Errors of the disk stop everything and are raised.
    """
    outcome = Outcome(there=sum(is_settled(path, ledger) for path in paths))
    waiting = queue.SimpleQueue[str]()
    for path in (missing := [path for path in paths if not is_settled(path, ledger)]):
        waiting.put(path)
    results, stop = queue.SimpleQueue[tuple[str, Done | Exception]](), threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                path = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results.put((path, bring(path, base_url, ledger, policy, stop)))
            except Exception as error:
                results.put((path, error))

    # Daemons: an interrupted program ends at once, and whatever was half written is continued later.
    for _ in range(min(n_workers, len(missing))):
        threading.Thread(target=work, daemon=True).start()
    try:
        _collect(missing, results, ledger, outcome)
    finally:
        stop.set()
    return outcome


def bring(path: str, base_url: str, ledger: Ledger, policy: Policy, stop: threading.Event | None = None) -> Done:
    """One file: left as it is where it equals the server's, else fetched. Raises TransferError."""
    url, target = join_url(base_url, path), ledger.folder / path
    if target.is_file() and not find_damage(target, target.suffix):
        known, remote = ledger.version(path), remote_version(url, policy, stop)
        is_same = known is None or known.validator == remote.validator
        if remote.size == target.stat().st_size and is_same:
            Part(target).discard()
            ledger.add(path, remote)
            return "there"
    ledger.add(path, fetch(url, target, policy, stop))
    return "brought"


def _collect(
    paths: Sequence[str],
    results: queue.SimpleQueue[tuple[str, Done | Exception]],
    ledger: Ledger,
    outcome: Outcome,
) -> None:
    """Counts results as they come, until all are there or too many failed in a row."""
    left, in_a_row, told = dict.fromkeys(paths), 0, time.monotonic()
    for index in progress(range(len(paths)), "downloading"):
        path, result = results.get()
        del left[path]
        if isinstance(result, TransferError):
            outcome.failed[path] = str(result)
            # A file that the server lacks says nothing about the others.
            in_a_row += result.status not in (404, 410)
            if in_a_row >= GIVE_UP_AFTER:
                outcome.untried = list(left)
                return
        elif isinstance(result, Exception):
            raise result
        else:
            in_a_row = 0
            outcome.there += result == "there"
            outcome.brought += result == "brought"
            outcome.brought_bytes += (ledger.folder / path).stat().st_size if result == "brought" else 0
        if time.monotonic() - told > LOG_EVERY_S:
            told = time.monotonic()
            get_logger().info("%d of %d files, %.2f GB", index + 1, len(paths), outcome.brought_bytes / 1e9)
