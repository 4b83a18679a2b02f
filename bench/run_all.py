"""Runs the benchmarks that fit into the given minutes, one after the other, and keeps their tables.

    python bench/run_all.py                             # what `make bench` does: 30 minutes, tables in bench/out/
    python bench/run_all.py --only kernels --out OUT

Each entry is a program of its own. What it prints goes into OUT/NAME.md below the machine, versions, threads, commit
and date; its messages go into OUT/NAME.log, its files into OUT/files/NAME/. OUT/README.md lists all entries: done,
failed, or left out because their expected minutes exceed what is left. The exit status is 1 where an entry failed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

from machine import ROOT, header
from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Range
from vhap.util.errors import InputError, exits_cleanly
from vhap.util.files import atomic_path

DEFAULT_OUT = ROOT / "bench" / "out"
PATIENCE = 3.0
"""An entry is stopped, and counts as failed, after so many times its expected minutes."""


@dataclass(frozen=True)
class Entry:
    """command: program in bench/ and its arguments, in which FILES stands for the entry's own folder; minutes: expected
    on 2 cores."""

    name: str
    command: str
    minutes: float


ENTRIES = (
    Entry("kernels", "kernels.py", 1),
    Entry("time_to_accuracy", "time_to_accuracy.py --output FILES", 16),
    Entry("accuracy", "accuracy.py --output FILES --frames 20 --size 256 --seeds 0 --landmarks noisy68", 3),
    Entry("accuracy_detector", "accuracy.py --output FILES --frames 20 --size 256 --seeds 0 --landmarks detector", 4),
    Entry("kill_resume", "kill_resume.py --output FILES --kills 3 --frames 8 --size 96 --steps 3", 3),
    Entry("rigs", "rigs.py --output FILES --landmarks noisy68 --layouts nersemble_v1", 12),
)
"""Those whose figures matter most come first."""


@dataclass(frozen=True)
class RunAllConfig:
    only: tuple[str, ...] = ()
    """Names of the entries to run; all where empty."""
    out: Path = DEFAULT_OUT
    """Where tables and files are written, in place of those of an earlier call."""
    minutes: Annotated[float, Range(0, 100_000, above=True)] = 30.0
    """An entry whose expected minutes exceed what is left of these is left out."""


@dataclass(frozen=True)
class Outcome:
    """state: done, or why not; seconds: 0 where it did not run."""

    entry: Entry
    state: str
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.state.startswith("failed")


@exits_cleanly
def main(args: Sequence[str] | None = None, entries: Sequence[Entry] = ENTRIES) -> None:
    config = parse(RunAllConfig, __doc__, args)
    outcomes = run_entries(chosen(entries, config.only), config.out, config.minutes)
    table = summary(outcomes)
    write_text(config.out / "README.md", f"# Benchmarks\n\n{header()}\n\n{table}\n")
    print(table)
    if failed := [outcome.entry.name for outcome in outcomes if outcome.failed]:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


def chosen(entries: Sequence[Entry], only: Sequence[str]) -> list[Entry]:
    """The entries of these names, in the table's order; all where none is named."""
    known = [entry.name for entry in entries]
    if wrong := sorted(set(only) - set(known)):
        raise InputError(f"expected --only out of {', '.join(known)}, found {', '.join(wrong)}; correct it")
    return [entry for entry in entries if not only or entry.name in only]


def run_entries(entries: Sequence[Entry], out: Path, minutes: float) -> list[Outcome]:
    """One after the other, those that fit into what is left of the minutes. A failure does not end the others."""
    out.mkdir(parents=True, exist_ok=True)
    started, outcomes = time.monotonic(), []
    for entry in entries:
        left = minutes - (time.monotonic() - started) / 60
        if entry.minutes > left:
            state = f"left out: {entry.minutes:g} minutes expected, {max(left, 0):.1f} left"
            outcomes.append(Outcome(entry, state))
        else:
            print(f"{entry.name}: about {entry.minutes:g} minutes ...", file=sys.stderr, flush=True)
            outcomes.append(run_entry(entry, out))
        print(f"{entry.name}: {outcomes[-1].state}", file=sys.stderr, flush=True)
    return outcomes


def run_entry(entry: Entry, out: Path) -> Outcome:
    """Runs one program, whose table appears when it is whole. Table and files of an earlier call go first, so that
    nothing of another commit is taken for new."""
    table, log, files = out / f"{entry.name}.md", out / f"{entry.name}.log", out / "files" / entry.name
    table.unlink(missing_ok=True)
    if files.exists():
        shutil.rmtree(files)
    files.mkdir(parents=True)
    program, *arguments = (str(files.absolute()) if part == "FILES" else part for part in shlex.split(entry.command))
    command = [sys.executable, str(ROOT / "bench" / program), *arguments]
    started = time.monotonic()
    with log.open("w") as messages:
        state, printed = run_program(command, messages, 60 * PATIENCE * entry.minutes)
    if state != "done":
        return Outcome(entry, f"failed: {state}, see {log.name}", time.monotonic() - started)
    write_text(table, f"# {entry.name}\n\n`python bench/{entry.command}`\n\n{header()}\n\n{printed}")
    return Outcome(entry, "done", time.monotonic() - started)


def run_program(command: Sequence[str], messages: IO[str], most_seconds: float) -> tuple[str, str]:
    """Returns `done` or what went wrong, and what the program printed."""
    # Programs of bench/ find the package of their own checkout, whichever one is installed.
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    # In a session of its own, so that what the program has started ends with it.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=messages, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            printed, _ = process.communicate(timeout=most_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"stopped after {most_seconds / 60:.1f} minutes", ""
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        return f"exit status {process.returncode}", ""
    return ("done" if printed.strip() else "printed no table"), printed


def summary(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [o.entry.name, o.state, f"{o.entry.minutes:g}", f"{o.seconds / 60:.1f}" if o.seconds else "-"] for o in outcomes
    ]
    return markdown_table(["entry", "state", "expected minutes", "minutes"], rows)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text)


if __name__ == "__main__":
    main()
