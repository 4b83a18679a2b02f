"""The program that times exports: a table of what it exported, and lines on what a run cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import export_speed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "export"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from layout_runs import write_run
from subject_run import loaded_once

from vhap.config.track import ModelConfig


def test_layouts_are_timed_and_refused_ones_are_named(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)
    run = write_run(tmp_path / "data", ModelConfig(head="builtin"), 3)
    layouts = ["gaussian_avatars", "metrical", "nerfstudio"]
    export_speed.main(["--run", str(run), "--output", str(tmp_path / "out"), "--rounds", "1", "--layouts", *layouts])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in lines if line.startswith("|")}
    assert set(rows) >= {"gaussian_avatars", "nerfstudio"}
    assert "metrical" not in rows
    assert int(rows["nerfstudio"][0]) == 6, "three pictures and their masks"
    assert any(line.startswith("- metrical: expected a run of FLAME 2020") for line in lines)
