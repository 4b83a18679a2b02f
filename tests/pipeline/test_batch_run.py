"""Running a batch: what waits for what, failures, kills, changed options, steps beside each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from batch_tree import behave, calls, fake_batch

from vhap import cli
from vhap.config.batch import Manifest, RunConfig, StepConfig, StepOptions
from vhap.pipeline import batch_run
from vhap.pipeline.batch_manifest import read_manifest, write_manifest
from vhap.util.errors import InputError
from vhap.util.threads import usable_cores


@pytest.fixture(autouse=True)
def told_how_to_behave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEHAVIOUR", str(tmp_path / "behaviour.json"))


def edit(path: Path, **changes: object) -> Manifest:
    manifest = replace(read_manifest(path), **changes)  # pyright: ignore[reportArgumentType]
    write_manifest(path, manifest)
    return manifest


def commands(folder: Path) -> list[str]:
    return [line.split()[0] for line in calls(folder)]


def test_all_steps_run_once_and_share_one_identity(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b", "bert_a")
    edit(path, options=StepOptions(preprocess="--target_fps 5", track="--model.head builtin", export="--layout nerf"))
    text, is_well = batch_run.run(RunConfig(path))
    lines = calls(tmp_path)
    assert is_well
    assert "11 done, 0 finished before, 0 failed" in text
    names = ("preprocess-video", "track", "track-person")
    of = {name: [line for line in lines if line.startswith(name + " ")] for name in names}
    assert len(of["preprocess-video"]) == len(of["track"]) == 3
    assert all("--target_fps 5" in line for line in of["preprocess-video"])
    frames, persons = tmp_path / "results" / "frames", tmp_path / "results" / "persons"
    assert of["track-person"][0].split(" # ")[0] == (
        f"track-person --data.root_folder {frames} --subject anna --sequences anna_a anna_b "
        f"--exp.output_folder {persons} --person_only --model.head builtin"
    )
    person = persons / "anna_person" / "2026-01-01_00-00-00" / "tracked_flame_params_30.npz"
    following = [line for line in of["track"] if "fix_shape" in line]
    assert len(following) == 2
    assert f"--data.sequence anna_b --exp.output_folder {tmp_path / 'results' / 'runs' / 'anna_b'}" in following[1]
    fixed = f"--model.flame_params_path {person} --model.fix_shape --model.focal_path {person} --model.head builtin"
    assert all(fixed in line for line in following)
    first = [line.split()[0] for line in lines if "anna" in line][:3]
    assert first == ["preprocess-video", "preprocess-video", "track-person"]
    unions = [line for line in lines if line.startswith("combine-nerf-datasets")]
    assert len(unions) == 1
    assert "export/anna_a" in unions[0]
    assert batch_run.run(RunConfig(path))[0].endswith("0 done, 11 finished before, 0 failed, 0 wait for these, "
                                                      "of 11 steps")  # fmt: skip
    assert calls(tmp_path) == []


def test_without_shared_identity_nobody_waits(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b")
    edit(path, share_identity=False)
    batch_run.run(RunConfig(path))
    lines = calls(tmp_path)
    assert not any("fix_shape" in line or line.startswith("track-person") for line in lines)
    assert len(lines) == 7


def test_a_known_focal_length_is_no_part_of_the_person(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b")
    edit(path, options=StepOptions(track="--data.fx 900"))
    batch_run.run(RunConfig(path))
    tracked = [line for line in calls(tmp_path) if line.startswith("track ")]
    assert len(tracked) == 2
    assert not any("focal_path" in line for line in tracked)


def test_a_sequence_without_pictures_leaves_the_person_to_the_others(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b", "anna_c")
    behave(tmp_path, {"preprocess-video --input " + str(tmp_path / "data" / "anna_b.mp4"): "fail"})
    text, is_well = batch_run.run(RunConfig(path))
    assert not is_well
    assert "person anna: " in text
    assert "7 done, 0 finished before, 1 failed, 3 wait for these, of 11 steps" in text
    assert commands(tmp_path).count("track-person") == 1
    behave(tmp_path, {})
    text, is_well = batch_run.run(RunConfig(path))
    assert is_well
    # The person is solved again, by all three, and so are those that had been followed.
    assert "9 done, 2 finished before" in text
    assert commands(tmp_path).count("track") == 3


def test_a_person_that_fails_stops_its_own_sequences_only(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b", "bert_a")
    behave(tmp_path, {"track-person": "fail"})
    text, _ = batch_run.run(RunConfig(path))
    assert "person anna: FAILED" in text
    assert "5 done, 0 finished before, 1 failed, 5 wait for these, of 11 steps" in text


def test_another_sequence_may_give_the_identity(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b")
    (subject,) = read_manifest(path).subjects
    edit(path, subjects=(replace(subject, identity_from="anna_b", together=False),))
    batch_run.run(RunConfig(path))
    tracked = [line for line in calls(tmp_path) if line.startswith("track ")]
    assert ["--data.sequence anna_b" in line for line in tracked] == [True, False]
    assert "runs/anna_b/2026" in tracked[1]


def test_a_failure_stops_only_what_needs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b", "bert_a", "bert_b")
    behave(
        tmp_path, {"track --data.root_folder " + str(tmp_path / "results/frames") + " --data.sequence bert_b": "fail"}
    )
    with pytest.raises(SystemExit) as stop:
        cli.main(["batch", "run", str(path), "--retries", "1"])
    assert stop.value.code == 1
    text, said = capsys.readouterr().out, commands(tmp_path)
    assert "bert_b.track: exit status 2: error: expected another film, found this one; film again" in text
    assert str(tmp_path / "results" / "logs" / "bert_b.track.log") in text
    assert "13 done, 0 finished before, 1 failed, 2 wait for these, of 16 steps" in text
    assert (said.count("track"), said.count("track-person"), said.count("combine-nerf-datasets")) == (5, 2, 1)
    behave(tmp_path, {})
    text, is_well = batch_run.run(RunConfig(path))
    assert is_well
    assert commands(tmp_path) == ["track", "export-as-nerf-dataset", "combine-nerf-datasets"]


def test_a_changed_option_makes_that_step_and_later_ones_again(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "bert_a")
    batch_run.run(RunConfig(path))
    calls(tmp_path)
    manifest = read_manifest(path)
    own = replace(manifest.sequences[1], options=StepOptions(track="--model.n_expr 50"))
    edit(path, sequences=(manifest.sequences[0], own))
    assert "bert_a  finished    to do     to do" in batch_run.run(RunConfig(path, dry_run=True))[0]
    batch_run.run(RunConfig(path))
    assert [line.split()[0] for line in calls(tmp_path)] == ["track", "export-as-nerf-dataset"]


def test_other_layouts_have_no_union(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a", "anna_b")
    edit(path, options=StepOptions(export="--layout hravatar"))
    batch_run.run(RunConfig(path))
    assert "combine-nerf-datasets" not in commands(tmp_path)


def test_steps_run_beside_each_other_with_their_share_of_threads(tmp_path: Path) -> None:
    """The stand-in waits until another one waits."""
    path = fake_batch(tmp_path, "anna_a", "bert_a")
    behave(tmp_path, {"preprocess-video": "meet"})
    assert batch_run.run(RunConfig(path, jobs=2))[1]
    share = max(1, usable_cores() // 2)
    lines = calls(tmp_path)
    assert len(lines) == 6
    assert all(line.endswith(f"# {share} {share}") for line in lines)


def wait_for(path: Path) -> None:
    for _ in range(1200):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not come")


def has_ended(process: int) -> bool:
    for _ in range(400):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        state = Path(f"/proc/{process}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends processes with their parent")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_batch_leaves_no_process_and_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    path = fake_batch(tmp_path, "anna_a", "bert_a")
    behave(tmp_path, {f"--exp.output_folder {tmp_path / 'results' / 'runs' / 'bert_a'}": "hang"})
    batch = subprocess.Popen([sys.executable, "-m", "vhap", "batch", "run", str(path)], stderr=subprocess.PIPE)
    wait_for(tmp_path / "hangs")
    batch.send_signal(how)
    _, said = batch.communicate(timeout=60)
    assert batch.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    assert how is signal.SIGKILL or b"give the same command again" in said
    assert has_ended(int((tmp_path / "hangs").read_text()))
    behave(tmp_path, {})
    calls(tmp_path)
    text, is_well = batch_run.run(RunConfig(path))
    assert is_well
    assert "2 done, 4 finished before" in text
    assert commands(tmp_path) == ["track", "export-as-nerf-dataset"]


def test_single_steps_as_workflow_engines_run_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = fake_batch(tmp_path, "anna_a")
    with pytest.raises(InputError, match=r"expected anna_a.preprocess to be finished before anna_a.track"):
        batch_run.run_step(StepConfig(path, "track", "anna_a"))
    with pytest.raises(InputError, match=r"expected a target of the step track, found 'anna_b' .there are: anna_a"):
        batch_run.run_step(StepConfig(path, "track", "anna_b"))
    assert batch_run.run_step(StepConfig(path, "preprocess", "anna_a", threads=3)) == 0
    assert calls(tmp_path)[0].endswith("# 3 3")
    assert batch_run.run_step(StepConfig(path, "preprocess", "anna_a")) == 0
    assert calls(tmp_path) == []
    behave(tmp_path, {"track": "fail"})
    assert batch_run.run_step(StepConfig(path, "track", "anna_a")) == 2
    assert "error: anna_a.track: error: expected another film" in capfd.readouterr().err


def test_options_that_do_not_exist_are_found_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fake_batch(tmp_path, "anna_a")
    edit(path, options=StepOptions(track="--model.heat ict"))
    with pytest.raises(SystemExit) as stop:
        cli.main(["batch", "run", str(path)])
    assert stop.value.code == 2
    assert "--model.heat" in capsys.readouterr().err
    assert calls(tmp_path) == []


def test_a_program_that_is_not_there_is_a_failure_of_the_step(tmp_path: Path) -> None:
    path = fake_batch(tmp_path, "anna_a")
    edit(path, command=(str(tmp_path / "no_program"),))
    text, is_well = batch_run.run(RunConfig(path))
    assert not is_well
    assert "anna_a.preprocess: expected a program that starts with" in text
