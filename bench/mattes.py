"""Error and flicker of mattes on real hair before moving scenes, with a known alpha.

The clip man_greenscreen is keyed by its green. What the key cuts out is put over the backgrounds of the other clips, so
that the key's alpha is exactly that of the composed pictures.

python bench/mattes.py --videos FOLDER --output OUT
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from vhap.cli import parse
from vhap.config.preprocess import MattingMethod, PreprocessConfig
from vhap.util.errors import exits_cleanly

BAND_PX = 10
"""Width of the band along the true outline, half on each side."""
BLACK = 16
"""Mean grey value below which a row is the clip's black border."""
SPILL_BLUR_PX = 24.0
Scene = Literal["wall", "lake", "stones", "crowd"]
Frames = list[np.ndarray]


@dataclass(frozen=True)
class MattesConfig:
    videos: Path
    """Folder with man_greenscreen.mp4, man_gray.mp4, woman_hands.mp4 and woman_longhair.mp4."""
    output: Path
    """Where everything is written; composed pictures that are there are kept, alpha maps are made anew."""
    methods: tuple[MattingMethod, ...] = ("mediapipe", "auto")
    """Compared matting methods."""
    scenes: tuple[Scene, ...] = get_args(Scene)
    """Backgrounds: a wall with its camera noise, mountains and a lake, pebbles, and two people out of focus."""
    frames: int = 16
    """Pictures of a scene."""
    every: int = 2
    """Of the clip's pictures, each which one is taken."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(MattesConfig, __doc__, args)
    for scene in config.scenes:
        if len(list((config.output / scene / "images").glob("*.png"))) != config.frames:
            make_scene(config, scene)
    print(
        f"{config.frames} pictures a scene; errors of alpha in [0, 1], mean absolute; flicker: of its change in time;"
    )
    print("rim: error of the colours over white in the band, in grey values, as filmed and as exported")
    print("| scene | method | error | in the band | flicker | rim as filmed | rim as exported | seconds a picture |")
    print("|---|---|---|---|---|---|---|---|")
    rows = {method: [row(config, scene, method) for scene in config.scenes] for method in config.methods}
    for method in config.methods:
        print(cells("mean", method, np.mean(rows[method], 0)))


def row(config: MattesConfig, scene: str, method: MattingMethod) -> np.ndarray:
    """(6,) error, error in the band, flicker, two errors of colours, seconds; printed as a row of the table."""
    from vhap.pipeline.preprocess_video import run

    folder = config.output / scene
    shutil.rmtree(folder / "alpha_maps", ignore_errors=True)
    run(PreprocessConfig(folder, matting_method="none", landmark_detector_njobs=1))
    started = time.perf_counter()
    run(PreprocessConfig(folder, matting_method=method, landmark_detector_njobs=1))
    seconds = (time.perf_counter() - started) / config.frames
    kept = config.output / "mattes" / f"{scene}_{method}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder / "alpha_maps", kept)
    found, true = read(kept), read(folder / "truth")
    filmed, own = read(folder / "images"), read(folder / "colours")
    values = np.array([*errors(found, true), *rim_errors(filmed, own, found, true), seconds])
    print(cells(scene, method, values), flush=True)
    return values


def cells(scene: str, method: str, values: np.ndarray) -> str:
    alphas, others = (
        " | ".join(f"{value:.{digits}f}" for value in part) for part, digits in ((values[:3], 4), (values[3:], 2))
    )
    return f"| {scene} | {method} | {alphas} | {others} |"


def errors(found: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """(T, H, W) each -> mean absolute error, the same in the band about alpha = 0.5, and of temporal differences."""
    error = np.abs(found - true)
    flicker = np.abs(np.diff(found, axis=0) - np.diff(true, axis=0)).mean()
    return float(error.mean()), in_band(error, true), float(flicker)


def rim_errors(filmed: np.ndarray, own: np.ndarray, found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Mean absolute error over white in the band, in grey values, of colours as filmed and of those without background.

    filmed, own: (T, H, W, 3), the latter the person's own colours; found, true: alpha (T, H, W).
    """
    from vhap.data.foreground import own_colors

    clean = np.stack([own_colors(picture, alpha) for picture, alpha in zip(filmed, found)])
    expected = over_white(own, true)
    first, second = (np.abs(over_white(colours, found) - expected).mean(-1) for colours in (filmed, clean))
    return 255 * in_band(first, true), 255 * in_band(second, true)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return colours * alpha[..., None] + 1 - alpha[..., None]


