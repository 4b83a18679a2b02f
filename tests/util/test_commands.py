"""Messages name commands in the way in which the running one was started."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vhap import cli
from vhap.util.commands import command
from vhap.util.paths import PACKAGE


@pytest.mark.parametrize(
    ("started", "module", "expected"),
    [
        ("/usr/local/bin/vhap", None, "vhap export-mesh"),
        (str(PACKAGE / "__main__.py"), "vhap.__main__", "python -m vhap export-mesh"),
        (str(PACKAGE / "track.py"), "vhap.track", "python -m vhap.export_mesh"),
        (str(PACKAGE / "track.py"), None, f"python {PACKAGE / 'export_mesh.py'}"),
        ("/home/user/track.py", None, "vhap export-mesh"),
        ("", None, "vhap export-mesh"),
    ],
)
def test_by_what_was_started(monkeypatch, started: str, module: str | None, expected: str) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    spec = None if module is None else SimpleNamespace(name=module)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=spec))
    assert command("export-mesh") == expected


def test_a_relative_path_stays_relative(monkeypatch) -> None:
    monkeypatch.chdir(PACKAGE.parent)
    monkeypatch.setattr(sys, "argv", ["vhap/track.py"])
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__spec__=None))
    assert command("export-mesh") == f"python {Path('vhap/export_mesh.py')}"


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ([str(PACKAGE / "combine_nerf_datasets.py")], f"`python {PACKAGE / 'export_as_nerf_dataset.py'}`"),
        (["-m", "vhap.combine_nerf_datasets"], "`python -m vhap.export_as_nerf_dataset`"),
        (["-m", "vhap", "combine-nerf-datasets"], "`python -m vhap export-as-nerf-dataset`"),
        (["-c", "import vhap.cli; vhap.cli.main()", "combine-nerf-datasets"], "`vhap export-as-nerf-dataset`"),
    ],
)
def test_in_a_real_message(tmp_path, start: list[str], expected: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    folders = ["--src_folders", str(tmp_path / "a"), str(tmp_path / "b"), "--tgt_folder", str(tmp_path / "c")]
    done = subprocess.run([sys.executable, *start, *folders], capture_output=True, text=True)
    assert done.returncode == 2
    assert expected in done.stderr


def test_named_commands_exist() -> None:
    named = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "command":
                named |= {word.value for word in node.args if isinstance(word, ast.Constant)}
    assert "preprocess-video" in named
    assert named <= set(cli.COMMANDS)
