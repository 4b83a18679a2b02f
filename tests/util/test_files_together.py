from __future__ import annotations

import os
from pathlib import Path

import pytest

from vhap.util import files_together
from vhap.util.files_together import FilesTogether


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("by_file_system", [True, False])
def test_files_have_their_names_when_they_are_settled(tmp_path, monkeypatch, by_file_system):
    if not by_file_system:
        monkeypatch.setattr(files_together, "_sync_file_systems", lambda folders: False)
    together = FilesTogether()
    for number in range(3):
        together.write(tmp_path / "in" / f"{number}.txt", b"first")
        together.write(tmp_path / "in" / f"{number}.txt", b"%d" % number)
    assert together.waits(tmp_path / "in" / "1.txt")
    assert all(name.startswith(".tmp_") for name in names(tmp_path))
    assert len(names(tmp_path)) == 3
    together.settle()
    assert not together.waits(tmp_path / "in" / "1.txt")
    assert names(tmp_path) == ["0.txt", "1.txt", "2.txt"]
    assert (tmp_path / "in" / "2.txt").read_bytes() == b"2"
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "in" / "2.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_no_more_wait_than_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(files_together, "MOST_WAITING", 4)
    together = FilesTogether()
    for number in range(6):
        together.write(tmp_path / f"{number}.txt", b"x")
    assert [name for name in names(tmp_path) if name[0] != "."] == [
        "0.txt", "1.txt", "2.txt", "3.txt",
    ]  # fmt: skip
    together.discard()
    assert names(tmp_path) == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_nothing_has_a_name_before_it_is_on_the_disk(tmp_path, monkeypatch):
    def failing(paths):
        assert [name[0] for name in names(tmp_path)] == ["."]
        raise OSError("no space")

    together = FilesTogether()
    together.write(tmp_path / "a.txt", b"x")
    monkeypatch.setattr(files_together, "_sync", failing)
    with pytest.raises(OSError, match="no space"):
        together.settle()
    assert names(tmp_path) == []
