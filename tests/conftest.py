"""What tests of several rooms share."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

WATCH = """<script>
const errors = [];
addEventListener('error', event => errors.push(String(event.message)));
addEventListener('unhandledrejection', event => errors.push(String(event.reason)));
</script>"""
ANSWER = """<pre id="answer"></pre><script>
addEventListener('load', async () => {
  let value = null;
  try { value = await (async () => { %s })(); } catch (error) { errors.push(String(error)); }
  document.getElementById('answer').textContent = JSON.stringify({ errors, value });
});
</script></body>"""


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[..., object]:
    """(page, body of a script, hash="", width=1200) -> what the script returns in headless Chromium, once the page has
    loaded and raised no error."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")

    def ask(page: Path, script: str, hash: str = "", width: int = 1200) -> object:
        text = page.read_text(encoding="utf-8").replace("<head>", "<head>" + WATCH, 1)
        watched = tmp_path / "watched.html"
        watched.write_text((ANSWER % script).join(text.rsplit("</body>", 1)), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        command += [f"--window-size={width},900", "--virtual-time-budget=10000", "--dump-dom", watched.as_uri() + hash]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        found = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found is not None, done.stdout[-500:]
        answer = json.loads(html.unescape(found.group(1)))
        assert answer["errors"] == []
        return answer["value"]

    return ask
