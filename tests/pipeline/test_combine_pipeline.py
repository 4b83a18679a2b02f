from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from vhap import combine_nerf_datasets


def combine(monkeypatch, target: Path, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["combine", *arguments, "--tgt_folder", str(target)])
    combine_nerf_datasets.main()


def write_export(folder: Path) -> Path:
    folder.mkdir()
    numbers = dict.fromkeys(("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y"), 1)
    frame = {"timestep_index": 0, "camera_index": 0, "camera_id": "0", "transform_matrix": [], "file_path": "a.png"}
    (folder / "a.png").write_bytes(b"")
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
