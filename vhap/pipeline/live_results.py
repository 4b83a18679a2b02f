"""What a live run gives out for each frame, and who takes it: CSV, JSON lines, packets, an overlay."""

from __future__ import annotations

import csv
import json
import socket
import threading
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from vhap.evaluate.video import VideoWriter
from vhap.export.blendshapes import timecode
from vhap.export.live_link_face import COLUMNS, frame_curves, has_curves, packet
from vhap.fit.online_person import FollowedPerson
from vhap.fit.params import PER_FRAME, TrackParams
from vhap.pipeline.live_overlay import draw_overlay
from vhap.pipeline.live_sources import LiveFrame
from vhap.util.errors import InputError, shown
from vhap.util.files import make_folder

PLACE = ("HeadX", "HeadY", "HeadZ")


@dataclass(frozen=True)
class LiveResult:
    """One frame as it is given out. params: its unknowns and the person's; None where there is no head. person: who was
    followed; version: how often the person had become better by then. pictures: whether the picture counted."""

    frame: LiveFrame
    params: TrackParams | None
    person: FollowedPerson
    version: int
    pictures: bool = False

    @property
    def found(self) -> bool:
        return self.params is not None

    def curves(self) -> np.ndarray | None:
        """(61,) in the order of COLUMNS; None where there is no head."""
        if self.params is None:
            return None
        return frame_curves(self.person.problem.head.expr_names, self.params.head())


class Sink(Protocol):
    """Takes every frame in order; close is called once, however the run ends."""

    def write(self, result: LiveResult) -> None: ...

    def close(self) -> None: ...


class CsvSink:
    """Head pose and curves. Of a head without ARKit's names the angles alone. A frame without a head is a row whose
    BlendShapeCount is 0 and whose values are empty."""

    def __init__(self, path: Path, fps: Fraction, with_curves: bool) -> None:
        self.fps = float(fps)
        self.first = 0 if with_curves else len(COLUMNS) - 9
        self.file = _opened(path)
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.rows.writerow(["Timecode", "BlendShapeCount", *COLUMNS[self.first :], *PLACE])

    def write(self, result: LiveResult) -> None:
        curves, width = result.curves(), len(COLUMNS) - self.first + len(PLACE)
        values = [""] * width
        if curves is not None and result.params is not None:
            numbers = [*curves[self.first :], *result.params.translation[0].tolist()]
            values = [f"{value:.6f}" for value in numbers]
        count = 0 if curves is None else len(COLUMNS) - self.first
        self.rows.writerow([timecode(result.frame.time_s, self.fps), count, *values])
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class JsonLinesSink:
    """The head model's own parameters."""

    def __init__(self, path: Path) -> None:
        self.file = _opened(path)
        self.version = -1

    def write(self, result: LiveResult) -> None:
        frame, params = result.frame, result.params
        line: dict[str, Any] = {"frame": frame.number, "time_s": round(frame.time_s, 6), "found": result.found}
        if params is not None:
            line |= {"pictures": result.pictures, "person": result.version}
            line |= {name: _rounded(getattr(params, name)[0]) for name in PER_FRAME}
            if self.version != result.version:
                # Only where it has changed: it is as long as a frame.
                person, self.version = result.person.person, result.version
                line |= {"shape": _rounded(person.shape), "focal_length": float(person.focal_length)}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _rounded(values) -> list[float]:
    return [round(value, 6) for value in values.tolist()]


class UdpSink:
    """A packet a frame. Nobody has to listen. Of a head without ARKit's names the curves stay 0."""

    def __init__(self, address: tuple[str, int], subject: str, fps: Fraction) -> None:
        self.address, self.subject, self.fps = address, subject, fps
        self.device = str(uuid.uuid4()).upper()
        try:
            family = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0][0]
        except OSError as error:
            raise InputError(
                f"expected a host that is known for --udp, found {shown(address[0])} ({error.strerror}); correct it"
            ) from error
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.lost = 0

    def write(self, result: LiveResult) -> None:
        data = packet(self.device, self.subject, result.frame.time_s, self.fps, result.curves())
        try:
            self.socket.sendto(data, self.address)
        except OSError:
            # As a packet on its way would be: the run goes on.
            self.lost += 1

    def close(self) -> None:
        self.socket.close()


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 host in brackets. InputError on others."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"expected HOST:PORT for --udp, as 127.0.0.1:11111, found {shown(text)}; correct it")
    return host, int(port)


class OverlaySink:
    """The overlay as an mp4, and the newest picture of it for a window."""

    def __init__(self, path: Path | None, fps: Fraction) -> None:
        self._stack = ExitStack()
        self._writer = self._stack.enter_context(VideoWriter(path, float(fps))) if path else None
        self._newest: np.ndarray | None = None
        self._lock = threading.Lock()

    def write(self, result: LiveResult) -> None:
        picture = draw_overlay(result.frame.picture, result.params, result.person, result.curves())
        if self._writer is not None:
            self._writer.add(picture)
        with self._lock:
            self._newest = picture

    def take(self) -> np.ndarray | None:
        """The picture since the last call, None where there is no new one."""
        with self._lock:
            picture, self._newest = self._newest, None
        return picture

    def close(self) -> None:
        if self._writer is None or self._writer.count:
            self._stack.close()
        else:
            # Nothing was filmed: no file.
            self._stack.pop_all()


def _opened(path: Path) -> IO[str]:
    make_folder(path.parent)
    return open(path, "w", encoding="utf-8", newline="")


def warn_of_curves(expr_names: tuple[str, ...], head: str, asked: list[str]) -> str | None:
    """The line for outputs of curves that a head cannot give; None where it can, or where none was asked for."""
    if not asked or has_curves(expr_names):
        return None
    return (
        f"{' and '.join(asked)}: the expressions of {head} have no ARKit names, so that only the head's and the eyes' "
        "rotations go out; --head ict or --head builtin has them"
    )
