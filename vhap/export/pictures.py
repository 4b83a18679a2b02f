"""The pictures of a dataset: read raw, masked, put over the background colour and written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vhap.data.foreground import own_colors
from vhap.data.png import encode_png
from vhap.data.sample import Capture
from vhap.export.centred_result import CentredTrack
from vhap.export.files import TargetFiles
from vhap.export.mask import FADE_WINDOW, Fade, Silhouettes, fade_below, neck_line
from vhap.export.masked_picture import MaskedPicture, of_bytes, of_floats
from vhap.export.recentre import Padding

BACKGROUND_RGB = {"white": 255, "black": 0}


@dataclass(frozen=True)
class PictureSource:
    """The pictures of an export, with their masks, each decoded when it is asked for.

    capture: gives the pictures as they were filmed, not yet over any background. timesteps: row of the track ->
    index into the capture. camera_indices: camera of the track -> index into the capture. paddings: one a camera.
    neck_ids: vertex ids for the line below which the mask fades, None for no fading. silhouettes: draws the mask
    where there is no alpha map; None: everything is foreground there. is_rim_own: whether pixels that an alpha map has
    as partly the person's get the person's own colour; carried_on: and those beside the person as well, for formats
    that mix neighbours (JPEG).
    """

    capture: Capture
    track: CentredTrack
    timesteps: list[int]
    camera_indices: list[int]
    paddings: list[Padding]
    neck_ids: list[int] | None
    silhouettes: Silhouettes | None
    is_rim_own: bool
    carried_on: bool = False

    def vertices(self, row: int) -> Tensor | None:
        """Of the head at a row, where `read` needs them."""
        return None if self.neck_ids is None and self.silhouettes is None else self.track.vertices(row)

    def read(self, row: int, camera: int, vertices: Tensor | None) -> MaskedPicture:
        """Picture and mask, padded as written."""
        padding = self.paddings[camera]
        frame = self.capture.frame(self.timesteps[row], self.camera_indices[camera])
        fade = self._fade(camera, vertices)
        if frame.alpha is None:
            mask = self._drawn_mask(frame.rgb, camera, vertices)
        elif self.is_rim_own and (self.carried_on or padding.mixes_pixels):
            mask = frame.alpha.astype(np.float32) / 255
            return self._of_floats(own_colors(frame.rgb.astype(np.float32) / 255, mask), mask, fade, padding)
        elif not padding.mixes_pixels:
            return of_bytes(frame.rgb, frame.alpha, fade, self.is_rim_own).padded(padding)
        else:
            mask = frame.alpha.astype(np.float32) / 255
        return self._of_floats(frame.rgb.astype(np.float32) / 255, mask, fade, padding)

    def _of_floats(self, picture: np.ndarray, mask: np.ndarray, fade: Fade | None, padding: Padding) -> MaskedPicture:
        if fade is not None:
            mask[fade.rows] *= fade.values
        return of_floats(padding.apply(picture), padding.apply(mask))

    def _drawn_mask(self, picture: np.ndarray, camera: int, vertices: Tensor | None) -> np.ndarray:
        """(H, W) float32 in [0, 1], where there is no alpha map."""
        if vertices is None or self.silhouettes is None:
            return np.ones(picture.shape[:2], np.float32)
        return self.silhouettes.draw(vertices, self.track.cameras[camera])

    def _fade(self, camera: int, vertices: Tensor | None) -> Fade | None:
        """Below the neck, where the mask ends there."""
        if vertices is None or self.neck_ids is None:
            return None
        seen_by = self.track.cameras[camera]
        line = neck_line(vertices, self.neck_ids, seen_by)
        return fade_below((seen_by.height, seen_by.width), line, FADE_WINDOW * seen_by.width)


@dataclass(frozen=True)
class PictureWriter:
    """Writes images/ and fg_masks/ of a dataset; pictures that are there with their mask are left as they are.

    camera_numbers: camera of the track -> number in the files' names. background: grey behind the person, 0..255.
    wanted(row, camera): whether that picture is written.
    """

    files: TargetFiles
    source: PictureSource
    camera_numbers: list[int]
    background: int
    wanted: Callable[[int, int], bool]

    def names(self, row: int, camera: int) -> tuple[str, str]:
        """Paths of picture and mask in the dataset."""
        name = f"{row:05d}_{self.camera_numbers[camera]:02d}.png"
        return f"images/{name}", f"fg_masks/{name}"

    def write(self, row: int) -> None:
        """The pictures of one timestep by all cameras."""
        numbers = range(len(self.camera_numbers))
        missing = [k for k in numbers if self.wanted(row, k) and not self.files.has(*self.names(row, k))]
        vertices = self.source.vertices(row) if missing else None
        for camera in missing:
            picture_name, mask_name = self.names(row, camera)
            shown = self.source.read(row, camera, vertices)
            self.files.write(mask_name, encode_png(shown.mask))
            self.files.write(picture_name, encode_png(shown.over(self.background)))
