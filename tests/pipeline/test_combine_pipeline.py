from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vhap import combine_nerf_datasets

HELD_OUT = "EXP-2"


def combine(monkeypatch, target: Path, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["combine", *arguments, "--tgt_folder", str(target)])
    combine_nerf_datasets.main()


def write_export(folder: Path) -> Path:
    folder.mkdir(parents=True)
    numbers = dict.fromkeys(("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y"), 1)
    frame = {
        "timestep_index": 0,
        "camera_index": 0,
        "camera_id": "0",
        "transform_matrix": np.eye(4).tolist(),
        "file_path": "a.png",
    }
    cv2.imwrite(str(folder / "a.png"), np.zeros((1, 1), np.uint8))
    (folder / "transforms.json").write_text(json.dumps({**numbers, "frames": [{**numbers, **frame}]}))
    np.savez(folder / "canonical_flame_param.npz", expr=np.zeros((1, 3)))
    return folder


@pytest.mark.parametrize("mode", ["random_group", "random_single", "last", "none"])
def test_options_reach_the_union(monkeypatch, tmp_path: Path, mode: str, capsys) -> None:
    sources = [str(write_export(tmp_path / f"074_{name}")) for name in "AB"]
    combine(monkeypatch, tmp_path / "074_U", "--src_folders", *sources, "--division_mode", mode)
    held_out = (tmp_path / "074_U/sequences_test.txt").read_text().split()
    assert len(held_out) == (0 if mode == "none" else 1)
    assert str(tmp_path / "074_U") in capsys.readouterr().out


def test_the_union_of_the_documentation(monkeypatch, tmp_path: Path) -> None:
    """As users of such trackers have the command in their scripts, word for word."""
    sequences = ["EMO-1", "EMO-2", "EMO-3", "EMO-4", "EXP-2", "EXP-3", "EXP-4", "EXP-5", "EXP-8", "EXP-9"]
    name = "074_{}_v16_DS4_whiteBg_staticOffset_maskBelowLine"
    sources = [f"export/nersemble/{name.format(sequence)}" for sequence in sequences]
    target = "export/nersemble/UNION10_074_EMO1234EXP234589_v16_DS4_whiteBg_staticOffset_maskBelowLine"
    for source in sources:
        write_export(tmp_path / source)
    monkeypatch.chdir(tmp_path)
    script = Path(combine_nerf_datasets.__file__)
    command = [sys.executable, str(script), "--src_folders", *sources, "--tgt_folder", target]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    # random.seed("074"), then randint(0, 9), gives 4.
    assert (tmp_path / target / "sequences_test.txt").read_text() == f"{name.format(HELD_OUT)}\n"
    frames = [
        frame
        for split in ("train", "val", "test")
        for frame in json.loads((tmp_path / target / f"transforms_{split}.json").read_text())["frames"]
    ]
    assert sorted(frame["timestep_index"] for frame in frames) == list(range(10))
    assert sorted(frame["file_path"] for frame in frames) == sorted(
        f"../{name.format(sequence)}/a.png" for sequence in sequences
    )


def test_bad_input_is_one_line_and_exit_status_2(monkeypatch, tmp_path: Path, capsys) -> None:
    first = write_export(tmp_path / "074_A")
    broken = write_export(tmp_path / "074_B")
    (broken / "transforms.json").write_text("[1, 2")
    for sources, message in (([first], "none would be left"), ([first, broken], "expected JSON")):
        with pytest.raises(SystemExit) as stopped:
            combine(monkeypatch, tmp_path / "074_U", "--src_folders", *map(str, sources))
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2
        assert line.startswith("error: ")
        assert message in line
    assert not (tmp_path / "074_U").exists()
