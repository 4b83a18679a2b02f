"""Two processes on one folder: one works, the other says so and stops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vhap.util.errors import InputError
from vhap.util.lock import LOCK_FILE, folder_lock

HOLD = (
    "import sys, time; from vhap.util.lock import folder_lock\n"
    "with folder_lock(sys.argv[1]):\n"
    "    print('held', flush=True); time.sleep(60)"
)


def test_a_folder_is_held_by_one_process_until_that_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"no other vhap at work in .*output, found process {other.pid}"), \
                folder_lock(folder):  # fmt: skip
            pass
        other.kill()
    with folder_lock(folder):
        (folder / "result").touch()
        assert {path.name for path in folder.iterdir()} == {"result", LOCK_FILE}
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_one_process_may_hold_a_folder_twice(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        with folder_lock(tmp_path):
            pass
        assert (tmp_path / LOCK_FILE).exists()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_stays_empty_is_taken_away_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="before"), folder_lock(tmp_path / "new"):
        raise ValueError("before anything was written")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_refused_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ValueError, match="foreign"), folder_lock(tmp_path):
        raise ValueError("foreign files")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_its_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="expected a folder"), folder_lock(tmp_path / "file"):
        pass


def test_many_processes_at_once_never_hold_a_folder_together(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from vhap.util.lock import folder_lock; from vhap.util.errors import InputError\n"
        "end = time.monotonic() + 2\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        with folder_lock(sys.argv[1]):\n"
        "            os.close(os.open(sys.argv[2], os.O_CREAT | os.O_EXCL)); os.unlink(sys.argv[2])\n"
        "    except InputError: pass"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "output"), str(tmp_path / "alone")]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [("", 0)] * 3
