"""Live runs of a film whose truth is known: what comes out, what is dropped, how they end, and who is known again."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pipeline.live_film import (
    FPS,
    SIZE,
    Device,
    Film,
    FilmSource,
    KnowingFollower,
    film,
    head_file,
    marked_head,
    true_vertices,
)
from vhap.config.data import DataConfig
from vhap.config.live import LiveConfig
from vhap.config.loading import load_config
from vhap.config.track import TrackConfig
from vhap.data.results import load_result, newest_run, result_epochs, result_path
from vhap.export.blendshapes import ARKIT
from vhap.fit.light_file import read_light
from vhap.head.model import HeadParams, pose
from vhap.pipeline import live as live_pipeline
from vhap.pipeline.live import run
from vhap.pipeline.live_person import known_person
from vhap.pipeline.live_results import parse_address
from vhap.pipeline.live_sources import CameraSource, open_camera
from vhap.pipeline.open_run import open_run
from vhap.pipeline.run_folder import is_finished
from vhap.util.errors import InputError

NAMES = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr")


@pytest.fixture(scope="module")
def taken() -> Film:
    return film()


def options(folder: Path, **others) -> LiveConfig:
    return LiveConfig(
        head="file",
        head_path=head_file(folder),
        output_folder=folder / "out",
        jsonl=folder / "frames.jsonl",
        csv=folder / "frames.csv",
        **others,
    )


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


def face_errors_mm(lines: list[dict], taken: Film) -> list[float]:
    """Of the faces that were found, each in its own middle."""
    head, face, shape, errors = marked_head(), marked_head().regions["face"], None, []
    for line in lines:
        shape = torch.tensor(line["shape"]) if "shape" in line else shape
        if line["found"]:
            assert shape is not None
            params = HeadParams(shape=shape, **{name: torch.tensor(line[name]) for name in NAMES})
            one, other = pose(head, params)[face], true_vertices(taken, line["frame"] % len(taken.pictures))[face]
            errors.append(float(1000 * ((one - one.mean(0)) - (other - other.mean(0))).norm(dim=-1).mean()))
    return errors


@pytest.fixture(scope="module")
def finished(taken: Film, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new person's run of the film, by landmarks and pictures."""
    folder = tmp_path_factory.mktemp("live")
    run(options(folder), FilmSource(taken, passes=2), KnowingFollower(taken))
    return folder


