"""Estimates a live run's person in a process of its own, behind the others: in a thread it would hold Python's lock
while frames wait for it.

`python -m vhap.pipeline.live_worker` reads requests from its input and writes answers to its output. It ends with its
input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import IO, Any

from vhap.fit.online_keys import KeyFrame
from vhap.fit.online_person import ImprovedPerson, Improvement, OnlinePerson, Studio
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.util.own_process import end_process, own_output, receive, send, start_module
from vhap.util.threads import one_torch_thread, set_threads

BEHIND_NICE = 10


@dataclass(frozen=True)
class WorkOrder:
    """What stays the same in a run: person, whose head does; the rest as of Studio and Improvement."""

    person: OnlinePerson
    size: tuple[int, int]
    known_focal: bool
    known_identity: bool
    with_pictures: bool

    def improvement(self) -> Improvement:
        head = self.person.head
        topology = build_topology(head.faces, head.uv_faces)
        studio = Studio(self.size, get_backend("auto"), topology, self.known_focal)
        return Improvement(studio, self.known_identity, self.with_pictures)


class PersonWorker:
    """The process, from the parent's side. One thread at a time."""

    def __init__(self, order: WorkOrder, at_once: bool = False) -> None:
        """at_once: start the process now, else when it is first needed."""
        self.order, self.known_identity = order, order.known_identity
        self.process = self._started() if at_once else None

    def _started(self) -> subprocess.Popen[bytes]:
        process = start_module("vhap.pipeline.live_worker", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        send(process.stdin, self.order)
        return process

    def improve(
        self, person: OnlinePerson, frames: Sequence[KeyFrame], with_pictures: bool = True
    ) -> ImprovedPerson | None:
        """As `Improvement.of`; with_pictures: False leaves the pictures out this time. None too where the process has
        ended."""
        self.process = self.process or self._started()
        requests, answers = self.process.stdin, self.process.stdout
        assert requests is not None
        assert answers is not None
        try:
            send(requests, (_without_head(person), list(frames), with_pictures))
            answer = receive(answers)
        except OSError:
            return None
        if answer is None:
            return None
        state, params, found = answer
        return ImprovedPerson(replace(self.order.person, **state), frames, params, found)

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        if self.process is None:
            return
        end_process(self.process)


def _without_head(person: OnlinePerson) -> dict[str, Any]:
    return {field.name: getattr(person, field.name) for field in fields(person) if field.name != "head"}


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Until the requests end."""
    order = receive(requests)
    if order is None:
        return
    full = order.improvement()
    by_landmarks = replace(full, with_pictures=False)
    while (request := receive(requests)) is not None:
        state, frames, with_pictures = request
        person = replace(order.person, **state)
        made = (full if with_pictures else by_landmarks).of(person, frames)
        send(answers, None if made is None else (_without_head(made.person), made.params, made.found))


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(BEHIND_NICE)
    answers = own_output()
    set_threads(1)
    with one_torch_thread():
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
