"""Files of FLAME's formats around a small made-up head, written as Python 2 wrote the real ones."""

from __future__ import annotations

import pickle
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import torch
import trimesh
from scipy.sparse import csc_matrix

COLUMNS, ROWS = 32, 20
EYE_PLACE, EYE_RADIUS = (0.03, 0.02, 0.066), 0.012


class Python2Pickler(pickle._Pickler):
    """Protocol 2 with byte strings as Python 2 wrote them: no function is named to decode them."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_string


def write_pickle(path: Path, content) -> None:
    with open(path, "wb") as file:
        Python2Pickler(file, protocol=2).dump(content)


def old_class(monkeypatch, module: str, name: str, **state):
    """An instance of a class that a pickle will name as module.name, although no such module can be imported."""
    made = ModuleType(module)
    kind = type(name, (), {"__module__": module})
    setattr(made, name, kind)
    for part in (module.rpartition(".")[0], module):
        if part not in sys.modules:
            monkeypatch.setitem(sys.modules, part, ModuleType(part))
    monkeypatch.setitem(sys.modules, module, made)
    instance = kind()
    instance.__dict__.update(state)
    return instance


def head_mesh() -> tuple[np.ndarray, np.ndarray]:
    """An egg that is open below and has a slit for a mouth, and two eyeballs: vertices in metres, faces."""
    turn = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    fall = np.linspace(0.12, 0.82 * np.pi, ROWS)
    grid = np.stack(
        [
            0.08 * np.sin(fall)[:, None] * np.sin(turn),
            0.12 * np.cos(fall)[:, None] * np.ones(COLUMNS),
            0.09 * np.sin(fall)[:, None] * np.cos(turn),
        ],
        -1,
    )
    points = np.concatenate([grid.reshape(-1, 3), [[0, 0.1205, 0]]])
    faces = []
    for row in range(ROWS - 1):
        for column in range(COLUMNS):
            if row == 12 and abs(turn[column] + np.pi / COLUMNS) < 0.5:
                continue
            a, b = row * COLUMNS + column, row * COLUMNS + (column + 1) % COLUMNS
            c, d = b + COLUMNS, a + COLUMNS
            faces += [(a, d, c), (a, c, b)]
    top = len(points) - 1
    faces += [(top, column, (column + 1) % COLUMNS) for column in range(COLUMNS)]
    ball = trimesh.creation.icosphere(subdivisions=2, radius=EYE_RADIUS)
    for side in (1, -1):
        faces += (ball.faces + len(points)).tolist()
        points = np.concatenate([points, ball.vertices + np.array(EYE_PLACE) * (side, 1, 1)])
    return points, np.array(faces)


def masks(points: np.ndarray) -> dict[str, np.ndarray]:
    """The 14 masks that FLAME_masks.pkl names."""
    x, y, z = points.T
    n_ball = (len(points) - COLUMNS * ROWS - 1) // 2
    ids = np.arange(len(points))
    left, right = ids >= len(points) - 2 * n_ball, ids >= len(points) - n_ball
    left &= ~right
    skin = ~(left | right)
    lips = skin & (z > 0.05) & (abs(y + 0.045) < 0.02) & (abs(x) < 0.042)
    eyes = skin & (z > 0.04) & (abs(y - 0.02) < 0.022)
    found = {
        "left_eyeball": left,
        "right_eyeball": right,
        "left_eye_region": eyes & (x > 0.005),
        "right_eye_region": eyes & (x < -0.005),
        "eye_region": eyes,
        "lips": lips,
        "nose": skin & (z > 0.07) & (abs(x) < 0.012) & (abs(y) < 0.02),
        "face": skin & (z > 0.02) & (y < 0.07) & (y > -0.06),
        "forehead": skin & (z > 0.03) & (y < 0.07) & (y > 0.045),
        "scalp": skin & ((y > 0.065) | ((z < 0.0) & (y > -0.02))),
        "neck": skin & (y < -0.055) & (y > -0.09),
        "boundary": skin & (y < -0.08),
        "left_ear": skin & (x > 0.072) & (abs(y) < 0.03),
        "right_ear": skin & (x < -0.072) & (abs(y) < 0.03),
    }
    return {name: np.flatnonzero(mask) for name, mask in found.items()}


def model_content(monkeypatch) -> dict:
    """What generic_model.pkl holds, with chumpy's and old scipy's classes inside."""
    points, faces = head_mesh()
    rng = np.random.default_rng(0)
    count = len(points)
    regressor = np.zeros((5, count))
    names = masks(points)
    ears = np.concatenate([names["left_ear"], names["right_ear"]])
    for joint, ids in enumerate(
        (names["boundary"], names["neck"], ears, names["left_eyeball"], names["right_eyeball"])
    ):
        regressor[joint, ids] = 1 / len(ids)
    weights = np.zeros((count, 5))
    weights[:, 1] = 1
    for joint, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        weights[names[name]] = np.eye(5)[joint]
    sparse = csc_matrix(regressor)
    directions = (0.002 * rng.standard_normal((count, 3, 400))).astype(np.float32)
    return {
        "f": faces.astype(np.uint32),
        "v_template": points,
        "shapedirs": old_class(monkeypatch, "chumpy.ch", "Ch", x=directions),
        "posedirs": 0.001 * rng.standard_normal((count, 3, 36)).astype(np.float32),
        "J_regressor": old_class(
            monkeypatch,
            "scipy.sparse.csc",
            "csc_matrix",
            _shape=sparse.shape,
            data=sparse.data,
            indices=sparse.indices,
            indptr=sparse.indptr,
            format="csc",
            maxprint=50,
        ),
        "J": regressor @ points,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": weights,
        "bs_style": "lbs",
        "bs_type": "lrotmin",
        "names": {"a", "b"},
    }


def write_flame(folder: Path, monkeypatch, name: str = "flame2023.pkl", **more) -> Path:
    """A folder with the model and its masks; returns the model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pickle(folder / name, {**model_content(monkeypatch), **more})
    write_pickle(folder / "FLAME_masks.pkl", masks(head_mesh()[0]))
    return folder / name


def write_landmarks(folder: Path, count: int, n_faces: int) -> dict[str, np.ndarray]:
    """landmark_embedding_with_eyes.npy with `count` full landmarks, torch tensors inside as in the real file."""
    rng = np.random.default_rng(1)

    def bary(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.dirichlet((1, 1, 1), shape))

    full = torch.from_numpy(rng.integers(0, n_faces, (1, count)))
    content = {
        "static_lmk_faces_idx": full[0, 17:].clone(),
        "static_lmk_bary_coords": bary(count - 17),
        "dynamic_lmk_faces_idx": torch.from_numpy(rng.integers(0, n_faces, (79, 17))),
        "dynamic_lmk_bary_coords": bary(79, 17),
        "full_lmk_faces_idx": full,
        "full_lmk_bary_coords": bary(1, count),
    }
    np.save(folder / "landmark_embedding_with_eyes.npy", np.array(content, dtype=object), allow_pickle=True)
    return {key: value.numpy() for key, value in content.items()}
