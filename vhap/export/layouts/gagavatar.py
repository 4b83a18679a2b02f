"""GAGAvatar's data: pictures in an LMDB, the head as its tracker stores it, and the split.

Its reader knows one camera: focal length 12 in halves of the picture, the principal point in the middle, FLAME five
times its size. Turn and place of the head are solved for it, frame by frame.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import least_squares

from vhap.export.files import jpg, json_text
from vhap.export.layouts.base import Job, LayoutRules, marked
from vhap.export.layouts.head_motion import opencv_extrinsics, padded
from vhap.export.layouts.metrical import N_EXPR, N_SHAPE, P3D_OPENCV
from vhap.export.layouts.one_camera import OneCamera
from vhap.export.recentre import Padding
from vhap.export.torch_file import Content, pickled
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain

SIDE, FOCAL, SCALE = 512, 12.0, 5.0
WIDENED = 1.65
"""Side of the pictures in sides of the face's box."""
POINTS = 300
"""Vertices of the face by which its camera is solved."""
LEAST_FRAMES, HELD_OUT = 4, 10
"""Every tenth frame, two at least, are for validation and testing."""
MAP_BYTES = 1 << 40

RULES = LayoutRules(
    readers="GAGAvatar",
    target=marked("gagavatar", frames=r"\d{5,}\.jpg", img_lmdb=r"(data|lock)\.mdb", _root=r"optim\.pkl|dataset\.json"),
    heads="FLAME 2020",
    n_shape=N_SHAPE,
    n_expr=N_EXPR,
    offsets=False,
    options=("drop_offsets",),
    no_effect={
        "background_color": "GAGAvatar takes black",
        "center_principal_point": "the camera is solved for its reader",
    },
)


