"""One folder for INSTA, INSTA-pytorch, FateAvatar and RGBAvatar, of which each reads its own part.

The head stands still and the camera has its motion, as in `metrical`. Meshes are the tracked vertices, offsets
included, so that INSTA and INSTA-pytorch can have any head; the files that FateAvatar and RGBAvatar pose FLAME 2020 by
(flame/, checkpoint/) are there where the run is of that head without offsets.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vhap.data.face_classes import FaceClass
from vhap.data.png import encode_png
from vhap.export.files import json_text, number_lines
from vhap.export.layouts.base import SQUARE, Job, LayoutRules, marked
from vhap.export.layouts.checks import FLAME_2020, offset_mm
from vhap.export.layouts.depth import DepthMaps
from vhap.export.layouts.head_motion import opencv_extrinsics, padded
from vhap.export.layouts.metrical import JAW_RAD, N_EXPR, frame_flame, write_frame
from vhap.export.layouts.one_camera import OneCamera
from vhap.export.layouts.square import square_around_head
from vhap.export.meshes import ObjWriter
from vhap.head.model import pose, zero_params
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain

TEST_FRAMES, VALIDATION_FRAMES = 350, 20
CLOTH_MARGIN_PX = 3
"""By which clothes grow before they are taken out of alpha."""
MOUTH = (FaceClass.MOUTH, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP)
RED = {
    FaceClass.BACKGROUND: 0, FaceClass.SKIN: 250, FaceClass.LEFT_BROW: 240, FaceClass.RIGHT_BROW: 230,
    FaceClass.LEFT_EYE: 210, FaceClass.RIGHT_EYE: 200, FaceClass.EYE_GLASSES: 190, FaceClass.LEFT_EAR: 180,
    FaceClass.RIGHT_EAR: 170, FaceClass.EARRING: 160, FaceClass.NOSE: 150, FaceClass.MOUTH: 140,
    FaceClass.UPPER_LIP: 130, FaceClass.LOWER_LIP: 120, FaceClass.NECK: 110, FaceClass.NECKLACE: 100,
    FaceClass.CLOTH: 90, FaceClass.HAIR: 80, FaceClass.HAT: 70,
}  # fmt: skip
"""The red channel of seg_mask/ by class."""
RED_TABLE = np.array([RED[entry] for entry in FaceClass], np.uint8)

RULES = LayoutRules(
    readers="INSTA, INSTA-pytorch; FateAvatar and RGBAvatar of FLAME 2020",
    target=marked(
        "insta",
        images=r"\d{5,}\.png",
        meshes=r"\d{5,}\.obj",
        depth=r"\d{5,}\.png",
        seg_mask=r"\d{5,}\.png",
        parsing=r"\d{5,}_mouth\.png",
        checkpoint=r"\d{5,}\.frame",
        flame__exp=r"\d{5,}\.txt",
        flame__eyes=r"\d{5,}\.txt",
        flame__jaw=r"\d{5,}\.txt",
        flame__shape=r"\d{5,}\.txt",
        _root=r"transforms\w*\.json|canonical\.obj",
    ),
    options=("picture_size", "test_frames"),
    no_effect={
        "background_color": "pictures are RGBA",
        "center_principal_point": SQUARE,
    },
)


class Insta:
    """Names count from 00000, the same in all folders."""

    def __init__(self, job: Job) -> None:
        count = job.n_rows
        self.n_test = job.config.test_frames or TEST_FRAMES
        if count <= self.n_test:
            raise InputError(
                f"expected more than {self.n_test} frames for --layout insta, whose last {self.n_test} are for "
                f"testing, found {count}; film and track more, or give --test_frames (RGBAvatar always takes 350)"
            )
        self.files, self.count = job.files, count
        self.view = OneCamera(job, square_around_head(job.source, job.config.picture_size), with_offsets=True)
        head = self.view.track.head
        self.is_posed = head.name == FLAME_2020 and offset_mm(job.source) == 0
        self.depths = DepthMaps(job.backend, head)
        self.obj = ObjWriter(head.faces.numpy())
        if self.is_posed:
            self.view.report_still_neck()
        report_place(job.files.folder, self.is_posed)

    def write(self, row: int) -> None:
        self.write_pictures(row)
        self.write_head(row)

    def write_pictures(self, row: int) -> None:
        """images/ without clothes, seg_mask/, parsing/."""
        names = [f"images/{row:05d}.png", f"seg_mask/{row:05d}.png", f"parsing/{row:05d}_mouth.png"]
        if self.files.has(*names):
            return
        shown = self.view.read(row)
        classes = self.view.classes(row, shown)
        clothes = grown(nearest_classes(classes, shown.mask) == FaceClass.CLOTH)
        red = RED_TABLE[classes]
        self.files.write(names[0], encode_png(shown.rgba(without=clothes)))
        self.files.write(names[1], encode_png(np.dstack([red, np.zeros_like(red), np.zeros_like(red)])))
        self.files.write(names[2], encode_png(np.where(np.isin(classes, MOUTH), 255, 0).astype(np.uint8)))

    def write_head(self, row: int) -> None:
        """meshes/, depth/, and the head's numbers."""
        result, files = self.view.track.result, self.files
        moved = self.view.motion.at(row)
        if not files.has(f"meshes/{row:05d}.obj"):
            files.write(f"meshes/{row:05d}.obj", self.obj.content(moved.in_head))
        if not files.has(f"depth/{row:05d}.png"):
            files.write(f"depth/{row:05d}.png", encode_png(self.depths.millimetres(moved.vertices, self.view.camera)))
        files.replace(f"flame/exp/{row:05d}.txt", number_lines(padded(result.expr[row], N_EXPR)))
        if not self.is_posed:
            return
        flame = frame_flame(result, row)
        # FateAvatar takes the first eye for the right one.
        eyes = flame["eyes"].reshape(2, 6)[::-1]
        for name, values in (("eyes", eyes), ("jaw", flame["jaw"]), ("shape", flame["shape"])):
            files.replace(f"flame/{name}/{row:05d}.txt", number_lines(values))
        write_frame(files, f"checkpoint/{row:05d}.frame", self.view, row)

    def finish(self) -> None:
        """canonical.obj, of the meshes' topology, and the transforms files."""
        self.files.write("canonical.obj", self.obj.content(self.canonical()))
        frames = [self.frame(row) for row in range(self.count)]
        parts = {"": frames, "_train": frames[: -self.n_test], "_test": frames[-self.n_test :]}
        parts["_val"] = frames[-min(VALIDATION_FRAMES, self.n_test) :]
        for name, part in parts.items():
            self.files.replace(f"transforms{name}.json", json_text({**self.shared(), "frames": part}))

    @torch.no_grad()
    def canonical(self) -> np.ndarray:
        """(V, 3): the person with offsets that do not move, and the mouth open."""
        head, params = self.view.track.head, zero_params(self.view.track.head)
        params.shape[:] = torch.from_numpy(self.view.track.result.shape).float()
        params.jaw_pose[0] = JAW_RAD
        for index, value in head.open_mouth.items():
            if not head.has_jaw and index < head.n_expr:
                params.expr[index] = value
        static = self.view.track.result.static_offset
        offset = None if static is None else torch.from_numpy(static.reshape(-1, 3)).float()
        return pose(head, replace(params, static_offset=offset)).double().numpy()

    def shared(self) -> dict[str, float]:
        """Of all frames; lengths in px, camera_angle in radians, fov in degrees."""
        camera = self.view.camera
        w, h, fx, fy = float(camera.width), float(camera.height), float(camera.fx), float(camera.fy)
        angles = {"x": 2 * math.atan(w / 2 / fx), "y": 2 * math.atan(h / 2 / fy)}
        return {
            **{"w": w, "h": h, "cx": float(camera.cx), "cy": float(camera.cy), "fl_x": fx, "fl_y": fy},
            **{f"camera_angle_{axis}": angle for axis, angle in angles.items()},
            **{f"{axis}_fov": math.degrees(angle) for axis, angle in angles.items()},
            "integer_depth_scale": 0.001,
        }

    def frame(self, row: int) -> dict[str, Any]:
        extrinsics = opencv_extrinsics(self.view.camera, self.view.motion.at(row).T_world_head)
        return {
            "transform_matrix": np.linalg.inv(extrinsics).tolist(),
            "file_path": f"images/{row:05d}.png",
            "mesh_path": f"meshes/{row:05d}.obj",
            "exp_path": f"flame/exp/{row:05d}.txt",
            "depth_path": f"depth/{row:05d}.png",
            "seg_mask_path": f"seg_mask/{row:05d}.png",
        }