def test_every_frame_of_a_video_is_given_out(finished: Path, taken: Film):
    lines = lines_of(finished)
    assert [line["frame"] for line in lines] == list(range(2 * len(taken.pictures)))
    assert all(line["found"] for line in lines)
    with (finished / "frames.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(lines)
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    assert set(ARKIT) <= set(rows[0])
    summary = json.loads((newest_run(finished / "out") / "live.json").read_text())
    assert summary["given_out"] == summary["captured"] == len(lines)
    assert summary["dropped"] == 0
    assert 0 < summary["frames_per_second"] < 1000
    assert summary["ended_by"] == "the end of the source"
    assert summary["latency_ms"]["median"] > 0


def test_a_saved_person_starts_again_and_fits_the_pictures(finished: Path, taken: Film, tmp_path: Path):
    person = known_person(finished / "out")[0]
    assert person.known is not None
    for lag in (0, 3):
        folder = tmp_path / str(lag)
        folder.mkdir()
        run(options(folder, person=finished / "out", lag=lag), FilmSource(taken), KnowingFollower(taken))
        lines = lines_of(folder)
        assert len(lines) == len(taken.pictures)
        assert all(line["pictures"] for line in lines)
        errors = face_errors_mm(lines, taken)
        assert sum(errors) / len(errors) < 3
        assert lines[0]["shape"] == pytest.approx(person.shape.tolist(), abs=1e-5)


def test_in_another_light_landmarks_alone_count(finished: Path, taken: Film, tmp_path: Path):
    dim = replace(taken, pictures=(0.5 * taken.pictures).astype(np.uint8))
    run(options(tmp_path, person=finished / "out"), FilmSource(dim), KnowingFollower(dim))
    lines = lines_of(tmp_path)
    assert not any(line["pictures"] for line in lines)
    assert sum(face_errors_mm(lines, taken)) / len(lines) < 3


def covered(picture: np.ndarray) -> np.ndarray:
    """Something white is before most of it."""
    hidden = picture.copy()
    hidden[:, ::2], hidden[::2] = 255, 255
    return hidden


def test_a_face_that_something_is_before_is_none_until_that_has_gone(finished: Path, taken: Film, tmp_path: Path):
    hidden = range(8, 14)
    pictures = np.stack([covered(p) if row in hidden else p for row, p in enumerate(taken.pictures)])
    film_of_it = replace(taken, pictures=pictures)
    run(options(tmp_path, person=finished / "out"), FilmSource(film_of_it), KnowingFollower(film_of_it))
    lines = lines_of(tmp_path)
    assert [line["frame"] for line in lines if not line["found"]] == list(hidden)
    assert [line["frame"] for line in lines] == list(range(len(taken.pictures)))
    errors = face_errors_mm(lines, taken)
    assert max(errors) < 6


def test_after_a_change_of_light_landmarks_count_within_half_a_second(finished: Path, taken: Film, tmp_path: Path):
    pictures = np.concatenate([taken.pictures[:4], (0.5 * taken.pictures[4:]).astype(np.uint8)])
    film_of_it = replace(taken, pictures=pictures)
    run(options(tmp_path, person=finished / "out"), FilmSource(film_of_it), KnowingFollower(film_of_it))
    lines = lines_of(tmp_path)
    lost = [line["frame"] for line in lines if not line["found"]]
    assert lost == list(range(4, 4 + len(lost)))
    assert 0 < len(lost) <= FPS // 2
    assert not any(line["pictures"] for line in lines[lost[-1] + 1 :])


def test_a_face_found_anew_begins_without_the_motion_before_it(finished: Path, taken: Film, tmp_path: Path):
    """As after a cut: the head is in another place at once, and right at once."""
    order = [*range(8), *range(20, 8, -1)]
    cut = replace(taken, pictures=taken.pictures[order], points=taken.points[order])
    follower = KnowingFollower(cut, anew=range(8, 9))
    run(options(tmp_path, person=finished / "out", lag=2), FilmSource(cut), follower)
    lines = lines_of(tmp_path)
    assert [line["frame"] for line in lines if line["found"]] == list(range(len(order)))
    for line in lines:
        line["frame"] = order[line["frame"]]
    assert face_errors_mm(lines, taken)[8] < 4


def test_a_known_person_in_a_video_leaves_a_finished_run_of_all_frames(finished: Path, taken: Film, tmp_path: Path):
    config = options(tmp_path, person=finished / "out", video=tmp_path / "film.mp4", lag=3)
    (tmp_path / "film.mp4").write_bytes(b"a film")
    lost = range(8, 14)
    folder = run(config, FilmSource(taken), KnowingFollower(taken, lost=lost))
    lines, count = lines_of(tmp_path), len(taken.pictures)
    assert is_finished(folder)
    assert sorted(result_epochs(folder)) == [0, 30]
    result = load_result(result_path(folder))
    assert result.timestep_id.tolist() == [f"{row:06d}" for row in range(count)]
    assert [bool(reason) for reason in result.lost_reason[:, 0]] == [row in lost for row in range(count)]
    for line in lines:
        if line["found"]:
            assert result.expr[line["frame"]] == pytest.approx(line["expr"], abs=1e-5)
    # Where no head was seen it moves from where it was lost to where it is found again.
    steps = np.diff(result.rotation[7:15], axis=0)
    assert steps == pytest.approx(steps[:1].repeat(len(steps), 0), abs=1e-6)
    data = load_config(folder / "config.yml", TrackConfig).data
    assert isinstance(data, DataConfig)
    assert (data.video, data.target_fps) == (config.video, float(FPS))
    assert not (data.root_folder / data.sequence).exists()
    lights, axes = read_light(folder / "light.json")
    assert axes == "tracked"
    assert float(lights[0].mean()) == pytest.approx(float(taken.params.lights[0].mean()), rel=0.25)
    again = known_person(folder)[0]
    assert again.known is not None
    assert again.shape.tolist() == pytest.approx(lines[0]["shape"], abs=1e-5)


def test_a_video_without_a_face_leaves_no_result(finished: Path, taken: Film, tmp_path: Path):
    (tmp_path / "film.mp4").write_bytes(b"a film")
    config = options(tmp_path, person=finished / "out", video=tmp_path / "film.mp4")
    folder = run(config, FilmSource(taken), KnowingFollower(taken, lost=range(len(taken.pictures))))
    assert not result_epochs(folder)
    assert (folder / "live.json").is_file()


def test_the_saved_folder_opens_as_a_run(finished: Path):
    scene = open_run(finished / "out", with_landmarks=False)
    assert scene.n_rows == len(scene.capture.timestep_ids) >= 4
    rendering, _ = scene.render(0)
    assert bool(torch.isfinite(rendering.picture).all())


def test_frames_without_a_head_are_written_as_such_and_it_is_found_again(taken: Film, tmp_path: Path):
    run(options(tmp_path, pictures=False, lag=2), FilmSource(taken), KnowingFollower(taken, lost=range(8, 14)))
    lines = lines_of(tmp_path)
    assert [line["frame"] for line in lines if not line["found"]] == list(range(8, 14))
    assert [line["frame"] for line in lines] == list(range(len(taken.pictures)))
    assert not {*NAMES} & {*lines[9]}
    rows = (tmp_path / "frames.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows[7:15]] == ["61", *["0"] * 6, "61"]
    assert set(rows[9].split(",")[2:]) == {""}


def test_frames_that_come_too_fast_are_dropped_and_counted(taken: Film, tmp_path: Path):
    source = FilmSource(taken, is_live=True)
    folder = run(options(tmp_path, pictures=False), source, KnowingFollower(taken, seconds=0.15))
    summary = json.loads((folder / "live.json").read_text())
    assert summary["captured"] == len(taken.pictures)
    assert summary["dropped"] > 0
    assert summary["dropped"] + summary["given_out"] == summary["captured"]
    numbers = [line["frame"] for line in lines_of(tmp_path)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == summary["given_out"]


def test_a_camera_that_disappears_ends_the_run_with_what_was_tracked_saved(taken: Film, tmp_path: Path):
    device = Device(taken)
    source = CameraSource("camera 0", device, SIZE, FPS, silence_s=0.2)
    with pytest.raises(InputError, match=r"expected frames of camera 0, found none for 0\.2 s after 24 frames"):
        run(options(tmp_path, pictures=False), source, KnowingFollower(taken))
    assert device.released
    lines = lines_of(tmp_path)
    assert lines[-1]["frame"] == 23
    folder = newest_run(tmp_path / "out")
    assert (folder / "live.json").is_file()
    assert known_person(folder)[0].shape.abs().sum() > 0


def test_a_broken_file_ends_the_run_with_what_was_tracked_saved(taken: Film, tmp_path: Path):
    source = FilmSource(taken, error=InputError("expected a whole video, found damage"), breaks_at=10)
    with pytest.raises(InputError, match="found damage"):
        run(options(tmp_path, pictures=False), source, KnowingFollower(taken))
    assert [line["frame"] for line in lines_of(tmp_path)] == list(range(10))
    assert newest_run(tmp_path / "out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_what_was_tracked_saved(taken: Film, tmp_path: Path, number: signal.Signals):
    # A job in the background may begin with Ctrl-C switched off.
    before = signal.getsignal(signal.SIGINT)
    source = FilmSource(taken, passes=1000, is_live=True)

    def stop() -> None:
        while len(source.given) < 10:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=stop, daemon=True).start()
    folder = run(options(tmp_path, pictures=False), source, KnowingFollower(taken))
    summary = json.loads((folder / "live.json").read_text())
    assert summary["ended_by"] == "stopped"
    assert summary["given_out"] == len(lines_of(tmp_path)) > 0
    assert summary["given_out"] + summary["dropped"] == summary["captured"]
    assert signal.getsignal(signal.SIGINT) is before


def test_packets_arrive_one_a_frame(taken: Film, tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(5)
        config = replace(options(tmp_path, pictures=False), udp=f"127.0.0.1:{listening.getsockname()[1]}")
        run(config, FilmSource(taken), KnowingFollower(taken, lost=range(3, 4)))
        packets = [listening.recv(2048) for _ in taken.pictures]
    assert {packet[0] for packet in packets} == {6}
    assert all(b"vhap" in packet for packet in packets)
    lengths = [len(packet) for packet in packets]
    assert lengths.count(min(lengths)) == 1
    assert lengths.index(min(lengths)) == 3
    assert max(lengths) - min(lengths) == 1 + 4 * 61


def test_a_camera_that_does_not_open_is_one_line():
    with pytest.raises(InputError, match="expected a camera of number 97, found none that opens"):
        open_camera(97)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:0", "host:70000", "host:one", "host:²"])
def test_addresses_are_checked(text: str):
    with pytest.raises(InputError, match="expected HOST:PORT"):
        parse_address(text)


def test_addresses_may_be_ipv6():
    assert parse_address("[::1]:11111") == ("::1", 11111)
    assert parse_address("localhost:80") == ("localhost", 80)


@pytest.mark.parametrize(
    ("others", "named"),
    [
        ({"camera": 0, "video": Path("a.mp4")}, "--camera or --video"),
        ({"pace": "own"}, "--pace with --video"),
        ({"udp": "nowhere"}, "HOST:PORT"),
        ({"prepare": True, "video": Path("a.mp4")}, "--video and --person with --prepare"),
    ],
)
def test_options_that_contradict_each_other_are_named(others: dict, named: str):
    with pytest.raises(InputError, match=named):
        run(LiveConfig(**others))


def test_a_window_needs_an_opencv_with_windows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_pipeline.cv2, "getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    assert not live_pipeline.has_window()
    with pytest.raises(InputError, match="expected an OpenCV with windows"):
        run(LiveConfig(window=True))
    monkeypatch.setattr(live_pipeline.cv2, "getBuildInformation", lambda: "\n  GUI:                           QT5\n")
    assert live_pipeline.has_window()
