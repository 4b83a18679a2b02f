"""Where networks' files are found, and what is said of those that are missing or others."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vhap.detect.networks import files
from vhap.detect.networks.files import FILES, find_network, open_network
from vhap.util.errors import InputError

NAME = "selfie_segmentation.tflite"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights, and no mediapipe installed."""
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    monkeypatch.setitem(sys.modules, "mediapipe", SimpleNamespace(__spec__=None))
    return tmp_path / "weights"


@pytest.mark.usefixtures("weights")
def test_what_gets_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=rf"network {NAME} in .*weights or in an installed .*none; .*fetch-models"):
        find_network(NAME)


def test_an_installed_wheel_counts_before_the_folder(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = FILES[NAME]
    installed = weights / "site" / folder / NAME
    for path in (weights / NAME, installed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert find_network(NAME) == weights / NAME
    monkeypatch.delitem(sys.modules, "mediapipe")
    monkeypatch.syspath_prepend(weights / "site")
    (weights / "site" / "mediapipe" / "__init__.py").write_text("raise ImportError('never imported')")
    assert find_network(NAME) == installed
    installed.unlink()
    assert find_network(NAME) == weights / NAME, "a release that has no networks inside"


def test_another_file_is_not_opened(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.mkdir()
    (weights / NAME).write_bytes(b"TFL3")
    monkeypatch.setattr(files, "find_network", lambda name: weights / name)
    with pytest.raises(InputError, match=f"found another or a damaged file of 4 bytes .*{sha(b'TFL3')}.*fetch-models"):
        open_network(NAME)


def test_threads_share_a_network(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    from made_networks import Made, Step, network_bytes

    content = network_bytes([Made((1, 2, 2, 1)), Made((1, 2, 2, 1))], [Step("RELU", (0,), 1)], [0], [1])
    monkeypatch.setitem(FILES, NAME, (FILES[NAME][0], sha(content)))
    monkeypatch.setattr(files, "find_network", lambda name: weights / name)
    weights.mkdir()
    (weights / NAME).write_bytes(content)
    assert open_network(NAME) is open_network(NAME, "cpu")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
