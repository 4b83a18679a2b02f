"""Talking-head motion: smooth, bounded, random, and the same for a seed however long the clip is."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.head.model import HeadModel, HeadParams, pose

NECK_SHARE = 0.2
"""Part of the head's turn that the neck joint makes."""
BLINK_INTERVAL_S = (2.0, 4.0)
FIRST_BLINK_S = (0.4, 1.2)
BLINK_CLOSE_S, BLINK_HOLD_S, BLINK_OPEN_S = 0.10, 0.05, 0.16
JAW_OPEN_RAD = 0.22
GAZE_RAD = (0.10, 0.22)
"""Largest pitch and yaw of the eyes."""

SPEECH = ("jawopen", "mouthfunnel", "mouthpucker", "mouthupperup", "mouthlowerdown", "mouthstretch", "mouthroll")
SMILE = ("mouthsmile", "smile", "cheeksquint", "cheekraiser")
BROWS = ("brow",)
BLINK = ("eyeblink", "blink", "eyesclosed", "eyeclose")
STRENGTH = {"speech": 0.45, "smile": 0.6, "brows": 0.6, "other": 0.12}
"""Largest value of a named expression, of 1 for the whole."""
ANONYMOUS_MODES = 40
"""Expression coefficients without names that move; later ones carry too little to be seen."""


@dataclass(frozen=True)
class MotionLimits:
    """Largest turns (yaw, pitch, roll), largest shift of the face's centre, and the strength of expressions."""

    yaw_rad: float
    pitch_rad: float
    roll_rad: float
    shift_m: float
    expression: float


def make_motion(model: HeadModel, shape: Tensor, times: np.ndarray, limits: MotionLimits, seed: int) -> HeadParams:
    """A talking head at the given times.

    shape: (S,); times: (T,) seconds. Returns params with shape (S,) and (T, ...) for all else, on the CPU. The
    centre of the face moves about the origin, wherever the model has its root.
    """
    rotation, neck = _head_turns(times, limits, np.random.default_rng((seed, 10)))
    speech = _speech(times, np.random.default_rng((seed, 11)))
    expr = _expressions(model, times, speech, limits.expression, seed)
    jaw = np.zeros((len(times), 3))
    if model.has_jaw:
        jaw[:, 0] = JAW_OPEN_RAD * limits.expression * speech
    still = HeadParams(
        shape=shape,
        expr=torch.from_numpy(expr).float(),
        rotation=rotation,
        translation=torch.zeros(len(times), 3),
        neck_pose=neck,
        jaw_pose=torch.from_numpy(jaw).float(),
        eyes_pose=_gaze(times, np.random.default_rng((seed, 13))),
    )
    shift = limits.shift_m * smooth_path(times, 3, (0.05, 0.4), np.random.default_rng((seed, 14)))
    return _centred(model, still, torch.from_numpy(shift).float())


def smooth_path(times: np.ndarray, count: int, band_hz: tuple[float, float], random: np.random.Generator) -> np.ndarray:
    """(T, count) independent signals inside (-1, 1): sums of five sinusoids of a frequency band, softly clipped."""
    frequency = random.uniform(*band_hz, (5, count))
    phase = random.uniform(0, 2 * np.pi, (5, count))
    amplitude = random.uniform(0.4, 1.0, (5, count))
    waves = amplitude * np.sin(2 * np.pi * frequency * times[:, None, None] + phase)
    return np.tanh(waves.sum(1) / np.sqrt((amplitude**2).sum(0)))


