"""A new video: its mattes are made beside the first stages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import vhap.track
from tests.pipeline import odd_preparation
from vhap import api
from vhap.config.synthetic import SyntheticConfig
from vhap.data.results import load_result, result_path
from vhap.fit.callbacks import StageProgress
from vhap.pipeline import make_synthetic_capture, preparation
from vhap.util import paths, threads
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock

OPTIONS = {"head": "builtin", "photometric": False, "report": False, "target_fps": 5.0}
ARGUMENTS = ("--model.head", "builtin", "--exp.no-photometric", "--exp.no-report", "--data.target_fps", "5")
ODD_MODULE = "tests.pipeline.odd_preparation"
FRAMES = 5


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_synthetic_capture.run(SyntheticConfig(output=folder / "clip", head="builtin", frames=25, size=192))
    return folder / "clip.mp4"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of this test alone, with the machine's networks; two threads, with which overlapping pays."""
    folder, weights = tmp_path / "cache", paths.weights_folder()
    folder.mkdir()
    if weights.is_dir():
        (folder / "weights").symlink_to(weights)
    monkeypatch.setenv("VHAP_CACHE", str(folder))
    monkeypatch.setattr(threads, "_threads", 2)
    return folder


@pytest.fixture
def odd(cache, tmp_path, monkeypatch):
    """What makes the mattes fail or wait; see odd_preparation.py."""
    monkeypatch.setattr(preparation, "MODULE", ODD_MODULE)
    monkeypatch.setenv(odd_preparation.PID, str(tmp_path / "pid"))
    return lambda what: monkeypatch.setenv(odd_preparation.ODD, what)


def mattes(cache: Path) -> int:
    return len(list((cache / "videos").glob("*/alpha_maps/*.png")))


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody waits for counts as there.
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def until(is_so: Callable[[], object], tries: int = 1200) -> None:
    for _ in range(tries):
        if is_so():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def test_solving_begins_before_the_mattes_are_there_and_ends_as_after_them(video, cache, odd, tmp_path, monkeypatch):
    begun = []

    def on_stage_begin(self, stage) -> None:
        begun.append((stage.name, mattes(cache)))
        (tmp_path / "go").touch()

    monkeypatch.setattr(StageProgress, "on_stage_begin", on_stage_begin)
    odd(f"wait {tmp_path / 'go'}")
    run = api.track(video, output_folder=tmp_path / "out", **OPTIONS)
    assert begun[0] == ("lmk_init_rigid", 0)
    assert mattes(cache) == FRAMES
    assert not is_running(int((tmp_path / "pid").read_text()))
    sequence = api.preprocess(video, output_folder=tmp_path / "by_hand" / "clip", target_fps=5.0)
    other = api.track(sequence, output_folder=tmp_path / "other", **{**OPTIONS, "target_fps": 25.0})
    one, two = (load_result(result_path(path)) for path in (run, other))
    assert one.lost_reason is not None
    for name in ("expr", "rotation", "shape", "focal_length", "lost_reason"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    ours = sorted((cache / "videos").glob("*/alpha_maps/*.png"))
    theirs = sorted((sequence / "alpha_maps").iterdir())
    assert [path.read_bytes() for path in ours] == [path.read_bytes() for path in theirs]


def test_the_preparation_has_what_it_is_told_in_the_log(video, cache, tmp_path, caplog):
    events = []
    with caplog.at_level("INFO", logger="vhap"):
        run = api.track(video, output_folder=tmp_path / "out", progress=events.append, **OPTIONS)
    assert any("alpha maps of 5 pictures" in line for line in caplog.messages)
    assert "alpha maps of 5 pictures" in (run / "log.txt").read_text()
    assert {"extracting clip.mp4", "matting", "lmk_init_all"} <= {event.description for event in events}


@pytest.mark.parametrize(
    ("what", "line"),
    [("fail", "expected a matte, found none; take another"), ("die", "found it ended by signal 9")],
)
def test_a_fault_of_mattes_is_one_line_and_leaves_no_run(what, line, video, cache, odd, tmp_path, capfd):
    odd(what)
    target = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        vhap.track.main(["--data.video", str(video), "--exp.output_folder", str(target), *ARGUMENTS])
    assert ended.value.code == 2
    said = [each for each in capfd.readouterr().err.splitlines() if each.startswith("error:")]
    assert len(said) == 1
    assert line in said[0]
    assert not target.exists() or not list(target.iterdir())
    assert mattes(cache) == 0


def test_a_fault_of_the_program_keeps_its_traceback(video, cache, odd, tmp_path, capfd):
    odd("break")
    with pytest.raises(RuntimeError, match="exit status 1"):
        api.track(video, output_folder=tmp_path / "out", **OPTIONS)
    assert "ValueError: broken" in capfd.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_options_that_are_wrong_start_nothing(video, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "start_module", None)
    with pytest.raises(InputError, match="weight of pictures above 0"):
        api.track(video, output_folder=tmp_path / "out", w={"photo": 0.0}, **{**OPTIONS, "photometric": True})
    assert not (cache / "videos").exists()


def test_what_ends_the_landmark_stages_ends_the_preparation(video, cache, odd, tmp_path):
    odd(f"wait {tmp_path / 'never'}")
    pid = tmp_path / "pid"

    def stop(event) -> None:
        if event.description == "lmk_init_rigid":
            until(lambda: pid.exists() and pid.read_text())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.track(video, output_folder=tmp_path / "out", progress=stop, **OPTIONS)
    assert not is_running(int(pid.read_text()))
    assert not list((tmp_path / "out").glob("*"))
    (folder,) = (cache / "videos").glob("clip-*")
    with folder_lock(folder):
        assert folder.is_dir(), "nobody holds it"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no SIGKILL here")
def test_a_killed_run_leaves_no_process_and_goes_on(video, cache, odd, tmp_path, monkeypatch):
    odd(f"wait {tmp_path / 'never'}")
    target, pid = tmp_path / "out", tmp_path / "pid"
    program = (
        "from vhap.pipeline import preparation; from vhap import track; "
        f"preparation.MODULE = {ODD_MODULE!r}; "
        f"track.main(['--data.video', {str(video)!r}, '--exp.output_folder', {str(target)!r}, *{ARGUMENTS!r}])"
    )
    root = str(Path(vhap.__file__).parents[1])
    environment = {**os.environ, "VHAP_THREADS": "2", "PYTHONPATH": root}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL) as process:
        until(lambda: pid.exists() and pid.read_text() and list(target.glob("*/checkpoint.pt")))
        assert process.poll() is None
        process.kill()
    until(lambda: not is_running(int(pid.read_text())))
    (begun,) = target.glob("*/checkpoint.pt")
    monkeypatch.setattr(preparation, "MODULE", "vhap.pipeline.prepare_video")
    assert api.track(video, output_folder=target, **OPTIONS) == begun.parent
    assert mattes(cache) == FRAMES
