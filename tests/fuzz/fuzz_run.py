"""Gives faulty inputs to a worker, watches it, and counts what came of each."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTCOMES = ("fine", "one line", "traceback", "hang", "crash", "half written")
BAR = OUTCOMES[2:]
"""Of these there may be none."""
UNCHANGED = -1
"""The number of an input that is the good file itself."""
SLOWEST_S, START_S = 10.0, 180.0


@dataclass(frozen=True)
class Finding:
    """An input that misses the bar. The same reader, seed and number make it again; `path` holds it, too."""

    reader: str
    seed: int
    number: int
    outcome: str
    said: str
    path: Path


@dataclass
class Report:
    """counts: outcomes by reader. findings: the inputs that miss the bar."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def rows(self) -> list[list[str]]:
        """Cells of a table: a reader and how often it had each outcome; the sums last."""
        total = sum(self.counts.values(), Counter())
        return [[name, *(str(found[o]) for o in OUTCOMES)] for name, found in (*self.counts.items(), ("sum", total))]


class Worker:
    """A process that reads; another one takes its place where it hangs or dies.

    command: prints the shares of its readers as JSON, then answers each line "READER NUMBER" by one line of JSON, the
    outcome and what was said. slowest_s: after so long an input hangs.
    """

    def __init__(self, command: list[str], slowest_s: float = SLOWEST_S) -> None:
        self.command, self.slowest_s = command, slowest_s
        self._start()

    def _start(self) -> None:
        rooms = [ROOT, HERE, ROOT / "tests" / "head", ROOT / "tests" / "data" / "cameras"]
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, rooms)), "OPENCV_LOG_LEVEL": "SILENT"},
        )  # fmt: skip
        line = self._line(START_S)
        if not line:
            self.close()
            raise RuntimeError(f"no worker: {self.command} says nothing")
        self.shares: dict[str, float] = json.loads(line)

    def _line(self, seconds: float) -> bytes | None:
        """The next line; empty where the process has ended, None where none came in time."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline() if waiting.select(seconds) else None

    def read(self, reader: str, number: int) -> tuple[str, str]:
        """What came of one input, and what was said."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{reader} {number}\n".encode())
            self.process.stdin.flush()
            line = self._line(self.slowest_s)
        except BrokenPipeError:
            line = b""
        if line:
            outcome, said = json.loads(line)
            return outcome, said
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=0 if line is None else 5)
        status = self.process.poll()
        self.close()
        self._start()
        return ("hang", f"no answer in {self.slowest_s:g} s") if line is None else ("crash", f"exit status {status}")

    def close(self) -> None:
        """Ends the process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def plan(shares: Mapping[str, float], count: int) -> Iterator[tuple[str, int]]:
    """Reader and number of each input, by the readers' shares; before its faulty ones a reader gets its good file."""
    total = sum(shares.values())
    for reader, share in shares.items():
        for number in range(UNCHANGED, max(1, round(count * share / total))):
            yield reader, number


def fuzz(folder: Path, count: int, seed: int, only: str = "") -> Report:
    """Reads about `count` faulty inputs. folder: to work in; inputs that miss the bar stay in folder/failing.

    only: readers whose names hold this text. A good file that is refused misses the bar as well.
    """
    folder.mkdir(parents=True, exist_ok=True)
    worker = Worker([sys.executable, str(HERE / "fuzz_worker.py"), str(folder / "base"), str(seed)])
    report = Report()
    try:
        shares = {name: share for name, share in worker.shares.items() if only in name}
        for reader, number in plan(shares, count):
            outcome, said = worker.read(reader, number)
            if number == UNCHANGED and outcome == "one line":
                outcome, said = "traceback", f"the good file is refused: {said}"
            report.counts.setdefault(reader, Counter())[outcome] += 1
            if outcome in BAR:
                kept = folder / "failing" / f"{re.sub(r'[^a-zA-Z0-9.]+', '_', reader)}_{seed}_{number}"
                kept.parent.mkdir(exist_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(folder / "base" / "input", kept)
                report.findings.append(Finding(reader, seed, number, outcome, said, kept))
    finally:
        worker.close()
    return report
