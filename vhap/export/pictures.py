"""The pictures of a dataset: read raw, masked, put over the background colour and written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from vhap.data.foreground import own_colors
from vhap.data.pictures import write_picture
from vhap.data.sample import Capture
from vhap.export.centred_result import CentredTrack
from vhap.export.mask import FADE_WINDOW, Silhouettes, fade_below, neck_line
from vhap.export.recentre import Padding

BACKGROUND_RGB = {"white": 255, "black": 0}


@dataclass(frozen=True)
class PictureWriter:
    """Writes images/ and fg_masks/ of a dataset; pictures that are there with their mask are left as they are.

    capture: gives the pictures as they were filmed, not yet over any background. timesteps: row of the track ->
    index into the capture. camera_indices: camera of the track -> index into the capture; camera_numbers: -> number in
    the files' names. paddings: one a camera.
    neck_ids: vertex ids for the line below which the mask fades, None for no fading. silhouettes: draws the mask
    where there is no alpha map; None: everything is foreground there. wanted(row, camera): whether that picture is
    written. is_rim_own: whether pixels that an alpha map has as partly the person's get the person's own colour.
    """

    folder: Path
    capture: Capture
    track: CentredTrack
    timesteps: list[int]
    camera_indices: list[int]
    camera_numbers: list[int]
    paddings: list[Padding]
    background: int
    neck_ids: list[int] | None
    silhouettes: Silhouettes | None
    wanted: Callable[[int, int], bool]
    is_rim_own: bool

    def names(self, row: int, camera: int) -> tuple[str, str]:
        """Paths of picture and mask in the dataset."""
        name = f"{row:05d}_{self.camera_numbers[camera]:02d}.png"
        return f"images/{name}", f"fg_masks/{name}"

    def write(self, row: int) -> None:
        """The pictures of one timestep by all cameras."""
        vertices: Tensor | None = None
        for camera in range(len(self.track.cameras)):
            picture_path, mask_path = (self.folder / name for name in self.names(row, camera))
            if not self.wanted(row, camera) or (picture_path.exists() and mask_path.exists()):
                continue
            if vertices is None and (self.neck_ids is not None or self.silhouettes is not None):
                vertices = self.track.vertices(row)
            picture, mask = self.read(row, camera, vertices)
            write_picture(mask_path, np.rint(mask * 255).astype(np.uint8))
            write_picture(picture_path, over_colour(picture, mask, self.background))

    def read(self, row: int, camera: int, vertices: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
        """Picture (H, W, 3) and mask (H, W), float32 in [0, 1], padded as written."""
        batch = self.capture.load([self.timesteps[row]], [self.camera_indices[camera]])
        picture = batch.rgb[0].numpy()
        mask = np.ones(picture.shape[:2], np.float32) if batch.alpha is None else batch.alpha[0].numpy()
        if self.is_rim_own and batch.alpha is not None:
            picture = own_colors(picture, mask)
        seen_by = self.track.cameras[camera]
        if vertices is not None and batch.alpha is None and self.silhouettes is not None:
            mask = self.silhouettes.draw(vertices, seen_by)
        if vertices is not None and self.neck_ids is not None:
            line = neck_line(vertices, self.neck_ids, seen_by)
            mask = mask * fade_below((seen_by.height, seen_by.width), line, FADE_WINDOW * seen_by.width)
        padding = self.paddings[camera]
        return padding.apply(picture), padding.apply(mask)


def over_colour(picture: np.ndarray, mask: np.ndarray, background: int) -> np.ndarray:
    """picture (H, W, 3) by mask (H, W), float32 in [0, 1], over a grey 0..255 -> uint8, rounded once."""
    share = mask[..., None]
    return np.rint(picture * 255 * share + background * (1 - share)).clip(0, 255).astype(np.uint8)


def row_writer(*writers: Callable[[int], None]) -> Callable[[int], None]:
    """One function that does the work of several on a row."""

    def write(row: int) -> None:
        for writer in writers:
            writer(row)

    return write
