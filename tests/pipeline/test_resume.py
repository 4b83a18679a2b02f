"""Killed runs go on where they were: the same bits in the end, nothing half written, nothing done twice."""

import contextlib
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap import track
from vhap.config.synthetic import SyntheticConfig
from vhap.fit.checkpoint import CHECKPOINT, PREVIOUS, VERSION
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.files import read_npz
from vhap.util.log import get_logger

KILLS = 3
PROGRAM = "from vhap.track import main; main()"


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("root") / "clip"
    return make_capture(SyntheticConfig(output, frames=5, size=96, landmark_source="face-alignment", supersampling=1))


def command(capture: Path, output: Path, *more: str) -> list[str]:
    options = {
        "--data.root_folder": capture.parent,
        "--data.sequence": capture.name,
        "--data.landmark_source": "face-alignment",
        "--exp.output_folder": output,
        "--model.head": "builtin",
        "--model.tex_resolution": 64,
        "--model.no-tex-painted": None,
        "--batch_size": 2,
        "--device": "cpu",
        "--exp.no-report": None,
        "--pipeline.lmk_init_rigid.num_steps": 5,
        "--pipeline.lmk_init_all.num_steps": 5,
        "--pipeline.rgb_init_texture.num_steps": 3,
        "--pipeline.rgb_init_all.num_steps": 3,
        "--pipeline.rgb_init_offset.num_steps": 3,
        "--pipeline.rgb_sequential_tracking.num_steps": 3,
        "--pipeline.rgb_global_tracking.num_epochs": 4,
    }
    words = [str(word) for pair in options.items() for word in pair if word is not None]
    return [*words, *more]


def finish(words: list[str]) -> str:
    """Gives the command within this process. Returns what its log says."""
    said = Lines()
    get_logger().addHandler(said)
    try:
        track.main(words)
    finally:
        get_logger().removeHandler(said)
    return "\n".join(said.lines)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def refused(words: list[str], capsys) -> str:
    """The last line of a command that is not carried out."""
    with pytest.raises(SystemExit) as stop:
        track.main(words)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "boom" not in said.out
    return said.err.splitlines()[-1]


def started(words: list[str]) -> subprocess.Popen[bytes]:
    """With other threads than this process may have: results do not depend on them."""
    threads = {**os.environ, "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=threads
    )


def kill_after(words: list[str], output: Path, units: int) -> None:
    """Starts the command and kills it once it has kept so many more checkpoints."""
    seen = kept(output)
    before = len(seen)
    process = started(words)
    while process.poll() is None and len(seen) < before + units:
        seen |= kept(output)
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.1))
    process.kill()
    process.wait()


def kept(output: Path) -> set[tuple[str, int]]:
    """Checkpoints that are there now, with their times. One may be replaced by the next as it is looked at."""
    found = set()
    for path in output.glob(f"*/{CHECKPOINT}"):
        with contextlib.suppress(FileNotFoundError):
            found.add((str(path), path.stat().st_mtime_ns))
    return found


def copied(output: Path, target: Path) -> Path:
    """A copy of an output folder, whose runs are told that it is theirs. Returns its first run."""
    shutil.copytree(output, target, dirs_exist_ok=True)
    for config in target.glob("*/config.yml"):
        config.write_text(config.read_text().replace(str(output), str(target)))
    return sorted(run_folders(target))[0]


def run_folders(output: Path) -> list[Path]:
    """The runs below an output folder; a killed command leaves its lock file beside them."""
    return [path for path in output.iterdir() if path.is_dir()]


def results(run: Path) -> dict[str, dict[str, np.ndarray]]:
    return {path.name: read_npz(path) for path in run.glob("tracked_flame_params_*.npz")}


def assert_same_bits(found: dict[str, dict[str, np.ndarray]], expected: dict[str, dict[str, np.ndarray]]) -> None:
    assert expected.keys() == found.keys() == {"tracked_flame_params_0.npz", "tracked_flame_params_4.npz"}
    for file, arrays in expected.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[file][name], value, err_msg=f"{file} {name}")


@pytest.fixture(scope="module")
def finished(capture, tmp_path_factory) -> Path:
    """An output folder, of which the first run was never interrupted. Tests may add others."""
    output = tmp_path_factory.mktemp("finished")
    finish(command(capture, output))
    return output


@pytest.fixture(scope="module")
def killed(capture, tmp_path_factory) -> Path:
    """An output folder with one run, killed after its third checkpoint. For copies."""
    output = tmp_path_factory.mktemp("killed")
    kill_after(command(capture, output), output, 3)
    return output


@pytest.mark.slow
def test_killed_run_ends_with_the_bits_of_an_uninterrupted_one(capture, finished, tmp_path):
    for _ in range(KILLS):
        kill_after(command(capture, tmp_path), tmp_path, random.randint(1, 2))
    assert started(command(capture, tmp_path)).wait(300) == 0
    (run,) = run_folders(tmp_path)
    assert_same_bits(results(run), results(sorted(run_folders(finished))[0]))
    assert not list(tmp_path.rglob(".tmp*"))


