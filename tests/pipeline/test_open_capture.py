"""Captures opened for tracking: the right kind, landmarks detected where they are missing and only there."""

from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import MultiviewDataConfig, NersembleDataConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, MultiviewTrackConfig, NersembleTrackConfig, TrackConfig
from vhap.data.nersemble.capture import NersembleCapture
from vhap.detect import landmarks
from vhap.pipeline.captures import open_capture
from vhap.pipeline.make_synthetic_capture import run
from vhap.util.errors import InputError

SERIALS = ["222200042", "222200037", "221501007"]
"""As a synthetic rig of three cameras has them."""


class MiddleDetector:
    """Sees a face of 70 equal points in the middle of every picture."""

    def faces(self, picture):
        height, width = picture.shape[:2]
        return [np.tile([width / 2, height / 2, 1.0], (70, 1))]

    def face_near(self, picture, points):
        return None

    def confidence(self, points):
        return np.ones(len(points))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    for layout in ("nersemble_v1", "multiview"):
        run(
            SyntheticConfig(
                folder / layout, layout=layout, frames=2, cameras=3, width=66, height=96,
                image_format="png", landmark_source="face-alignment",
            )
        )  # fmt: skip
    return folder


@pytest.fixture
def detected(monkeypatch) -> list[str]:
    """Names of the passes that ran."""
    passes = []
    whole = landmarks.LandmarkPass.run
    monkeypatch.setattr(landmarks, "detector_maker", lambda name, device="auto": MiddleDetector)
    monkeypatch.setattr(landmarks.LandmarkPass, "run", lambda self: passes.append(self.label) or whole(self))
    return passes


def nersemble(root: Path, reuse: bool = True, **options) -> TrackConfig:
    data = NersembleDataConfig(
        root_folder=root / "nersemble_v1", sequence="EXP-1", subject="1", landmark_source="face-alignment", **options
    )
    return NersembleTrackConfig(data, ExperimentConfig(root / "out", reuse_landmarks=reuse))


def test_landmarks_that_are_there_are_used(root, detected):
    capture = open_capture(nersemble(root))
    assert isinstance(capture, NersembleCapture)
    assert capture.camera_ids == SERIALS
    assert detected == []


def test_one_cameras_missing_landmarks_are_detected(root, detected):
    capture = open_capture(nersemble(root))
    file = capture.folder / "landmark2d" / "face-alignment" / f"{SERIALS[2]}.npz"
    kept = file.read_bytes()
    file.unlink()
    try:
        open_capture(nersemble(root, cameras=tuple(SERIALS[:2])))
        assert detected == []
        capture = open_capture(nersemble(root))
        assert detected == [f"face-alignment {SERIALS[2]}"]
        points = capture.load_landmarks()[0]
        assert points.shape == (2, 3, 70, 2)
        np.testing.assert_allclose(points[:, 2], np.broadcast_to([33, 48], (2, 70, 2)))
    finally:
        file.write_bytes(kept)


def test_nothing_is_detected_before_the_rest_is_checked(root, detected):
    with pytest.raises(InputError, match="BAD"):
        open_capture(nersemble(root, reuse=False, cameras=("BAD",)))
    assert detected == []


def test_landmarks_are_detected_again_where_asked(root, detected):
    data = MultiviewDataConfig(root_folder=root / "multiview", sequence="EXP-1", landmark_source="face-alignment")
    open_capture(MultiviewTrackConfig(data, ExperimentConfig(root / "out", reuse_landmarks=False)))
    assert detected == [f"face-alignment cam_{index:02d}" for index in range(3)]
