"""Follows tracking by a callback, stops it in the middle, and goes on where it stopped.

python examples/progress_and_stop.py
"""

from __future__ import annotations

from pathlib import Path

import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import ProgressEvent, track


class Enough(Exception):
    """What a callback raises ends the work: a button, a time limit, a server that shuts down."""


def main(folder: Path = FOLDER, after: int = 3) -> Path:
    """after: events until the work is stopped."""
    seen: list[ProgressEvent] = []

    def follow(event: ProgressEvent) -> None:
        seen.append(event)
        print(f"{event.description}: {event.done} of {event.total} {event.note}")
        if len(seen) == after:
            raise Enough

    sequence, output = film(folder), folder / "stopped"
    try:
        track(sequence, output_folder=output, progress=follow, **QUICK)
    except Enough:
        print("stopped; the same call goes on from there")
    return track(sequence, output_folder=output, progress=follow, **QUICK)


if __name__ == "__main__":
    tyro.cli(main)
