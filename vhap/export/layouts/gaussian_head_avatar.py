"""Gaussian-Head-Avatar's data: squares by every camera, and a head of any model as points, pose and numbers."""

from __future__ import annotations

import re

import numpy as np
import torch

from vhap.export.centred_result import centre
from vhap.export.files import jpg, npy, npz
from vhap.export.layouts.base import SQUARE, Job, LayoutRules, marked
from vhap.export.layouts.head_motion import OPENCV_OPENGL, HeadMotion, MovedHead, intrinsic_matrix
from vhap.export.layouts.square import square_around_head, squares
from vhap.export.nerf_dataset import picture_source
from vhap.export.recentre import padded_camera
from vhap.geometry.rotations import matrix_to_axis_angle
from vhap.head.model import HeadModel, landmark_points
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain

LOW_SIDE = 256
BOX_LOW, BOX_HIGH = np.array([-1.6, -1.7, -2.5]), np.array([1.6, 1.8, 1.0])
"""The reader's model_bbox, in canonical units."""
BOX_SHARE = 0.9
"""Of the box that the head without its neck fills, at most."""
N_POINTS = 68
"""Vertices that stand for landmarks on a head without any."""
HEAD_PARTS = ("face", "scalp")

RULES = LayoutRules(
    readers="Gaussian-Head-Avatar",
    target=marked(
        "gaussian_head_avatar",
        **{
            "images__*": r"(image|mask)_(lowres_)?[\w.-]+\.jpg",
            "cameras__*": r"camera_[\w.-]+\.npz",
            "params__*": r"params\.npz|lmk_3d\.npy|vertices\.npy",
        },
    ),
    one_camera=False,
    options=("picture_size",),
    no_effect={
        "background_color": "Gaussian-Head-Avatar puts the person over black, then white, by itself",
        "center_principal_point": SQUARE,
    },
)


