"""What of the NeRSemble dataset there is, and its download."""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from vhap.config.nersemble import DownloadConfig, ListConfig
from vhap.data.nersemble.catalogue import estimate_bytes, list_files, require_participant, select
from vhap.data.nersemble.download import Outcome, download, fetch_catalogue, is_settled
from vhap.data.nersemble.ledger import Ledger, locked_folder
from vhap.data.nersemble.settings import find_data_url
from vhap.data.nersemble.transfer import Policy
from vhap.util.errors import InputError
from vhap.util.log import get_logger


def list_available(config: ListConfig) -> str:
    """Participants, or one participant's sequences, as text of one line and more."""
    catalogue = fetch_catalogue(find_data_url(), Policy(retries=2))
    if config.participant is None:
        return "\n".join([f"{len(catalogue.sequences)} participants:", ", ".join(map(str, catalogue.sequences))])
    require_participant(catalogue, config.participant)
    sequences = catalogue.sequences[config.participant]
    return "\n".join([f"{len(sequences)} sequences of participant {config.participant}:", *sequences])


def run(config: DownloadConfig) -> Outcome:
    """Completes the selected files in the folder. Raises InputError, TransferError where not even the start works."""
    check_numbers(config.n_workers, config.retries, config.timeout_s)
    base_url = find_data_url()
    policy = Policy(config.timeout_s, config.retries)
    catalogue = fetch_catalogue(base_url, policy)
    selection = select(catalogue, config.participant, config.sequence, config.camera, config.assets)
    paths = list_files(catalogue, selection)
    if not paths:
        raise InputError(
            "expected a selection with files, found none: no selected participant has a selected sequence; "
            "`vhap nersemble list --participant ID` names those that exist"
        )
    if not _agreed(config, paths):
        return Outcome(untried=paths)
    with locked_folder(config.folder) as ledger, full_disk_explained(config.folder):
        return download(paths, base_url, ledger, policy, config.n_workers)


def check_numbers(n_workers: int, retries: int, timeout_s: float) -> None:
    if n_workers < 1 or retries < 0 or not 0 < timeout_s < math.inf:
        raise InputError(
            "expected n_workers of at least 1, retries of at least 0 and timeout_s above 0, found "
            f"{n_workers}, {retries}, {timeout_s:g}; correct them"
        )


@contextlib.contextmanager
def full_disk_explained(folder: Path) -> Iterator[None]:
    """InputError, which says how to go on, in place of a full disk's OSError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"expected room for the files in {folder}, found the disk full; free some and give the same command again"
        ) from error


def _agreed(config: DownloadConfig, paths: list[str]) -> bool:
    ledger = Ledger(config.folder)
    missing = [path for path in paths if not is_settled(path, ledger)]
    needed = estimate_bytes([path for path in missing if not (config.folder / path).is_file()])
    return is_agreed(config.folder, len(missing), needed, config.yes, "--participant, --sequence, --camera")


def is_agreed(folder: Path, n_files: int, needed: int, yes: bool, filters: str) -> bool:
    """Whether a download may start: there is room, and the user said so. filters: options by which it gets smaller."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"expected room for about {_as_gb(needed)} in {folder}, found {_as_gb(free)} free; free some, or "
            f"choose less with {filters}"
        )
    plan = f"{n_files} files, about {_as_gb(needed)}, into {folder}"
    if yes or not needed:
        get_logger().info("downloading %s", plan)
        return True
    if not sys.stdin.isatty():
        raise InputError(f"expected agreement to download {plan}, found no terminal to ask on; add --yes")
    return input(f"Download {plan}? [y/n] ").strip().lower() in ("y", "yes")


def _as_gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def describe(outcome: Outcome, folder: Path, shown: int = 20) -> tuple[str, list[str]]:
    """The outcome in a line, and lines on what is missing."""
    if outcome.untried and not outcome.failed:
        return "nothing downloaded", []
    text = (
        f"{folder}: {outcome.brought} files downloaded ({_as_gb(outcome.brought_bytes)}), {outcome.there} there before"
    )
    troubles = [f"failed: {path}: {reason}" for path, reason in outcome.failed.items()]
    troubles[shown:] = [f"and {len(troubles) - shown} more failed"] if len(troubles) > shown else []
    if outcome.failed and outcome.untried:
        troubles.append(f"not tried after so many failures in a row: {len(outcome.untried)} files")
    return text, troubles
