"""`vhap nersemble` as a whole: exit statuses, what is left behind, and that the same command completes it."""

import errno
import io
import logging
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nersemble_server import TABLE, mp4, serving, small_dataset

from vhap import nersemble_dataset
from vhap.data.nersemble import download, ledger, transfer
from vhap.data.nersemble.http import Version
from vhap.util.log import get_logger

VIDEO = "017/sequences/EXP-1-head/images/cam_222200037.mp4"
SMALL = ["--participant", "17,33", "--camera", "222200037,221501007", "--timeout-s", "10", "--retries", "1"]


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(transfer, "LONGEST_BACKOFF_S", 0.01)
    # The log's own handler would keep writing to the stderr of the test that made it.
    monkeypatch.setattr(get_logger(), "handlers", [logging.NullHandler()])
    with serving(small_dataset()) as dataset:
        monkeypatch.setenv("NERSEMBLE_DATA_URL", dataset.url)
        yield dataset


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "NeRSemble"


def status_of(*words: object) -> int:
    try:
        nersemble_dataset.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def names_in(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ledger.NAME)
    return {path.relative_to(folder).as_posix() for path in paths}


def files_in(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names_in(folder)}


def truth(server) -> dict[str, bytes]:
    wanted = {}
    for path, content in server.files.items():
        of_participant = path.startswith(("017", "033"))
        of_camera = not path.endswith((".mp4", ".jpg")) or "222200037" in path or "221501007" in path
        if path.endswith(".csv") or (of_participant and of_camera):
            wanted[path] = content
    return wanted


def error_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_list(server, capsys):
    assert status_of("list") == 0
    assert capsys.readouterr().out == "4 participants:\n17, 18, 33, 240\n"
    for words in (["18"], ["--participant", "18"]):
        assert status_of("list", *words) == 0
        assert capsys.readouterr().out == "2 sequences of participant 18:\nEXP-1-head\nEMO-1-shout+laugh\n"
    assert status_of("list", "19") == 2
    assert "found 19" in error_line(capsys)


def test_download_and_again(server, folder, capsys):
    assert status_of("download", folder, *SMALL, "--yes") == 0
    assert files_in(folder) == truth(server)
    assert f"{len(truth(server))} files downloaded" in capsys.readouterr().out
    server.asked.clear()
    assert status_of("download", folder, *SMALL, "--yes") == 0
    assert "0 files downloaded" in capsys.readouterr().out
    asked = {path for path, _, _ in server.asked}
    assert asked == {"metadata_sequences.csv", "metadata_participants.csv"}, "what is proven whole is not asked for"


def test_settings_file(server, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NERSEMBLE_DATA_URL")
    assert status_of("list") == 2
    assert ".env" in error_line(capsys)
    file = tmp_path / ".config" / "nersemble_data" / ".env"
    file.parent.mkdir(parents=True)
    file.write_text(f'KEPT="1"\nNERSEMBLE_DATA_URL="{server.url}"\n')
    before = file.read_bytes()
    assert status_of("list") == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["--participant", "19"],
        ["--sequence", "EXP-77"],
        ["--camera", "1"],
        ["--assets", "pictures"],
        ["--participant", "33", "--sequence", "EXP-1-head", "--assets", "images"],
        ["--n_workers", "0"],
        ["--timeout-s", "nan"],
    ],
)
def test_wrong_choices_write_nothing(server, folder, capsys, words):
    assert status_of("download", folder, "--yes", *words) == 2
    error_line(capsys)
    assert not folder.exists()


@pytest.mark.parametrize(("fault", "status"), [("403", 2), ("404", 2), ("page", 1), ("500", 1)])
def test_wrong_address_or_dead_server(server, folder, capsys, fault, status):
    server.always["metadata_sequences.csv"] = fault
    assert status_of("download", folder, *SMALL, "--yes") == status
    assert server.url not in error_line(capsys)
    assert not folder.exists()


def test_another_table_at_the_address(server, folder, capsys):
    server.files["metadata_sequences.csv"] = b"a,b\n1,2\n"
    assert status_of("download", folder, *SMALL, "--yes") == 2
    assert "table of sequences" in error_line(capsys)


def test_asks_once_or_says_to_add_yes(server, folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert status_of("download", folder, *SMALL) == 2
    line = error_line(capsys)
    assert "--yes" in line
    assert f"{len(truth(server))} files, about 0.06 GB" in line
    assert not folder.exists()


class Terminal:
    def __init__(self, answer: str) -> None:
        self.answer, self.lines = answer, 0

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        self.lines += 1
        return f"{self.answer}\n"


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_the_answer_counts(server, folder, capsys, monkeypatch, answer):
    terminal = Terminal(answer)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert status_of("download", folder, *SMALL) == 0
    assert terminal.lines == 1
    assert folder.exists() == (answer == "y")
    assert ("nothing downloaded" in capsys.readouterr().out) == (answer != "y")


def test_too_little_room(server, folder, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**7))
    assert status_of("download", folder, *SMALL, "--yes") == 2
    assert "0.01 GB free" in error_line(capsys)


def test_a_disk_that_fills_up(server, folder, capsys, monkeypatch):
    receive = transfer._receive

    def full(reply, part):
        if part.target.suffix == ".mp4":
            raise OSError(errno.ENOSPC, "No space left on device")
        receive(reply, part)

    monkeypatch.setattr(transfer, "_receive", full)
    assert status_of("download", folder, *SMALL, "--yes") == 2
    assert "disk full" in error_line(capsys)
    monkeypatch.undo()


