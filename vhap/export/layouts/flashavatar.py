"""FlashAvatar's data: pictures and masks in dataset/NAME, the head in metrical-tracker/output/NAME/checkpoint.

Pictures count from 00001 and checkpoints from 00000: checkpoint k belongs to picture k + 1.
"""

from __future__ import annotations

import numpy as np

from vhap.data.face_classes import FaceClass
from vhap.data.png import encode_png
from vhap.export.files import jpg
from vhap.export.layouts.base import SQUARE, Job, LayoutRules, marked
from vhap.export.layouts.insta import MOUTH
from vhap.export.layouts.metrical import N_EXPR, N_SHAPE, write_frame
from vhap.export.layouts.one_camera import OneCamera, path_name
from vhap.export.layouts.square import square_around_head

SIDE = 512
"""Of the pictures, which the reader has fixed."""
MATTE = 0.5
NOT_KEPT = (FaceClass.BACKGROUND, FaceClass.CLOTH, FaceClass.NECKLACE)

RULES = LayoutRules(
    readers="FlashAvatar",
    target=marked(
        "flashavatar",
        **{
            "dataset__*__imgs": r"\d{5,}\.jpg",
            "dataset__*__alpha": r"\d{5,}\.jpg",
            "dataset__*__parsing": r"\d{5,}_(mouth|neckhead)\.png",
            "metrical-tracker__output__*__checkpoint": r"\d{5,}\.frame",
        },
    ),
    heads="FLAME 2020",
    n_shape=N_SHAPE,
    n_expr=N_EXPR,
    offsets=False,
    test_frames=500,
    options=("drop_offsets",),
    no_effect={
        "background_color": "FlashAvatar puts the person over green, or white by its own option",
        "center_principal_point": SQUARE,
        "picture_size": f"pictures have {SIDE} px",
    },
)


class FlashAvatar:
    def __init__(self, job: Job) -> None:
        self.files = job.files
        name = path_name(job.sequence)
        self.data, self.checkpoints = f"dataset/{name}", f"metrical-tracker/output/{name}/checkpoint"
        self.view = OneCamera(job, square_around_head(job.source, SIDE), with_offsets=False, carried_on=True)
        self.view.report_still_neck()

    def write(self, row: int) -> None:
        write_frame(self.files, f"{self.checkpoints}/{row:05d}.frame", self.view, row)
        number = f"{row + 1:05d}"
        names = [f"{self.data}/imgs/{number}.jpg", f"{self.data}/alpha/{number}.jpg"]
        names += [f"{self.data}/parsing/{number}_{part}.png" for part in ("mouth", "neckhead")]
        if self.files.has(*names):
            return
        shown = self.view.read(row)
        classes, matte = self.view.classes(row, shown), shown.exact_mask() >= MATTE
        kept = matte & ~np.isin(classes, NOT_KEPT)
        # The reader multiplies by both masks itself.
        contents = [jpg(shown.picture), jpg(shown.mask), encode_png(_mask(np.isin(classes, MOUTH) & matte))]
        for name, content in zip(names, [*contents, encode_png(_mask(kept))]):
            self.files.write(name, content)

    def finish(self) -> None:
        """Nothing is of all frames together."""


def _mask(inside: np.ndarray) -> np.ndarray:
    return np.where(inside, 255, 0).astype(np.uint8)
