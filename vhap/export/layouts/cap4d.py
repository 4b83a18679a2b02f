"""CAP4D's fit.npz and reference_images.json: the head refitted to the FLAME that it poses, which its user brings."""

from __future__ import annotations

import numpy as np
import torch

from vhap.data.png import encode_png
from vhap.export.centred_result import centre
from vhap.export.files import json_text, npz
from vhap.export.layouts.base import Job, LayoutRules, marked
from vhap.export.layouts.head_motion import OPENCV_OPENGL, RIGID_PARTS
from vhap.export.layouts.no_jaw_head import NoJawFit, fit_no_jaw, load_no_jaw
from vhap.export.layouts.one_camera import flame_vertices, path_name
from vhap.export.nerf_dataset import picture_source
from vhap.export.recentre import keeping
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.log import get_logger

REFERENCES = 10
"""Pictures that reference_images.json names, evenly chosen."""
NOTABLE_MM = 1.0

RULES = LayoutRules(
    readers="CAP4D",
    target=marked(
        "cap4d",
        **{
            "images__*": r"\d{5,}\.png",
            "bg__*": r"\d{5,}\.png",
            "_root": r"fit\.npz|reference_images\.json",
        },
    ),
    heads="FLAME",
    one_camera=False,
    options=("cap4d_model",),
    no_effect={
        "background_color": "CAP4D puts the person over white by bg/",
        "center_principal_point": "CAP4D reads the principal point",
    },
)


class Cap4d:
    """Timesteps are counted by the order of files: images/CAMERA/%05d.png from 00000, every one by all cameras; bg/ the
    same with 255 for the person."""

    def __init__(self, job: Job) -> None:
        if job.config.cap4d_model is None:
            raise InputError(
                "expected --cap4d_model FILE for --layout cap4d, found none: CAP4D poses flame2023_no_jaw.pkl, in "
                "which coefficients of other FLAMEs mean another face; name that file, with blink_blendshape.npy of "
                "CAP4D's repository beside it, and the head is refitted to it"
            )
        self.files, source = job.files, job.source
        self.model = load_no_jaw(job.config.cap4d_model)
        self.track = centre(source.head, source.result, source.cameras, to_origin=False)
        if flame_vertices(self.track.head) != len(self.model.template):
            raise InputError(
                f"expected a model of {flame_vertices(self.track.head)} vertices, as the tracked head, in "
                f"{job.config.cap4d_model}, found {len(self.model.template)}; name flame2023_no_jaw.pkl"
            )
        cameras = range(len(self.track.cameras))
        self.rows = [row for row in range(job.n_rows) if all(source.shows(row, number) for number in cameras)]
        if not self.rows:
            raise InputError(
                "expected frames that all cameras show for --layout cap4d, found none; choose cameras by --subset, as "
                "ci0"
            )
        self.place_of = {row: place for place, row in enumerate(self.rows)}
        self.names = [path_name(source.capture.camera_ids[index]) for index in source.camera_indices]
        self.pictures = picture_source(source, job.config, keeping(self.track.cameras), job.backend)

    def write(self, row: int) -> None:
        if row not in self.place_of:
            return
        vertices = self.pictures.vertices(row)
        for number, name in enumerate(self.names):
            picture_name, mask_name = (f"{place}/{name}/{self.place_of[row]:05d}.png" for place in ("images", "bg"))
            if self.files.has(picture_name, mask_name):
                continue
            shown = self.pictures.read(row, number, vertices)
            self.files.write(mask_name, encode_png(np.repeat(shown.mask[..., None], 3, 2)))
            self.files.write(picture_name, encode_png(shown.picture))

    def finish(self) -> None:
        fit = self.fit()
        mean = float(fit.distance_mm.mean())
        (get_logger().warning if mean > NOTABLE_MM else get_logger().info)(
            "the tracked head was refitted to FLAME 2023 without a jaw: %.2f mm from it on average, %.2f in the worst "
            "frame", mean, float(fit.distance_mm.max()),
        )  # fmt: skip
        self.files.write("fit.npz", npz(self.arrays(fit)))
        pairs = [[name, place] for place in range(len(self.rows)) for name in self.names]
        chosen = [pairs[index] for index in even_choice(len(pairs), REFERENCES)]
        self.files.replace("reference_images.json", json_text(chosen))

    def fit(self) -> NoJawFit:
        """To face and scalp, which neither neck nor eyes bend."""
        head, count = self.track.head, len(self.model.template)
        ids = [head.regions[name] for name in RIGID_PARTS if len(head.regions.get(name, ()))]
        ids = torch.unique(torch.cat(ids)).numpy() if ids else np.arange(count)
        vertices = np.stack([self.track.vertices(row)[:count].numpy() for row in self.rows])
        return fit_no_jaw(self.model, vertices, ids[ids < count])

    def arrays(self, fit: NoJawFit) -> dict[str, np.ndarray]:
        """The head before the first camera, in its OpenGL axes; extr leads on from its OpenCV axes to every camera."""
        poses = [camera.T_camera_world.double().numpy() for camera in self.track.cameras]
        first, back = poses[0], np.linalg.inv(poses[0])
        turns = first[:3, :3] @ axis_angle_to_matrix(torch.from_numpy(fit.rot)).numpy()
        extrinsics = np.stack([OPENCV_OPENGL @ pose @ back @ OPENCV_OPENGL for pose in poses])
        eyes = self.track.result.eyes_pose[self.rows].reshape(-1, 2, 3).mean(1)
        intrinsics = {
            name: np.array([[float(getattr(camera, name))] for camera in self.track.cameras], np.float32)
            for name in ("fx", "fy", "cx", "cy")
        }
        moved = {
            "extr": extrinsics,
            "shape": fit.shape,
            "expr": fit.expr,
            "rot": matrix_to_axis_angle(torch.from_numpy(np.ascontiguousarray(turns))).numpy(),
            "tra": fit.tra @ first[:3, :3].T + first[:3, 3],
            "eye_rot": eyes,
        }
        return {
            **intrinsics,
            **{name: np.asarray(value, np.float32) for name, value in moved.items()},
            "resolutions": np.array([[c.height, c.width] for c in self.track.cameras], np.int64),
            "camera_order": np.array(self.names),
        }
