"""A tracked video as trainers of relightable avatars read it: square pictures, and FLAME in one JSON file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vhap.data.png import encode_png
from vhap.data.results import TrackResult
from vhap.evaluate.run_scene import result_head_params
from vhap.export.centred_result import CentredTrack
from vhap.export.files import json_text
from vhap.export.layouts.base import SQUARE, Job, LayoutRules
from vhap.export.layouts.checks import offset_mm
from vhap.export.layouts.insta import MOUTH
from vhap.export.layouts.one_camera import OneCamera
from vhap.export.layouts.square import square_around_head
from vhap.export.nerf_dataset import ExportSource
from vhap.export.pictures import BACKGROUND_RGB
from vhap.export.target import TargetKind
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, landmark_head
from vhap.pipeline.heads import with_detector_points
from vhap.pipeline.relightable_files import (
    TRAINER_EXPR,
    TRAINER_SHAPE,
    coefficient_lines,
    flame_lines,
    head_points,
    report_camera,
)
from vhap.relightable.conversion import WrittenHead, flame_params, tracked_params
from vhap.relightable.deca_codes import deca_code
from vhap.relightable.head_files import flame_content, tracked_content
from vhap.relightable.trainer_camera import trainer_camera
from vhap.util.log import get_logger

RELIGHTABLE = TargetKind(
    "export_relightable.json",
    {
        "image": r"\d+\.png",
        "images": r"\d+\.png",
        "matted": r"\d+\.png",
        "mask": r"\d+\.png",
        "semantic": r"\d+\.png",
        "parsing": r"\d+_mouth\.png",
        ".": r"(tracked|flame)_params\.json",
    },
)
"""Of both layouts, so that one takes the other's place."""
NO_EFFECT = {
    "center_principal_point": SQUARE,
    "world": "a single camera has no other world",
    "center_head": "the head stays where it was tracked",
}
HRAVATAR = LayoutRules(
    readers="HRAvatar",
    target=RELIGHTABLE,
    heads="FLAME",
    options=("picture_size",),
    no_effect={
        **NO_EFFECT,
        "background_color": "pictures are RGBA, with the colours as filmed",
        "flame_mode": "these files hold parameters",
    },
)
IMAVATAR = LayoutRules(
    readers="IMavatar, PointAvatar, MonoGaussianAvatar; SplattingAvatar, FateAvatar",
    target=RELIGHTABLE,
    heads="FLAME 2020",
    n_shape=TRAINER_SHAPE,
    n_expr=TRAINER_EXPR,
    offsets=False,
    options=("picture_size", "drop_offsets"),
    no_effect={**NO_EFFECT, "background_color": "IMavatar takes white"},
)


@dataclass(frozen=True)
class PosedRows:
    """points_head: the head with its 68 iBUG points and irises alone; rows: what poses it in all frames."""

    written: WrittenHead
    points_head: HeadModel
    rows: HeadParams


class RelightableHead:
    """What both layouts share: the square pictures, and the head in one file."""

    def __init__(self, job: Job) -> None:
        self.files, self.count = job.files, job.n_rows
        self.view = OneCamera(job, square_around_head(job.source, job.config.picture_size), with_offsets=False)

    def posed(self, names: list[str], with_translation: bool) -> PosedRows:
        return written_head(self.view.track, self.view.camera, names, with_translation)


class HrAvatar(RelightableHead):
    """image/%05d.png from 00000, RGBA, and tracked_params.json."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        head, result = job.source.head, job.source.result
        for line in [*offset_lines(job.source), *flame_lines(head), *result_lines(result)]:
            get_logger().warning(line)

    def write(self, row: int) -> None:
        name = f"image/{row:05d}.png"
        if not self.files.has(name):
            self.files.write(name, encode_png(self.view.read(row).rgba()))

    def finish(self) -> None:
        params = self.posed([f"{row:05d}.png" for row in range(self.count)], with_translation=True)
        rows = [result_head_params(params.written.result, row) for row in range(self.count)]
        cams = np.stack([deca_code(params.points_head, row, params.written.camera).cam for row in rows])
        content = tracked_content(tracked_params(params.written, cams))
        self.files.replace("tracked_params.json", json_text(content, None))


class ImAvatar(RelightableHead):
    """Names count from 1, without zeros before. image/ is RGB over white, as IMavatar's family reads it; images/ and
    matted/ are RGBA, where SplattingAvatar and FateAvatar look; mask/, semantic/ (19 classes) and parsing/ are grey."""

    def write(self, row: int) -> None:
        name = f"{row + 1}.png"
        places = ("matted", "images", "mask", "semantic", "image")
        names = [*(f"{place}/{name}" for place in places), f"parsing/{row + 1}_mouth.png"]
        if self.files.has(*names):
            return
        shown = self.view.read(row)
        classes = self.view.classes(row, shown)
        with_alpha = encode_png(shown.rgba())
        white = encode_png(shown.over(BACKGROUND_RGB["white"]))
        mouth = encode_png(np.where(np.isin(classes, MOUTH), 255, 0).astype(np.uint8))
        contents = [with_alpha, with_alpha, encode_png(shown.mask), encode_png(classes), white, mouth]
        for path, content in zip(names, contents):
            self.files.write(path, content)

    def finish(self) -> None:
        params = self.posed([str(row + 1) for row in range(self.count)], with_translation=False)
        points = head_points(params.points_head, params.rows, params.written.camera)
        # The reader adds the pictures' ending itself.
        paths = [f"./image/{name}" for name in params.written.names]
        self.files.replace(
            "flame_params.json", json_text(flame_content(flame_params(params.written, points, paths)), None)
        )
        path = str(self.files.folder.absolute())
        if "image" in path:
            get_logger().warning(
                "IMavatar's readers replace the text 'image' in the whole path: move %s to one without it", path
            )


@torch.no_grad()
def written_head(track: CentredTrack, camera: Camera, names: list[str], with_translation: bool) -> PosedRows:
    """The head and the trainers' camera: one with the translation as such, or with the movement in world_mat, where all
    of IMavatar's readers look."""
    result = track.result
    points_head = landmark_head(with_detector_points(track.head, "ibug"), "ibug")
    rows = result_head_params(result, list(range(len(names))))
    fitted = trainer_camera(camera, head_points(points_head, rows, camera))
    report_camera(fitted)
    return PosedRows(WrittenHead(result, fitted.camera, names, with_translation), points_head, rows)


def offset_lines(source: ExportSource) -> list[str]:
    mean = offset_mm(source)
    if mean == 0:
        return []
    return [
        f"the head's offsets, {mean:.2f} mm on average, have no place in these files; track with "
        "--model.no_use_static_offset, so that the coefficients explain the pictures alone"
    ]


def result_lines(result: TrackResult) -> list[str]:
    return coefficient_lines(result.shape.shape[-1], result.expr.shape[-1])
