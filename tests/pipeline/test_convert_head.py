"""From a run of one head to a run of another, through the command: what is written, and what is refused."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gnm_like import write_gnm
from small_run import COUNT, make_result, make_run

from vhap import cli
from vhap.api import convert_head
from vhap.config.export import ExportConfig
from vhap.data.results import newest_run
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline import export_as_nerf_dataset
from vhap.pipeline.conversion import converted as converted_result
from vhap.pipeline.open_run import open_run

ICT = os.environ.get("VHAP_ICT_FACEKIT")
needs_ict = pytest.mark.skipif(not ICT, reason="VHAP_ICT_FACEKIT does not name a folder FaceXModel")
NO_FILES = ("VHAP_FLAME_MODEL", "VHAP_ICT_FACEKIT", "VHAP_GNM_HEAD")


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("builtin")


@pytest.fixture(scope="module")
def root(tmp_path_factory, head) -> Path:
    """A run of the built-in head with an albedo, light.json, and light."""
    folder = tmp_path_factory.mktemp("convert")
    result = make_result(head)
    expr = result.expr.copy()
    expr[:, head.expr_names.index("mouthSmile_L")] = np.linspace(0, 0.8, COUNT)
    lights = np.zeros((9, 3), np.float32)
    lights[0] = 3
    albedo = np.full((3, 64, 64), 0.4, np.float32)
    result = replace(result, expr=expr, lights=lights, albedo=albedo, tex_extra=albedo * 0)
    make_run(folder, head, result)
    (newest_run(folder / "out") / "light.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def gnm(tmp_path_factory) -> Path:
    return write_gnm(tmp_path_factory.mktemp("gnm_head"))


@pytest.fixture(scope="module")
def converted(root, gnm, tmp_path_factory) -> Path:
    os.environ["VHAP_CACHE"], before = str(tmp_path_factory.mktemp("cache")), os.environ.get("VHAP_CACHE")
    try:
        return convert_head(root / "out", "gnm", gnm_path=gnm)
    finally:
        os.environ.pop("VHAP_CACHE") if before is None else os.environ.__setitem__("VHAP_CACHE", before)


def wrong(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    *log, line = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert not any("error" in said for said in log)
    return line


def test_the_new_run_opens_and_carries_over_what_is_not_the_head(root, converted):
    assert converted.parent == root / "out_gnm"
    before, after = open_run(root / "out", with_landmarks=False), open_run(converted, with_landmarks=False)
    assert after.model.name == "gnm"
    assert after.config.model.head == "gnm"
    assert after.result.head_identity == after.model.identity
    assert after.timesteps == before.timesteps
    for name in ("timestep_id", "timestep_index", "image_size", "focal_length", "lights"):
        assert np.array_equal(getattr(after.result, name), getattr(before.result, name)), name
    assert after.result.albedo is not None
    assert after.result.albedo.shape == (3, 64, 64)
    assert (converted / "light.json").read_text() == "{}"
    assert (converted / "log.txt").read_text().count("face") >= 1


def test_the_residual_is_small_and_in_the_run(converted):
    content = json.loads((converted / "conversion.json").read_text())
    assert content["head"].startswith("builtin:")
    assert content["to"].startswith("gnm:")
    assert content["residuals_mm"]["face"]["median"] < 1
    assert content["residuals_mm"]["face"]["matched"] > 0.9


def test_skin_has_the_colours_of_the_run(converted):
    scene = open_run(converted, with_landmarks=False)
    uvs = scene.model.uvs[scene.model.uv_faces[torch.isin(scene.model.faces, scene.model.regions["nose"]).all(1)]]
    size = scene.texture.shape[1]
    columns, rows = (uvs.mean(1) * torch.tensor([1.0, -1.0]) + torch.tensor([0, 1.0])).mul(size).long().T
    assert len(rows) > 20
    assert float((scene.texture[0, rows, columns] - 0.4).abs().median()) < 0.01


def test_the_new_run_is_exported(converted, tmp_path):
    target = export_as_nerf_dataset.run(ExportConfig(converted, tmp_path / "074_A"))
    assert len(list((target / "images").iterdir())) == COUNT
    assert cli.main(["export-mesh", "--src_folder", str(converted), "--tgt_folder", str(tmp_path / "m")]) is None
    assert len(list((tmp_path / "m").glob("frame_*.obj"))) == COUNT


def test_a_finished_conversion_is_not_made_again(root, gnm, converted):
    assert convert_head(root / "out", "gnm", gnm_path=gnm) == converted
    assert len(list((root / "out_gnm").iterdir())) <= 2
    assert convert_head(root / "out", "gnm", gnm_path=gnm, n_expr=4) != converted


def test_without_offsets_the_motion_is_the_same(root, gnm, converted, tmp_path):
    bare = open_run(
        convert_head(root / "out", "gnm", tmp_path / "bare", gnm_path=gnm, offsets=False), with_landmarks=False
    )
    assert bare.result.static_offset is None
    assert not bare.config.model.use_static_offset
    assert np.allclose(bare.result.expr, open_run(converted, with_landmarks=False).result.expr, atol=1e-6)


def test_a_world_of_another_unit(root, gnm):
    scene = open_run(root / "out", with_landmarks=False)
    result = scene.result
    larger = replace(result, translation=result.translation * 3, scale=np.array(3.0))
    target = load_head("gnm", gnm_path=gnm)
    one, other = (converted_result(replace(scene, result=found), target).result for found in (result, larger))
    assert np.allclose(other.translation, 3 * one.translation, atol=1e-6)
    assert np.allclose(other.expr, one.expr, atol=1e-5)
    assert float(other.scale) == 3


def test_heads_that_are_not_there_or_the_same_are_one_line(root, tmp_path, monkeypatch, capsys):
    for name in NO_FILES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VHAP_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = str(root / "out")
    line = wrong(capsys, "convert-head", run, "--to", "ict")
    assert "found none" in line
    assert "--ict_facekit_path" in line
    assert "--model." not in line
    assert "found builtin" in wrong(capsys, "convert-head", run, "--to", "builtin")
    assert "head_path" in wrong(capsys, "convert-head", run, "--to", "file")
    assert "smile" in wrong(capsys, "convert-head", run, "--to", "smile")
    assert "track first" in wrong(capsys, "convert-head", str(tmp_path), "--to", "builtin")
    assert not (root / "out_builtin").exists()


def test_curves_of_a_head_without_arkit_names_need_ict(converted, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("VHAP_ICT_FACEKIT", raising=False)
    monkeypatch.setenv("VHAP_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ("export-mesh", "--src_folder", str(converted), "--tgt_folder", str(tmp_path / "m"), "--curves")
    assert "VHAP_ICT_FACEKIT" in wrong(capsys, *words)
    assert not (tmp_path / "m").exists()


@needs_ict
def test_curves_of_a_head_without_arkit_names(converted, tmp_path):
    cli.main(["export-mesh", "--src_folder", str(converted), "--tgt_folder", str(tmp_path / "m"), "--curves"])
    with (tmp_path / "m" / "blendshapes.csv").open() as file:
        rows = list(csv.DictReader(file))
    smile = np.array([float(row["MouthSmileLeft"]) for row in rows])
    assert len(smile) == COUNT
    assert np.corrcoef(smile, np.linspace(0, 0.8, COUNT))[0, 1] > 0.95
