"""Time on a page: a slider, a button that plays, and how fast."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vhap.util.choice import even_choice
from vhap.util.log import get_logger

if TYPE_CHECKING:
    from viser import ViserServer

FRAMES_A_SECOND, FASTEST = 10, 60
MOST_MARKS = 60
"""On the slider, of lost frames."""


class Timeline:
    """Calls `show(row)` whenever another row is to be seen, one call at a time.

    names: of the rows, at least one. lost: row -> why it shows nothing of the head. A row that was passed over while
    another one was drawn is not drawn.
    """

    def __init__(
        self, server: ViserServer, names: Sequence[str], show: Callable[[int], None], lost: Mapping[int, str]
    ) -> None:
        self.names, self.show, self.lost = names, show, lost
        self.lock = threading.RLock()
        self.shown: int | None = None
        self._state = threading.Condition()
        self._is_playing = self._is_stopped = False
        several = len(names) > 1
        rows = sorted(lost)
        marks = tuple(rows[index] for index in even_choice(len(rows), MOST_MARKS))
        with server.gui.add_folder("Time", visible=several or bool(lost)):
            hint = f"{len(rows)} lost frames are marked" if rows else None
            self.slider = server.gui.add_slider("frame", 0, len(names) - 1, 1, 0, marks=marks or None, hint=hint)
            self.text = server.gui.add_markdown("")
            self.button = server.gui.add_button("Play", visible=several)
            self.rate = server.gui.add_slider(
                "frames a second", 1, FASTEST, 1, FRAMES_A_SECOND, visible=several, hint="at most, while playing"
            )
            self.next_lost = server.gui.add_button("Next lost frame", visible=bool(rows))
        self.slider.on_update(lambda _: self._follow())
        self.button.on_click(lambda _: self.pause() if self._is_playing else self.play())
        self.next_lost.on_click(lambda _: self._to_next_lost())
        self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)
        self._thread.start()

    @property
    def row(self) -> int:
        return int(self.slider.value)

    def refresh(self) -> None:
        """Shows the row again, as after an option has changed."""
        with self.lock:
            self.shown = None
            self._follow()

    def play(self) -> None:
        self._set_playing(True)

    def pause(self) -> None:
        self._set_playing(False)

    def stop(self) -> None:
        """Ends the thread that plays."""
        with self._state:
            self._is_stopped = True
            self._state.notify_all()
        self._thread.join()

    def _set_playing(self, is_playing: bool) -> None:
        self.button.label = "Pause" if is_playing else "Play"
        with self._state:
            self._is_playing = is_playing
            self._state.notify_all()

    def _follow(self) -> None:
        with self.lock:
            row = self.row
            if row == self.shown:
                return
            self.shown = row
            reason = self.lost.get(row)
            self.text.content = f"`{self.names[row]}`" + ("" if reason is None else f" **lost: {reason}**")
            self.show(row)

    def _to_next_lost(self) -> None:
        rows = sorted(self.lost)
        self.slider.value = next((row for row in rows if row > self.row), rows[0])

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._is_playing or self._is_stopped)
                if self._is_stopped:
                    return
            began = time.monotonic()
            try:
                self.slider.value = (self.row + 1) % len(self.names)
            except Exception:
                # A picture that has gone must not end playing for good without a word.
                get_logger().exception("frame %s could not be shown", self.names[self.row])
                self.pause()
            with self._state:
                self._state.wait_for(
                    lambda: self._is_stopped, timeout=max(0.0, 1 / self.rate.value - (time.monotonic() - began))
                )
