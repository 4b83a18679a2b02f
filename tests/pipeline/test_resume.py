"""Killed runs go on where they were: the same bits in the end, nothing half written, nothing done twice."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.config.synthetic import SyntheticConfig
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.tracking.checkpoint import CHECKPOINT, PREVIOUS, VERSION
from vhap.util.files import read_npz

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
    return [sys.executable, "-c", PROGRAM, *words, *more]


def finish(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stderr + done.stdout


def kill_after(words: list[str], output: Path, units: int) -> None:
    """Starts the command and kills it once it has kept so many more checkpoints."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: set[tuple[str, int]] = {(str(p), p.stat().st_mtime_ns) for p in output.glob(f"*/{CHECKPOINT}")}
    before = len(seen)
    while process.poll() is None and len(seen) < before + units:
        seen |= {(str(p), p.stat().st_mtime_ns) for p in output.glob(f"*/{CHECKPOINT}")}
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.1))
    process.kill()
    process.wait()


def run_folders(output: Path) -> list[Path]:
    """The runs below an output folder; a killed command leaves its lock file beside them."""
    return [path for path in output.iterdir() if path.is_dir()]


def results(output: Path) -> dict[str, dict[str, np.ndarray]]:
    return {path.name: read_npz(path) for path in output.glob("*/tracked_flame_params_*.npz")}


def test_killed_run_ends_with_the_bits_of_an_uninterrupted_one(capture, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(capture, whole))
    for _ in range(KILLS):
        kill_after(command(capture, killed), killed, random.randint(1, 3))
    finish(command(capture, killed))
    assert len(run_folders(killed)) == 1
    expected, found = results(whole), results(killed)
    assert expected.keys() == found.keys() == {"tracked_flame_params_0.npz", "tracked_flame_params_4.npz"}
    for file, arrays in expected.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[file][name], value, err_msg=f"{file} {name}")
    assert not list(killed.rglob(".tmp*"))


@pytest.fixture(scope="module")
def finished(capture, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("finished")
    finish(command(capture, output))
    return output


def test_finished_run_is_left_alone_and_a_new_one_begins(capture, finished):
    (first,) = run_folders(finished)
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    finish(command(capture, finished))
    assert len(run_folders(finished)) == 2
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_run_killed_before_its_page_is_not_tracked_again(capture, finished, tmp_path):
    output = tmp_path / "output"
    shutil.copytree(finished, output)
    words = [word for word in command(capture, output) if word != "--exp.no-report"]
    for config in output.glob("*/config.yml"):
        text = config.read_text().replace(str(finished), str(output)).replace("report: false", "report: true")
        config.write_text(text)
    count = len(run_folders(output))
    said = finish(words)
    assert "its page" in said
    assert "rgb_global_tracking:" not in said
    assert len(run_folders(output)) == count
    assert len(list(output.glob("*/report.html"))) == 1


def test_other_options_start_a_run_of_their_own(capture, tmp_path):
    kill_after(command(capture, tmp_path), tmp_path, 2)
    said = finish(command(capture, tmp_path, "--seed", "1"))
    assert "going on" not in said
    assert len(run_folders(tmp_path)) == 2


def test_folder_that_cannot_be_continued_is_one_line(capture, tmp_path):
    done = subprocess.run(
        command(capture, tmp_path, "--exp.resume", str(tmp_path / "nothing")), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "checkpoint.pt" in done.stderr.splitlines()[-1]


def test_stage_to_begin_with_takes_the_values_of_the_newest_run(capture, finished):
    said = finish(command(capture, finished, "--begin_stage", "rgb_global_tracking"))
    assert "values of" in said
    assert "rgb_init_all:" not in said
    assert "rgb_global_tracking:" in said


def test_unknown_stage_to_begin_with_is_one_line(capture, tmp_path):
    done = subprocess.run(command(capture, tmp_path, "--begin_stage", "nothing"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "rgb_init_all" in done.stderr.splitlines()[-1]


def test_shape_offsets_and_texture_of_an_earlier_run_are_kept(capture, finished, tmp_path):
    earlier = next(iter(sorted(finished.glob("*/tracked_flame_params_4.npz"))))
    finish(command(capture, tmp_path, "--model.flame_params_path", str(earlier), "--model.fix_shape"))
    expected, found = read_npz(earlier), results(tmp_path)["tracked_flame_params_4.npz"]
    np.testing.assert_array_equal(found["shape"], expected["shape"])
    np.testing.assert_array_equal(found["static_offset"], expected["static_offset"])
    np.testing.assert_allclose(found["tex_extra"], expected["tex_extra"], atol=1e-6)


def test_run_begins_at_a_timestep(capture, tmp_path):
    said = finish(command(capture, tmp_path, "--begin_timestep", "2"))
    chosen = said.split("initialisation on frames ")[1].split(",")[0].split()
    assert chosen == ["000002", "000003", "000004"][: len(chosen)] or min(chosen) >= "000002"


def test_timestep_beyond_the_clip_is_one_line(capture, tmp_path):
    done = subprocess.run(command(capture, tmp_path / "out", "--begin_timestep", "5"), capture_output=True, text=True)
    assert done.returncode == 2
    assert "--begin_timestep below the 5 frames" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_checkpoint_that_runs_code_is_refused(capture, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (print, ("boom",))

    kill_after(command(capture, tmp_path), tmp_path, 1)
    (folder,) = run_folders(tmp_path)
    torch.save({"version": 1, "params": Bomb()}, folder / CHECKPOINT)
    (folder / PREVIOUS).unlink(missing_ok=True)
    again = [*command(capture, tmp_path), "--exp.resume", str(folder)]
    done = subprocess.run(again, capture_output=True, text=True)
    assert done.returncode == 2
    assert "boom" not in done.stdout
    assert "expected a whole checkpoint at" in done.stderr.splitlines()[-1]


def test_damaged_checkpoint_gives_way_to_the_one_before_it(capture, tmp_path):
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    finish(command(capture, whole))
    kill_after(command(capture, damaged), damaged, 3)
    (folder,) = run_folders(damaged)
    content = bytearray((folder / CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / CHECKPOINT).write_bytes(content)
    said = finish(command(capture, damaged))
    assert f"its checksum differs'; taken: the unit before it, {PREVIOUS}" in said
    assert len(run_folders(damaged)) == 1
    expected, found = results(whole), results(damaged)
    for file, arrays in expected.items():
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[file][name], value, err_msg=f"{file} {name}")


def test_a_run_without_any_whole_checkpoint_begins_anew_and_says_so(capture, tmp_path):
    kill_after(command(capture, tmp_path), tmp_path, 1)
    (folder,) = run_folders(tmp_path)
    for name in (CHECKPOINT, PREVIOUS):
        (folder / name).write_bytes(b"nothing")
    said = finish(command(capture, tmp_path))
    assert f"expected a whole checkpoint at {folder / CHECKPOINT}" in said
    assert "starting anew" in said
    assert len(run_folders(tmp_path)) == 2


def test_checkpoint_of_another_release_is_left_alone(capture, tmp_path):
    kill_after(command(capture, tmp_path), tmp_path, 1)
    (folder,) = run_folders(tmp_path)
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
    done = subprocess.run([*command(capture, tmp_path), "--exp.resume", str(folder)], capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected a checkpoint of version" in done.stderr.splitlines()[-1]