def test_finished_run_is_left_alone_and_a_new_one_begins(capture, finished):
    first = sorted(run_folders(finished))[0]
    count = len(run_folders(finished))
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    finish(command(capture, finished))
    assert len(run_folders(finished)) == count + 1
    assert len(before) > 5
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_run_killed_before_its_page_is_not_tracked_again(capture, finished, tmp_path):
    output = tmp_path / "output"
    copied(finished, output)
    words = [word for word in command(capture, output) if word != "--exp.no-report"]
    for config in output.glob("*/config.yml"):
        config.write_text(config.read_text().replace("report: false", "report: true"))
    count = len(run_folders(output))
    said = finish(words)
    assert "its page" in said
    assert "rgb_global_tracking:" not in said
    assert len(run_folders(output)) == count
    assert len(list(output.glob("*/report.html"))) == 1


def test_other_options_start_a_run_of_their_own(capture, killed, tmp_path):
    copied(killed, tmp_path)
    said = finish(command(capture, tmp_path, "--w.reg_expr", "1"))
    assert "going on" not in said
    assert len(run_folders(tmp_path)) == 2


def test_folder_that_cannot_be_continued_is_one_line(capture, tmp_path, capsys):
    line = refused(command(capture, tmp_path, "--exp.resume", str(tmp_path / "nothing")), capsys)
    assert "checkpoint.pt" in line


def test_stage_to_begin_with_takes_the_values_of_the_newest_run(capture, finished):
    said = finish(command(capture, finished, "--begin_stage", "rgb_global_tracking"))
    assert "values of" in said
    assert "rgb_init_all:" not in said
    assert "rgb_global_tracking:" in said


def test_unknown_stage_to_begin_with_is_one_line(capture, tmp_path, capsys):
    assert "rgb_init_all" in refused(command(capture, tmp_path, "--begin_stage", "nothing"), capsys)


def test_shape_offsets_and_texture_of_an_earlier_run_are_kept(capture, finished, tmp_path):
    earlier = sorted(run_folders(finished))[0] / "tracked_flame_params_4.npz"
    finish(command(capture, tmp_path, "--model.flame_params_path", str(earlier), "--model.fix_shape"))
    (run,) = run_folders(tmp_path)
    expected, found = read_npz(earlier), read_npz(run / "tracked_flame_params_4.npz")
    np.testing.assert_array_equal(found["shape"], expected["shape"])
    np.testing.assert_array_equal(found["static_offset"], expected["static_offset"])
    np.testing.assert_allclose(found["tex_extra"], expected["tex_extra"], atol=1e-6)


def test_run_begins_at_a_timestep(capture, tmp_path):
    said = finish(command(capture, tmp_path, "--begin_timestep", "2"))
    chosen = said.split("initialisation on frames ")[1].split(",")[0].split()
    assert chosen == ["000002", "000003", "000004"][: len(chosen)] or min(chosen) >= "000002"


def test_timestep_beyond_the_clip_is_one_line(capture, tmp_path, capsys):
    line = refused(command(capture, tmp_path / "out", "--begin_timestep", "5"), capsys)
    assert "--begin_timestep below the 5 frames" in line
    assert not (tmp_path / "out").exists()


def test_checkpoint_that_runs_code_is_refused(capture, killed, tmp_path, capsys):
    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    folder = copied(killed, tmp_path)
    torch.save({"version": 1, "params": Bomb()}, folder / CHECKPOINT)
    (folder / PREVIOUS).unlink(missing_ok=True)
    line = refused([*command(capture, tmp_path), "--exp.resume", str(folder)], capsys)
    assert "expected a whole checkpoint at" in line


def test_damaged_checkpoint_gives_way_to_the_one_before_it(capture, finished, killed, tmp_path):
    folder = copied(killed, tmp_path)
    content = bytearray((folder / CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / CHECKPOINT).write_bytes(content)
    said = finish(command(capture, tmp_path))
    assert f"its checksum differs'; taken: the unit before it, {PREVIOUS}" in said
    assert run_folders(tmp_path) == [folder]
    assert_same_bits(results(folder), results(sorted(run_folders(finished))[0]))


def test_a_run_without_any_whole_checkpoint_begins_anew_and_says_so(capture, killed, tmp_path):
    folder = copied(killed, tmp_path)
    for name in (CHECKPOINT, PREVIOUS):
        (folder / name).write_bytes(b"nothing")
    said = finish(command(capture, tmp_path))
    assert f"expected a whole checkpoint at {folder / CHECKPOINT}" in said
    assert "starting anew" in said
    assert len(run_folders(tmp_path)) == 2


@pytest.mark.slow
def test_checkpoint_of_another_release_is_left_alone(capture, killed, tmp_path, capsys):
    folder = copied(killed, tmp_path)
    # Earlier releases wrote no checksum.
    torch.save({"version": VERSION - 1}, folder / CHECKPOINT)
    before = (folder / CHECKPOINT).read_bytes()
    said = finish(command(capture, tmp_path))
    assert f"another release of vhap began {folder}" in said
    assert len(run_folders(tmp_path)) == 2
    assert (folder / CHECKPOINT).read_bytes() == before
    said = finish(command(capture, tmp_path, "--begin_stage", "rgb_global_tracking", "--exp.resume", "never"))
    assert f"values of {folder}" not in said
    assert "values of" in said
    line = refused([*command(capture, tmp_path), "--exp.resume", str(folder)], capsys)
    assert "expected a checkpoint of version" in line
