"""A head followed as fast as a camera films it: opens camera, person and outputs, runs the threads, saves what came."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from vhap.config.live import LiveConfig
from vhap.config.loading import save_config
from vhap.config.track import ModelConfig
from vhap.data.run_order import new_run_folder
from vhap.fit.online import OnlineSolver
from vhap.fit.online_person import FollowedPerson, OnlinePerson, Studio
from vhap.fit.params import as_vectors
from vhap.pipeline.live_faces import VideoFaces
from vhap.pipeline.live_person import known_person, model_of, new_person, save_person
from vhap.pipeline.live_results import (
    CsvSink,
    JsonLinesSink,
    OverlaySink,
    Sink,
    UdpSink,
    parse_address,
    warn_of_curves,
)
from vhap.pipeline.live_sources import Source, VideoSource, open_camera
from vhap.pipeline.live_threads import Follower, LiveRun
from vhap.pipeline.live_track import FollowedFrames, FollowedVideo
from vhap.pipeline.live_worker import PersonWorker, WorkOrder
from vhap.pipeline.video_source import recording_of
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.util.errors import InputError
from vhap.util.files import write_json
from vhap.util.log import get_logger
from vhap.util.threads import get_threads, one_torch_thread, set_threads
from vhap.util.versions import versions

STOPPING = (signal.SIGINT, signal.SIGTERM)
TITLE = "vhap live (q ends)"
TICK_S = 0.02
QUIT_KEYS = (ord("q"), 27)


def run(config: LiveConfig, source: Source | None = None, follower: Follower | None = None) -> Path:
    """Follows until the source ends, or until the window is closed, Ctrl-C or SIGTERM. Returns the run folder.

    What --prepare asks for is the caller's (`live_start.py`). source, follower: take the place of the options' camera
    and of the detector; whoever gives them closes them. Raises InputError where something cannot be opened, and, after
    everything was saved, where the camera disappeared or the video broke.
    """
    address = check_options(config)
    source = source or open_source(config)
    person, model = known_person(config.person) if config.person else (None, model_of(config))
    identity_known = person is not None
    person = person or new_person(model)
    size = source.size
    if config.fx is not None:
        person = replace(person, focal_length=torch.tensor([config.fx / max(size)]))
    folder = new_run_folder(config.output_folder)
    write_json(folder / "versions.json", versions())
    sinks, overlay = open_sinks(config, source.fps, person, address)
    with kernels_on_one_thread():
        head = person.head
        studio = Studio(size, get_backend("auto"), build_topology(head.faces, head.uv_faces), config.fx is not None)
        followed = FollowedPerson.of(person, studio, config.pictures)
        follower = follower or open_follower()
        warm_up(None if isinstance(follower, VideoFaces) else follower, followed, size)
        worker = worker_of(config, identity_known, person, studio)
        video = followed_video(config, source, model, studio)
        frames = FollowedFrames()
        live = LiveRun(
            source=source,
            follower=follower,
            person=followed,
            studio=studio,
            lag=config.lag,
            pictures=config.pictures,
            sinks=[*sinks, frames] if video else sinks,
            worker=worker,
            on_better=lambda improved: None if video else save_person(folder, model, improved, size),
        )
        live.start()
        try:
            how = watch(live, overlay if config.window else None)
            live.wait()
            finish(live, folder, config, how, lambda: video is not None and video.save(folder, frames, live.followed))
        finally:
            if worker is not None:
                worker.close()
    if live.failure is not None:
        raise live.failure
    return folder


def check_options(config: LiveConfig) -> tuple[str, int] | None:
    """InputError where options contradict each other; the address of --udp."""
    if config.video is not None and config.camera is not None:
        raise InputError("expected --camera or --video, found both; leave one of them out")
    if config.pace is not None and config.video is None:
        raise InputError("expected --pace with --video, found a camera, which has a pace of its own; leave it out")
    if config.prepare and (config.video is None or config.person is None):
        raise InputError(
            "expected --video and --person with --prepare, found it without; add them, or leave --prepare out"
        )
    if config.window and not has_window():
        raise InputError(
            "expected an OpenCV with windows for --window, found one without (opencv-python-headless); write the "
            "overlay into a file with --overlay, or pip install opencv-python in place of it"
        )
    return parse_address(config.udp) if config.udp else None


def followed_video(config: LiveConfig, source: Source, model: ModelConfig, studio: Studio) -> FollowedVideo | None:
    """The run of all frames of --video by --person that is to be written; None without both."""
    if config.video is None or config.person is None:
        return None
    fps = source.own_fps if isinstance(source, VideoSource) else source.fps
    return FollowedVideo(recording_of(config.video, float(fps)), config.person, model, studio)


def has_window() -> bool:
    """Whether OpenCV was built with a GUI."""
    lines = (line.split(":", 1) for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:"))
    return any(value.strip().upper() != "NONE" for _, value in lines)


def open_source(config: LiveConfig) -> Source:
    """The camera, or the video in its place."""
    if config.video is None:
        return open_camera(config.camera or 0)
    if config.pace == "own":
        return VideoSource(config.video, None, own_pace=True)
    return VideoSource(config.video, None if config.pace is None else Fraction(config.pace).limit_denominator(1001))


def open_follower() -> Follower:
    """MediaPipe's networks, following one face from frame to frame."""
    from vhap.detect.following import FaceFollower

    return FaceFollower()


