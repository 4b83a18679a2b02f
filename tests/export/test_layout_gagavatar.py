"""GAGAvatar's folder by its reader's rules: LMDB and pickle, FLAME five times its size before a camera of focal 12."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_runs import COUNT, filled, overlap, shown_row, write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from flame_like_builtin import write_builtin_as_flame
from subject_run import loaded_once
from trainer_reader import Flame

from vhap.api import export
from vhap.config.track import ModelConfig
from vhap.util.errors import InputError


@pytest.fixture(scope="module")
def flame_path(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_builtin_as_flame(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture(autouse=True)
def one_head(monkeypatch) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, flame_path) -> Path:
    model = ModelConfig(head="flame", flame_model_path=flame_path, n_shape=300, n_expr=100)
    return write_run(tmp_path_factory.mktemp("data"), model)


def test_the_reader_s_flame_lies_on_the_pictures(tmp_path, run_folder, flame_path) -> None:
    lmdb = pytest.importorskip("lmdb")
    target = export(run_folder, tmp_path / "out", layout="gagavatar", create_mask_from_mesh=False)
    split, flame = json.loads((target / "dataset.json").read_text()), Flame(flame_path)
    entries = pickle.loads((target / "optim.pkl").read_bytes())
    assert set(entries) == {*split["train"], *split["val"], *split["test"]}
    assert len(split["val"]) >= 2
    with lmdb.open(str(target / "img_lmdb"), readonly=True, lock=False) as environment, environment.begin() as content:
        stored = {key.decode(): bytes(value) for key, value in content.cursor()}
    assert set(stored) == set(entries)
    assert len(entries) == COUNT
    for key, entry in entries.items():
        assert key.split("_")[0] == "person"
        row = int(key.rpartition("_")[2])
        picture = cv2.imdecode(np.frombuffer(stored[key], np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (512, 512, 3)
        person = picture[..., 1] > 60
        assert shown_row(np.median(picture[person][:, 2])) == row
        assert {name: array.shape for name, array in entry.items()} == {
            "bbox": (4,), "shapecode": (300,), "expcode": (100,), "posecode": (6,), "eyecode": (6,),
            "transform_matrix": (3, 4),
        }  # fmt: skip
        assert all(array.dtype == np.float32 for array in entry.values())
        assert not entry["posecode"][:3].any()
        assert ((entry["bbox"] >= 0) & (entry["bbox"] <= 1)).all()
        pose = np.concatenate([np.zeros(6), entry["posecode"][3:], entry["eyecode"]]).astype(float)
        vertices = 5 * flame.vertices(entry["shapecode"].astype(float), entry["expcode"].astype(float), pose)
        matrix = entry["transform_matrix"].astype(float)
        camera = vertices @ matrix[:, :3] + matrix[:, 3]
        assert (camera[:, 2] > 0).all()
        pixels = 256 - 256 * 12 * camera[:, :2] / camera[:, 2:]
        assert overlap(filled(pixels, flame.faces, (512, 512)), person) > 0.93


def test_without_lmdb_it_says_how_to_get_it(tmp_path, run_folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(InputError, match="pip install lmdb"):
        export(run_folder, tmp_path / "out", layout="gagavatar")
    assert not (tmp_path / "out").exists()
