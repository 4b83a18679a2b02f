"""MediaPipe sees the closed lids of a head whose texture is drawn by regions."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vhap.config.synthetic import SyntheticConfig
from vhap.fit.residuals.landmark_pairs import MEDIAPIPE_PAIRS
from vhap.head.model import pose
from vhap.pipeline.make_synthetic_capture import load_synthetic_head, make_truth
from vhap.synthetic.motion import frame_params

pytest.importorskip("mediapipe")

EYES = ((33, 133), (362, 263))
BLINK = 22
"""A frame of seed 0 with closed lids."""


@pytest.mark.skipif("VHAP_ICT_FACEKIT" not in os.environ, reason="needs VHAP_ICT_FACEKIT, the folder FaceXModel")
def test_detected_lids_of_a_filmed_person_close(tmp_path):
    """On plain skin, which has no lashes, the detector reported eyes open by 0.15 of their width."""
    from vhap.detect.mediapipe_landmarks import MediapipeLandmarks

    config = SyntheticConfig(tmp_path, head="ict", frames=BLINK + 1)
    truth = make_truth(config, load_synthetic_head(config))
    vertices = pose(truth.model, frame_params(truth.params, BLINK))
    points = MediapipeLandmarks().detect(truth.film_camera.film(vertices)[0])
    assert points is not None
    for (first, second), pairs in zip(EYES, (MEDIAPIPE_PAIRS[:5], MEDIAPIPE_PAIRS[5:10])):
        upper, lower = points[np.array(pairs).T]
        gap = np.linalg.norm(upper - lower, axis=-1).mean()
        assert gap < 0.08 * np.linalg.norm(points[first] - points[second])
