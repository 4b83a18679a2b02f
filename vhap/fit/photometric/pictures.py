"""A capture's pictures as the estimator looks at them: grey, with what is derived from them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.residuals.outlines import MatteBorder, matte_border
from vhap.fit.residuals.surface_derivatives import sloped_planes
from vhap.util.bounded_cache import BoundedCache

GREY = (0.299, 0.587, 0.114)
OPAQUE = 0.98
MOST_BYTES = 1 << 29
"""Of grey pictures that are kept between one use and the next: some 80 of 512 x 512."""

Load = Callable[[Tensor], FrameBatch]


@dataclass(frozen=True)
class GreyPicture:
    """One camera's picture at one timestep, with what is derived from it once.

    planes (1, 3, H, W): grey, smoothed, and its slopes by x and y; inside (H, W) bool: pixels of the matte; border: see
    `matte_border`, None without a matte; cameras (1,): which camera.
    """

    planes: Tensor
    inside: Tensor
    border: MatteBorder | None
    cameras: Tensor

    @property
    def nbytes(self) -> int:
        border = 0 if self.border is None else self.border.planes.nbytes
        return self.planes.nbytes + self.inside.nbytes + border


class GreyPictures(list[GreyPicture]):
    """Of one timestep."""

    @property
    def nbytes(self) -> int:
        return sum(picture.nbytes for picture in self)


class Pictures:
    """A capture's pictures at one size. Grey ones are made once, unless they are more than MOST_BYTES.

    load: those of some timesteps (rows), of all cameras, as the capture has them.
    """

    def __init__(self, load: Load, max_bytes: int = MOST_BYTES) -> None:
        self.load = load
        self._grey = BoundedCache(self._make, max_bytes)

    def grey(self, rows: Tensor, cameras: Sequence[Sequence[int]]) -> list[GreyPictures]:
        """Of timesteps rows (B,), each by its own cameras."""
        return self._grey.get([(row, tuple(chosen)) for row, chosen in zip(rows.tolist(), cameras, strict=True)])

    @torch.no_grad()
    def _make(self, key: tuple[int, tuple[int, ...]]) -> GreyPictures:
        row, cameras = key
        return grey_pictures(self.load(torch.tensor([row])), cameras)


def grey_pictures(batch: FrameBatch, chosen: Sequence[int]) -> GreyPictures:
    """The chosen ones of a batch's pictures."""
    everywhere = torch.ones(batch.rgb.shape[1:3], dtype=torch.bool, device=batch.rgb.device)
    return GreyPictures(
        GreyPicture(
            planes=sloped_planes(_smooth(batch.rgb[index] @ batch.rgb.new_tensor(GREY))),
            inside=everywhere if batch.alpha is None else batch.alpha[index] > OPAQUE,
            border=None if batch.alpha is None else matte_border(batch.alpha[index]),
            cameras=batch.cameras[index : index + 1],
        )
        for index in chosen
    )


def _smooth(picture: Tensor) -> Tensor:
    """(H, W) under a binomial filter: looking between pixels smooths some places, so all are."""
    for dim in (0, 1):
        last, smooth = picture.shape[dim] - 1, 0.5 * picture
        smooth.narrow(dim, 1, last).add_(picture.narrow(dim, 0, last), alpha=0.25)
        smooth.narrow(dim, 0, last).add_(picture.narrow(dim, 1, last), alpha=0.25)
        # Beyond a border is what is at it.
        for border in (0, last):
            smooth.select(dim, border).add_(picture.select(dim, border), alpha=0.25)
        picture = smooth
    return picture
