"""Python in the documents: that of doc/library.md runs, in order; what other pages import is there."""

from __future__ import annotations

import ast
import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vhap import api

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "doc" / "library.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md"))]
FENCE = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    return [text for _, text in FENCE.findall(page.read_text(encoding="utf-8"))]


@pytest.fixture
def log_as_it_was() -> Iterator[None]:
    """The page shows how to set the logger up."""
    root, own = logging.getLogger(), logging.getLogger("vhap")
    level, handlers = own.level, list(root.handlers)
    yield
    own.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.usefixtures("log_as_it_was")
def test_the_library_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mediapipe", reason="the page preprocesses a video")
    film = api.make_synthetic_capture(tmp_path / "film" / "anna", frames=2, size=192, landmark_source="face-alignment")
    shutil.copy(film.with_suffix(".mp4"), tmp_path / "anna.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "library_page"}
    page = LIBRARY.read_text(encoding="utf-8")
    for text in blocks(LIBRARY):
        # Lines of the page, so that a traceback names them.
        above = page[: page.index(text)].count("\n")
        exec(compile("\n" * above + text, str(LIBRARY), "exec"), names)
    assert names["made"].shape == (192, 192, 4)
    assert names["vertices"].shape[0] == 2
    assert names["events"]
    assert names["given"] is None
    assert (tmp_path / names["dataset"] / "transforms_train.json").is_file()
    assert api.load_head("file", head_path=names["path"]).name == "anna"
    assert len(api.open_run(tmp_path / "output" / "first")) == 1


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_what_is_imported_is_there(page: Path) -> None:
    for text in blocks(page):
        tree = ast.parse(text)
        imports: list[ast.stmt] = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(compile(ast.Module(imports, []), str(page), "exec"), {})
