"""Class maps on synthetic films of people in garments, with short and with long hair, whose classes are known.

Each film is tracked once from its landmarks. Every way of parsing is measured by its intersection over union (mean
over the pictures) with the truth, with the true matte and with MediaPipe's; then the ways to follow edges of colour
that were tried for the tracked head. Skin is the face with its parts and the ears.

    python bench/parsing.py --output OUT --frames 4 --size 384 --seeds 0 1 2 3
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from common import FilmOptions, run_config
from dressed_film import DressedFilm, make_dressed_film
from tables import markdown_table, number

from vhap.cli import parse
from vhap.config.data import DataConfig
from vhap.config.track import ExperimentConfig
from vhap.data.pictures import read_alpha, read_rgb, write_picture
from vhap.data.results import result_epochs
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.detect.mediapipe_matting import MediapipeMatting
from vhap.pipeline import track
from vhap.pipeline.mesh_classes import MeshClasses
from vhap.pipeline.open_run import open_run
from vhap.relightable import class_completion as completion
from vhap.relightable.class_completion import CLOTH, HAIR, SKIN, FacePlace
from vhap.relightable.class_maps import FaceClass, class_picture
from vhap.relightable.class_outlines import classes_from_points, place_of
from vhap.util.errors import exits_cleanly

NOT_SKIN = (
    FaceClass.BACKGROUND, FaceClass.NECK, FaceClass.NECKLACE, FaceClass.CLOTH, FaceClass.HAIR, FaceClass.HAT,
    FaceClass.EYE_GLASSES, FaceClass.EARRING,
)  # fmt: skip
GROUPS = {
    "skin": tuple(entry for entry in FaceClass if entry not in NOT_SKIN),
    "hair": (FaceClass.HAIR,),
    "neck": (FaceClass.NECK,),
    "cloth": (FaceClass.CLOTH,),
}
COLUMNS = ("parsing", "matte", *GROUPS, "mean", "s a picture")


@dataclass(frozen=True)
class ParsingConfig(FilmOptions):
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    """One film each: another person, light, camera and motion; odd ones have long hair."""


@dataclass(frozen=True)
class Case:
    """One picture. known, place: of the tracked head; points: the detector's 478, None where it finds no face."""

    name: str
    picture: np.ndarray
    truth: np.ndarray
    mattes: dict[str, np.ndarray]
    known: np.ndarray
    place: FacePlace
    points: np.ndarray | None


Parse = Callable[[Case, np.ndarray], np.ndarray]


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(ParsingConfig, __doc__, args)
    cases = [case for seed in config.seeds for case in film_cases(config, make_dressed_film(config, seed))]
    rows = [row(name, "true", cases, way) for name, way in {**WAYS, **EDGES}.items()]
    rows += [row(name, "MediaPipe's", cases, way) for name, way in WAYS.items()]
    print(markdown_table(COLUMNS, rows))
    for case in cases:
        ways = [class_picture(case.picture, way(case, case.mattes["true"])) for way in WAYS.values()]
        picture = np.concatenate([class_picture(case.picture, case.truth), *ways], 1)
        write_picture(config.output / "parsing" / f"{case.name}.png", picture)


def film_cases(config: ParsingConfig, film: DressedFilm) -> list[Case]:
    """The first and the last picture of a film with all that ways of parsing start from."""
    mesh, place_in = tracked_head(config, film)
    landmarks, matting = MediapipeLandmarks(), MediapipeMatting()
    cases = []
    for t in sorted({0, len(film.names) - 1}):
        name = film.names[t]
        picture = read_rgb(film.folder / "images" / f"{name}.png")
        truth_alpha = read_alpha(film.folder / "alpha_maps" / f"{name}.png")
        known, place = mesh.classes(t, place_in)
        cases.append(
            Case(
                name=f"{film.folder.name}_{name}",
                picture=picture,
                truth=film.classes(name),
                mattes={"true": truth_alpha, "MediaPipe's": matting.alpha(picture)},
                known=known,
                place=place,
                points=landmarks.detect(picture),
            )
        )
    return cases


def tracked_head(config: ParsingConfig, film: DressedFilm) -> tuple[MeshClasses, tuple[int, int]]:
    """The head of a run on the film, and the pictures' size."""
    data = DataConfig(film.folder.parent, film.folder.name, landmark_source="face-alignment")
    made = run_config(config, data, f"parsing_{film.folder.name}")
    made = replace(made, exp=ExperimentConfig(made.exp.output_folder, photometric=False))
    runs = sorted(made.exp.output_folder.glob("*/")) if made.exp.output_folder.is_dir() else []
    folder = next((path for path in runs if result_epochs(path)), None) or track.run(made)
    return MeshClasses(open_run(Path(folder))), (config.size, config.size)