class GagAvatar:
    """frames/ holds the pictures one by one, so that a stopped export goes on; img_lmdb/ all of them."""

    def __init__(self, job: Job) -> None:
        self.lmdb = import_or_explain("lmdb", "pip install lmdb")
        if job.n_rows < LEAST_FRAMES:
            raise InputError(
                f"expected at least {LEAST_FRAMES} frames for --layout gagavatar, two of them for testing, found "
                f"{job.n_rows}; film and track more"
            )
        self.files, self.count = job.files, job.n_rows
        self.face = face_ids(job)
        whole = OneCamera(job, Padding((job.source.cameras[0].height, job.source.cameras[0].width), (0, 0)), False)
        boxes = np.stack([self.box(whole, row) for row in range(self.count)])
        self.view = OneCamera(job, square_around(boxes), with_offsets=False, carried_on=True)
        # The reader takes what stands before the first `_` for the video, or the second where the first is `img`.
        video = re.sub(r"[^A-Za-z0-9.-]", "-", job.sequence) or "video"
        self.keys = [f"{'video' if video == 'img' else video}_{row}" for row in range(self.count)]
        self.example = b""

    def box(self, view: OneCamera, row: int) -> np.ndarray:
        """(4,) x0 y0 x1 y1 of the face in the pictures of a view, px."""
        pixels = view.camera.project(view.track.vertices(row)[self.face])[0].numpy()
        return np.concatenate([pixels.min(0), pixels.max(0)])

    def write(self, row: int) -> None:
        name = f"frames/{row:05d}.jpg"
        if not self.files.has(name):
            self.example = bytes(jpg(self.view.read(row).over(0)))
            self.files.write(name, self.example)

    def finish(self) -> None:
        fitted = [self.entry(row) for row in range(self.count)]
        worst = max(error for _, error in fitted)
        get_logger().info("GAGAvatar's camera places the face within %.2f px of the tracked one", worst)
        self.files.write("optim.pkl", pickled({key: entry for key, (entry, _) in zip(self.keys, fitted)}))
        self.files.write("img_lmdb/data.mdb", self.database())
        held_out = max(2, self.count // HELD_OUT)
        parts = {"train": self.keys[:-held_out], "val": self.keys[-held_out:], "test": self.keys[-held_out:]}
        self.files.replace("dataset.json", json_text(parts))

    def database(self) -> bytes:
        """The LMDB's file. In a dry run one picture stands for all."""
        with tempfile.TemporaryDirectory() as folder:
            with self.lmdb.open(folder, map_size=MAP_BYTES) as environment, environment.begin(write=True) as content:
                for row, key in enumerate(self.keys):
                    path = self.files.folder / f"frames/{row:05d}.jpg"
                    content.put(key.encode(), path.read_bytes() if path.is_file() else self.example)
            return Path(folder, "data.mdb").read_bytes()

    def entry(self, row: int) -> tuple[dict[str, Content], float]:
        """What optim.pkl has of a frame, and the mean distance in px of the face to where it was tracked."""
        result, moved = self.view.track.result, self.view.motion.at(row)
        wanted = self.view.camera.project(moved.vertices[self.face])[0].numpy()
        start = P3D_OPENCV @ opencv_extrinsics(self.view.camera, moved.T_world_head)[:3]
        matrix, error = solved_camera(SCALE * moved.posed[self.face].numpy(), wanted, start)
        values = {
            "bbox": (self.box(self.view, row) / SIDE).clip(0, 1),
            "shapecode": padded(result.shape, N_SHAPE),
            "expcode": padded(result.expr[row], N_EXPR),
            "posecode": np.concatenate([np.zeros(3), result.jaw_pose[row]]),
            "eyecode": result.eyes_pose[row],
            "transform_matrix": matrix,
        }
        return {name: np.asarray(value, np.float32) for name, value in values.items()}, error


def face_ids(job: Job) -> np.ndarray:
    regions = job.source.head.regions
    ids = regions["face"] if len(regions.get("face", ())) else torch.arange(job.source.head.n_vertices)
    return ids[even_choice(len(ids), POINTS)].cpu().numpy()


def square_around(boxes: np.ndarray) -> Padding:
    """A square that holds the widened face of all frames (T, 4), scaled to the reader's size."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    face = float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1)))
    side = round(max(WIDENED * face, float((high - low).max()) + (WIDENED - 1) * face))
    corner = np.round((low + high) / 2 - side / 2)
    return Padding((side, side), (-float(corner[0]), -float(corner[1])), (SIDE, SIDE))


def solved_camera(points: np.ndarray, wanted: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float]:
    """(3, 4) [R | T] of row vectors, X_camera = X R + T in PyTorch3D's axes, by which points (N, 3) are seen where
    they are wanted (N, 2) px, and the mean distance left. start (3, 4): turn and place of column vectors, unscaled."""
    spread = np.linalg.norm(wanted - wanted.mean(0), axis=1).mean()
    depth = FOCAL * SIDE / 2 * np.linalg.norm((points - points.mean(0)) @ start[:2, :3].T, axis=1).mean() / spread
    place = (1 - 2 * wanted.mean(0) / SIDE) * depth / FOCAL
    shift = np.append(place, depth) - points.mean(0) @ start[:, :3].T
    turn = matrix_to_axis_angle(torch.from_numpy(np.ascontiguousarray(start[:, :3]))).numpy()

    def placed(x: np.ndarray) -> np.ndarray:
        camera = points @ axis_angle_to_matrix(torch.from_numpy(x[:3])).numpy().T + x[3:]
        return SIDE / 2 * (1 - FOCAL * camera[:, :2] / camera[:, 2:])

    found = least_squares(lambda x: (placed(x) - wanted).ravel(), np.concatenate([turn, shift]), x_scale="jac").x
    rotation = axis_angle_to_matrix(torch.from_numpy(found[:3])).numpy()
    error = float(np.linalg.norm(placed(found) - wanted, axis=1).mean())
    return np.concatenate([rotation.T, found[3:, None]], 1), error
