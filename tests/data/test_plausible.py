"""Users' files in other units, axes and orders are refused by their values; heads at odd places are not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from vhap.data.color import correct_affine, correct_polynomial
from vhap.data.landmark_files import load_landmarks
from vhap.data.plausible import FACE_PARTS, check_alpha_maps, check_correction, check_faces, check_mattes_at_faces
from vhap.util.errors import InputError
from vhap.util.files import write_bytes, write_npz
from vhap.util.log import get_logger

COUNTS = {"ibug": 68, "mediapipe": 478}
SIZE = (360, 640)
"""Height, width."""
FRAMES = 6


def face(landmark_set: str = "mediapipe") -> np.ndarray:
    """(N, 3) of a frontal face in face widths around its middle, x right, y down, z towards the camera."""
    random = np.random.default_rng(0)
    points = random.uniform(-1, 1, (COUNTS[landmark_set], 3)) * [0.45, 0.6, 0.1]
    for part, (middle, half) in zip(
        FACE_PARTS[landmark_set], (((-0.22, -0.1), 0.1), ((0.22, -0.1), 0.1), ((0, 0.37), 0.17))
    ):
        angle = np.linspace(0, 2 * np.pi, len(part), endpoint=False)
        points[part] = np.stack([half * np.cos(angle), half * np.sin(angle) / 2, 0 * angle + 0.2], 1)
        points[part, :2] += middle
    return points


def film(landmark_set: str = "mediapipe", yaw=0.0, pitch=0.0, roll=0.0, middle=(0.5, 0.5), width_px=150) -> np.ndarray:
    """(T, N, 3) as landmark files have them; angles in degrees."""
    rotation = cv2.Rodrigues(np.radians([pitch, 0, 0]))[0] @ cv2.Rodrigues(np.radians([0, yaw, 0]))[0]
    rotation = cv2.Rodrigues(np.radians([0, 0, roll]))[0] @ rotation
    noise = np.random.default_rng(1).normal(0, 0.5, (FRAMES, COUNTS[landmark_set], 2))
    points = (face(landmark_set) @ rotation.T)[:, :2] * width_px + np.multiply(middle, SIZE[::-1]) + noise
    return np.concatenate([points / SIZE[::-1], np.ones((*points.shape[:2], 1))], 2).astype(np.float32)


def read(tmp_path: Path, points: np.ndarray, **arrays: np.ndarray) -> np.ndarray:
    """Through the reader and the check of faces."""
    write_npz(tmp_path / "own.npz", {"face_landmark_2d": points, **arrays})
    found = load_landmarks(tmp_path / "own.npz").points
    landmark_set = "mediapipe" if points.shape[-2] == COUNTS["mediapipe"] else "ibug"
    confidence = np.where((found[..., :2] == -1).all(-1), 0, found[..., 2])
    check_faces(found[..., :2] * SIZE[::-1], confidence, landmark_set, tmp_path)
    return found


HONEST = {
    "frontal": {},
    "small": {"width_px": 20},
    "half of it left of the picture": {"middle": (0.0, 0.5)},
    "half of it below the picture": {"middle": (0.5, 1.1)},
    "in a corner": {"middle": (1.05, 0.0)},
    "close up": {"width_px": 700},
    "from the side": {"yaw": 55},
    "from the other side": {"yaw": -55},
    "from above": {"pitch": 40},
    "from below": {"pitch": -40},
    "lying": {"roll": 90},
    "lying the other way": {"roll": -90},
    "upside down": {"roll": 180},
}


@pytest.mark.parametrize("landmark_set", COUNTS)
@pytest.mark.parametrize("options", HONEST.values(), ids=HONEST)
def test_honest_faces_pass(tmp_path, landmark_set, options):
    read(tmp_path, film(landmark_set, **options))


def test_lost_frames_and_wrong_single_faces_pass(tmp_path):
    points = film()
    points[1], points[2, :, 0], points[3] = (-1, -1, 0), 1 - points[2, :, 0], (0, 0, 0)
    read(tmp_path, points)
    points[:] = (-1, -1, 0)
    read(tmp_path, points)


def pixels(points):
    points[..., :2] *= SIZE[::-1]


def pixels_of_x(points):
    points[..., 0] *= SIZE[1]


def per_cent(points):
    points[..., :2] *= 100


def from_minus_one(points):
    points[..., :2] = 2 * points[..., :2] - 1


def swapped(points):
    points[..., :2] = points[..., 1::-1].copy()


def from_below(points):
    points[..., 1] = 1 - points[..., 1]


def mirrored(points):
    points[..., 0] = 1 - points[..., 0]


def other_order(points):
    points[:] = points[:, np.random.default_rng(2).permutation(points.shape[1])]


def sides_exchanged(points):
    points[..., :2] *= np.divide(SIZE[::-1], SIZE)


def all_zero_but_found(points):
    points[..., :2] = 0


def depths(points):
    points[..., 2] = np.linspace(-0.1, 0.1, points.shape[1])


def confidence_in_per_cent(points):
    points[..., 2] = 97


def one_row_in_pixels(points):
    points[2, :, :2] *= SIZE[::-1]


@pytest.mark.parametrize("landmark_set", COUNTS)
@pytest.mark.parametrize(
    ("change", "looks_like"),
    [
        (pixels, "look like pixels; divide x by width and y by height"),
        (pixels_of_x, "look like pixels; divide x by width$"),
        (per_cent, "look like pixels"),
        (from_minus_one, "coordinates from -1 to 1"),
        (swapped, "x and y in the other order"),
        (from_below, "y counted from below"),
        (mirrored, "x counted from the right"),
        (other_order, "another order of the points"),
        (sides_exchanged, "divided by the wrong side"),
        (all_zero_but_found, "points at 0 0 with a confidence"),
        (depths, "look like depths"),
        (confidence_in_per_cent, "values up to 97"),
        (one_row_in_pixels, "remove the faces far outside"),
    ],
)
def test_other_meanings_are_named(tmp_path, landmark_set, change, looks_like):
    points = film(landmark_set)
    change(points)
    with pytest.raises(InputError, match=looks_like) as caught:
        read(tmp_path, points)
    assert "\n" not in str(caught.value)


BOXES = np.tile(np.array([0.3, 0.2, 0.7, 0.8, 1]), (FRAMES, 1))


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (BOXES[:, :4], r"shape \(6, 5\)"),
        (np.zeros(4), r"shape \(6, 5\)"),
        (BOXES[:3], r"shape \(6, 5\)"),
        (BOXES.reshape(-1), r"shape \(6, 5\)"),
        (BOXES * np.nan, "finite"),
        (BOXES * 1e300, "finite"),
        (BOXES * [640, 360, 640, 360, 1], "look like pixels"),
        (BOXES * [1, 1, 0.2, 0.1, 1], "corner, width and height"),
        (np.array(["a"] * FRAMES), "expected numbers"),
    ],
)
def test_boxes(tmp_path, boxes, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, film(), bounding_box=boxes)


def test_honest_boxes(tmp_path):
    boxes = BOXES.copy()
    boxes[1] = (-1, -1, -1, -1, 0)
    boxes[2] = (-0.4, 0.1, 0.2, 1.3, 0.4)
    read(tmp_path, film(), bounding_box=boxes)
    read(tmp_path, film(), bounding_box=np.zeros((FRAMES, 5)))
    read(tmp_path, film()[0], bounding_box=BOXES[0])


def test_a_timestep_that_stands_twice(tmp_path):
    with pytest.raises(InputError, match="000003 more than once"):
        read(tmp_path, film(), timestep_id=np.array(["000001", "000002", "000003", "000003", "000005", "000006"]))


def maps(tmp_path: Path, picture: np.ndarray, suffix: str = ".png") -> list[Path]:
    paths = [tmp_path / f"{index:06d}{suffix}" for index in range(3)]
    for path in paths:
        write_bytes(path, cv2.imencode(suffix, picture)[1].tobytes())
    return paths


PERSON = np.zeros((40, 60), np.uint8)
cv2.ellipse(PERSON, (30, 25), (12, 16), 0, 0, 360, 255, -1)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (PERSON // 255, "look like 0 and 1; multiply by 255"),
        (PERSON // 28, "look like labels"),
        (PERSON.astype(np.uint16), "look like 8 bits; multiply by 257"),
        (np.dstack([PERSON, PERSON // 2, 255 - PERSON]), "found a colour picture"),
        (np.dstack([PERSON] * 3 + [PERSON * 0 + 255]), "opaque alpha channels, which count"),
    ],
)
def test_alpha_maps_of_other_values(tmp_path, picture, message):
    with pytest.raises(InputError, match=message):
        check_alpha_maps(maps(tmp_path, picture))


@pytest.mark.parametrize(
    "picture",
    [
        PERSON,
        np.dstack([PERSON] * 3),
        PERSON.astype(np.uint16) * 257,
        np.dstack([255 - PERSON] * 3 + [PERSON]),
        np.maximum(PERSON, 3),
        (PERSON > 0) * np.uint8(60),
    ],
)
def test_honest_alpha_maps(tmp_path, picture):
    check_alpha_maps(maps(tmp_path, picture))
    if picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2] == 3):
        check_alpha_maps(maps(tmp_path, picture, ".jpg"))


def test_empty_maps_are_for_the_faces_to_tell(tmp_path):
    check_alpha_maps(maps(tmp_path, PERSON * 0))
    points, sure = np.tile(np.array([[30.0, 20.0]]), (3, 1, 1)), np.ones((3, 1))
    with pytest.raises(InputError, match="nothing but 0 in the 3 looked at, which show a face"):
        check_mattes_at_faces([PERSON * 0.0] * 3, points, sure, "take")
    check_mattes_at_faces([PERSON * 0.0, PERSON * 0.0, PERSON / 255], points, sure, "take")


def test_full_maps_are_warned_of(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(get_logger(), "propagate", True)
    check_alpha_maps(maps(tmp_path, PERSON * 0 + 255))
    assert "nothing but person in 3 of 3 alpha maps" in caplog.text


def test_a_few_empty_maps_pass(tmp_path):
    paths = maps(tmp_path, PERSON)
    write_bytes(paths[0], cv2.imencode(".png", PERSON * 0)[1].tobytes())
    check_alpha_maps(paths)


def test_inverted_mattes():
    points = np.tile(np.array([[30.0, 20.0], [28.0, 25.0], [32.0, 25.0]]), (3, 1, 1))
    sure, alphas = np.ones((3, 3)), [PERSON / 255] * 3
    check_mattes_at_faces(alphas, points, sure, "take")
    with pytest.raises(InputError, match="look inverted"):
        check_mattes_at_faces([1 - alpha for alpha in alphas], points, sure, "take")
    check_mattes_at_faces([np.ones_like(alphas[0])] * 3, points, sure, "take")
    check_mattes_at_faces([1 - alphas[0], *alphas[:2]], points, sure, "take")
    check_mattes_at_faces([1 - alpha for alpha in alphas], points, 0 * sure, "take")
    check_mattes_at_faces([], [], [], "take")


GENTLE = np.array([[1.3, -0.2, -0.05, 0.02], [-0.15, 1.2, -0.1, -0.03], [-0.02, -0.3, 1.5, 0.01]])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (GENTLE * 0, "brightens with the picture"),
        (-GENTLE, "brightens with the picture"),
        (GENTLE * [1, 1, 1, 255], "brightens with the picture"),
        (GENTLE[::-1], "come from B, G, R"),
        (GENTLE[[1, 2, 0]], "come from"),
    ],
)
def test_colour_corrections_of_other_meaning(matrix, message):
    with pytest.raises(InputError, match=message):
        check_correction(partial(correct_affine, matrix=matrix), "camera 1", "file")


def test_honest_colour_corrections():
    check_correction(partial(correct_affine, matrix=GENTLE), "camera 1", "file")
    check_correction(partial(correct_affine, matrix=np.eye(3, 4)), "camera 1", "file")
    check_correction(partial(correct_polynomial, matrix=GENTLE), "camera 1", "file")
    check_correction(partial(correct_polynomial, matrix=0.4 * GENTLE[:, :3]), "camera 1", "file")
