"""A reader of tracked_params.json and flame_params.json by what their trainers do, with no code of ours: its own FLAME
from the model's file, its own cameras."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import csc_matrix

FLAME_SCALE = 4
ENDINGS = (".jpg", ".png", ".bmp")


class Flame:
    """FLAME as its paper has it: blend shapes, joints of the shaped template, a chain of rotations, skinning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
        regressor = content["J_regressor"].__dict__
        shape = regressor["_shape"]
        self.regressor = csc_matrix((regressor["data"], regressor["indices"], regressor["indptr"]), shape).toarray()
        self.template = np.asarray(content["v_template"], np.float64)
        self.directions = np.asarray(content["shapedirs"].__dict__["x"], np.float64)
        self.correctives = np.asarray(content["posedirs"], np.float64)
        self.weights = np.asarray(content["weights"], np.float64)
        self.parents = content["kintree_table"][0][1:].astype(int)
        self.faces = np.asarray(content["f"], np.int64)

    def vertices(self, shape: np.ndarray, expr: np.ndarray, pose: np.ndarray) -> np.ndarray:
        shaped = self.template + self.directions[..., : len(shape)] @ shape
        joints = self.regressor @ shaped
        posed = shaped + self.directions[..., 300 : 300 + len(expr)] @ expr
        turns = np.stack([rodrigues(angles) for angles in pose.reshape(5, 3)])
        posed = posed + self.correctives @ (turns[1:] - np.eye(3)).ravel()
        chain = [rigid(turns[0], joints[0])]
        for joint, parent in enumerate(self.parents, start=1):
            chain.append(chain[parent] @ rigid(turns[joint], joints[joint] - joints[parent]))
        rest = [matrix @ rigid(np.eye(3), -joint) for matrix, joint in zip(chain, joints)]
        blended = np.einsum("vj,jab->vab", self.weights, np.stack(rest))
        return np.einsum("vab,vb->va", blended, np.c_[posed, np.ones(len(posed))])[:, :3]

    def static_points(self, vertices: np.ndarray) -> np.ndarray:
        """(53, 3): the 51 iBUG points inside the face and the two irises, that on the image's left first, by the file
        beside the model."""
        places, rest = self._marked(vertices), self._marked(self.template)
        return np.concatenate([places[:51], places[51:][rest[51:, 0].argsort()]])

    def marked_px(self, pixels: np.ndarray) -> np.ndarray:
        """(70, 2): all points of the file, from the projected vertices; perspective inside a face is left out."""
        return self._marked(pixels, 0)

    def face_ids(self) -> np.ndarray:
        with open(self.path.parent / "FLAME_masks.pkl", "rb") as file:
            return np.asarray(_Unpickler(file, encoding="latin1").load()["face"])

    def _marked(self, vertices: np.ndarray, first: int = 17) -> np.ndarray:
        points = np.load(self.path.parent / "landmark_embedding_with_eyes.npy", allow_pickle=True).item()
        corners = vertices[self.faces[points["full_lmk_faces_idx"].numpy()[0, first:]]]
        return np.einsum("lc,lcd->ld", points["full_lmk_bary_coords"].numpy()[0, first:], corners)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if module.split(".")[0] in ("chumpy", "scipy") and not module.startswith("scipy.sparse._"):
            return type(name, (), {})
        return super().find_class(module, name)


def rodrigues(angles: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(angles)
    if length < 1e-12:
        return np.eye(3)
    x, y, z = angles / length
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(length) * k + (1 - math.cos(length)) * k @ k


def rigid(turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, shift
    return matrix


class HravatarReader:
    """The trainer's data loader. split(): train and test names, the last 15 % for testing."""

    def __init__(self, folder: Path, flame: Flame, n_shape: int = 100, n_expr: int = 50) -> None:
        pictures = folder / "image" if (folder / "image").is_dir() else folder / "images"
        self.paths = sorted(path for path in pictures.iterdir() if path.suffix in ENDINGS)
        self.content = json.loads((folder / "tracked_params.json").read_text())
        self.flame, self.folder = flame, folder
        self.shape = np.array(self.content["shapecode"])[:, :n_shape]
        self.n_expr = n_expr
        sizes = {Image.open(path).size for path in self.paths}
        assert len(sizes) == 1
        self.width, self.height = sizes.pop()

    def entry(self, path: Path) -> dict:
        return self.content[path.stem] if path.stem in self.content else self.content[path.name]

    def split(self, ratio: float = 0.15) -> tuple[list[Path], list[Path]]:
        count = int(len(self.paths) * ratio)
        return self.paths[: len(self.paths) - count], self.paths[len(self.paths) - count :]

    def projected(self, path: Path) -> np.ndarray:
        """(V, 2) px of FLAME's own vertices. fy and cy of the file are not read."""
        entry = self.entry(path)
        expr, pose = (np.array(entry[key]) for key in ("expcode", "fullposecode"))
        assert expr.ndim == pose.ndim == 2
        vertices = self.flame.vertices(self.shape[0], expr[0, : self.n_expr], pose[0])
        if "translation" in entry:
            vertices = vertices + np.array(entry["translation"]).reshape(1, 3)
        fx, _, cx, _ = self.content["intrinsics"]
        fovx = 2 * math.atan2(cx, fx)
        focal = self.width / (2 * math.tan(fovx / 2))
        w2c = np.diag([1, -1, -1, 1]) @ np.array(entry["world_mat"])
        x, y, z = (FLAME_SCALE * vertices @ w2c[:3, :3].T + w2c[:3, 3]).T
        assert (z > 0.01).all()
        return np.stack([focal * x / z + self.width / 2, focal * y / z + self.height / 2], 1)

    def picture(self, path: Path, background: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Composited (H, W, 3) in [0, 1], and the mask."""
        stored = np.array(Image.open(path)) / 255
        assert stored.ndim == 3
        mask = np.ones(stored.shape[:2])
        if stored.shape[2] == 4:
            mask = stored[..., 3]
        elif (self.folder / "mask" / path.name).exists():
            mask = (np.array(Image.open(self.folder / "mask" / path.name)) / 255).mean(-1)
        return stored[..., :3] * mask[..., None] + (1 - mask[..., None]) * background, mask


def imavatar_projected(folder: Path, flame: Flame, name: str = "flame_params.json") -> list[tuple[str, np.ndarray]]:
    """file_path and (V + 53, 2) in [-1, 1] of every frame: u = K0 x/z + K2, v = K1 y/z + K3, y up, z < 0 in front."""
    content = json.loads((folder / name).read_text())
    share = np.array(content["intrinsics"])
    k = np.array([2 * share[0], 2 * share[1], 2 * share[2] - 1, 2 * share[3] - 1])
    found = []
    for frame in content["frames"]:
        arrays = {key: np.array(frame[key]) for key in ("expression", "pose", "world_mat")}
        vertices = flame.vertices(np.array(content["shape_params"]), arrays["expression"], arrays["pose"])
        vertices = np.concatenate([vertices, flame.static_points(vertices)])
        vertices = FLAME_SCALE * (vertices + np.array(frame.get("translation", [[0, 0, 0]])))
        x, y, z = (vertices @ arrays["world_mat"][:, :3].T + arrays["world_mat"][:, 3]).T
        found.append((frame["file_path"], np.stack([k[0] * x / z + k[2], k[1] * y / z + k[3]], 1)))
    return found
