"""CAP4D's folder by its reader's rules: its own FLAME without a jaw, diag(1, -1, -1), extr, K."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_runs import COUNT, SIZE, filled, overlap, shown_row, write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))

import flame_files
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
def no_jaw(tmp_path_factory, flame_path) -> dict[str, np.ndarray]:
    """The same head with its jaw as one of its expressions, and every other coefficient elsewhere."""
    head, folder = Flame(flame_path), tmp_path_factory.mktemp("no_jaw")
    pose = np.zeros(15)
    pose[6] = 0.3
    jaw = head.vertices(np.zeros(300), np.zeros(100), pose) - head.vertices(np.zeros(300), np.zeros(100), 0 * pose)
    directions = head.directions[..., :365].copy()
    directions[..., :150] = head.directions[..., 149::-1]
    directions[..., 300], directions[..., 301:364] = jaw, head.directions[..., 300:363]
    path, blink = folder / "flame2023_no_jaw.pkl", np.zeros_like(head.template)
    flame_files.write_pickle(
        path, {"v_template": head.template, "shapedirs": directions.astype(np.float32), "f": head.faces}
    )
    np.save(folder / "blink_blendshape.npy", blink)
    return {"path": path, "template": head.template, "directions": directions, "faces": head.faces, "blink": blink}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, flame_path) -> Path:
    # CAP4D takes fewer expressions than FLAME has: those beyond are not in this film.
    model = ModelConfig(head="flame", flame_model_path=flame_path, n_shape=150, n_expr=40)
    return write_run(tmp_path_factory.mktemp("data"), model)


def test_the_refitted_head_lies_on_the_pictures(tmp_path, run_folder, no_jaw) -> None:
    target = export(
        run_folder, tmp_path / "out", layout="cap4d", cap4d_model=no_jaw["path"], create_mask_from_mesh=False
    )
    fit = np.load(target / "fit.npz")
    shapes = {
        "fx": (1, 1), "fy": (1, 1), "cx": (1, 1), "cy": (1, 1), "extr": (1, 4, 4), "shape": (150,), "expr": (COUNT, 65),
        "rot": (COUNT, 3), "tra": (COUNT, 3), "eye_rot": (COUNT, 3), "resolutions": (1, 2), "camera_order": (1,),
    }  # fmt: skip
    assert {name: fit[name].shape for name in fit} == shapes
    np.testing.assert_allclose(fit["extr"][0], np.eye(4), atol=1e-6)
    assert tuple(fit["resolutions"][0]) == SIZE
    (name,) = fit["camera_order"].tolist()
    files = sorted((target / "images" / name).iterdir())
    assert len(files) == len(list((target / "bg" / name).iterdir())) == COUNT
    references = json.loads((target / "reference_images.json").read_text())
    assert all(camera == name and 0 <= timestep < COUNT for camera, timestep in references)
    assert references
    expressions = np.concatenate([no_jaw["directions"][..., 300:364], no_jaw["blink"][..., None]], -1)
    for timestep, path in enumerate(files):
        vertices = no_jaw["template"] + no_jaw["directions"][..., :150] @ fit["shape"]
        vertices = vertices + expressions @ fit["expr"][timestep]
        turn, _ = cv2.Rodrigues(fit["rot"][timestep].astype(float))
        camera = (vertices @ turn.T + fit["tra"][timestep]) * [1, -1, -1]
        assert fit["tra"][timestep, 2] < 0
        pixels = camera[:, :2] / camera[:, 2:] * [fit["fx"][0, 0], fit["fy"][0, 0]] + [fit["cx"][0, 0], fit["cy"][0, 0]]
        picture, mask = cv2.imread(str(path)), cv2.imread(str(target / "bg" / name / path.name), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (*SIZE, 3)
        person = mask[..., 0] > 127
        assert shown_row(np.median(picture[person][:, 2])) == timestep
        assert overlap(filled(pixels, no_jaw["faces"], SIZE), person) > 0.93


def test_without_its_model_it_is_refused(tmp_path, run_folder, no_jaw) -> None:
    with pytest.raises(InputError, match=r"expected --cap4d_model FILE .*flame2023_no_jaw\.pkl"):
        export(run_folder, tmp_path / "out", layout="cap4d")
    other = tmp_path / "flame2023_no_jaw.pkl"
    flame_files.write_pickle(other, {"v_template": np.zeros((10, 3)), "shapedirs": np.zeros((10, 3, 400))})
    np.save(tmp_path / "blink_blendshape.npy", np.zeros((10, 3)))
    with pytest.raises(InputError, match="as the tracked head"):
        export(run_folder, tmp_path / "out", layout="cap4d", cap4d_model=other)
    assert not (tmp_path / "out").exists()
