"""Run folders in the order in which they were started, whatever the clock said."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from vhap.util.errors import InputError
from vhap.util.files import make_folder, read_json, write_json

STAMP, RUN_FILE = "%Y-%m-%d_%H-%M-%S", "run.json"
SECOND = timedelta(seconds=1)


def runs_in(output: Path) -> list[Path]:
    """The folders in an output folder, the one that was started last at the end.

    Each has its number in run.json. Those of earlier releases have none; they come first, by their names.
    """
    folders = [child for child in output.iterdir() if child.is_dir()] if output.is_dir() else []
    return sorted(folders, key=lambda folder: (run_number(folder), folder.name))


def run_number(folder: Path) -> int:
    """Counts the runs of an output folder from 1; 0 where the folder does not say."""
    try:
        content = read_json(folder / RUN_FILE)
    except InputError:
        return 0
    number = content.get("number") if isinstance(content, dict) else None
    return number if type(number) is int and number > 0 else 0


def new_run_folder(output: Path) -> Path:
    """Makes the folder of a new run, with its number. Its name is the time, or where the clock went back a second more
    than the last name: scripts that sort names find the newest run too."""
    make_folder(output)
    earlier = runs_in(output)
    number = max(map(run_number, earlier), default=0) + 1
    time = datetime.now().replace(microsecond=0)
    stamps = [stamp for folder in earlier if (stamp := _stamp(folder.name)) is not None]
    time = max([time, *(stamp + SECOND for stamp in stamps)])
    while not _claimed(folder := output / time.strftime(STAMP)):
        time += SECOND
    write_json(folder / RUN_FILE, {"number": number})
    return folder


def _claimed(folder: Path) -> bool:
    """Whether this process has made it."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _stamp(name: str) -> datetime | None:
    """The time in a run folder's name, to which earlier releases may have appended a count; None where there is no
    time, or one after which none can come."""
    try:
        stamp = datetime.strptime(name[:19], STAMP)
    except ValueError:
        return None
    return stamp if stamp.year < datetime.max.year else None
