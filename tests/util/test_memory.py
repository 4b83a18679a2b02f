from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vhap.util import memory
from vhap.util.memory import give_back

FEW = 20 << 20


def resident() -> int:
    """Bytes of this process that no file holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))


@pytest.mark.skipif(sys.platform != "linux" or memory._trim() is None, reason="no such C library here")
def test_what_was_freed_goes_back_also_below_what_is_kept():
    # Below the size from which arrays are mapped one by one, and the last one stays.
    arrays = [np.ones(60_000, np.uint8) for _ in range(4 * FEW // 60_000)]
    kept, before = arrays[-1], resident()
    del arrays
    give_back()
    assert resident() < before - 3 * FEW
    assert kept.all()


def test_without_such_a_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory, "_trim", lambda: None)
    give_back()
