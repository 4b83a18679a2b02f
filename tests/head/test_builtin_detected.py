"""MediaPipe finds the built-in head in rendered pictures, and its points follow jaw, lids and features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.geometry.cameras import camera_from_focal
from vhap.head.builtin import load_builtin
from vhap.head.model import HeadModel, HeadParams, landmark_points, pose, zero_params
from vhap.render.backend import get_backend

mediapipe = pytest.importorskip("mediapipe")

SIZE = 480
# iBUG index -> MediaPipe index of the same feature.
SAME_FEATURE = {8: 152, 30: 4, 36: 33, 39: 133, 42: 362, 45: 263, 48: 61, 54: 291, 51: 0, 57: 17, 62: 13, 66: 14}
SAME_FEATURE |= {68: 468, 69: 473, 19: 105, 24: 334}


class Studio:
    """Renders the head in front of a grey wall and detects its landmarks."""

    def __init__(self) -> None:
        from vhap.render.topology import build_topology

        self.head: HeadModel = load_builtin()
        self.backend = get_backend("warp")
        self.topology = build_topology(self.head.faces, self.head.uv_faces)
        self.camera = camera_from_focal(torch.tensor([2.2]), SIZE, SIZE)
        self.mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)

    def params(self, expr: dict[str, float] | None = None, **changes: list[float]) -> HeadParams:
        params = zero_params(self.head, (1,))
        for name, value in (expr or {}).items():
            params.expr[0, self.head.expr_names.index(name)] = value
        return replace(params, **{name: torch.tensor([value]) for name, value in changes.items()})

    def detect(self, params: HeadParams) -> tuple[np.ndarray | None, np.ndarray]:
        """MediaPipe's points (478, 2) px, None where no face was found, and the model's iBUG points (70, 2) px."""
        from vhap.render.scene import render_head

        head, lights = self.head, torch.zeros(9, 3)
        lights[0], lights[1], lights[2] = 2.8, 0.35, 0.55
        vertices = pose(head, params)
        wall = torch.full((1, SIZE, SIZE, 3), 0.6)
        assert head.base_texture is not None
        picture = render_head(
            self.backend, vertices, self.topology, head.uvs, head.base_texture[None], lights, self.camera, wall
        ).picture
        truth = self.camera.project(landmark_points(head, vertices, "ibug"))[0][0].numpy()
        found = self.mesh.process((picture[0].clamp(0, 1) * 255).byte().numpy()).multi_face_landmarks
        if not found:
            return None, truth
        return np.array([[p.x * SIZE, p.y * SIZE] for p in found[0].landmark]), truth


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


def test_face_is_found_in_turned_views(studio: Studio) -> None:
    for turn in ([0.0, 0.7, 0.0], [0.0, -0.7, 0.0], [0.35, 0.0, 0.0], [-0.35, 0.0, 0.0]):
        points, _ = studio.detect(studio.params(rotation=turn))
        assert points is not None, f"no face at rotation {turn}"


def test_points_sit_on_their_features(studio: Studio) -> None:
    points, truth = studio.detect(studio.params())
    assert points is not None
    eye_distance = np.linalg.norm(truth[36] - truth[45])
    ours, theirs = truth[list(SAME_FEATURE)], points[list(SAME_FEATURE.values())]
    error = np.linalg.norm(ours - theirs, axis=1) / eye_distance
    assert error.mean() < 0.04
    assert error.max() < 0.11


def test_detected_mouth_follows_the_jaw(studio: Studio) -> None:
    gaps = []
    for angle in (0.0, 0.15, 0.3):
        points, truth = studio.detect(studio.params(jaw_pose=[angle, 0.0, 0.0]))
        assert points is not None
        gaps.append((np.linalg.norm(truth[62] - truth[66]), np.linalg.norm(points[13] - points[14])))
    slope, _ = np.polyfit(*np.array(gaps).T, 1)
    assert 0.75 < slope < 1.35


def test_detected_lids_follow_a_blink(studio: Studio) -> None:
    gaps = []
    for amount in (0.0, 0.5, 1.0):
        points, truth = studio.detect(studio.params({"eyeBlink_L": amount, "eyeBlink_R": amount}))
        assert points is not None
        theirs = np.mean(
            [np.linalg.norm(points[a] - points[b]) for a, b in ((385, 380), (387, 373), (158, 153), (160, 144))]
        )
        ours = np.mean([np.linalg.norm(truth[a] - truth[b]) for a, b in ((43, 47), (44, 46), (37, 41), (38, 40))])
        gaps.append((ours, theirs))
    slope, _ = np.polyfit(*np.array(gaps).T, 1)
    assert 0.7 < slope < 1.3
