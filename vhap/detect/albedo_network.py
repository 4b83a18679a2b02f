"""A network of the user's that takes the light out of pictures: a TorchScript file.

It takes (B, 3, S, S) pictures in [0, 1] of an object over white, and gives their albedo in the same shape and range.
The way to these squares and back is that of IntrinsicAnything: the object's box with a white border, scaled and centred
on a white square.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from vhap.detect.torchscript import load_network
from vhap.detect.weights import WeightsFile
from vhap.util.errors import InputError, shown

FILE = "albedo.pt"
BORDER_PX = 10
LEAST_ALPHA = 0.5
ORIGINAL = ("checkpoints/*.ckpt", "configs/*project.yaml", "*.ckpt")
"""What the folder of IntrinsicAnything's own weights holds."""
ANOTHER = "leave --model_dir out, which needs no weights"


def network_file(folder: Path, allow_unknown: bool) -> Path:
    """The network in --model_dir. InputError where there is none, where it is no TorchScript, and where it was not said
    that the file is trusted."""
    path = folder / FILE
    if not path.is_file():
        other = next((file for pattern in ORIGINAL for file in sorted(folder.glob(pattern))), None)
        found = "none" if other is None else f"{other}, a latent diffusion model that vhap has no network for"
        raise InputError(
            f"expected a TorchScript network {path} for --model_dir, found {found}; write one as doc/relightable.md "
            f"says, or {ANOTHER}"
        )
    if not _is_torchscript(path):
        raise InputError(
            f"expected a TorchScript network in {path}, found another file; write it as doc/relightable.md says, or "
            f"{ANOTHER}"
        )
    if not allow_unknown:
        raise InputError(
            f"expected --allow_unknown_weights with {path}, found none: TorchScript is a program, and loading it can "
            f"write files and run operators on this machine; give it if you trust this file, or {ANOTHER}"
        )
    return path


def _is_torchscript(path: Path) -> bool:
    """By the archive's names; weights alone, as torch saves them, have no code."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return any("/code/" in name for name in names) and any(name.endswith("/data.pkl") for name in names)


class AlbedoNetwork:
    """side: of the squares, px."""

    def __init__(self, path: Path, side: int, device: str = "auto") -> None:
        self.path, self.side = path, side
        weights = WeightsFile("an albedo network", (FILE,), "", "")
        self._module, self._device = load_network(weights, path, device, allow_unknown=True)

    @torch.no_grad()
    def albedo(self, squares: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) float32 in [0, 1] -> the same. Noise that the network draws is the same for every batch.
        InputError where it fails or gives something else."""
        given = torch.from_numpy(squares).to(self._device).permute(0, 3, 1, 2).contiguous()
        try:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                made = self._module(given)
        # Whatever a user's program raises.
        except Exception as error:
            reason = shown(f"{type(error).__name__}: {error}".strip().splitlines()[-1])
            raise self._unexpected(given, f"an error ({reason})") from error
        if not isinstance(made, torch.Tensor) or made.shape != given.shape or not made.is_floating_point():
            what = f"{tuple(made.shape)} of {made.dtype}" if isinstance(made, torch.Tensor) else type(made).__name__
            raise self._unexpected(given, what)
        if not bool(torch.isfinite(made).all()):
            raise self._unexpected(given, "NaN or infinity")
        return made.float().clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()

    def _unexpected(self, given: torch.Tensor, found: str) -> InputError:
        return InputError(
            f"expected albedo {tuple(given.shape)} of pictures {tuple(given.shape)} by {self.path}, found {found}; set "
            f"--model_size or --batch_size to what it takes, or {ANOTHER}"
        )


@dataclass(frozen=True)
class Placement:
    """Where a picture's object is in a square of `side` px: box x0, y0, x1, y1 in the picture, ends exclusive; size
    (height, width) of the box with its border in the square, corner (row, column) of that there."""

    side: int
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    corner: tuple[int, int]

    def square(self, picture: np.ndarray) -> np.ndarray:
        """(S, S, 3) of a picture over white, (H, W, 3) float32."""
        x0, y0, x1, y1 = self.box
        cut = np.pad(picture[y0:y1, x0:x1], ((BORDER_PX, BORDER_PX), (BORDER_PX, BORDER_PX), (0, 0)), constant_values=1)
        made = np.ones((self.side, self.side, 3), np.float32)
        made[self._inside()] = _resized(cut, self.size)
        return made

    def picture(self, square: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) float32 of a square (S, S, 3), white outside of the box."""
        x0, y0, x1, y1 = self.box
        cut = _resized(square[self._inside()], (y1 - y0 + 2 * BORDER_PX, x1 - x0 + 2 * BORDER_PX))
        made = np.ones((*size, 3), np.float32)
        made[y0:y1, x0:x1] = cut[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
        return made

    def _inside(self) -> tuple[slice, slice]:
        (row, column), (height, width) = self.corner, self.size
        return slice(row, row + height), slice(column, column + width)


def placement(alpha: np.ndarray, side: int) -> Placement | None:
    """alpha (H, W) in [0, 1]; None where it shows nothing."""
    rows, columns = np.nonzero(alpha > LEAST_ALPHA)
    if not len(rows):
        return None
    box = int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
    whole = (box[3] - box[1] + 2 * BORDER_PX, box[2] - box[0] + 2 * BORDER_PX)
    scale = side / max(whole)
    height, width = (max(1, min(side, round(length * scale))) for length in whole)
    return Placement(side, box, (height, width), ((side - height) // 2, (side - width) // 2))


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    smaller = size[0] * size[1] < picture.shape[0] * picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(picture, (size[1], size[0]), interpolation=how).clip(0, 1)