def eyelid_closure(times: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(T,) 0 open to 1 closed: blinks every two to four seconds, the first early, so that every clip has one."""
    closure = np.zeros(len(times))
    start = random.uniform(*FIRST_BLINK_S)
    while len(times) and start <= times[-1]:
        passed = times - start
        closing = _smoothstep(passed / BLINK_CLOSE_S)
        opening = _smoothstep((passed - BLINK_CLOSE_S - BLINK_HOLD_S) / BLINK_OPEN_S)
        closure = np.maximum(closure, closing - opening)
        start += random.uniform(*BLINK_INTERVAL_S)
    return closure


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _head_turns(times: np.ndarray, limits: MotionLimits, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Axis-angle (T, 3) of the root and of the neck; together they keep within the limits."""
    largest = np.array([limits.pitch_rad, limits.yaw_rad, limits.roll_rad])
    root = _euler_to_axis_angle((1 - NECK_SHARE) * largest * smooth_path(times, 3, (0.08, 0.45), random))
    neck = _euler_to_axis_angle(NECK_SHARE * largest * smooth_path(times, 3, (0.1, 0.6), random))
    return root, neck


def _euler_to_axis_angle(angles: np.ndarray) -> Tensor:
    """(T, 3) pitch, yaw, roll in radians -> (T, 3): roll first, then pitch, then yaw."""
    turns = [axis_angle_to_matrix(torch.from_numpy(angles[:, [k]] * np.eye(3)[k])) for k in range(3)]
    return matrix_to_axis_angle(turns[1] @ turns[0] @ turns[2]).float()


def _speech(times: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """(T,) mouth opening in [0, 1]: syllables, a few a second, in phrases with pauses."""
    syllables = 0.5 + 0.5 * smooth_path(times, 1, (1.2, 3.5), random)[:, 0]
    phrases = _smoothstep(0.8 + 1.2 * smooth_path(times, 1, (0.15, 0.5), random)[:, 0])
    return syllables * phrases


def _expressions(model: HeadModel, times: np.ndarray, speech: np.ndarray, strength: float, seed: int) -> np.ndarray:
    if not model.has_activations:
        return _anonymous_expressions(model, times, speech, strength, seed)
    blink = eyelid_closure(times, np.random.default_rng((seed, 12)))
    columns: dict[tuple[str, str], np.ndarray] = {}
    expr = np.zeros((len(times), model.n_expr))
    for index, name in enumerate(model.expr_names):
        key, side = _without_side(name)
        kind = _kind(key)
        if kind == "blink":
            expr[:, index] = blink
            continue
        if (key, "") not in columns:
            columns[key, ""] = _named_signal(kind, key, times, speech, seed, len(columns))
        lopsided = 1 - 0.2 * _fixed_random(seed, key + side)
        expr[:, index] = strength * STRENGTH[kind] * lopsided * columns[key, ""]
    return expr


def _anonymous_expressions(
    model: HeadModel, times: np.ndarray, speech: np.ndarray, strength: float, seed: int
) -> np.ndarray:
    """Coefficients of a statistical basis: standard deviations of about one that fall off with the mode."""
    moving = min(model.n_expr, ANONYMOUS_MODES)
    paths = smooth_path(times, moving, (0.3, 2.0), np.random.default_rng((seed, 15)))
    expr = np.zeros((len(times), model.n_expr))
    expr[:, :moving] = strength * 1.4 * np.exp(-np.arange(moving) / 12) * paths
    for index, value in model.open_mouth.items():
        expr[:, index] = strength * STRENGTH["speech"] * value * speech
    return expr


def _without_side(name: str) -> tuple[str, str]:
    """`eyeBlink_L` -> ("eyeblink", "l"): both sides of an expression move together."""
    match = re.fullmatch(r"(.+?)[_ ]?(L|R|Left|Right|_l|_r|_left|_right)?", name)
    assert match is not None
    return match.group(1).lower().replace("_", ""), (match.group(2) or "").strip("_").lower()[:1]


def _kind(key: str) -> str:
    for kind, prefixes in (("blink", BLINK), ("speech", SPEECH), ("smile", SMILE), ("brows", BROWS)):
        if key.startswith(prefixes):
            return kind
    return "other"


def _named_signal(kind: str, key: str, times: np.ndarray, speech: np.ndarray, seed: int, number: int) -> np.ndarray:
    """(T,) in [0, 1]."""
    random = np.random.default_rng((seed, 16, number))
    if key == "jawopen":
        return speech
    if kind == "speech":
        return speech * np.clip(smooth_path(times, 1, (1.0, 3.0), random)[:, 0], 0, 1)
    return np.clip(smooth_path(times, 1, (0.1, 0.6), random)[:, 0], 0, 1)


def _fixed_random(seed: int, name: str) -> float:
    """In [0, 1), the same for the same seed and name."""
    return float(np.random.default_rng((seed, 17, *name.encode())).random())


def _gaze(times: np.ndarray, random: np.random.Generator) -> Tensor:
    """(T, 6): both eyes turn alike; they rest on a point for a while and then jump within a few frames."""
    gaze = np.zeros((len(times), 2))
    start = random.uniform(0.2, 0.8)
    before = np.zeros(2)
    while len(times) and start <= times[-1]:
        target = random.uniform(-1, 1, 2) * GAZE_RAD
        gaze += (target - before) * _smoothstep((times[:, None] - start) / 0.08)
        before = target
        start += random.uniform(0.5, 1.5)
    one = np.concatenate([gaze, np.zeros((len(times), 1))], 1)
    return torch.from_numpy(np.concatenate([one, one], 1)).float()


def _centred(model: HeadModel, params: HeadParams, shift: Tensor) -> HeadParams:
    """The same motion, translated so that the face's centre is at `shift` (T, 3)."""
    face = model.keep_vertices(model.regions["face"])
    translation = []
    for t in range(len(shift)):
        vertices = pose(face, frame_params(params, t))
        translation.append(shift[t] - (vertices.amin(0) + vertices.amax(0)) / 2)
    return HeadParams(**{**vars(params), "translation": torch.stack(translation)})


def frame_params(params: HeadParams, t: int) -> HeadParams:
    """One frame of a motion, without a leading axis."""
    moving = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    return HeadParams(**{**vars(params), **{name: getattr(params, name)[t] for name in moving}})
