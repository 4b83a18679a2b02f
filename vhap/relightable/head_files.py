"""The head's JSON files in a subject's folder: code.json, flame_params.json and tracked_params.json.

Key spellings and nesting are those of the tools that read them. Numbers are written so that single precision comes back
exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vhap.util.commands import command
from vhap.util.errors import InputError, shown
from vhap.util.files import read_json, write_text

N_POSE, N_POINTS = 15, 70
CODE_SIZES = {"shape": 100, "exp": 50, "pose": 6, "cam": 3}


@dataclass(frozen=True)
class HeadCode:
    """DECA's estimate of one picture. shape (100,), exp (50,) coefficients of FLAME; pose (6,): rotation of the head,
    then of the jaw, axis-angle; cam (3,): scale s and translation tx, ty of the weak-perspective camera of the face's
    square: x = s (X + tx) to the right, y = -s (Y + ty) down, both in [-1, 1]."""

    shape: np.ndarray
    exp: np.ndarray
    pose: np.ndarray
    cam: np.ndarray


@dataclass(frozen=True)
class TrackedFrame:
    """expcode (E,); fullposecode (15,): head, neck, jaw, left eye, right eye, axis-angle; cam (3,) as of `HeadCode`;
    world_mat (4, 4): to camera axes (OpenGL) from the head's world, four times its size; eyelids (2,): left, right, or
    None; translation (3,) metres before that scaling, or None for none."""

    expcode: np.ndarray
    fullposecode: np.ndarray
    cam: np.ndarray
    world_mat: np.ndarray
    eyelids: np.ndarray | None = None
    translation: np.ndarray | None = None


@dataclass(frozen=True)
class TrackedParams:
    """tracked_params.json. intrinsics (4,): fx, fy, cx, cy px; shapecode (S,); frames: by the pictures' file names."""

    intrinsics: np.ndarray
    shapecode: np.ndarray
    frames: Mapping[str, TrackedFrame]


@dataclass(frozen=True)
class FlameFrame:
    """file_path: as the reader wants it; world_mat (3, 4), expression (E,), pose (15,), eyelids, translation as of
    `TrackedFrame`; bbox (4,): x0, y0, x1, y1 of the keypoints; flame_keypoints (70, 2): 68 iBUG points and the irises,
    image-left first, both in [-1, 1] over the picture, y down."""

    file_path: str
    world_mat: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    bbox: np.ndarray
    flame_keypoints: np.ndarray
    eyelids: np.ndarray | None = None
    translation: np.ndarray | None = None


@dataclass(frozen=True)
class FlameParams:
    """flame_params.json. intrinsics (4,): -fx, fy, cx, cy in picture sides; shape_params (S,)."""

    intrinsics: np.ndarray
    shape_params: np.ndarray
    frames: tuple[FlameFrame, ...]


def codes_text(codes: Mapping[str, HeadCode]) -> str:
    """A code.json. codes: by the pictures' file names."""
    content = {name: {key: [_list(getattr(code, key))] for key in CODE_SIZES} for name, code in codes.items()}
    return json.dumps(content, allow_nan=False) + "\n"


def read_codes(path: Path) -> dict[str, HeadCode]:
    """InputError where the file is not DECA's."""
    entries = _object(read_json(path), path, "code.json")
    remedy = f"write it anew by `{command('demo-reconstruct')}`, or remove it"
    codes = {}
    for name, entry in entries.items():
        fields = _object(entry, path, f"the code of {name}")
        codes[name] = HeadCode(
            **{key: numbers(fields, key, (1, size), f"{path}, {name}", remedy)[0] for key, size in CODE_SIZES.items()}
        )
    return codes


def write_tracked_params(path: Path, params: TrackedParams) -> bool:
    """As `write_if_changed`."""
    return write_if_changed(path, tracked_content(params))


def tracked_content(params: TrackedParams) -> dict[str, Any]:
    """Lids are written as [[l, r]], the shape that readers index."""
    frames = {
        name: {
            "expcode": [_list(frame.expcode)],
            "fullposecode": [_list(frame.fullposecode)],
            "cam": [_list(frame.cam)],
            "world_mat": _list(frame.world_mat),
            **_rows(eyelids=frame.eyelids, translation=frame.translation),
        }
        for name, frame in params.frames.items()
    }
    first = next(iter(params.frames.values()))
    shared = {
        "world_mat": _list(first.world_mat),
        "intrinsics": _list(params.intrinsics),
        "shapecode": [_list(params.shapecode)],
    }
    return {**shared, **frames}


def read_tracked_params(path: Path) -> TrackedParams:
    """InputError where keys are missing or have other shapes. Lids are taken as [l, r] as well."""
    content = _object(read_json(path), path, "tracked_params.json")
    remedy = f"write it anew by `{command('optimize')}`"
    top = ("world_mat", "intrinsics", "shapecode")
    frames = {}
    for name, entry in content.items():
        if name in top:
            continue
        fields, where = _object(entry, path, f"the entry of {name}"), f"{path}, {name}"
        frames[name] = TrackedFrame(
            expcode=numbers(fields, "expcode", (1, None), where, remedy)[0],
            fullposecode=numbers(fields, "fullposecode", (1, N_POSE), where, remedy)[0],
            cam=numbers(fields, "cam", (1, 3), where, remedy)[0],
            world_mat=numbers(fields, "world_mat", (4, 4), where, remedy),
            **_read_rows(fields, where, remedy),
        )
    return TrackedParams(
        intrinsics=numbers(content, "intrinsics", (4,), str(path), remedy),
        shapecode=numbers(content, "shapecode", (1, None), str(path), remedy)[0],
        frames=frames,
    )


