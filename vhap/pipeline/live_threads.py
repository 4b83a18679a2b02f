"""The threads of a live run, each with one torch thread: frames come in, faces are found, heads are solved, results
go out. A fifth one waits for the process that estimates the person again (live_worker.py).

    source -> taken -> [find faces] -> faces -> [solve heads] -> solved -> [give out]
               newest wins            waits                     waits
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vhap.fit.online import PICTURE_ROUNDS, Due, FrameEquations, Look, OnlineSolver
from vhap.fit.online_keys import KeyFrame, KeyFrames
from vhap.fit.online_person import FollowedPerson, ImprovedPerson, OnlinePerson, Studio
from vhap.fit.params import TrackParams
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.pipeline.live_handover import Handover
from vhap.pipeline.live_person import Kept, compressed
from vhap.pipeline.live_results import LiveResult, Sink
from vhap.pipeline.live_sources import LiveFrame, Source
from vhap.util.choice import even_choice
from vhap.util.log import get_logger
from vhap.util.threads import one_torch_thread

WAITING_RESULTS = 8
OLD, TOO_OLD = 0.6, 1.5
"""Ages of a live frame when it is to be solved, in times between frames: beyond the first its picture is looked at once
only, beyond the second it is solved by its landmarks alone."""
FILE_ROUNDS = 3
"""Times that the picture of a frame is looked at that need not be in time."""
BEGINNING = 2
"""So many times as often where no frame went before: landmarks alone are centimetres off in its distance, and the next
frames lean on it."""
KEY_STEP = 2
"""Every so manieth frame may become a key frame."""
FIRST_S, GROWTH, FEWEST = 0.5, 2.0, 4
"""The person is estimated after so many seconds of frames, then after times that grow by this factor, where there are
that many key frames."""
PICTURES_S, FIRST_BY_PICTURES = 2.0, 8
"""Before that landmarks alone say who it is: so few frames differ too little for pictures. The first time that pictures
do it is by so many of them."""


class Face(Protocol):
    """points (478, 3) px; confidence (478,) in [0, 1]; is_new: the frames before say nothing of where
    it is."""

    @property
    def points(self) -> np.ndarray: ...
    @property
    def confidence(self) -> np.ndarray: ...
    @property
    def is_new(self) -> bool: ...


UNLIKE = 25
"""So many frames on end that are not as the known albedo has them: the light is another one."""
DOUBT_S = 0.4
"""A face whose picture has ceased to be as the known albedo has it counts as none for so long: something is before it,
or it is none. After that the light is another one."""
BY_SOME = -1
"""In place of the count of changes: the person has been estimated by some key frames only."""


class Worker(Protocol):
    @property
    def known_identity(self) -> bool: ...

    def improve(
        self, person: OnlinePerson, frames: Sequence[KeyFrame], with_pictures: bool = ...
    ) -> ImprovedPerson | None: ...


class Follower(Protocol):
    def follow(self, picture: np.ndarray, time_s: float, predicted: np.ndarray | None) -> Face | None: ...


@dataclass(frozen=True)
class FoundFace:
    frame: LiveFrame
    face: Face | None
    seconds: float


@dataclass
class Timing:
    """Seconds of every frame: until it was given out, and of single parts. first_s, last_s: when the first and
    the last frame were given out, on the clock time.perf_counter."""

    first_s: float = 0.0
    last_s: float = 0.0
    latency: list[float] = field(default_factory=list)
    detection: list[float] = field(default_factory=list)
    solving: list[float] = field(default_factory=list)
    lost: int = 0
    with_pictures: int = 0
    given_out: int = 0

    @property
    def frames_per_second(self) -> float:
        """How fast frames were given out, from the first one on; 0 of fewer than two."""
        seconds = self.last_s - self.first_s
        return (self.given_out - 1) / seconds if seconds > 0 else 0.0


@dataclass
class Person:
    """The newest estimate, which one thread makes and another takes. fresh: not taken yet."""

    followed: FollowedPerson
    improved: ImprovedPerson | None = None
    version: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def better(self, followed: FollowedPerson, improved: ImprovedPerson) -> None:
        with self.lock:
            self.followed, self.improved, self.version = followed, improved, self.version + 1

    def newest(self) -> tuple[FollowedPerson, int]:
        with self.lock:
            return self.followed, self.version


class LiveRun:
    """All threads of a run. run() returns when the source has ended, or after `stop`; what went wrong is in `failure`.

    worker: estimates the person again, None where everything is known; on_better(improved): called then.
    """

    def __init__(
        self,
        source: Source,
        follower: Follower,
        person: FollowedPerson,
        studio: Studio,
        lag: int,
        pictures: bool,
        sinks: Sequence[Sink],
        worker: Worker | None,
        on_better: Callable[[ImprovedPerson], None] = lambda improved: None,
    ) -> None:
        self.source, self.follower, self.studio = source, follower, studio
        self.pictures, self.sinks = pictures, sinks
        self.worker, self.on_better = worker, on_better
        self.person, self.keys, self.timing = Person(person), KeyFrames(), Timing()
        self.solver = OnlineSolver(person.problem, person.params, lag)
        self.taken: Handover[LiveFrame] = Handover(1, newest_wins=source.is_live)
        self.faces: Handover[FoundFace] = Handover(1)
        self.solved: Handover[LiveResult] = Handover(WAITING_RESULTS)
        self.stopped, self.ended = threading.Event(), threading.Event()
        self.failure: BaseException | None = None
        self.captured, self.seconds, self._changes, self.unlike = 0, 0.0, 0, 0
        self._fits = False
        self._doubtful_s: float | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work, before, after), name=f"vhap-live-{name}", daemon=True)
            for name, work, before, after in (
                ("source", self._take, None, self.taken),
                ("faces", self._find, self.taken, self.faces),
                ("heads", self._solve, self.faces, self.solved),
                ("results", self._give_out, self.solved, None),
                ("person", self._improve, None, None),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No more frames are taken; those on their way are given out."""
        self.stopped.set()

    def wait(self) -> None:
        """Until all threads have ended."""
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[], None], before: Handover | None, after: Handover | None) -> None:
        """One thread, which takes from `before` and hands to `after`. Where it fails the source stops, and what is
        behind it goes on with what it has got."""
        try:
            with one_torch_thread():
                work()
        except BaseException as error:
            self.failure = self.failure or error
            self.stopped.set()
            if before is not None:
                before.close()
        finally:
            if after is not None:
                after.close()

    def _take(self) -> None:
        for frame in self.source.frames(self.stopped):
            self.captured, self.seconds = frame.number + 1, frame.time_s
            if not self.taken.put(frame):
                return

    def _find(self) -> None:
        while (frame := self.taken.get()) is not None:
            begun = time.perf_counter()
            face = self.follower.follow(frame.picture, frame.time_s, None)
            seconds = time.perf_counter() - begun
            self.timing.detection.append(seconds)
            if not self.faces.put(FoundFace(frame, face, seconds)):
                return

    def _solve(self) -> None:
        before: Tensor | None = None
        followed, version = self.person.newest()
        while (found := self.faces.get()) is not None:
            begun = time.perf_counter()
            newest, newest_version = self.person.newest()
            if newest_version != version:
                self._put(self.solver.change(newest.problem, newest.params), followed, version)
                followed, version, self._fits = newest, newest_version, False
            if found.face is None or found.face.is_new:
                before, self._doubtful_s = None, None
                self._put(self.solver.flush(), followed, version)
            if found.face is None:
                self.solved.put(LiveResult(found.frame, None, followed, version))
                continue
            points = torch.from_numpy(np.column_stack([found.face.points[:, :2], found.face.confidence])).float()
            due = self._solved(found.frame, points, followed)
            if due is None:
                before = None
                self._put(self.solver.flush(), followed, version)
                self.solved.put(LiveResult(found.frame, None, followed, version))
                continue
            self._put(due, followed, version)
            if found.frame.number % KEY_STEP == 0 and self.worker is not None:
                self.keys.offer(found.frame.number, found.frame.time_s, points, before, partial(_kept, found.frame))
            before = points
            self.timing.solving.append(time.perf_counter() - begun)
        self._put(self.solver.flush(), followed, version)

    def _solved(self, frame: LiveFrame, points: Tensor, person: FollowedPerson) -> list[Due] | None:
        """One frame more; the frames that are due. None where its face is not believed: it is as if it had not come."""
        looks, times = person.pictures if self.pictures else None, FILE_ROUNDS
        if looks is not None and self.source.is_live:
            age = (time.perf_counter() - frame.taken_s) * float(self.source.fps)
            times = 1 if age > OLD else PICTURE_ROUNDS
            looks = None if age > TOO_OLD else looks
        if not self.solver.window:
            times *= BEGINNING
        seen = [False]

        def look(problem: LandmarkProblem) -> Look:
            assert looks is not None
            at_frame = looks.look(frame.picture, problem)

            def equations(of: TrackParams) -> FrameEquations | None:
                made = at_frame.equations(of)
                seen[0] = made is not None
                return made

            return equations

        chosen = points[person.ids]
        weight = chosen[:, 2] * person.share
        looking = None if looks is None else look
        pixels = chosen[:, :2].contiguous()
        earlier = self.solver.state()
        due = self.solver.add(frame.time_s, pixels, weight, (frame, seen), looking, times)
        if looks is not None:
            self.unlike = 0 if seen[0] else self.unlike + 1
            if self._is_doubtful(seen[0], frame.time_s):
                self.solver.restore(earlier)
                return None
        return due

    def _is_doubtful(self, fits: bool, time_s: float) -> bool:
        """Whether a face is not believed, by whether its picture is as the albedo has it, and those before were."""
        if fits or not self._fits:
            self._fits, self._doubtful_s = fits, None
            return False
        self._doubtful_s = time_s if self._doubtful_s is None else self._doubtful_s
        self._fits = time_s - self._doubtful_s < DOUBT_S
        return self._fits

    def _put(self, due: list[Due], person: FollowedPerson, version: int) -> None:
        for params, tag in due:
            frame, seen = tag
            self.solved.put(LiveResult(frame, params, person, version, seen[0]))

    def _give_out(self) -> None:
        timing = self.timing
        try:
            while (result := self.solved.get()) is not None:
                for sink in self.sinks:
                    sink.write(result)
                timing.last_s = time.perf_counter()
                timing.first_s = timing.first_s or timing.last_s
                timing.latency.append(timing.last_s - result.frame.taken_s)
                timing.given_out += 1
                timing.lost += not result.found
                timing.with_pictures += result.pictures
        finally:
            for sink in self.sinks:
                sink.close()
            self.ended.set()

    def _improve(self) -> None:
        """At times that grow, as long as the run goes on and new frames have come."""
        if self.worker is None:
            return
        due = FIRST_S
        while not self.ended.wait(0.05):
            if self.seconds < due or len(self.keys) < FEWEST or not self.has_new_frames or self.is_known:
                continue
            self.improve()
            due = max(GROWTH * due, self.seconds)

    @property
    def followed(self) -> OnlinePerson:
        """As they are known now."""
        return self.person.newest()[0].person

    @property
    def has_new_frames(self) -> bool:
        """Whether there are key frames that the person has not been estimated from."""
        return self.keys.changes != self._changes

    @property
    def lacks_an_estimate(self) -> bool:
        """Whether the run has ended before the person was estimated by all that it is to be estimated by."""
        if self.is_known:
            return False
        improved = self.person.improved
        by_pictures = improved is not None and improved.person.known is not None and self._changes != BY_SOME
        return self.has_new_frames and (improved is None or (self.pictures and not by_pictures))

    @property
    def is_known(self) -> bool:
        """Whether the person is known from an earlier run, in a light like today's, so that nothing is to be done."""
        identity = self.worker is not None and self.worker.known_identity
        return identity and self.person.newest()[0].person.known is not None and self.unlike < UNLIKE

    def improve(self, at_end: bool = False) -> None:
        """The person by the key frames as they are now. at_end: there will be no more."""
        assert self.worker is not None
        begun, self._changes = time.perf_counter(), self.keys.changes
        by_pictures = self.pictures and (at_end or self.seconds >= PICTURES_S)
        frames = self.keys.frames()
        current = self.person.newest()[0].person
        if by_pictures and current.known is None and not at_end:
            # A first estimate soon: by some of them.
            chosen = even_choice(len(frames), FIRST_BY_PICTURES)
            self._changes = self._changes if len(chosen) == len(frames) else BY_SOME
            frames = [frames[index] for index in chosen]
        improved = self.worker.improve(current, frames, by_pictures)
        if improved is None:
            return
        followed = FollowedPerson.of(improved.person, self.studio, self.pictures)
        self.unlike = 0
        self.person.better(followed, improved)
        self.on_better(improved)
        get_logger().info(
            "person estimated from %d frames in %.1f s, focal length %.2f",
            len(frames), time.perf_counter() - begun, float(improved.person.focal_length),
        )  # fmt: skip


def _kept(frame: LiveFrame) -> Kept:
    return compressed(frame.picture)
