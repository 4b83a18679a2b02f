"""What a path is that somebody wants to look at."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vhap.head.builtin import load_builtin
from vhap.head.head_file import save_head
from vhap.util.errors import InputError
from vhap.viewer.open import Found, what_is


@pytest.mark.parametrize("name", ["builtin", "ict", "flame", "auto"])
def test_names_of_heads(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert what_is(Path(name)) == Found("head", Path(name))


def test_a_run_is_known_by_its_folder_its_output_folder_and_its_file(viewed_run):
    run = next(viewed_run.iterdir())
    assert what_is(viewed_run) == Found("run", viewed_run)
    assert what_is(run) == Found("run", run)
    assert what_is(run / "tracked_flame_params_0.npz") == Found("run", run, 0)


def test_captures(viewed_run, viewed_rig):
    assert what_is(viewed_run.parent / "person").kind == "capture"
    # Its transforms.json is that of a rig, not of an export.
    rig = viewed_rig / "multiview" / "EXP-1-head"
    assert (rig / "transforms.json").is_file()
    assert what_is(rig).kind == "capture"


@pytest.mark.parametrize("name", ["transforms.json", "transforms_train.json"])
def test_exports_and_unions(tmp_path, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "00000_00.png").write_bytes(b"")
    (tmp_path / name).write_text(json.dumps({"frames": [{"timestep_index": 0}]}))
    assert what_is(tmp_path).kind == "export"


def test_files_of_heads(tmp_path):
    save_head(tmp_path / "mine.npz", replace(load_builtin(), name="mine"))
    (tmp_path / "flame.pkl").write_bytes(b"")
    (tmp_path / "FaceXModel").mkdir()
    (tmp_path / "FaceXModel" / "vertex_indices.json").write_text("{}")
    kinds = [what_is(tmp_path / name).kind for name in ("mine.npz", "flame.pkl", "FaceXModel")]
    assert kinds == ["head", "head", "head"]


def test_what_lies_inside_is_named(viewed_run):
    with pytest.raises(InputError, match=r"found none in .*; give .*out \(run\)") as found:
        what_is(viewed_run.parent)
    assert "person (capture)" in str(found.value)


def test_two_things_in_one_folder(viewed_run, tmp_path):
    (tmp_path / "images").symlink_to(viewed_run.parent / "person" / "images")
    (tmp_path / "run").symlink_to(next(viewed_run.iterdir()))
    with pytest.raises(InputError, match="found a run and a capture; name the folder"):
        what_is(tmp_path)


def test_a_head_and_a_folder_of_its_name(viewed_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "builtin").symlink_to(viewed_run)
    with pytest.raises(InputError, match=r"write \./builtin"):
        what_is(Path("builtin"))
    assert what_is(tmp_path / "builtin").kind == "run"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "found nothing at"),
        ("empty", "found none of them in"),
        ("clip.mp4", "vhap track"),
        ("cloud.ply", "--points"),
        ("other.npz", "found the file"),
        ("tracked_flame_params_3.npz", r"config\.yml"),
    ],
)
def test_what_is_nothing_to_look_at_is_one_line(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    for file in ("clip.mp4", "cloud.ply"):
        (tmp_path / file).write_bytes(b"")
    for file in ("other.npz", "tracked_flame_params_3.npz"):
        np.savez(tmp_path / file, a=np.zeros(1))
    with pytest.raises(InputError, match=said) as found:
        what_is(tmp_path / name)
    assert "\n" not in str(found.value)
