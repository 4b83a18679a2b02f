"""The package's own version, and those of what a result depends on."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from packaging.version import Version

import vhap
from vhap.util.versions import UNKNOWN, version, versions


def test_the_package_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert vhap.__version__ == version()
    assert Version(version())
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vhap.nothing

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert vhap.__version__ == UNKNOWN
    assert set(versions()) == {"python", "platform"}


def test_importing_the_package_reads_no_metadata() -> None:
    program = "import sys, vhap; sys.exit('importlib.metadata' in sys.modules)"
    assert subprocess.run([sys.executable, "-S", "-c", program]).returncode == 0


def test_what_results_depend_on_is_listed() -> None:
    found = versions()
    assert {"python", "platform", "torch", "numpy"} <= found.keys()
    assert any(name.startswith("opencv") for name in found)
