"""Error of the alpha maps of synthetic rigs, whose alpha is known, with a picture of the empty scene for each camera.

python bench/matting.py --output OUT

Harder recordings are made from the filmed ones: by the known alpha another scene is put behind the person.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from vhap.cli import parse
from vhap.config.preprocess import PreprocessConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.util.errors import exits_cleanly

BAND_PX = 10
"""Width of the band along the border, half on each side."""
Method = Literal[
    "background_difference", "background_matting_v2", "robust_video_matting", "mediapipe_video", "mediapipe"
]
Scene = Literal[
    "as filmed", "exposure drifted", "noise", "plate moved", "soft shadow", "grey wall", "as the hair", "as the skin"
]
Frame = tuple[np.ndarray, np.ndarray]
"""A picture and its plate, (H, W, 3) in [0, 1]."""


@dataclass(frozen=True)
class MattingConfig:
    output: Path
    """Where everything is written; recordings that are there are kept, alpha maps are made anew."""
    methods: tuple[Method, ...] = ("background_difference", "mediapipe")
    """Compared matting methods."""
    matting_weights: Path | None = None
    """Weights, for methods that need them."""
    subjects: tuple[int, ...] = (1, 2, 3)
    """People that are filmed."""
    cameras: int = 4
    """Of the rig."""
    frames: int = 2
    """Timesteps, a second apart."""
    width: int = 275
    """Of the pictures."""
    height: int = 401
    """Of the pictures."""
    scenes: tuple[Scene, ...] = get_args(Scene)
    """Rows of the table."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(MattingConfig, __doc__, args)
    pictures = len(config.subjects) * config.cameras * config.frames
    print(f"{config.width} x {config.height}, {pictures} pictures a row; mean (worst picture)")
    print("| scene | method | error of alpha | in the band | seconds a picture |")
    print("|---|---|---|---|---|")
    films = [make_film(config, subject) for subject in config.subjects]
    for scene in config.scenes:
        folders = [make_scene(film, scene, config.output / "scenes" / scene) for film in films]
        for method in config.methods:
            print(row(config, scene, method, films, folders), flush=True)


def row(config: MattingConfig, scene: str, method: Method, films: list[Path], folders: list[Path]) -> str:
    """One row of the table."""
    from vhap.pipeline.preprocess_video import run

    errors: list[tuple[float, float]] = []
    seconds = 0.0
    for film, folder in zip(films, folders):
        shutil.rmtree(folder / "alpha_maps", ignore_errors=True)
        started = time.perf_counter()
        run(
            PreprocessConfig(
                folder, matting_method=method, matting_weights=config.matting_weights, landmark_source="none"
            )
        )
        seconds += time.perf_counter() - started
        kept = folder.parent / f"{folder.name}_{method}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder / "alpha_maps", kept)
        errors += [alpha_errors(path, film / "alpha_maps" / path.name) for path in sorted(kept.iterdir())]
    mean, worst = np.mean(errors, 0), np.max(errors, 0)
    cells = [f"{mean[k]:.4f} ({worst[k]:.4f})" for k in range(2)]
    return f"| {scene} | {method} | {' | '.join(cells)} | {seconds / len(errors):.2f} |"


def alpha_errors(found: Path, true: Path) -> tuple[float, float]:
    """Mean absolute error, in [0, 1], over the picture and over the band around alpha = 0.5."""
    import cv2

    from vhap.data.pictures import read_alpha

    alpha, truth = read_alpha(found) / 255, read_alpha(true) / 255
    error, inside = np.abs(alpha - truth), (truth > 0.5).astype(np.uint8)
    distances = [cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (inside, 1 - inside)]
    return float(error.mean()), float(error[np.maximum(*distances) <= BAND_PX / 2].mean())


def make_film(config: MattingConfig, subject: int) -> Path:
    """The sequence of a person before its own background, as PNG."""
    from vhap.pipeline.make_synthetic_capture import run

    size = f"{config.width}x{config.height}_{config.cameras}x{config.frames}"
    return run(
        SyntheticConfig(
            config.output / "films" / size, layout="nersemble_v1", subject=subject, cameras=config.cameras,
            frames=config.frames, fps=1, width=config.width, height=config.height, image_format="png",
            landmark_source="face-alignment",
        )
    )  # fmt: skip


