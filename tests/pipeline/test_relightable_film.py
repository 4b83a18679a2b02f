"""A film of a head in FLAME's files, from pictures to what a trainer places on them: tracked in truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from filmed_subject import write_filmed_subject
from flame_like_builtin import write_builtin_as_flame
from trainer_reader import Flame, HravatarReader

from vhap import demo_reconstruct, optimize
from vhap.config.synthetic import SyntheticConfig
from vhap.pipeline import make_synthetic_capture
from vhap.relightable.head_files import read_codes

FRAMES, SIZE = 6, 192


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_builtin_as_flame(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture(scope="module")
def film(tmp_path_factory, flame) -> Path:
    config = SyntheticConfig(
        tmp_path_factory.mktemp("film") / "demo", head="flame", flame_model_path=flame, frames=FRAMES, size=SIZE,
        image_format="png", max_yaw=25, landmark_source="face-alignment",
    )  # fmt: skip
    return make_synthetic_capture.run(config)


def eye_corners(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[36] - points[45]))


@pytest.mark.slow
def test_the_old_commands_on_a_film(tmp_path, monkeypatch, flame, film) -> None:
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame))
    subject = write_filmed_subject(film, tmp_path / "person")
    words = ["--saveCode", "True", "--saveVis", "False", "--sample_step", "1", "--render_orig", "False"]
    demo_reconstruct.main(["-i", str(subject / "image"), "--savefolder", str(subject / "deca"), *words])
    assert len(read_codes(subject / "code.json")) == FRAMES
    words = ["--size", str(SIZE), "--n_shape", "100", "--n_expr", "100", "--with_translation", "--no-photometric"]
    optimize.main(["--path", str(subject), *words])
    reader = HravatarReader(subject, Flame(flame), n_expr=100)
    points = json.loads((subject / "keypoint.json").read_text())
    truth = np.load(film / "ground_truth" / "vertices.npy")
    camera = json.loads((film / "ground_truth" / "cameras.json").read_text())["cameras"]["0"]
    for row, path in enumerate(reader.paths):
        placed, wanted = reader.projected(path), np.array(points[path.name])
        x, y, z = (truth[row][: len(placed)] + np.array([0, 0, -1])).T
        true_px = np.stack([camera["cx"] - camera["fx"] * x / z, camera["cy"] + camera["fy"] * y / z], 1)
        marked = reader.flame.marked_px(placed)
        assert np.linalg.norm(marked[:68] - wanted, axis=1).mean() < 0.015 * eye_corners(wanted)
        face = reader.flame.face_ids()
        assert np.linalg.norm(placed[face] - true_px[face], axis=1).mean() < 0.03 * eye_corners(wanted)
        _, mask = reader.picture(path)
        inside = placed[face].astype(int).clip(0, SIZE - 1)
        assert (mask[inside[:, 1], inside[:, 0]] > 0).mean() > 0.97