def in_band(error: np.ndarray, true: np.ndarray) -> float:
    """Mean of an error (T, H, W) in the band about alpha = 0.5; true: alpha (T, H, W)."""
    import cv2

    means = []
    for values, truth in zip(error, true):
        inside = (truth > 0.5).astype(np.uint8)
        distances = [cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (inside, 1 - inside)]
        means.append(values[np.maximum(*distances) <= BAND_PX / 2].mean())
    return float(np.mean(means))


def read(folder: Path) -> np.ndarray:
    """The pictures of a folder in [0, 1]: (T, H, W, 3), or (T, H, W) where they are grey."""
    from vhap.data.pictures import list_pictures, read_rgb, read_stored

    paths = list(list_pictures(folder).values())
    is_grey = read_stored(paths[0]).ndim == 2
    return np.stack([read_stored(path) if is_grey else read_rgb(path) for path in paths]).astype(np.float32) / 255


def make_scene(config: MattesConfig, scene: str) -> None:
    """A sequence folder with the composed pictures and, beside them, truth/ (alpha) and colours/ (the person's own)."""
    from vhap.data.pictures import write_picture

    person = frames_of(config, "man_greenscreen", config.every)
    lit = np.flatnonzero(person[0].mean((1, 2)) >= BLACK)
    person = [picture[lit[0] : lit[-1] - 1] for picture in person]
    behind = SCENES[scene](config, person[0].shape[:2])
    shutil.rmtree(config.output / scene, ignore_errors=True)
    for index, (picture, back) in enumerate(zip(person, behind)):
        colour, alpha = key(picture)
        mixed = colour * alpha[..., None] + back * (1 - alpha[..., None])
        for folder, values in (("images", mixed), ("truth", alpha), ("colours", colour)):
            path = config.output / scene / folder / f"{index:06d}.png"
            write_picture(path, (255 * values.clip(0, 1) + 0.5).astype(np.uint8))


