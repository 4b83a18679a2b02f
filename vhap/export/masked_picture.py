"""A picture with its mask as exports write them: bytes, and exact values where the two are mixed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vhap.data.foreground import rim_colors
from vhap.export.mask import Fade
from vhap.export.recentre import Padding
from vhap.util.optional import import_or_explain


@dataclass(frozen=True)
class MaskedPicture:
    """picture (H, W, 3), mask (H, W): uint8, rounded. mixed (N,): indices in the flattened picture, ascending, of the
    pixels that are partly the person's; colours (N, 3), shares (N,): what picture and mask are there, float32 in
    [0, 1]. Everywhere else the mask's bytes are exact."""

    picture: np.ndarray
    mask: np.ndarray
    mixed: np.ndarray
    colours: np.ndarray
    shares: np.ndarray

    def over(self, background: int) -> np.ndarray:
        """(H, W, 3) uint8: over a grey 0..255, rounded once."""
        found = np.full_like(self.picture, background)
        found = import_or_explain("cv2").copyTo(self.picture, self.mask, found)
        share = self.shares[:, None]
        mixed = self.colours * 255 * share + background * (1 - share)
        found.reshape(-1, 3)[self.mixed] = np.rint(mixed).clip(0, 255).astype(np.uint8)
        return found

    def rgba(self, without: np.ndarray | None = None) -> np.ndarray:
        """(H, W, 4) uint8 with straight colours, since trainers multiply by alpha; nothing where nothing shows.
        without (H, W) bool: what is cut out of alpha."""
        mask = self.mask if without is None else self.mask * ~without
        return np.dstack([import_or_explain("cv2").copyTo(self.picture, mask), mask])

    def exact_picture(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1]."""
        found = self.picture.astype(np.float32) / 255
        found.reshape(-1, 3)[self.mixed] = self.colours
        return found

    def exact_mask(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        found = self.mask.astype(np.float32) / 255
        found.reshape(-1)[self.mixed] = self.shares
        return found

    def padded(self, padding: Padding) -> MaskedPicture:
        """In larger or smaller pictures, by a shift of whole pixels."""
        if padding.size == self.mask.shape and padding.shift == (0, 0):
            return self
        rows, columns = np.divmod(self.mixed, self.mask.shape[1])
        rows, columns = rows + round(padding.shift[1]), columns + round(padding.shift[0])
        kept = (rows >= 0) & (rows < padding.size[0]) & (columns >= 0) & (columns < padding.size[1])
        return MaskedPicture(
            padding.apply(self.picture),
            padding.apply(self.mask),
            (rows * padding.size[1] + columns)[kept],
            self.colours[kept],
            self.shares[kept],
        )


def of_bytes(picture: np.ndarray, alpha: np.ndarray, fade: Fade | None, is_rim_own: bool) -> MaskedPicture:
    """picture (H, W, 3) and alpha (H, W), uint8, by which it is not yet masked. fade: by what the mask is multiplied;
    None: by nothing. is_rim_own: whether pixels that are partly the person's get the person's own colour."""
    if is_rim_own:
        mixed, colours = rim_colors(picture, alpha)
        picture = picture.copy()
        picture.reshape(-1, 3)[mixed] = as_bytes(colours)
    else:
        mixed = np.flatnonzero((alpha > 0) & (alpha < 255))
        colours = picture.reshape(-1, 3)[mixed].astype(np.float32) / 255
    shares = alpha.reshape(-1)[mixed].astype(np.float32) / 255
    if fade is None:
        return MaskedPicture(picture, alpha, mixed, colours, shares)
    faded = alpha[fade.rows].astype(np.float32) / 255 * fade.values
    mask = alpha.copy()
    mask[fade.rows] = as_bytes(faded)
    first, last = (row * alpha.shape[1] for row in (fade.rows.start, fade.rows.stop))
    within = np.flatnonzero((faded > 0) & (faded < 1)) + first
    start, stop = np.searchsorted(mixed, [first, last])
    own = picture.reshape(-1, 3)[within].astype(np.float32) / 255
    _, to, source = np.intersect1d(within, mixed[start:stop], assume_unique=True, return_indices=True)
    own[to] = colours[start:stop][source]
    return MaskedPicture(
        picture,
        mask,
        np.concatenate([mixed[:start], within, mixed[stop:]]),
        np.concatenate([colours[:start], own, colours[stop:]]),
        np.concatenate([shares[:start], faded.reshape(-1)[within - first], shares[stop:]]),
    )


def of_floats(picture: np.ndarray, mask: np.ndarray) -> MaskedPicture:
    """picture (H, W, 3) and mask (H, W), float32 in [0, 1]."""
    mixed = np.flatnonzero((mask > 0) & (mask < 1))
    colours, shares = picture.reshape(-1, 3)[mixed], mask.reshape(-1)[mixed]
    return MaskedPicture(as_bytes(picture), as_bytes(mask), mixed, colours, shares)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """[0, 1] -> uint8, rounded."""
    return np.rint(values * 255).clip(0, 255).astype(np.uint8)