class GaussianHeadAvatar:
    """Frames count from 0000; every one has all cameras, so that frames that one of them lost are left out."""

    def __init__(self, job: Job) -> None:
        source, side = job.source, job.config.picture_size
        self.files, self.source = job.files, source
        self.track = centre(source.head, source.result, source.cameras, to_origin=False)
        cameras = self.track.cameras
        paddings = [square_around_head(source, side)] if len(cameras) == 1 else squares(cameras, side)
        self.cameras = [padded_camera(camera, padding) for camera, padding in zip(cameras, paddings)]
        self.names = [re.sub(r"[^\w.-]", "_", source.capture.camera_ids[index]) for index in source.camera_indices]
        self.pictures = picture_source(source, job.config, paddings, job.backend, carried_on=True)
        self.motion = HeadMotion(self.track)
        rows = [row for row in range(job.n_rows) if all(source.shows(row, k) for k in range(len(cameras)))]
        if not rows:
            raise InputError(
                "expected frames that all cameras show for --layout gaussian_head_avatar, found none; choose some of "
                "the cameras by --subset, as cn4"
            )
        self.frame_of = {row: frame for frame, row in enumerate(rows)}
        self.scale, self.origin = canonical_frame(self.track.head, self.motion.at(rows[0]))
        self._report()

    def write(self, row: int) -> None:
        if row not in self.frame_of:
            return
        frame = f"{self.frame_of[row]:04d}"
        self.write_head(row, frame)
        vertices = self.pictures.vertices(row)
        for number, name in enumerate(self.names):
            if not self.files.has(f"cameras/{frame}/camera_{name}.npz"):
                self.files.write(f"cameras/{frame}/camera_{name}.npz", npz(self.camera_arrays(number)))
            paths = [f"images/{frame}/{kind}_{name}.jpg" for kind in ("image", "mask", "image_lowres", "mask_lowres")]
            if self.files.has(*paths):
                continue
            shown = self.pictures.read(row, number, vertices)
            # Its reader takes a channel of masks, which a grey file has not.
            full = [shown.picture, np.repeat(shown.mask[..., None], 3, 2)]
            for path, content in zip(paths, [*full, *(shrunk(content) for content in full)]):
                self.files.write(path, jpg(content))

    def camera_arrays(self, number: int) -> dict[str, np.ndarray]:
        """intrinsic (3, 3) px; extrinsic (3, 4): to camera axes of OpenCV."""
        camera = self.cameras[number]
        extrinsic = (OPENCV_OPENGL @ camera.T_camera_world.double().numpy())[:3]
        return {
            "intrinsic": np.asarray(intrinsic_matrix(camera), np.float32),
            "extrinsic": np.asarray(extrinsic, np.float32),
        }

    def write_head(self, row: int, frame: str) -> None:
        names = [f"params/{frame}/{name}" for name in ("params.npz", "lmk_3d.npy", "vertices.npy")]
        if self.files.has(*names):
            return
        moved = self.motion.at(row)
        rotation = moved.T_world_head[:3, :3]
        place = rotation @ self.origin + moved.T_world_head[:3, 3]
        turn = matrix_to_axis_angle(torch.from_numpy(np.ascontiguousarray(rotation))).numpy()
        arrays = {
            "pose": np.concatenate([turn, place])[None],
            "scale": np.array([[self.scale]]),
            "exp_coeff": self.numbers(row)[None],
        }
        points = head_landmarks(self.track.head, moved.vertices)
        self.files.write(names[0], npz({name: np.asarray(value, np.float32) for name, value in arrays.items()}))
        self.files.write(names[1], npy(np.asarray(points, np.float32)))
        self.files.write(names[2], npy(moved.vertices.numpy().astype(np.float32)))

    def numbers(self, row: int) -> np.ndarray:
        """What moves the face beside its rigid motion: expression, the jaw where it is a joint, and the eyes."""
        result = self.track.result
        jaw = [result.jaw_pose[row]] if self.track.head.has_jaw else []
        return np.concatenate([result.expr[row], *jaw, result.eyes_pose[row]])

    def finish(self) -> None:
        """Nothing is of all frames together."""

    def _report(self) -> None:
        count = len(self.numbers(0))
        get_logger().info(
            "for its config: camera_ids %s, original_resolution %d, exp_coeffs_dim %d (the first layer of its "
            "expression networks has %d inputs)",
            self.names, self.cameras[0].height, count, 27 + count,
        )  # fmt: skip


def canonical_frame(head: HeadModel, moved: MovedHead) -> tuple[float, np.ndarray]:
    """Metres of a canonical unit, and the canonical origin (3,) in the head's frame, by which the head fills the
    reader's box."""
    ids = [head.regions[name] for name in HEAD_PARTS if len(head.regions.get(name, ()))]
    points = (moved.posed[torch.cat(ids)] if ids else moved.posed).numpy()
    low, high = points.min(0), points.max(0)
    scale = float(((high - low) / (BOX_SHARE * (BOX_HIGH - BOX_LOW))).max())
    return scale, (low + high) / 2 - scale * (BOX_LOW + BOX_HIGH) / 2


def head_landmarks(head: HeadModel, vertices: torch.Tensor) -> np.ndarray:
    """(L, 3) of the vertices: the iBUG points where the head has them, else another set, else some vertices."""
    name = "ibug" if "ibug" in head.landmarks else next(iter(head.landmarks), None)
    if name is None:
        return vertices[even_choice(len(vertices), N_POINTS)].numpy()
    return landmark_points(head, vertices, name).numpy()


def shrunk(picture: np.ndarray) -> np.ndarray:
    cv2 = import_or_explain("cv2")
    way = cv2.INTER_AREA if picture.shape[0] > LOW_SIDE else cv2.INTER_CUBIC
    return cv2.resize(picture, (LOW_SIDE, LOW_SIDE), interpolation=way)