def key(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 before a green screen -> the person's own colours (H, W, 3), and alpha (H, W), in [0, 1].

    Alpha is how far a pixel's colour is from the screen's towards the person's nearby, both of them smooth.
    """
    import cv2
    from pymatting import estimate_foreground_ml

    values = picture.astype(np.float32) / 255
    green = values[..., 1] - values[..., [0, 2]].mean(-1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    screen = cv2.erode((green > 0.19).astype(np.uint8), disc)
    solid = cv2.erode(largest_part((green < 0.08).astype(np.uint8)), disc)
    plate = spread(values, screen, SPILL_BLUR_PX)
    own = spread(values, solid, 4.0)
    across = own - plate
    alpha = ((values - plate) * across).sum(-1) / np.maximum((across**2).sum(-1), 1e-4)
    # Green alone is the better measure where the person's brightness varies: dark hair with bright strands.
    empty, full = (colours[..., 1] - colours[..., [0, 2]].mean(-1) for colours in (plate, own))
    alpha = np.clip(0.3 * alpha + 0.7 * (empty - green) / np.maximum(empty - full, 0.05), 0, 1)
    alpha = np.clip((alpha - 0.06) / 0.86, 0, 1)
    alpha = np.where(cv2.erode(solid, disc) > 0, 1, alpha) * cv2.dilate(
        largest_part((alpha > 0.1).astype(np.uint8)), disc
    )
    colour = np.asarray(estimate_foreground_ml(values.astype(np.float64), alpha.astype(np.float64)), np.float32)
    spill = np.minimum(colour[..., 1], colour[..., [0, 2]].mean(-1) + 0.01)
    colour[..., 1] = np.where(alpha < 0.98, spill, np.minimum(colour[..., 1], colour[..., [0, 2]].max(-1)))
    return colour, alpha.astype(np.float32)


def largest_part(area: np.ndarray) -> np.ndarray:
    """(H, W) in {0, 1} with its largest connected part alone, whose holes are filled where they are specks."""
    import cv2

    _, labels, statistics, _ = cv2.connectedComponentsWithStats(area, connectivity=8)
    part = (labels == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(1 - part, connectivity=4)
    specks = statistics[:, cv2.CC_STAT_AREA] < 60
    specks[0] = False
    return np.maximum(part, specks[labels].astype(np.uint8))


def spread(values: np.ndarray, known: np.ndarray, reach_px: float) -> np.ndarray:
    """Colours (H, W, 3) where known (H, W) in {0, 1}, carried on smoothly to everywhere else."""
    import cv2

    result, weight = np.zeros_like(values), np.zeros((*known.shape, 1), np.float32)
    mask = known.astype(np.float32)[..., None]
    for reach in (reach_px, 3 * reach_px, 9 * reach_px):
        near = cv2.GaussianBlur(mask[..., 0], (0, 0), reach)[..., None] + 1e-9
        mean = cv2.GaussianBlur(values * mask, (0, 0), reach) / near
        share = (1 - weight) * np.clip(near * 20, 0, 1)
        result, weight = result + share * mean, weight + share
    return result / np.maximum(weight, 1e-6)


def frames_of(config: MattesConfig, clip: str, every: int = 1, start: int = 0) -> Frames:
    """Pictures of a clip from one on, (H, W, 3) uint8."""
    from vhap.data.video import probe_video, read_frames

    path, found = config.videos / f"{clip}.mp4", []
    for index, frame in enumerate(read_frames(path, Fraction(probe_video(path).fps))):
        if index >= start and (index - start) % every == 0:
            found.append(frame)
        if len(found) == config.frames:
            break
    return found


def wall(config: MattesConfig, size: tuple[int, int]) -> Frames:
    """man_gray's wall, its person replaced by the wall's smooth colour and noise from beside him."""
    import cv2

    frames = []
    for picture in frames_of(config, "man_gray"):
        values = cv2.resize(picture, size[::-1]).astype(np.float32) / 255
        free = np.zeros(size, np.uint8)
        free[: int(0.75 * size[0]), : int(0.13 * size[1])] = free[: int(0.75 * size[0]), int(0.87 * size[1]) :] = 1
        smooth = spread(values, free, 30.0)
        noise = values[: int(0.6 * size[0]), : int(0.13 * size[1])]
        noise = noise - cv2.GaussianBlur(noise, (0, 0), 4)
        tiled = np.concatenate([noise, noise[::-1]])[: size[0]]
        tiled = np.concatenate([np.roll(tiled, 17 * shift, 0) for shift in range(9)], 1)[:, : size[1]]
        frames.append(smooth + tiled)
    return frames


def lake(config: MattesConfig, size: tuple[int, int]) -> Frames:
    return panned(config, size, slice(150, 560))


def stones(config: MattesConfig, size: tuple[int, int]) -> Frames:
    return panned(config, size, slice(560, 908))


def panned(config: MattesConfig, size: tuple[int, int], rows: slice) -> Frames:
    """A strip beside the woman of woman_hands, mirrored side by side, that the camera pans over."""
    import cv2

    frames = []
    for index, picture in enumerate(frames_of(config, "woman_hands", config.every, 200)):
        strip = picture[rows, 428:480].astype(np.float32) / 255
        wide = np.concatenate([strip, strip[:, ::-1]] * 6, 1)
        factor = 1.15 * max(size[0] / wide.shape[0], size[1] / wide.shape[1])
        wide = cv2.resize(wide, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        frames.append(cv2.getRectSubPix(wide, size[::-1], (size[1] / 2 + 4 + 1.7 * index, size[0] / 2 + 2)))
    return frames


def crowd(config: MattesConfig, size: tuple[int, int]) -> Frames:
    """man_gray and woman_longhair out of focus, to the left and the right behind the person."""
    import cv2

    frames = []
    for pair in zip(frames_of(config, "man_gray", 2), frames_of(config, "woman_longhair", 2)):
        left, right = (cv2.resize(picture, (size[1] * 3 // 5, size[0])).astype(np.float32) / 255 for picture in pair)
        both = np.concatenate([left[:, : size[1] // 2], right[:, right.shape[1] - (size[1] - size[1] // 2) :]], 1)
        frames.append(cv2.GaussianBlur(both, (0, 0), 7))
    return frames


SCENES: dict[str, Callable[[MattesConfig, tuple[int, int]], Frames]] = {
    "wall": wall,
    "lake": lake,
    "stones": stones,
    "crowd": crowd,
}


if __name__ == "__main__":
    os.environ.setdefault("GLOG_minloglevel", "2")
    main()