def test_failures_are_summed_up_and_completed_later(server, folder, capsys):
    wrong = {
        VIDEO: "404",
        VIDEO.replace("222200037", "221501007"): "cut 10",
        "033/calibration/camera_params.json": "500",
    }
    server.always.update(wrong)
    assert status_of("download", folder, *SMALL, "--yes") == 1
    said = capsys.readouterr().err
    assert all(f"failed: {path}: " in said for path in wrong)
    assert "404" in said
    finished = {path: content for path, content in files_in(folder).items() if ".part" not in path}
    assert finished == {path: content for path, content in truth(server).items() if path not in wrong}
    server.always.clear()
    assert status_of("download", folder, *SMALL, "--yes") == 0
    assert files_in(folder) == truth(server)


def test_gives_up_where_everything_fails(server, folder, capsys):
    for path in server.files:
        if not path.endswith("sequences.csv"):
            server.always[path] = "403"
    assert status_of("download", folder, "--yes") == 1
    assert "not tried after so many failures" in capsys.readouterr().err
    assert download.GIVE_UP_AFTER <= len(server.asked) < len(server.files) / 2


def test_files_of_the_official_kit_are_proven_before_they_are_believed(server, folder, capsys):
    expected = truth(server)
    videos = [path for path in expected if path.endswith(".mp4")]
    other_version = mp4(len(expected[videos[2]]) - 5, seed=7)
    zeros = bytes(len(expected[videos[3]]))
    contents = [expected[videos[0]], expected[videos[1]][:-100], other_version, zeros]
    for path, content in zip(videos, contents):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    assert status_of("download", folder, *SMALL, "--yes") == 0
    assert files_in(folder) == expected
    assert f"{len(expected) - 1} files downloaded" in capsys.readouterr().out


def test_a_file_cut_after_its_download_comes_again(server, folder):
    assert status_of("download", folder, *SMALL, "--yes") == 0
    (folder / VIDEO).write_bytes(b"")
    server.files["metadata_participants.csv"] = b"ID,age\n17,31\n"
    server.etags["metadata_participants.csv"] = '"2"'
    assert status_of("download", folder, *SMALL, "--yes") == 0
    assert files_in(folder) == truth(server)


def test_a_half_written_ledger_line_is_passed_over(folder):
    (folder / "033").mkdir(parents=True)
    (folder / "033" / "a.json").write_text("1")
    version = Version(1, '"x"')
    for _ in range(2):
        with ledger.locked_folder(folder) as record:
            record.add("033/a.json", version)
        with open(folder / ledger.NAME, "a") as file:
            file.write('{"path": "033/a.js')
        assert ledger.Ledger(folder).version("033/a.json") == version
    lines = (folder / ledger.NAME).read_text().splitlines()
    assert lines.count(lines[0]) == 2, "no line is glued to the broken one"


def test_two_downloads_into_one_folder(server, folder, capsys):
    pytest.importorskip("fcntl")
    with ledger.locked_folder(folder):
        assert status_of("download", folder, *SMALL, "--yes") == 2
    assert "another at work" in error_line(capsys)
    assert status_of("download", folder, *SMALL, "--yes") == 0


@pytest.mark.parametrize("seed", range(2))
def test_a_day_of_bad_weather(server, folder, seed):
    """Many files, faults in any order: a name without `.part` always means a whole file; at last all are there."""
    chance = random.Random(seed)
    kinds = ["cut 0", "cut 30000", "says too much", "500", "chunks cut", "page", "whole", "contradicts itself", "404"]
    for path in truth(server):
        if path != "metadata_sequences.csv":
            server.faults[path] = chance.choices(kinds, k=chance.randrange(5))
    for _ in range(8):
        status = status_of("download", folder, *SMALL, "--yes", "--n_workers", 3)
        there = {path: content for path, content in files_in(folder).items() if ".part" not in path}
        assert there.items() <= truth(server).items()
        assert status in (0, 1)
        if status == 0:
            break
    assert files_in(folder) == truth(server)


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("vhap.nersemble_dataset", run_name="__main__", alter_sys=True)
"""
"""The command, also where a shell runs the tests in the background, which makes all their processes deaf to SIGINT."""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_it_goes_on(server, folder, how):
    server.files = {path: content for path, content in server.files.items() if path.endswith(".csv")}
    server.files[VIDEO] = mp4(1_500_000)
    server.faults[VIDEO] = ["stall 400000"]
    words = [folder, "--participant", "17", "--sequence", "EXP-1-head", "--camera", "222200037"]
    words += ["--assets", "images", "metadata_sequences", "--yes"]
    command = [sys.executable, "-c", INTERRUPTIBLE, "download", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    # Two workers: the table may come after the video's beginning.
    part, begun = folder / f"{VIDEO}.part", {"metadata_sequences.csv", f"{VIDEO}.part", f"{VIDEO}.part.json"}
    deadline = time.monotonic() + 60
    while not (names_in(folder) == begun and part.stat().st_size > 300_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=20)
    assert process.returncode == (130 if how == signal.SIGINT else -how), said
    assert "Traceback" not in said
    assert names_in(folder) == begun
    assert status_of("download", *words) == 0
    assert files_in(folder) == {VIDEO: server.files[VIDEO], "metadata_sequences.csv": TABLE.encode()}
    assert server.starts(VIDEO)[0] == 0
    assert server.starts(VIDEO)[-1] > 300_000