def nearest_classes(classes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W): classes, and where the mask is too thin for one that of the nearest pixel with one."""
    cv2 = import_or_explain("cv2")
    known = classes != FaceClass.BACKGROUND
    thin = ~known & (mask > 0)
    if not known.any() or not thin.any():
        return classes
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(labels.max()) + 1, np.uint8)
    of_label[labels[known]] = classes[known]
    return np.where(thin, of_label[labels], classes)


def grown(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool, by the margin around clothes."""
    cv2 = import_or_explain("cv2")
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * CLOTH_MARGIN_PX + 1,) * 2)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def report_place(folder: Path, is_posed: bool) -> None:
    """Lines on readers that replace words in the whole path, and on those that can read nothing of this run."""
    path, log = str(folder.absolute()), get_logger()
    if "images" in path:
        log.warning("INSTA-pytorch replaces the text 'images' in the whole path: move %s to one without it", path)
    if not is_posed:
        log.warning(
            "FateAvatar and RGBAvatar cannot read this folder: they pose FLAME 2020 without offsets; vhap convert-head "
            "RUN --to flame --flame_model_path .../generic_model.pkl --no-offsets makes a run for these"
        )
    elif "insta" not in path or "exp" in path:
        log.warning("FateAvatar wants 'insta' and no 'exp' in the whole path: move %s to such a one for it", path)