def make_scene(film: Path, scene: str, output: Path) -> Path:
    """A sequence folder with the film's pictures changed, as JPEG, and the plates that belong to them."""
    from vhap.data.pictures import read_alpha, read_rgb, write_picture

    subject = film.parent.name
    folder = output / film.relative_to(film.parents[2])
    behind: dict[str, np.ndarray] = {}
    for index, path in enumerate(sorted((film / "images").iterdir())):
        camera = path.stem.split("_")[1]
        plate = read_rgb(film.parent / "BACKGROUND" / f"image_{camera}.jpg") / 255
        random = np.random.default_rng((int(subject), index))
        alpha = read_alpha(film / "alpha_maps" / path.name)[..., None] / 255
        picture = read_rgb(path) / 255
        behind.setdefault(camera, BEHIND.get(scene, as_is)(picture, plate, alpha))
        picture = picture + (1 - alpha) * (behind[camera] - plate)
        frame = CHANGES.get(scene, unchanged)(picture, behind[camera], alpha, random)
        names = (folder / "images" / f"{path.stem}.jpg", folder.parent / "BACKGROUND" / f"image_{camera}.jpg")
        for name, picture in zip(names, frame):
            write_picture(name, (255 * picture.clip(0, 1) + 0.5).astype(np.uint8))
    return folder


def unchanged(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray, random: np.random.Generator) -> Frame:
    return picture, plate


def exposure(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray, random: np.random.Generator) -> Frame:
    """Exposure and white balance have drifted since the plate was taken."""
    return picture * (0.85, 0.9, 0.97) + 0.01, plate


def noise(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray, random: np.random.Generator) -> Frame:
    """Three levels of noise in the picture, one in the plate."""
    return picture + random.normal(0, 3 / 255, picture.shape), plate + random.normal(0, 1 / 255, plate.shape)


def moved_plate(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray, random: np.random.Generator) -> Frame:
    """The camera has moved by 0.4 px in x and y."""
    import cv2

    shift = np.array([[1, 0, 0.4], [0, 1, 0.4]])
    size = (plate.shape[1], plate.shape[0])
    return picture, cv2.warpAffine(plate, shift, size, borderMode=cv2.BORDER_REPLICATE)


def shadow(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray, random: np.random.Generator) -> Frame:
    """The person's soft shadow takes a quarter of the light from the scene."""
    import cv2

    height, width = plate.shape[:2]
    cast = np.roll(alpha[..., 0], (round(0.04 * height), round(0.05 * width)), (0, 1))
    cast = cv2.GaussianBlur(cast, (0, 0), 0.05 * float(np.hypot(height, width)))[..., None]
    return picture - (1 - alpha) * plate * 0.25 * cast, plate


def as_is(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return plate


def grey_wall(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.full(plate.shape, 0.45)


def like_hair(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return coloured_as(picture, plate, alpha, (0, 0.15))


def like_skin(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return coloured_as(picture, plate, alpha, (0.35, 1))


def coloured_as(picture: np.ndarray, plate: np.ndarray, alpha: np.ndarray, part: tuple[float, float]) -> np.ndarray:
    """The plate with a third of its contrast about the person's median colour, taken between two distances below the
    head's top, in heights of the picture."""
    person = alpha[..., 0] > 0.99
    below_top = (np.arange(len(plate)) - np.flatnonzero(person.any(1))[0]) / len(plate)
    rows = ((below_top >= part[0]) & (below_top < part[1]))[:, None]
    colour = np.median(picture[person & rows], 0)
    return (colour + 0.35 * (plate - plate.mean((0, 1)))).clip(0.02, 1)


BEHIND: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "grey wall": grey_wall,
    "as the hair": like_hair,
    "as the skin": like_skin,
}
"""What a camera's scene is replaced by, from its first timestep."""
CHANGES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], Frame]] = {
    "exposure drifted": exposure,
    "noise": noise,
    "plate moved": moved_plate,
    "soft shadow": shadow,
}
"""What happens between the plate and the picture."""


if __name__ == "__main__":
    os.environ.setdefault("GLOG_minloglevel", "2")
    main()
