"""What tests of several rooms share."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

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
        with subprocess.Popen([browser, *options, address], stderr=subprocess.DEVNULL) as running:
            try:
                answer = page_server.answers.get(timeout=SECONDS)
            finally:
                running.terminate()
        assert answer["errors"] == []
        return answer["value"]

    return ask
