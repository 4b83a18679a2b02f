"""The house's rules: imports run one way, entry scripts are light, option values and losses belong together."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "vhap"
LAYERS = (
    ("util", "config", "geometry"),
    ("head", "render", "data"),
    ("detect", "synthetic"),
    ("fit", "export"),
    ("evaluate",),
    ("nersemble", "relightable", "viewer"),
    ("pipeline",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# config describes options in terms of util's files and errors; nothing else in the lowest layer is shared.
ALLOWED_WITHIN_LAYER = {("config", "util")}
SCRIPTS = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem not in ("__init__", "__main__", "api", "cli"))


def imported_rooms(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if room not in LEVEL:
        return
    ours = {name.split(".")[1] for name in imported_rooms(path) if name.startswith("vhap.")} - {room}
    higher = {other for other in ours if other not in LEVEL or LEVEL[other] >= LEVEL[room]}
    assert not {other for other in higher if (room, other) not in ALLOWED_WITHIN_LAYER}


def test_heavy_and_guarded_libraries_stay_in_their_rooms() -> None:
    assert len(modules()) > 200
    for path in modules():
        names = {name.split(".")[0] for name in imported_rooms(path)}
        relative = path.relative_to(PACKAGE)
        assert "tyro" not in names or len(relative.parts) == 1, f"{relative} imports tyro"
        assert "nvdiffrast" not in names or str(relative) == "render/nvdiffrast.py", f"{relative} imports nvdiffrast"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_does_not_load_torch(script: str) -> None:
    program = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(PACKAGE / (script + '.py'))!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'cv2', 'mediapipe', 'scipy', 'warp', 'trimesh'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]


def test_every_weight_is_read_by_the_estimator() -> None:
    from vhap.config.track import LossWeightConfig

    rules = {"always_enable_jawline_landmarks"}
    names = {field.name for field in dataclasses.fields(LossWeightConfig)} - rules
    weights = {name for name in names if not name.endswith(("_for", "_relax_coef"))}
    files = (PACKAGE / "fit").rglob("*.py")
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    read = {node.value for node in nodes if isinstance(node, ast.Constant)}
    read |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert weights <= read, f"weights without a term: {weights - read}"


def test_sizes_stay_readable() -> None:
    assert len(modules()) > 200
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 450, f"{path} has over 450 lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert (node.end_lineno or 0) - node.lineno < 70, f"{path}:{node.name} has over 70 lines"
