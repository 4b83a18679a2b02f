"""What tests of several rooms share."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NoReturn

import pytest

import vhap  # noqa: F401  Before torch, which test files load first: else its threads spin (see vhap/__init__.py).
from vhap.util.errors import InputError

# Each process of pytest-xdist has its share of the cores: threads of one would wait for those of another. They inherit
# what the process that started them, which does not know of them yet, has set for itself.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    SHARE = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ["OMP_NUM_THREADS"] = str(max(SHARE, 1))

SLOW_S, LONGEST_UNMARKED_S = 20.0, 120.0
"""Seconds of processor time, with that of a test's processes: other work on the machine does not count. From the first
on a test is to be marked slow; beyond the second it fails in CI without the mark."""
PROCESSOR_SECONDS = "processor_seconds"

SECONDS = 90
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome", "chromium-browser")
WATCH = """<script>
const errors = [];
addEventListener('error', event => errors.push(String(event.message)));
addEventListener('unhandledrejection', event => errors.push(String(event.reason)));
</script>"""
ANSWER = """<script>
addEventListener('load', async () => {
  let value = null;
  try { value = await (async () => { %s })(); } catch (error) { errors.push(String(error)); }
  fetch('/', { method: 'POST', body: JSON.stringify({ errors, value }) });
});
</script></body>"""


def processor_seconds() -> float:
    """Of this process and of all that it started and that have ended."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    started = processor_seconds()
    yield
    seconds = processor_seconds() - started
    if "slow" not in item.keywords:
        item.user_properties.append((PROCESSOR_SECONDS, seconds))
        if seconds > LONGEST_UNMARKED_S and os.environ.get("CI"):
            pytest.fail(f"took {seconds:.0f} s of processor time: make it quicker, or mark it slow", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tests that should be marked slow."""
    reports = [report for found in terminalreporter.stats.values() for report in found if hasattr(report, "when")]
    unmarked = {
        report.nodeid: seconds
        for report in reports
        for name, seconds in getattr(report, "user_properties", ())
        if name == PROCESSOR_SECONDS and seconds > SLOW_S
    }
    if unmarked:
        terminalreporter.section("to be marked slow")
        for name, seconds in sorted(unmarked.items()):
            terminalreporter.write_line(f"{seconds:5.0f} s of processor time: {name}")


class PageServer(HTTPServer):
    """Gives one page and takes one answer."""

    page = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.answers: queue.Queue[dict] = queue.Queue()


class PageHandler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.page if self.path == "/" else b"")

    def do_POST(self) -> None:
        answer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.answers.put(answer)

    def log_message(self, *_) -> None:
        return None


@pytest.fixture
def page_server() -> Iterator[PageServer]:
    with PageServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session", autouse=True)
def skips_where_networks_are_missing() -> Iterator[None]:
    """Where files of MediaPipe's networks are not there, tests that come to ask for them are skipped."""
    from vhap.detect.networks import files

    with pytest.MonkeyPatch.context() as patch:
        try:
            for name in files.FILES:
                files.find_network(name)
        except InputError:
            patch.setattr(files, "find_network", skip_for_network)
        yield


def skip_for_network(name: str) -> NoReturn:
    pytest.skip(f"MediaPipe's network {name} is not there; vhap fetch-models gets it")


@pytest.fixture
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium on this machine; .ci/browser installs one on Debian")
    return found


@pytest.fixture
def in_browser(tmp_path: Path, browser: str, page_server: PageServer) -> Callable[..., object]:
    """(page, body of a script, hash="") -> what the script returns in headless Chromium, once the page has loaded and
    raised no error. The page is served from this machine, since `--dump-dom` does not wait for pictures to decode."""

    def ask(page: Path, script: str, hash: str = "") -> object:
        text = page.read_text(encoding="utf-8").replace("<head>", "<head>" + WATCH, 1)
        page_server.page = (ANSWER % script).join(text.rsplit("</body>", 1)).encode("utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1200,900"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0"]
        address = f"http://127.0.0.1:{page_server.server_port}/{hash}"
        # The command may be a script that starts the browser: both end with their group.
        with subprocess.Popen(
            [browser, *options, address], stderr=subprocess.DEVNULL, start_new_session=True
        ) as running:
            try:
                answer = page_server.answers.get(timeout=SECONDS)
            finally:
                os.killpg(running.pid, signal.SIGKILL)
        assert answer["errors"] == []
        return answer["value"]

    return ask
