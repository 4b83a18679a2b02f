"""A page in headless Chromium, with WebGL in software: what it shows, and what it answers."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
SECONDS = 60


class Page:
    """One tab, driven by the protocol of Chromium's developer tools."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.errors: list[str] = []
        self.number = 0
        self.ask("Page.enable")
        self.ask("Runtime.enable")

    def ask(self, method: str, **params: Any) -> dict:
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=SECONDS))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(answer["params"]["exceptionDetails"])[:500])
            if answer.get("id") == self.number:
                return answer.get("result", {})

    def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return found.get("result", {}).get("value")

    def wait_for(self, script: str, seconds: float = SECONDS) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.run(script):
            if time.monotonic() > end:
                raise TimeoutError(f"{script} did not become true")
            time.sleep(0.2)

    def picture_once(self, holds: Callable[[np.ndarray], bool], seconds: float = SECONDS) -> np.ndarray:
        """What the tab shows as soon as that is as expected."""
        end = time.monotonic() + seconds
        while not holds(picture := self.picture()):
            if time.monotonic() > end:
                raise TimeoutError("the tab does not show what was expected")
            time.sleep(0.3)
        return picture

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 of what the tab shows."""
        data = self.ask("Page.captureScreenshot", format="png")["data"]
        return np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@contextlib.contextmanager
def opened(browser: str, url: str, profile: Path, size: tuple[int, int] = (1280, 800)) -> Iterator[Page]:
    """A tab that shows url. size: width and height of the window; profile: a folder that is not there yet."""
    from websockets.sync.client import connect

    options = ["--headless", "--no-sandbox", "--no-first-run", f"--window-size={size[0]},{size[1]}", *WEBGL]
    options += [f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
    # Debian's command is a script: to end it alone would leave the browser running.
    running = subprocess.Popen([browser, *options], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        with connect(_address(profile), max_size=None) as socket:
            page = Page(socket)
            page.ask("Page.navigate", url=url)
            yield page
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _address(profile: Path) -> str:
    """Of the first tab's socket."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            port = int((profile / "DevToolsActivePort").read_text().split()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                return next(tab["webSocketDebuggerUrl"] for tab in json.load(answer) if tab["type"] == "page")
        time.sleep(0.1)
    raise TimeoutError("Chromium did not start")
