"""Alpha maps of all pictures of a recording, by one of the matting methods."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from vhap.config.preprocess import MattingMethod
from vhap.data.pictures import list_pictures, picture_size, read_rgb, write_picture
from vhap.detect.weights import ANOTHER_MATTING
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain
from vhap.util.progress import progress


class Matting(Protocol):
    """Tells the person from the background. is_recurrent: a result depends on the pictures shown before."""

    is_recurrent: bool

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the next of the video -> (H, W) uint8, 255 where the person is."""
        ...


def make_matting(
    method: MattingMethod,
    weights: Path | None,
    background_folder: Path,
    device: str = "auto",
    allow_unknown_weights: bool = False,
) -> Matting | None:
    """The method, loaded; None for `none`; `auto` is mediapipe here.

    allow_unknown_weights: TorchScript files that are not the published ones are loaded, which runs what they hold.

    Raises InputError where weights, packages or the background are missing.
    """
    if method in ("auto", "mediapipe"):
        import_or_explain("cv2", "pip install opencv-contrib-python")
        from vhap.detect.mediapipe_matting import MediapipeMatting

        return MediapipeMatting()
    if method == "robust_video_matting":
        from vhap.detect.robust_video_matting import RobustVideoMatting

        return RobustVideoMatting(weights, device, allow_unknown_weights, _without_weights(background_folder))
    if method == "background_difference":
        import_or_explain("cv2", "pip install opencv-contrib-python")
        require_pymatting()
        from vhap.detect.background_difference import BackgroundDifference

        return BackgroundDifference(background_folder)
    if method == "background_matting_v2":
        from vhap.detect.background_matting import BackgroundMatting

        otherwise = _without_weights(background_folder)
        return BackgroundMatting(background_folder, weights, device, allow_unknown_weights, otherwise)
    return None


def _without_weights(background_folder: Path) -> str:
    """What an error about missing weights advises: the method that does as much without any."""
    has_plate = background_folder.is_file() or bool(list_pictures(background_folder))
    return "take --matting_method background_difference, which needs no weights" if has_plate else ANOTHER_MATTING


def require_pymatting() -> None:
    """InputError where pymatting is missing."""
    import_or_explain("pymatting", "pip install pymatting")


def matte_pictures(pictures: dict[str, Path], folder: Path, matting: Matting) -> int:
    """Writes folder/<name>.png for every picture that has no alpha map yet; returns how many were written.

    pictures: name -> file, in video order. A recurrent network sees the pictures from the first on, also
    those whose maps are there, so that a pass completed later gives what a single run gives.
    """
    done = _finished(pictures, folder)
    missing = [name for name in pictures if name not in done]
    if not missing:
        return 0
    names = list(pictures)
    first = 0 if matting.is_recurrent else names.index(missing[0])
    last = names.index(missing[-1])
    for name in progress(names[first : last + 1], "matting"):
        if name in done and not matting.is_recurrent:
            continue
        alpha = matting.alpha(read_rgb(pictures[name]))
        if name not in done:
            write_picture(folder / f"{name}.png", alpha)
    get_logger().info("alpha maps of %d pictures in %s", len(missing), folder)
    return len(missing)


def _finished(pictures: dict[str, Path], folder: Path) -> set[str]:
    """Names whose alpha map is there and whose header can be read."""
    maps = list_pictures(folder)
    return {name for name in pictures if name in maps and picture_size(maps[name])}
