"""`vhap benchmark download` as a whole, from a server of this process that cuts, lies and refuses."""

import logging
import shutil
import sys
from pathlib import Path

import pytest
from benchmark_files import metadata_of, pcd, served
from nersemble_server import serving

from vhap import cli, nersemble_benchmark
from vhap.data.nersemble import ledger, transfer
from vhap.nersemble.benchmark.metadata import MonoFLAMEAvatarMetadata, NVSMetadata
from vhap.util.log import get_logger

VIDEO = "nvs/475/sequences/HAIR/images/cam_222200042.mp4"
NVS = ["nvs", "--participant", "475", "--timeout-s", "10", "--retries", "1", "--yes"]


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(transfer, "LONGEST_BACKOFF_S", 0.01)
    # The log's own handler would keep writing to the stderr of the test that made it.
    monkeypatch.setattr(get_logger(), "handlers", [logging.NullHandler()])
    with serving(served("nvs", "475", video_bytes=90_000)) as dataset:
        monkeypatch.setenv("NERSEMBLE_BENCHMARK_URL", dataset.url)
        yield dataset


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "benchmark"


def status_of(*words: object) -> int:
    try:
        nersemble_benchmark.main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def files_in(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ledger.NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def error_line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def usual(server) -> dict[str, bytes]:
    """What is downloaded without filters: one pointcloud, tracking of version 2 alone."""
    lacking = ("frame_00003.pcd", "frame_00006.pcd", "flame2023_tracking.npz")
    return {path: content for path, content in server.files.items() if not path.endswith(lacking)}


def test_novel_views_and_again(server, folder, capsys):
    assert status_of("download", folder, *NVS, "--n_workers", "3") == 0
    assert files_in(folder) == usual(server)
    assert len(usual(server)) == 29
    assert "29 files downloaded" in capsys.readouterr().out
    assert NVSMetadata.load(folder).sequences[475].timesteps == [0, 3, 6]
    server.asked.clear()
    assert status_of("download", folder, *NVS) == 0
    assert server.asked == [], "what is proven whole is not asked for"
    assert "29 there before" in capsys.readouterr().out


def test_pointclouds(server, folder, capsys):
    only = ["--assets", "pointclouds", "--pointcloud_frames"]
    assert status_of("download", folder, *NVS, *only, "3,6") == 0
    clouds = {path for path in server.files if path.endswith(".pcd")}
    first = "nvs/475/sequences/HAIR/pointclouds/frame_00000.pcd"
    assert set(files_in(folder)) == clouds - {first} | {"nvs/metadata.json"}
    assert status_of("download", folder, *NVS, *only, "all") == 0
    assert set(files_in(folder)) == clouds | {"nvs/metadata.json"}


def test_monocular_avatars_ask_for_each_file_once(server, folder):
    server.files = served("mono_flame_avatar", "393", video_bytes=2000)
    words = ["mono_flame_avatar", "--participant", "393", "--yes", "--n_workers", "4"]
    assert status_of("download", folder, *words) == 0
    assert files_in(folder) == usual(server)
    assert len(files_in(folder)) == 60
    assert len(server.starts("mono_flame_avatar/393/calibration/camera_params.json")) == 1
    frames = MonoFLAMEAvatarMetadata.load(folder).participants_metadata[393].sequences_metadata
    assert len(frames) == 22
    more = ["--assets", "flame2023_tracking", "--sequence", "EXP-1-head"]
    assert status_of("download", folder, *words, *more) == 0
    assert len(files_in(folder)) == 61


def test_single_views(server, folder):
    server.files = served("svfr", "215")
    assert status_of("download", folder, "svfr", "--participant", "215", "--yes") == 0
    assert files_in(folder) == server.files
    assert len(server.files) == 13
    assert "svfr/215/EMO-4-disgust+happy_30_222200040/rgb.png" in server.files


def test_cut_videos_are_continued(server, folder, capsys):
    server.faults[VIDEO] = ["cut 70000", "cut 10"]
    assert status_of("download", folder, *NVS, "--retries", "0") == 1
    assert VIDEO.removeprefix("nvs/") in capsys.readouterr().err
    assert VIDEO not in files_in(folder)
    server.faults.clear()
    server.asked.clear()
    assert status_of("download", folder, *NVS) == 0
    assert files_in(folder) == usual(server)
    assert server.starts(VIDEO)[-1] > 60_000
    assert {path for path, _, _ in server.asked} == {VIDEO}


@pytest.mark.parametrize("fault", ["says too little", "says too much", "stall 100", "page", "500"])
def test_lies_are_not_taken_for_files(server, folder, capsys, fault):
    server.always[VIDEO] = fault
    assert status_of("download", folder, *NVS, "--timeout-s", "0.5") == 1
    assert VIDEO.removeprefix("nvs/") in capsys.readouterr().err
    assert VIDEO not in files_in(folder)
    server.always.clear()
    assert status_of("download", folder, *NVS) == 0
    assert files_in(folder) == usual(server)


def test_a_file_that_changes_between_two_ranges(server, folder):
    server.faults[VIDEO] = ["cut 70000"]
    assert status_of("download", folder, *NVS, "--retries", "0") == 1
    server.files[VIDEO] = served("nvs", "475", video_bytes=90_500)[VIDEO]
    server.etags[VIDEO] = '"2"'
    assert status_of("download", folder, *NVS) == 0
    assert files_in(folder) == usual(server)


@pytest.mark.parametrize(("fault", "status"), [("401", 2), ("403", 2), ("404", 2), ("500", 1), ("page", 1)])
def test_a_wrong_address_is_said_at_once(server, folder, capsys, fault, status):
    for path in list(server.files):
        server.always[path] = fault
    assert status_of("download", folder, *NVS) == status
    line = error_line(capsys)
    assert "metadata.json" in line
    assert server.url not in line
    assert fault == "page" or fault in line
    assert not folder.exists()
    if fault.isdecimal():
        server.files = served("svfr", "17", "215")
        server.always.update(dict.fromkeys(server.files, fault))
        server.asked.clear()
        assert status_of("download", folder, "svfr", "--participant", "17", "215", "--yes", "--retries", "0") == status
        assert fault in error_line(capsys)
        assert len(server.asked) <= 2
        assert not folder.exists()


def test_a_single_missing_file_does_not_stop_the_others(server, folder, capsys):
    del server.files[VIDEO]
    for _ in range(2):
        assert status_of("download", folder, *NVS) == 1
        error = capsys.readouterr().err
        assert VIDEO.removeprefix("nvs/") in error
        assert "404" in error
        assert files_in(folder) == usual(server)


def test_overwrite_compares_with_the_server(server, folder, capsys):
    assert status_of("download", folder, *NVS) == 0
    server.files[VIDEO] = served("nvs", "475", video_bytes=91_000)[VIDEO]
    server.etags[VIDEO] = '"2"'
    assert status_of("download", folder, *NVS) == 0
    assert files_in(folder) != usual(server), "known files are not asked for without --overwrite"
    assert status_of("download", folder, *NVS, "--overwrite") == 0
    assert "1 files downloaded" in capsys.readouterr().out
    assert files_in(folder) == usual(server)


def test_files_of_the_official_kit_are_taken_over(server, folder):
    """It leaves no ledger, nor metadata; a file that it left half is completed."""
    for path, content in usual(server).items():
        if not path.endswith("metadata.json"):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content if path != VIDEO else content[:-100])
    server.sent = 0
    assert status_of("download", folder, *NVS) == 0
    assert files_in(folder) == usual(server)
    assert server.sent < 2 * len(server.files[VIDEO])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nvs", "--participant", "393"], "'393'"),
        (["svfr", "--assets", "alpha_maps"], "'alpha_maps'"),
        (["nvs", "--assets", "flame2023_tracking_v2"], "flame2023_tracking_v2"),
        (["nvs", "--sequence", "EXP-1-head"], "'EXP-1-head'"),
        (["nvs", "--participant", "388", "--sequence", "HAIR"], "chosen sequence"),
        (["nvs", "--pointcloud_frames", "-1"], "pointcloud"),
        (["nvs", "--pointcloud_frames", "0.5"], "'0.5'"),
        (["svfr", "--pointcloud_frames", "all"], "nvs only"),
        (["nvs", "--n_workers", "0"], "n_workers"),
        (["faces"], "faces"),
    ],
)
def test_wrong_choices_write_nothing_and_ask_nothing(server, folder, capsys, words, named):
    assert status_of("download", folder, *words, "--yes") == 2
    assert named in error_line(capsys).replace("pointcloud-frames", "pointcloud_frames")
    assert not folder.exists()
    assert server.asked == []


