"""Every example runs, on films of a few small frames, and gives what it promises."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vhap import api
from vhap.util.files import read_json

EXAMPLES = Path(__file__).parents[1] / "examples"
HELPER = "tiny"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != HELPER)
MOST_LINES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all examples, so that they share the film and its run."""
    return tmp_path_factory.mktemp("examples")


def has_run(done: Path, film: Path | None = None) -> None:
    """The head covers what the matte covers: the run's own, or that of a film."""
    run = api.open_run(done)
    alpha = run.picture(0).alpha if film is None else api.open_capture(film).load([0]).alpha
    assert alpha is not None
    head, matte = run.render(0)[..., 3] > 0.5, alpha[0] > 0.5
    assert float((head & matte).sum() / (head | matte).sum()) > 0.85


def has_run_of_its_video(done: Path) -> None:
    # MediaPipe mattes a rendered head badly, so the film's own matte counts.
    has_run(done, done.parents[2] / "films" / "video")


def has_own_head(done: Path) -> None:
    has_run(done)
    run = api.open_run(done)
    assert run.head.name == "wide_head"
    assert run.head.n_shape == api.load_head("builtin").n_shape + 1


def has_meshes(path: Path) -> None:
    with np.load(path) as arrays:
        assert arrays["vertices"].shape == (2, arrays["vertices"].shape[1], 3)
        assert arrays["faces"].max() < arrays["vertices"].shape[1]
        # The film is 128 x 128, and the head is in its middle.
        assert np.all(np.abs(arrays["pixels"].mean((0, 1)) - 64) < 30)


def has_different_pictures(target: Path) -> None:
    pictures = [np.asarray(Image.open(path)).astype(int) for path in sorted(target.glob("*.png"))]
    assert len(pictures) == 3
    assert all(picture.shape == (128, 128, 4) and 0.05 < (picture[..., 3] > 128).mean() < 0.9 for picture in pictures)
    assert all(np.abs(one - other).mean() > 1 for one, other in itertools.pairwise(pictures))


def has_dataset(union: Path) -> None:
    frames = [read_json(union / f"transforms_{part}.json")["frames"] for part in ("train", "val", "test")]
    assert sum(map(len, frames)) >= 4
    assert all((union / frame["file_path"]).is_file() for part in frames for frame in part)


def falls(losses: list[float]) -> None:
    assert losses[-1] < 0.9 * losses[0]


def is_small(error_mm: float) -> None:
    assert 0 < error_mm < 5


def is_one(runs: dict[str, Path]) -> None:
    assert list(runs) == ["anna"]
    has_run(runs["anna"])


CHECKS: dict[str, Callable[[Any], None]] = {
    "evaluate_against_truth": is_small,
    "gaussian_avatars": has_dataset,
    "meshes_to_numpy": has_meshes,
    "new_camera_path": has_different_pictures,
    "own_detector": has_run,
    "own_head": has_own_head,
    "own_loss": falls,
    "own_rig": has_run,
    "progress_and_stop": has_run,
    "relight_and_swap_texture": has_different_pictures,
    "several_videos": is_one,
    "track_video": has_run_of_its_video,
}


def test_there_is_a_check_for_each_and_a_line_in_the_list() -> None:
    assert sorted(CHECKS) == SCRIPTS
    listed = re.findall(r"^\| \[(.+?)\]\((.+?)\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted([*(f"{name}.py" for name in SCRIPTS), "notebook.ipynb"])
    assert all(name == link for name, link in listed)


@pytest.mark.parametrize("name", SCRIPTS)
def test_examples_are_short_and_say_what_they_are(name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert text.startswith('"""')
    assert f"python examples/{name}.py" in text.split('"""')[1]


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = set(sys.modules)
    try:
        CHECKS[name](importlib.import_module(name).main(folder=folder))
    finally:
        for module in {name, HELPER} - before:
            sys.modules.pop(module, None)


def test_the_notebook_runs_and_holds_no_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads((EXAMPLES / "notebook.ipynb").read_text())
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells:
        exec(compile("".join(cell["source"]), "notebook.ipynb", "exec"), names)
    has_run(names["done"])
