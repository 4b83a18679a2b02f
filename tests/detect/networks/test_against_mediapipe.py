"""Whole networks, and what is around them, against MediaPipe itself, on the built-in head."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from vhap.detect.networks.face_detector import FaceDetector, Reach
from vhap.detect.networks.faces import Faces
from vhap.detect.networks.regions import crop_as_mediapipe
from vhap.detect.networks.selfie import Kind, SelfieSegmentation
from vhap.geometry.cameras import camera_from_focal
from vhap.head.builtin import load_builtin
from vhap.head.model import HeadModel, pose, zero_params

mediapipe = pytest.importorskip("mediapipe")
SIDE = 320
BOX_PX, SCORE, MEAN_PX = (0.01, 1e-4, 0.05) if cv2.__version__ < "5" else (0.2, 2e-3, 0.1)
"""MediaPipe rounds the positions that it interpolates at to 1/32 px, as OpenCV did before 5."""


def filmed(head: HeadModel, rotation: list[float]) -> np.ndarray:
    from vhap.render.backend import get_backend
    from vhap.render.scene import render_head
    from vhap.render.topology import build_topology

    params, lights = zero_params(head, (1,)), torch.zeros(9, 3)
    params.rotation[0] = torch.tensor(rotation)
    lights[0], lights[1], lights[2] = 2.8, 0.35, 0.55
    topology, wall = build_topology(head.faces, head.uv_faces), torch.full((1, SIDE, SIDE, 3), 0.6)
    camera = camera_from_focal(torch.tensor([2.2]), SIDE, SIDE)
    assert head.base_texture is not None
    texture = head.base_texture[None]
    vertices = pose(head, params)
    drawn = render_head(get_backend("warp"), vertices, topology, head.uvs, texture, lights, camera, wall)
    return (drawn.picture[0].clamp(0, 1) * 255).byte().numpy()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """A face, one beside one that leans over, and nobody."""
    head = load_builtin()
    front, leaning = filmed(head, [0.0, 0.2, 0.0]), filmed(head, [0.0, -0.3, 0.5])
    return [front, np.ascontiguousarray(np.hstack([front, leaning])), np.full((100, 200, 3), 99, np.uint8)]


@pytest.mark.parametrize(("reach", "selection"), [("short", 0), ("full", 1)])
def test_detections(pictures: list[np.ndarray], reach: Reach, selection: int) -> None:
    found = FaceDetector(reach).detect(pictures)
    assert [len(faces) for faces in found] == [1, 2, 0]
    theirs = mediapipe.solutions.face_detection.FaceDetection(0.5, selection)
    for picture, faces in zip(pictures, found):
        size = np.array([picture.shape[1], picture.shape[0]])
        expected = theirs.process(picture).detections or []
        assert len(expected) == len(faces)
        for each, face in zip(expected, faces):
            box, points = each.location_data.relative_bounding_box, each.location_data.relative_keypoints
            corner, sides = np.array([box.xmin, box.ymin]), np.array([box.width, box.height])
            np.testing.assert_allclose(face.box, [*(corner * size), *((corner + sides) * size)], atol=BOX_PX)
            np.testing.assert_allclose(face.points, np.array([[p.x, p.y] for p in points]) * size, atol=BOX_PX)
            assert abs(face.score - each.score[0]) < SCORE


def test_points(pictures: list[np.ndarray]) -> None:
    found = Faces().find(pictures, 4, crop_as_mediapipe)
    assert [len(faces) for faces in found] == [1, 2, 0]
    theirs = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=4)
    for picture, faces in zip(pictures, found):
        height, width = picture.shape[:2]
        expected = theirs.process(picture).multi_face_landmarks or []
        assert len(expected) == len(faces)
        for each, points in zip(expected, faces):
            their_points = np.array([[p.x * width, p.y * height, p.z * width] for p in each.landmark])
            error = np.linalg.norm(points - their_points, axis=1)
            assert error.mean() < MEAN_PX
            assert np.quantile(error, 0.99) < 4 * MEAN_PX


def test_a_batch_is_what_its_pictures_are_alone(pictures: list[np.ndarray]) -> None:
    finder = Faces()
    together = finder.find([*pictures, pictures[0]], 4)
    for picture, faces in zip([*pictures, pictures[0]], together):
        np.testing.assert_allclose(np.array(faces), np.array(finder.find([picture], 4)[0]), atol=0.02)
    assert finder.find([], 4) == []
    assert [len(faces) for faces in finder.find(pictures, 1)] == [1, 1, 0]


def test_threads_share_a_finder(pictures: list[np.ndarray]) -> None:
    finder = Faces()
    alone = [np.array(finder.find([picture], 4)[0]) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        for index, found in enumerate(pool.map(lambda index: finder.find([pictures[index % 3]], 4)[0], range(12))):
            np.testing.assert_allclose(np.array(found), alone[index % 3], atol=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device(pictures: list[np.ndarray]) -> None:
    for found, expected in zip(Faces("cuda").find(pictures, 4), Faces().find(pictures, 4), strict=True):
        np.testing.assert_allclose(np.array(found), np.array(expected), atol=0.3)
    masks = [SelfieSegmentation("general", device).probability(pictures[0]) for device in ("cpu", "cuda")]
    assert np.abs(masks[0] - masks[1]).mean() < 1 / 255


@pytest.mark.parametrize(("kind", "selection"), [("general", 0), ("landscape", 1)])
def test_masks(pictures: list[np.ndarray], kind: Kind, selection: int) -> None:
    ours = SelfieSegmentation(kind)
    theirs = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(selection)
    for picture in pictures:
        found, expected = ours.probability(picture), theirs.process(picture).segmentation_mask
        assert found.shape == picture.shape[:2]
        assert np.abs(found - expected).mean() < 1 / 255
    # A person, and a wall beside it.
    alone = ours.probability(pictures[0])
    assert alone[SIDE // 2, SIDE // 2] > 0.9
    assert alone[:20, :20].max() < 0.1