def test_agreement_and_room(server, folder, capsys, monkeypatch):
    without = [word for word in NVS if word != "--yes"]
    assert status_of("download", folder, *without) == 2
    line = error_line(capsys)
    assert "--yes" in line
    assert "29 files, about 0.33 GB" in line
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert status_of("download", folder, *without) == 0
    assert "nothing downloaded" in capsys.readouterr().out
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 1000))
    assert status_of("download", folder, *NVS) == 2
    assert "--pointcloud_frames" in error_line(capsys)
    assert not folder.exists()


def test_other_metadata_at_the_address(server, folder, capsys):
    import json

    for content in (metadata_of("mono_flame_avatar"), {"sequences": {}}):
        server.files["nvs/metadata.json"] = json.dumps(content).encode()
        assert status_of("download", folder, *NVS) == 2
        assert "metadata" in error_line(capsys)
        assert not folder.exists()


def test_settings_file(server, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NERSEMBLE_BENCHMARK_URL")
    assert status_of("download", folder, *NVS) == 2
    assert "nersemble_benchmark/.env" in error_line(capsys)
    file = tmp_path / ".config" / "nersemble_benchmark" / ".env"
    file.parent.mkdir(parents=True)
    host, _, path = server.url.rpartition("/")
    file.write_text(f'HOST={host}\nNERSEMBLE_BENCHMARK_URL = "${{HOST}}/{path}"\n')
    before = file.read_bytes()
    assert status_of("download", folder, *NVS, "--assets", "calibration") == 0
    assert file.read_bytes() == before


def test_list_needs_no_server(capsys, monkeypatch):
    monkeypatch.delenv("NERSEMBLE_BENCHMARK_URL", raising=False)
    cli.main(["benchmark", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 5 + 5 + 20
    assert lines[0].startswith("nvs: 140 files")
    assert "3651 files" in lines[0]
    assert any(line.startswith("mono_flame_avatar: 295 files") for line in lines)
    assert any(line.startswith("svfr: 391 files") for line in lines)
    assert status_of("list", "svfr") == 0
    assert len(capsys.readouterr().out.splitlines()) == 21


@pytest.mark.parametrize("kind", ["ascii", "binary", "binary_compressed"])
def test_damaged_pointclouds(tmp_path, kind):
    from vhap.data.nersemble.content import find_damage

    path = tmp_path / "frame_00000.pcd"
    whole = pcd(kind)
    path.write_bytes(whole)
    assert find_damage(path, ".pcd") is None
    path.write_bytes(whole.replace(b"POINTS 9\n", b""))
    assert find_damage(path, ".pcd") is None
    for damaged in (whole[:-9], whole[:60], b"<html></html>", whole.replace(b"POINTS 9", b"POINTS x"), b"\n" * 9999):
        path.write_bytes(damaged)
        assert find_damage(path, ".pcd") is not None
