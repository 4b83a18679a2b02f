"""Tracks several sequences one after the other; one that cannot be tracked stops none of the others.

python examples/several_videos.py --sequences data/anna data/bert
"""

from __future__ import annotations

from pathlib import Path

import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import InputError, track


def main(sequences: tuple[Path, ...] = (), folder: Path = FOLDER) -> dict[str, Path]:
    """sequences: preprocessed folders; else a film and a missing one. Returns the runs by name."""
    sequences = sequences or (film(folder), folder / "not_there")
    runs: dict[str, Path] = {}
    for sequence in sequences:
        try:
            # A run that was stopped goes on; a finished one is tracked anew, into a folder beside it.
            runs[sequence.name] = track(sequence, output_folder=folder / "batch" / sequence.name, **QUICK)
        except InputError as error:
            print(f"{sequence.name}: {error}")
    print(f"{len(runs)} of {len(sequences)} tracked")
    return runs


if __name__ == "__main__":
    tyro.cli(main)