def write_flame_params(path: Path, params: FlameParams) -> bool:
    """As `write_if_changed`."""
    return write_if_changed(path, flame_content(params))


def flame_content(params: FlameParams) -> dict[str, Any]:
    """Lids are written as [l, r], as IMavatar's readers have them."""
    frames = []
    for frame in params.frames:
        keys = ("world_mat", "expression", "pose", "bbox", "flame_keypoints")
        entry: dict[str, Any] = {"file_path": frame.file_path, **{key: _list(getattr(frame, key)) for key in keys}}
        if frame.eyelids is not None:
            entry["eyelids"] = _list(frame.eyelids)
        frames.append({**entry, **_rows(translation=frame.translation)})
    shared = {"intrinsics": _list(params.intrinsics), "shape_params": _list(params.shape_params)}
    return {"frames": frames, **shared}


def read_flame_params(path: Path) -> FlameParams:
    """InputError where keys are missing or have other shapes."""
    content = _object(read_json(path), path, "flame_params.json")
    remedy = f"write it anew by `{command('optimize')}`"
    frames = content.get("frames")
    if not isinstance(frames, list):
        raise InputError(f"expected a list `frames` in {path}, found {shown(frames)}; {remedy}")
    return FlameParams(
        intrinsics=numbers(content, "intrinsics", (4,), str(path), remedy),
        shape_params=read_shape_params(path),
        frames=tuple(_read_flame_frame(frame, index, path, remedy) for index, frame in enumerate(frames)),
    )


def read_shape_params(path: Path) -> np.ndarray:
    """(S,) the shape in a flame_params.json. InputError where there is none."""
    content = _object(read_json(path), path, "flame_params.json")
    return numbers(content, "shape_params", (None,), str(path), f"write it anew by `{command('optimize')}`")


def write_if_changed(path: Path, content: Any) -> bool:
    """Writes JSON atomically, unless the file holds it already; returns whether it wrote."""
    if path.is_file():
        try:
            if read_json(path) == content:
                return False
        except InputError:
            pass
    # In one line: indented, every number would have a line of its own.
    write_text(path, json.dumps(content, allow_nan=False) + "\n")
    return True


def numbers(fields: Mapping[str, Any], key: str, shape: tuple[int | None, ...], where: str, remedy: str) -> np.ndarray:
    """An array of finite numbers at a key; None in shape takes any length. InputError where it is something else."""
    try:
        array = np.asarray(fields.get(key), np.float64)
    except (ValueError, TypeError, OverflowError):
        array = np.zeros(())
    fits = array.ndim == len(shape) and all(want in (None, side) for want, side in zip(shape, array.shape))
    if not fits or not np.isfinite(array).all():
        text = " x ".join("n" if side is None else str(side) for side in shape)
        raise InputError(f"expected {text} numbers as {key} in {where}, found {shown(fields.get(key))}; {remedy}")
    return array


def _read_flame_frame(entry: Any, index: int, path: Path, remedy: str) -> FlameFrame:
    fields, where = _object(entry, path, f"frame {index}"), f"{path}, frame {index}"
    file_path = fields.get("file_path")
    if not isinstance(file_path, str):
        raise InputError(f"expected text as file_path in {where}, found {shown(file_path)}; {remedy}")
    return FlameFrame(
        file_path=file_path,
        world_mat=numbers(fields, "world_mat", (3, 4), where, remedy),
        expression=numbers(fields, "expression", (None,), where, remedy),
        pose=numbers(fields, "pose", (N_POSE,), where, remedy),
        bbox=numbers(fields, "bbox", (4,), where, remedy),
        flame_keypoints=numbers(fields, "flame_keypoints", (N_POINTS, 2), where, remedy),
        **_read_rows(fields, where, remedy),
    )


def _read_rows(fields: Mapping[str, Any], where: str, remedy: str) -> dict[str, np.ndarray | None]:
    """What a frame may leave out: lids, as a row or not, and the translation, as a row."""
    found: dict[str, np.ndarray | None] = {"eyelids": None, "translation": None}
    if "eyelids" in fields:
        nested = np.ndim(fields["eyelids"]) == 2
        found["eyelids"] = numbers(fields, "eyelids", (1, 2) if nested else (2,), where, remedy).reshape(2)
    if "translation" in fields:
        found["translation"] = numbers(fields, "translation", (1, 3), where, remedy)[0]
    return found


def _rows(**values: np.ndarray | None) -> dict[str, list]:
    """Arrays that are there, as lists of one row."""
    return {key: [_list(value)] for key, value in values.items() if value is not None}


def _object(content: Any, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(f"expected an object as {what} in {path}, found {shown(content)}; write it anew")
    return content


def _list(values: np.ndarray) -> list:
    # 0.0 is added so that no -0.0 is written.
    return (np.asarray(values, np.float64) + 0.0).tolist()
