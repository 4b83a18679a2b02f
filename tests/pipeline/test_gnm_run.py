"""A GNM stand-in filmed, tracked, opened in another environment, and led back into its file's own order."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vhap import api
from vhap.head.gnm import gnm_coefficients

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))

from gnm_like import make_gnm, write_gnm

FRAMES, SIZE = 4, 128


@pytest.fixture(scope="module")
def gnm_path(tmp_path_factory) -> Path:
    return write_gnm(tmp_path_factory.mktemp("gnm"), make_gnm())


def test_a_film_of_the_head_is_tracked_and_its_numbers_lead_back(tmp_path, monkeypatch, gnm_path):
    monkeypatch.setenv("VHAP_GNM_HEAD", str(gnm_path))
    film = api.make_synthetic_capture(
        tmp_path / "film" / "anna", head="gnm", frames=FRAMES, size=SIZE, landmark_source="face-alignment"
    )
    folder = api.track(film, head="gnm", landmark_source="face-alignment", output_folder=tmp_path / "out", report=False)
    monkeypatch.delenv("VHAP_GNM_HEAD")
    run = api.open_run(folder)
    result = run.scene.result
    assert (result.shape.shape, result.expr.shape) == ((19,), (FRAMES, 27))
    assert result.head_identity == run.head.identity
    assert run.head.identity.startswith("gnm:")
    assert (result.jaw_pose == 0).all()
    measured = api.evaluate(folder, truth=film)
    assert measured["face_vertex_error_mm_mean"] < 3
    # What no picture and no point tells stays where its prior holds it.
    tongue = [index for index, name in enumerate(run.head.expr_names) if name.startswith("tongue")]
    assert len(tongue) == 4
    assert np.abs(result.expr[:, tongue]).max() < 0.05 < np.abs(result.expr).max()
    identity, expression = gnm_coefficients(run.head, gnm_path, result.shape, result.expr)
    names = np.load(gnm_path)["expression_names"].tolist()
    np.testing.assert_array_equal(expression[:, [names.index(name) for name in run.head.expr_names]], result.expr)
    assert sorted(identity.tolist()) == sorted(result.shape.tolist())


@pytest.mark.slow
def test_a_rig_of_any_world_tracks_the_head(tmp_path, monkeypatch, gnm_path):
    monkeypatch.setenv("VHAP_GNM_HEAD", str(gnm_path))
    rig = api.make_synthetic_capture(
        tmp_path / "rig", head="gnm", layout="multiview", world="similarity", frames=2, cameras=4, height=160,
        width=110, image_format="png", landmark_source="face-alignment",
    )  # fmt: skip
    folder = api.track(
        rig, kind="multiview", head="gnm", landmark_source="face-alignment", output_folder=tmp_path / "out",
        photometric=False, report=False,
    )  # fmt: skip
    measured = api.evaluate(folder, truth=rig)
    assert measured["face_vertex_error_mm_mean"] < 1.5
