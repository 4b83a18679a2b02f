"""Where assets are searched; names that come out of files stay below their folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vhap.util import paths
from vhap.util.errors import InputError
from vhap.util.paths import asset_folders, data_folder, inside

CHECKOUT = Path(__file__).resolve().parents[2]


def test_assets_of_the_variable_the_working_folder_the_checkout_and_the_user(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("VHAP_ASSETS", raising=False)
    plain = [tmp_path / "asset", CHECKOUT / "asset", tmp_path / "data" / "vhap"]
    assert asset_folders() == plain
    (tmp_path / "named").mkdir()
    monkeypatch.setenv("VHAP_ASSETS", "named")
    assert asset_folders() == [tmp_path / "named", *plain]
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.delenv("VHAP_ASSETS")
    assert asset_folders() == plain[1:]


def test_a_variable_that_names_no_folder_is_an_error(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("VHAP_ASSETS", str(tmp_path / "gone"))
    with pytest.raises(InputError, match=r"expected a folder at VHAP_ASSETS=.*gone, found none; "):
        asset_folders()


def test_nothing_is_searched_beside_an_installed_package(monkeypatch, tmp_path) -> None:
    package = tmp_path / "site-packages" / "vhap"
    shutil.copytree(paths.PACKAGE / "util", package / "util", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(paths.PACKAGE / "__init__.py", package)
    (tmp_path / "site-packages" / "asset").mkdir()
    (tmp_path / "elsewhere").mkdir()
    program = "from vhap.util.paths import asset_folders; print(*asset_folders(), sep='\\n')"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("VHAP_ASSETS", raising=False)
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path / "elsewhere", stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.split() == [str(tmp_path / "elsewhere" / "asset"), str(data_folder())]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".local/share/vhap"),
        ("linux", {"XDG_DATA_HOME": "/srv/data"}, "/srv/data/vhap"),
        ("linux", {"XDG_DATA_HOME": ""}, ".local/share/vhap"),
        ("darwin", {}, "Library/Application Support/vhap"),
        ("win32", {}, "AppData/Local/vhap"),
        ("win32", {"LOCALAPPDATA": "/profile/local"}, "/profile/local/vhap"),
    ],
)
def test_data_folder_of_each_system(monkeypatch, tmp_path, platform, variables, expected) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert data_folder() == tmp_path / expected


@pytest.mark.parametrize("name", ["a.png", "./a/b.png", "a b/c\u202fd.png", "a..b/..c", "cam_1", "a\\b.png"])
def test_names_below(name: str) -> None:
    assert inside(Path("folder"), name, "file.json") == Path("folder") / name


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../a", "a/..", "a/../../b", "a\\..\\..\\b", "/etc/passwd", "//host/share", "\\a", "C:\\a", "C:a"),
        *("", "a\0b", "a\nb", "a\x1b[2J", "a\x7f", None, 3, ["a"], {"a": 1}, "../" * 100_000),
    ],
)
def test_names_elsewhere(name: object) -> None:
    with pytest.raises(InputError, match=r"expected names of files below folder in file\.json, found ") as refused:
        inside(Path("folder"), name, "file.json")
    assert len(str(refused.value)) < 500
    assert str(refused.value).isprintable()