def open_sinks(
    config: LiveConfig, fps: Fraction, person: OnlinePerson, address: tuple[str, int] | None
) -> tuple[list[Sink], OverlaySink]:
    """Those that were asked for, packets first; and the overlay, which counts only where it is asked for."""
    names, asked = person.head.expr_names, [f"--{name}" for name in ("csv", "udp") if getattr(config, name)]
    line = warn_of_curves(names, person.head.name, asked)
    if line:
        get_logger().warning(line)
    sinks: list[Sink] = [UdpSink(address, config.subject, fps)] if address else []
    sinks += [CsvSink(config.csv, fps, line is None)] if config.csv else []
    sinks += [JsonLinesSink(config.jsonl)] if config.jsonl else []
    overlay = OverlaySink(config.overlay, fps)
    return sinks + ([overlay] if config.overlay or config.window else []), overlay


def worker_of(config: LiveConfig, identity_known: bool, person: OnlinePerson, studio: Studio) -> PersonWorker | None:
    """What estimates the person while frames come: everything of a new one; of a known one the albedo, where it is not
    known or of another light."""
    if identity_known and not config.pictures:
        return None
    return PersonWorker(
        WorkOrder(person, studio.size, studio.known_focal, identity_known, config.pictures), not identity_known
    )


@contextmanager
def kernels_on_one_thread() -> Iterator[None]:
    """Kernels on the thread that calls them: the stages of a live run are threads already."""
    before = get_threads()
    set_threads(1)
    try:
        with one_torch_thread():
            yield
    finally:
        set_threads(before)


@torch.no_grad()
def warm_up(follower: Follower | None, person: FollowedPerson, size: tuple[int, int]) -> None:
    """Everything once, on an empty picture, before the first frame: networks and kernels are loaded when they are first
    used. follower: None where another process finds faces."""
    empty = np.zeros((*size, 3), np.uint8)
    square = np.stack(np.meshgrid(*(np.linspace(side / 4, side / 2, 22) for side in size[::-1])), -1).reshape(-1, 2)
    if follower is not None:
        follower.follow(empty, -1.0, square[:478])
    solver = OnlineSolver(person.problem, person.params, lag=0)
    pixels = solver.problem.project(*as_vectors(solver.params))[0, 0]
    looks = person.pictures
    look = None if looks is None else lambda problem: looks.look(empty, problem).equations
    for index in range(2):
        solver.add(index / 25, pixels, torch.ones(len(pixels)), None, look)


def watch(live: LiveRun, overlay: OverlaySink | None) -> str:
    """Waits for the end, and shows the window. Returns what ended the run."""
    with stopping_on_signals() as signalled:
        while not live.ended.wait(TICK_S):
            if signalled:
                live.stop()
                return "stopped"
            if overlay is not None and not _shown(overlay):
                live.stop()
                return "window closed"
    return "the end of the source" if live.failure is None else "an error"


def _shown(overlay: OverlaySink) -> bool:
    picture = overlay.take()
    if picture is not None:
        cv2.imshow(TITLE, picture[..., ::-1])
    return cv2.waitKey(1) & 0xFF not in QUIT_KEYS


@contextmanager
def stopping_on_signals() -> Iterator[list[int]]:
    """The numbers of Ctrl-C and SIGTERM as they come, in the place of what they do else. Outside the main thread
    nothing is changed."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in STOPPING}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(live: LiveRun, folder: Path, config: LiveConfig, how: str, save_frames: Callable[[], bool]) -> None:
    """Saves the person, or all frames, and what was measured, and says so. save_frames(): whether there is a run of
    them."""
    log = get_logger()
    if live.worker is not None and live.lacks_an_estimate:
        log.info("estimating the person")
        live.improve(at_end=True)
    if not save_frames() and live.person.improved is None:
        save_config(folder / "live.yml", config)
    found = summary(live, how)
    write_json(folder / "live.json", found)
    log.info(
        "%s after %d frames: %d given out, %d without a head, %d dropped (%.1f %%); latency %.0f ms (median), "
        "%.0f ms (99 %% of frames)",
        how,
        found["captured"], found["given_out"], found["without_head"], found["dropped"],
        100 * found["dropped"] / max(1, found["captured"]), found["latency_ms"]["median"], found["latency_ms"]["p99"],
    )  # fmt: skip


def summary(live: LiveRun, how: str) -> dict:
    """What live.json holds."""
    timing = live.timing
    return {
        "ended_by": how,
        "captured": live.captured,
        "given_out": timing.given_out,
        "without_head": timing.lost,
        "dropped": live.taken.dropped,
        "with_pictures": timing.with_pictures,
        "estimates_of_the_person": live.person.version,
        "frames_per_second": timing.frames_per_second,
        "latency_ms": milliseconds(timing.latency),
        "detection_ms": milliseconds(timing.detection),
        "solving_ms": milliseconds(timing.solving),
    }


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile; 0 of nothing."""
    if not seconds:
        return {"median": 0.0, "p99": 0.0}
    return {"median": float(np.median(seconds) * 1e3), "p99": float(np.percentile(seconds, 99) * 1e3)}
