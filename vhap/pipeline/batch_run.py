"""Running the steps of a batch on this machine: several beside each other, each a process, failures held apart."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vhap.config.batch import Manifest, RunConfig, StepConfig
from vhap.pipeline.batch_manifest import aligned, read_manifest
from vhap.pipeline.batch_steps import STATE, Step, Steps
from vhap.util.errors import InputError, as_one_line
from vhap.util.files import make_folder
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.threads import THREADS_VARIABLE, usable_cores

POLL_S, END_S = 0.05, 10.0
"""Seconds between looks at the processes, and seconds that they get to end when the batch is stopped."""
SET_DEATH_SIGNAL = 1
LAST_LINE_BYTES = 4096


@dataclass
class Outcome:
    """What became of the steps, by their keys. failed: the last line that a step said."""

    done: dict[str, float] = field(default_factory=dict)
    earlier: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)

    def word(self, key: str) -> str:
        if key in self.failed:
            return "FAILED"
        if key in self.done:
            return f"{self.done[key]:.1f} s"
        return "finished" if key in self.earlier else "waits" if key in self.blocked else "to do"


@dataclass
class _Running:
    step: Step
    process: subprocess.Popen[bytes]
    began: float


class _Batch:
    """The steps that wait, those that can begin, and those that run."""

    def __init__(self, steps: Steps, jobs: int, retries: int) -> None:
        self.steps, self.jobs, self.outcome = steps, jobs, Outcome()
        self.threads = max(1, usable_cores() // jobs)
        self.needs = {key: {*step.after, *step.ended} for key, step in steps.all.items()}
        self.wanted_by: dict[str, list[str]] = {}
        for key, step in steps.all.items():
            for earlier in (*step.after, *step.ended):
                self.wanted_by.setdefault(earlier, []).append(key)
        self.ready = deque(key for key, needed in self.needs.items() if not needed)
        self.running: list[_Running] = []
        self.left = dict.fromkeys(steps.all, retries)

    def run(self) -> Outcome:
        with _stopped_by_term(), _ended(self.running):
            while self.ready or self.running:
                while self.ready and len(self.running) < self.jobs:
                    self._begin(self.steps.all[self.ready.popleft()])
                finished = [job for job in self.running if job.process.poll() is not None]
                for job in finished:
                    self.running.remove(job)
                    self._end(job)
                if not finished and self.running:
                    time.sleep(POLL_S)
        return self.outcome

    def _begin(self, step: Step) -> None:
        if self.steps.is_done(step):
            self.outcome.earlier.add(step.key)
            self._release(step.key)
            return
        try:
            process = start(self.steps, step, self.threads)
        except InputError as error:
            self._fail(step, str(error))
        else:
            self.running.append(_Running(step, process, time.monotonic()))

    def _end(self, job: _Running) -> None:
        key, seconds = job.step.key, time.monotonic() - job.began
        if job.process.returncode == 0:
            self.steps.remember(job.step, seconds)
            self.outcome.done[key] = seconds
            get_logger().info("%s: done in %.1f s (%d of %d)", key, seconds, self._count(), len(self.steps.all))
            self._release(key)
        elif self.left[key] > 0:
            self.left[key] -= 1
            get_logger().warning("%s: failed (%s), trying again", key, last_line(self.steps.log(job.step)))
            self.ready.append(key)
        else:
            self._fail(job.step, f"exit status {job.process.returncode}: {last_line(self.steps.log(job.step))}")

    def _count(self) -> int:
        return len(self.outcome.done) + len(self.outcome.earlier)

    def _release(self, key: str) -> None:
        """Lets those begin that waited for this step alone, before others: a sequence is finished once begun."""
        for later in reversed(self.wanted_by.get(key, [])):
            self._let(later, key)

    def _let(self, later: str, key: str) -> None:
        """A step need not wait for this one any more."""
        self.needs[later].discard(key)
        if not self.needs[later] and later not in self.outcome.blocked:
            self.ready.appendleft(later)

    def _fail(self, step: Step, why: str) -> None:
        get_logger().warning("%s: FAILED (%s); log: %s", step.key, as_one_line(why), self.steps.log(step))
        self.outcome.failed[step.key] = as_one_line(why)
        blocked = [*self.wanted_by.get(step.key, [])]
        for later in [later for later in blocked if step.key in self.steps.all[later].ended]:
            blocked.remove(later)
            self._let(later, step.key)
        while blocked:
            key = blocked.pop()
            self.outcome.blocked.add(key)
            blocked += self.wanted_by.get(key, [])


def run(config: RunConfig) -> tuple[str, bool]:
    """Runs what is not finished. Returns the table of states, and whether no step failed.

    InputError where the manifest is wrong, or another process runs it.
    """
    steps = Steps(read_manifest(config.manifest))
    if config.dry_run:
        earlier = {key for key, step in steps.all.items() if steps.is_done(step)}
        return table(steps, Outcome(earlier=earlier)), True
    with folder_lock(steps.manifest.results / STATE):
        outcome = _Batch(steps, config.jobs, config.retries).run()
    return table(steps, outcome), not outcome.failed


def run_step(config: StepConfig) -> int:
    """Runs one step, unless it is finished, and returns the exit status of its command; 0 where there was nothing to
    do. InputError where steps before it are not finished."""
    steps = Steps(read_manifest(config.manifest))
    step = steps.named(config.step, config.target)
    if steps.is_done(step):
        get_logger().info("%s: finished already", step.key)
        return 0
    if missing := [key for key in step.after if not steps.is_done(steps.all[key])]:
        raise InputError(f"expected {', '.join(missing)} to be finished before {step.key}; run that first")
    began = time.monotonic()
    running: list[_Running] = []
    with _stopped_by_term(), _ended(running):
        process = start(steps, step, config.threads or usable_cores())
        running.append(_Running(step, process, began))
        status = process.wait()
    if status == 0:
        steps.remember(step, time.monotonic() - began)
        return 0
    print(f"error: {step.key}: {last_line(steps.log(step))}; log: {steps.log(step)}", file=sys.stderr)
    return status if status > 0 else 128 - status


def start(steps: Steps, step: Step, threads: int) -> subprocess.Popen[bytes]:
    """Starts a step's command, which writes into its log, with that many threads. It ends with this process where the
    system can do that (Linux). InputError where the command cannot be started."""
    command, log = steps.command(step), steps.log(step)
    make_folder(log.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), THREADS_VARIABLE: str(threads)}
    try:
        with open(log, "ab") as file:
            file.write(f"$ {shlex.join(command)}\n".encode(errors="surrogateescape"))
            file.flush()
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True, preexec_fn=_die_with_parent(),
            )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"expected a program that starts with {command[0]}, found none ({error.strerror}); correct command in the "
            "manifest"
        ) from error


def _die_with_parent() -> Callable[[], None] | None:
    """What a new process does first, so that it is told to end when this one is killed; None where that is not known.

    The library is loaded here: between fork and exec as little as possible may happen.
    """
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(SET_DEATH_SIGNAL, signal.SIGTERM)


@contextlib.contextmanager
def _stopped_by_term() -> Iterator[None]:
    """SIGTERM ends the batch as Ctrl-C does, so that its steps end as well."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:
        # Not the main thread, which alone hears signals.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _ended(running: list[_Running]) -> Iterator[None]:
    """Ends the processes that still run when the block is left, and theirs."""
    try:
        yield
    finally:
        for job in running:
            _signal(job.process, signal.SIGTERM)
        for job in running:
            try:
                job.process.wait(END_S)
            except subprocess.TimeoutExpired:
                _signal(job.process, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.terminate()


def last_line(log: Path) -> str:
    """What a command said last."""
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LAST_LINE_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return "no log"
    return as_one_line(next((line for line in reversed(lines) if line.strip()), "it said nothing"))


def table(steps: Steps, outcome: Outcome) -> str:
    """The states of all steps, a line a sequence and a union, and why those failed that did."""
    rows: list[tuple[str, ...]] = [("id", "preprocess", "track", "export")]
    for name in steps.sequences:
        words = (
            outcome.word(key) if (key := f"{name}.{step}") in steps.all else "-"
            for step in ("preprocess", "track", "export")
        )
        rows.append((name, *words))
    lines = aligned(rows)
    lines += [f"person {step.target}: {outcome.word(key)}" for key, step in steps.all.items() if step.name == "person"]
    lines += [f"union of {step.target}: {outcome.word(key)}" for key, step in steps.all.items() if step.name == "union"]
    for key, why in outcome.failed.items():
        lines += [f"{key}: {why}", f"  {steps.log(steps.all[key])}"]
    counts = (
        f"{len(outcome.done)} done, {len(outcome.earlier)} finished before, {len(outcome.failed)} failed, "
        f"{len(outcome.blocked)} wait for these, of {len(steps.all)} steps"
    )
    return "\n".join([*lines, counts])


def steps_to_check(manifest: Manifest) -> list[list[str]]:
    """The words of one step of every kind with the same options: what tells whether the options exist."""
    steps, found = Steps(manifest), {}
    for step in steps.all.values():
        if step.name == "person":
            # It has the options of tracking, of the recording's own kind.
            continue
        entry = steps.sequences.get(step.target)
        key = (step.name, entry and entry.kind, entry and getattr(entry.options, step.name))
        if key not in found:
            found[key] = steps.words(step, with_identity=False)
    return list(found.values())
