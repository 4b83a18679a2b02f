"""Run as a program: reads numbered faulty inputs and says what came of each.

    fuzz_worker.py BASE SEED < numbers of inputs, "READER NUMBER" a line

Each input is answered by one line of JSON. Whoever started it watches the time and starts another one where this one
hangs or dies.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import cv2
import torch
from fuzz_base import make_base
from fuzz_run import UNCHANGED
from fuzz_table import READERS, Reader, make_words

from vhap.util.errors import as_one_line, explained

FINE, ONE_LINE, TRACEBACK, HALF_WRITTEN = "fine", "one line", "traceback", "half written"
MEMORY = 4 << 30
ODD_NAMES = (b"a\xff\xfe", b"-", b" ", "ü%d\n{0}".encode(), b"n" * 250, b"http:")
LOCKS = (".nersemble_download.jsonl",)
"""May be made at any time."""
Outcome = tuple[str, str]


def main(base: Path, seed: int) -> None:
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    os.environ["VHAP_CACHE"] = str(base / "cache")
    make_base(base)
    make_words(base)
    good = {name: reader.good_files(base) for name, reader in READERS.items()}
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    print(json.dumps({name: reader.share for name, reader in READERS.items()}), file=talk, flush=True)
    for line in sys.stdin:
        name, number = line.rstrip("\n").rsplit(" ", 1)
        rng = None if int(number) == UNCHANGED else random.Random(f"{seed} {name} {number}")
        outcome = read_one(READERS[name], base, good[name], rng)
        print(json.dumps(outcome), file=talk, flush=True)


def read_one(reader: Reader, base: Path, good: list[bytes], rng: random.Random | None) -> Outcome:
    """Puts one faulty file into its place (no generator: leaves the good one), reads it, and brings the good one back.
    What is read is in base/input as well, for whoever finds this process dead."""
    place = base / reader.file
    content = place.read_bytes()
    path = place if rng is None else put_faulty(reader, place, good, rng)
    (base / "input").unlink(missing_ok=True)
    if path.is_file():
        shutil.copyfile(path, base / "input")
    before = contents(base / reader.room, path)
    try:
        return leftovers(reader, base, before, path, outcome_of(reader, path))
    finally:
        for made in {path, place}:
            shutil.rmtree(made) if made.is_dir() else made.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def put_faulty(reader: Reader, place: Path, good: list[bytes], rng: random.Random) -> Path:
    """A folder, nothing, a file of an odd name (which is the path returned), or mostly one of faulty content."""
    odd = rng.random()
    if odd < 0.006:
        place.unlink()
        if odd < 0.003:
            place.mkdir()
        return place
    is_renamed = odd < 0.016 and reader.anywhere
    path = place.with_name(os.fsdecode(rng.choice(ODD_NAMES)) + place.suffix) if is_renamed else place
    path.write_bytes(reader.faulty(good, rng))
    return path


def outcome_of(reader: Reader, path: Path) -> Outcome:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            reader.read(path)
        return FINE, ""
    except SystemExit as stop:
        lines = said.getvalue().splitlines()
        if stop.code in (0, None) or (stop.code == 2 and len(lines) == 1):
            return ONE_LINE, "".join(lines)
        return TRACEBACK, f"exit status {stop.code} with {len(lines)} lines: {said.getvalue()[:500]}"
    except Exception as error:
        line = explained(error)
        if line is not None and as_one_line(line):
            return ONE_LINE, as_one_line(line)
        return TRACEBACK, "".join(traceback.format_exception(error)[-6:])


def contents(room: Path, but: Path) -> dict[str, tuple[int, int]]:
    """Path -> size and time of every file below, but for one."""
    found = {}
    for folder, _, names in os.walk(room):
        for name in names:
            path = os.path.join(folder, name)
            if path != str(but) and name not in LOCKS:
                status = os.stat(path)
                found[path] = (status.st_size, status.st_mtime_ns)
    return found


def leftovers(reader: Reader, base: Path, before: dict[str, Any], path: Path, outcome: Outcome) -> Outcome:
    """The outcome, or what was left behind: temporary files, or output where an error was reported."""
    after = contents(base / reader.room, path)
    output = None if reader.output is None else str(base / reader.output)
    new = [name for name, stamp in after.items() if before.get(name) != stamp]
    allowed = output if outcome[0] == FINE else None
    odd = [name for name in new if ".tmp_" in name or allowed is None or not name.startswith(allowed)]
    gone = sorted(before.keys() - after.keys())
    if output is not None:
        shutil.rmtree(output, ignore_errors=True)
    if (odd or gone) and outcome[0] != TRACEBACK:
        return HALF_WRITTEN, f"{odd} appeared or changed, {gone} disappeared; {outcome[1]}"
    return outcome


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
