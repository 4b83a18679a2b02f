"""Short films of what goes wrong before a webcam, 640 x 480 at 25 frames a second; where the head is is known.

What is expected of a picture is told beside it: whether a head has to be followed there, none may be, or either is
right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from vhap.geometry.cameras import camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.render.backend import get_backend
from vhap.synthetic.camera import FilmCamera, make_film_camera
from vhap.synthetic.motion import BLINK, MotionLimits, frame_params, make_motion
from vhap.synthetic.person import Person, make_person

FPS, HEIGHT, WIDTH, SUPERSAMPLING, FOCAL = 25, 480, 640, 2, 1.5
"""focal: in units of the width."""
CALM = MotionLimits(math.radians(8), math.radians(4), math.radians(3), 0.01, 0.5)
HEAD, NONE, EITHER = "head", "none", "either"
SEEN, GONE = 0.95, 0.3
"""Shares of the face's vertices inside the picture from which a head has to be followed, and below which none may."""
HAND_BOX, SKIN_A, HAND_SIDE = (30, 535, 345, 735), 134, 1.9
"""Of the clip with hands: a box (left, top, right, bottom) about them in its first picture, and the value of CIELAB's
a, as OpenCV counts, from which a pixel is skin; and the hand's width in those of the face."""
OTHER_SEED, OTHER_PLACE_M, OTHER_AWAY_M = 1000, (0.3, 0.03), 0.35
"""A second person: seed, where they stand, and how much further away."""
DARK = 0.01
Change = Callable[[int, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Hand:
    """rgb (h, w, 3) uint8 and cover (h, w) in [0, 1]."""

    rgb: np.ndarray
    cover: np.ndarray


@dataclass(frozen=True)
class LiveFilm:
    """One film. params: shape (S,), else (T, ...); expected (T,): HEAD, NONE or EITHER; returns: frames in which a head
    has to be found anew; measured: `lids` or `mouth`, where the film is about them; change(t, picture, alpha):
    makes the picture (H, W, 3) uint8 what the camera sees, alpha (H, W) being the head's."""

    name: str
    params: HeadParams
    expected: tuple[str, ...]
    returns: tuple[int, ...] = ()
    measured: str = ""
    change: Change | None = None


@dataclass(frozen=True)
class Studio:
    """One person before a camera, and what else may come into the picture."""

    model: HeadModel
    person: Person
    camera: FilmCamera
    seed: int
    hand: Hand

    @classmethod
    def of(cls, model: HeadModel, seed: int, hand: Hand) -> Studio:
        person = make_person(model, get_backend("auto"), seed)
        return cls(model, person, _film_camera(model, person, seed), seed, hand)

    def calm(self, count: int, expression: float = CALM.expression) -> HeadParams:
        """So many frames of a head that talks and hardly turns, in the middle of the picture."""
        times = np.arange(count) / FPS
        return make_motion(self.model, self.person.shape, times, replace(CALM, expression=expression), self.seed)

    def moved(self, params: HeadParams, place_m: np.ndarray, yaw_rad: np.ndarray | None = None) -> HeadParams:
        """The same motion turned about the face's own centre by yaw_rad (T,), and moved by place_m (T, 3)."""
        place = torch.from_numpy(place_m).float()
        if yaw_rad is None:
            return HeadParams(**{**vars(params), "translation": params.translation + place})
        turn = torch.zeros(len(yaw_rad), 3)
        turn[:, 1] = torch.from_numpy(yaw_rad)
        rotation = matrix_to_axis_angle(axis_angle_to_matrix(turn) @ axis_angle_to_matrix(params.rotation))
        turned = HeadParams(**{**vars(params), "rotation": rotation})
        shift = self._centres(params) - self._centres(turned)
        return HeadParams(**{**vars(turned), "translation": params.translation + shift + place})

    def _centres(self, params: HeadParams) -> Tensor:
        face = self.model.keep_vertices(self.model.regions["face"])
        return torch.stack([pose(face, frame_params(params, t)).mean(0) for t in range(len(params.rotation))])

    def pixels(self, params: HeadParams, t: int) -> np.ndarray:
        """(N, 2) px: the face's vertices in a frame."""
        face = self.model.keep_vertices(self.model.regions["face"])
        return self.camera.camera.project(pose(face, frame_params(params, t)))[0].numpy()

    def expected(self, params: HeadParams) -> list[str]:
        """What is expected of frames by how much of the face is in the picture."""
        expected = []
        for t in range(len(params.rotation)):
            points = self.pixels(params, t)
            share = ((points >= 0) & (points < (WIDTH, HEIGHT))).all(1).mean()
            expected.append(HEAD if share >= SEEN else NONE if share < GONE else EITHER)
        return expected

    def shot(self, params: HeadParams, t: int) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) and alpha (H, W), uint8, of a frame."""
        return self.camera.film(pose(self.model, frame_params(params, t)))


def _film_camera(model: HeadModel, person: Person, seed: int) -> FilmCamera:
    pinhole = camera_from_focal(torch.tensor(FOCAL), HEIGHT, WIDTH)
    return make_film_camera(model, person, get_backend("auto"), pinhole, SUPERSAMPLING, seed)


def eased(start: int, end: int, count: int) -> np.ndarray:
    """(T,) 0 up to frame start, 1 from frame end on, smooth between them."""
    share = np.clip((np.arange(count) - start) / max(1, end - start), 0, 1)
    return share * share * (3 - 2 * share)


def places(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float, count: int) -> np.ndarray:
    """(T, 3) metres."""
    return np.stack([np.broadcast_to(value, count) for value in (x, y, z)], -1).astype(float)


def turns(studio: Studio) -> LiveFilm:
    """To both sides by 50 degrees, faster and faster: up to 200 degrees a second."""
    count, side = 100, math.radians(50)
    speed = np.radians(np.linspace(60, 200, count)) / side
    yaw = side * np.sin(np.cumsum(speed) / FPS)
    params = studio.moved(studio.calm(count), places(0, 0, 0, count), yaw)
    return LiveFilm("turns", params, tuple(studio.expected(params)))


def blinks(studio: Studio) -> LiveFilm:
    """Two blinks a second of 0.2 s, and one of half a second."""
    count = 75
    times = np.arange(count) / FPS
    closed = np.zeros(count)
    for start, hold in [(0.2 + 0.5 * index, 0.04) for index in range(4)] + [(2.2, 0.4)]:
        passed = times - start
        closed = np.maximum(closed, np.clip(passed / 0.08, 0, 1) - np.clip((passed - 0.08 - hold) / 0.12, 0, 1))
    params = _with_expressions(studio, studio.calm(count), BLINK, closed)
    return LiveFilm("blinks", params, tuple(studio.expected(params)), measured="lids")


def speech(studio: Studio) -> LiveFilm:
    """Four syllables a second, the jaw wide, lips rounded and drawn back in turn."""
    count = 75
    times = np.arange(count) / FPS
    opened = 0.3 - 0.3 * np.cos(2 * np.pi * 4 * times)
    params = _with_expressions(studio, studio.calm(count), ("jawopen",), opened)
    params = _with_expressions(studio, params, ("mouthfunnel", "mouthpucker"), 0.5 * np.sin(2 * np.pi * 1.5 * times))
    params = _with_expressions(studio, params, ("mouthstretch",), -0.5 * np.sin(2 * np.pi * 1.5 * times))
    return LiveFilm("speech", params, tuple(studio.expected(params)), measured="mouth")


def _with_expressions(studio: Studio, params: HeadParams, names: Sequence[str], values: np.ndarray) -> HeadParams:
    """The expressions whose names begin so, set to values (T,), at least 0."""
    expr = params.expr.clone()
    for index, name in enumerate(studio.model.expr_names):
        if name.lower().replace("_", "").startswith(tuple(names)):
            expr[:, index] = torch.from_numpy(values.clip(min=0)).float()
    return HeadParams(**{**vars(params), "expr": expr})


def hand_before_face(studio: Studio, others: bool = False) -> LiveFilm:
    """A hand comes from below, rests before the face for a second, and goes. others: somebody stands beside."""
    count, first, covered, uncovered, last = 90, 25, 32, 57, 64
    x = -0.14 if others else 0.0
    params = studio.moved(studio.calm(count), places(x, 0, 0, count))
    height = 1.6 - 1.6 * (eased(first, covered, count) - eased(uncovered, last, count))
    expected = [EITHER if first < t < last else kind for t, kind in enumerate(studio.expected(params))]
    with_other = _with_other(studio, count) if others else None

    def change(t: int, picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        points = studio.pixels(params, t)
        low, high = points.min(0), points.max(0)
        seen = picture if with_other is None else with_other(t, picture, alpha)
        if height[t] >= 1.6:
            return seen
        centre = (low + high) / 2 + [0, height[t] * (high - low)[1]]
        return _covered(seen, studio.hand, centre, HAND_SIDE * float((high - low)[0]))

    name = "hand, two people" if others else "hand"
    return LiveFilm(name, params, tuple(expected), returns=(last,), change=change)


def leaves(studio: Studio, others: bool = False) -> LiveFilm:
    """Out of the picture on the right within half a second, back from the left a second later, to another place.
    others: out on the left, as somebody stands on the right."""
    count, start, end, back, rest = 100, 25, 38, 58, 68
    out = (-0.55 if others else 0.55) * eased(start, end, count)
    is_back = np.arange(count) >= (end + back) // 2
    x, y = np.where(is_back, -0.55 + 0.43 * eased(back, rest, count), out), np.where(is_back, -0.04, 0.0)
    params = studio.moved(studio.calm(count), places(x, y, 0, count))
    expected = studio.expected(params)
    again = next(t for t in range(back, count) if expected[t] == HEAD)
    name, change = ("leaves, two people", _with_other(studio, count)) if others else ("leaves", None)
    return LiveFilm(name, params, tuple(expected), returns=(again,), change=change)


def cuts(studio: Studio) -> LiveFilm:
    """The head at once in another place, then much nearer, then far away at the other side, turned."""
    count, at = 100, (25, 50, 75)
    shot = np.searchsorted(at, np.arange(count), side="right")
    place = np.array([[-0.16, 0.0, 0.0], [0.16, 0.04, 0.0], [0.1, 0.0, 0.3], [-0.25, 0.05, -0.4]])[shot]
    yaw = np.radians([0.0, 0.0, -15.0, 25.0])[shot]
    params = studio.moved(studio.calm(count), place, yaw)
    return LiveFilm("cuts", params, tuple(studio.expected(params)), returns=at)


def cut_beside_another(studio: Studio) -> LiveFilm:
    """The head at once in another place; somebody else stays where they are."""
    count, at = 60, (30,)
    x = np.where(np.arange(count) < at[0], -0.2, 0.02)
    params = studio.moved(studio.calm(count), places(x, 0, 0, count))
    change = _with_other(studio, count)
    return LiveFilm("cut, two people", params, tuple(studio.expected(params)), returns=at, change=change)


def dark(studio: Studio) -> LiveFilm:
    """The light goes out for a second, in which the head moves by 8 cm."""
    count, off, on = 80, 28, 53
    params = studio.moved(studio.calm(count), places(0.08 * eased(off, on, count), 0, 0, count))
    expected = [NONE if off <= t < on else kind for t, kind in enumerate(studio.expected(params))]
    random = np.random.default_rng(studio.seed)

    def change(t: int, picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        if not off <= t < on:
            return picture
        return (DARK * picture + random.normal(3, 2, picture.shape)).clip(0, 255).astype(np.uint8)

    return LiveFilm("dark", params, tuple(expected), returns=(on,), change=change)


FILMS: dict[str, Callable[[Studio], LiveFilm]] = {
    "turns": turns,
    "blinks": blinks,
    "speech": speech,
    "hand": hand_before_face,
    "leaves": leaves,
    "cuts": cuts,
    "dark": dark,
    "hand, two people": lambda studio: hand_before_face(studio, others=True),
    "leaves, two people": lambda studio: leaves(studio, others=True),
    "cut, two people": cut_beside_another,
}


def _with_other(studio: Studio, count: int) -> Change:
    """Somebody else behind the first one, smaller since further away, who talks, too."""
    seed = studio.seed + OTHER_SEED
    person = make_person(studio.model, get_backend("auto"), seed)
    camera = replace(_film_camera(studio.model, person, seed), background=studio.camera.background)
    motion = make_motion(studio.model, person.shape, np.arange(count) / FPS, CALM, seed)
    place = torch.tensor([*OTHER_PLACE_M, -OTHER_AWAY_M])
    params = HeadParams(**{**vars(motion), "translation": motion.translation + place})

    def change(t: int, picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        behind, _ = camera.film(pose(studio.model, frame_params(params, t)))
        free = 1 - alpha[..., None].astype(np.float32) / 255
        seen = picture + free * (behind.astype(np.float32) - studio.camera.empty)
        return np.rint(seen).clip(0, 255).astype(np.uint8)

    return change


def cut_hand(picture: np.ndarray) -> Hand:
    """The hands of the first picture (908, 480, 3) uint8 of the clip of a woman whose hands are before her."""
    left, top, right, bottom = HAND_BOX
    part = np.ascontiguousarray(picture[top:bottom, left:right])
    skin = (cv2.cvtColor(part, cv2.COLOR_RGB2LAB)[..., 1] > SKIN_A).astype(np.uint8)
    skin = cv2.morphologyEx(skin, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(skin)
    largest = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.float32)
    return Hand(part, cv2.GaussianBlur(largest, (3, 3), 0))


def drawn_hand() -> Hand:
    """A palm and four fingers, in the colour of skin."""
    cover = np.zeros((200, 300), np.uint8)
    cv2.ellipse(cover, (150, 130), (110, 65), 0, 0, 360, 255, -1)
    for index in range(4):
        cv2.line(cover, (70 + 50 * index, 110), (60 + 58 * index, 30), 255, 40, cv2.LINE_AA)
    shade = 0.75 + 0.25 * np.sin(np.arange(300) / 8)[None, :, None] * np.ones((200, 1, 1))
    noise = np.random.default_rng(0).normal(0, 5, (200, 300, 1))
    rgb = (shade * np.array([205, 160, 140]) + noise).clip(0, 255).astype(np.uint8)
    return Hand(rgb, cover.astype(np.float32) / 255)


def _covered(picture: np.ndarray, hand: Hand, centre: np.ndarray, width: float) -> np.ndarray:
    """A hand of a width in px over the picture."""
    scale = width / hand.rgb.shape[1]
    place = np.array([[scale, 0, centre[0] - width / 2], [0, scale, centre[1] - scale * hand.rgb.shape[0] / 2]])
    size = picture.shape[1::-1]
    rgb = cv2.warpAffine(hand.rgb, place, size, flags=cv2.INTER_AREA).astype(np.float32)
    cover = cv2.warpAffine(hand.cover, place, size, flags=cv2.INTER_LINEAR)[..., None]
    return np.rint(picture + cover * (rgb - picture)).clip(0, 255).astype(np.uint8)