def row(name: str, matte: str, cases: Sequence[Case], way: Parse) -> list[str]:
    started = time.monotonic()
    found = [way(case, case.mattes[matte]) for case in cases]
    seconds = (time.monotonic() - started) / len(cases)
    means = [
        float(np.mean([overlap(classes, case.truth, group) for classes, case in zip(found, cases)]))
        for group in GROUPS.values()
    ]
    return [name, matte, *(number(100 * value, 1) for value in [*means, float(np.mean(means))]), number(seconds)]


def overlap(found: np.ndarray, truth: np.ndarray, group: Sequence[FaceClass]) -> float:
    """Intersection over union."""
    ours, theirs = np.isin(found, group), np.isin(truth, group)
    return float((ours & theirs).sum() / max(1, (ours | theirs).sum()))


def by_mesh(case: Case, alpha: np.ndarray) -> np.ndarray:
    return completion.complete_classes(case.picture, alpha, case.known, case.place)


def by_landmarks(case: Case, alpha: np.ndarray) -> np.ndarray:
    if case.points is None:
        return np.zeros_like(case.truth)
    known = classes_from_points(case.points, (alpha.shape[0], alpha.shape[1]))
    return completion.complete_classes(case.picture, alpha, known, place_of(case.points))


def by_place(case: Case, alpha: np.ndarray) -> np.ndarray:
    """The tracked head, hair above it and clothes below, without a look at colours."""
    shares = completion.place_shares(case.known, case.place)
    return completion.assemble(shares.argmax(-1), case.known, alpha >= completion.MATTE)


def with_edges(edges: Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]) -> Parse:
    """The tracked head and colours, whose probabilities another method turns into classes."""

    def way(case: Case, alpha: np.ndarray) -> np.ndarray:
        inside = alpha >= completion.MATTE
        prior = completion.place_shares(case.known, case.place)
        examples = completion.colour_examples(prior, case.known, case.place)
        likely = completion.colour_shares(case.picture, prior, examples, inside)
        coarse = completion.without_slivers(
            edges(case.picture, likely, inside, case.place.size), inside, case.place.size
        )
        coarse = completion.hanging_together(coarse, likely, case.known, inside, case.place)
        return completion.assemble(coarse, case.known, inside)

    return way


def most_likely(picture: np.ndarray, likely: np.ndarray, inside: np.ndarray, unit: float) -> np.ndarray:
    return likely.argmax(-1)


def guided_filter(picture: np.ndarray, likely: np.ndarray, inside: np.ndarray, unit: float) -> np.ndarray:
    guide, radius = picture.astype(np.float32) / 255, max(2, round(0.06 * unit))
    return cv2.ximgproc.guidedFilter(guide, likely.astype(np.float32), radius, 1e-3).argmax(-1)


def random_walker(picture: np.ndarray, likely: np.ndarray, inside: np.ndarray, unit: float) -> np.ndarray:
    from skimage.segmentation import random_walker as walk

    seeds = np.where(inside, np.where(likely.max(-1) > completion.SURE, 1 + likely.argmax(-1), 0), 4)
    found = walk(picture / 255, seeds, beta=300, mode="cg_j", tol=1e-3, channel_axis=-1)
    return np.where((found >= 1) & (found <= 3), found - 1, likely.argmax(-1))


def grab_cut(picture: np.ndarray, likely: np.ndarray, inside: np.ndarray, unit: float) -> np.ndarray:
    """Each class against the others; what two claim or none goes to the likelier."""
    claims = np.zeros(likely.shape, bool)
    for k in (SKIN, HAIR, CLOTH):
        mask = np.where(likely[..., k] > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        mask[likely[..., k] > 0.95] = cv2.GC_FGD
        mask[(likely[..., k] < 0.05) | ~inside] = cv2.GC_BGD
        if (mask == cv2.GC_FGD).any() and (mask == cv2.GC_BGD).any():
            model = (np.zeros((1, 65)), np.zeros((1, 65)))
            bgr = np.ascontiguousarray(picture[..., ::-1])
            cv2.grabCut(bgr, mask, None, *model, 2, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
        claims[..., k] = (mask & 1) > 0
    return (likely + claims).argmax(-1)


WAYS: dict[str, Parse] = {"mesh": by_mesh, "mediapipe": by_landmarks, "mesh by place alone": by_place}
EDGES: dict[str, Parse] = {
    "mesh and colours, no edges": with_edges(most_likely),
    "mesh, guided filter": with_edges(guided_filter),
    "mesh, GrabCut": with_edges(grab_cut),
    "mesh, random walker": with_edges(random_walker),
}
"""Beside the watershed, which `mesh` has."""

if __name__ == "__main__":
    main()
