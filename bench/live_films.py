"""`vhap live` on films of what goes wrong before a webcam (live_film_cases.py), against their truth, and as pictures.

    python bench/live_films.py --output OUT --hand_clip woman_hands.mp4
    python bench/live_films.py --output OUT --pace own --only cuts "leaves, two people"

The person is known: true shape and focal length, the albedo by a run of a film of its own. Errors are of the face after
one similarity a film. A head is right within 10 mm. `lost`: frames that show a head and have none, `wrong`: that have
it elsewhere by 30 mm, `ghosts`: that show none and have one; `found after`: seconds of the film from where a head comes
back to the first frame in which it is right. OUT/NAME.jpg is a sheet of the overlay, OUT/NAME.json holds every frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common import timed
from tables import markdown_table, number

from vhap.cli import parse
from vhap.config.live import Lag
from vhap.config.ranges import FramesASecond, Seed
from vhap.util.errors import InputError, exits_cleanly

if TYPE_CHECKING:
    from live_film_cases import LiveFilm, Studio
    from torch import Tensor

    from vhap.head.model import HeadParams

RIGHT_MM, WRONG_MM = 10.0, 30.0
PERSON_FRAMES, PERSON_SIZE = 40, 512
COLUMNS = ("face mm, median", "95 %", "lost", "wrong", "ghosts", "found after, s", "lids", "mouth", "dropped")
SHEET_COLUMNS, SHEET_TILES, TILE_WIDTH = 6, 30, 320


@dataclass(frozen=True)
class LiveFilmsConfig:
    output: Path
    """Where films, runs and sheets are written. A film that is there is taken as it is."""
    head: Literal["builtin", "ict"] = "ict"
    """Head model that is filmed and followed; its expressions have to have names."""
    only: tuple[str, ...] = ()
    """Names of films; without them all."""
    seed: Seed = 3
    """Chooses person, light and motion."""
    hand_clip: Path | None = None
    """woman_hands.mp4, whose hands come before the face; without it a hand is drawn."""
    pace: FramesASecond | Literal["own"] | None = None
    """As of `vhap live`; without it every frame is taken."""
    lag: Lag = 1
    """As of `vhap live`."""
    pictures: bool = True
    """As of `vhap live`."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(LiveFilmsConfig, __doc__, args)
    from live_film_cases import FILMS, Studio

    if wrong := sorted(set(config.only) - set(FILMS)):
        raise InputError(f"expected --only out of {', '.join(FILMS)}, found {', '.join(wrong)}; correct it")
    person, model = make_person_run(config)
    studio = Studio.of(model, config.seed, open_hand(config.hand_clip))
    rows = []
    for name, made in FILMS.items():
        if config.only and name not in config.only:
            continue
        film = made(studio)
        video = write_film(config.output / "films" / f"{slug(name)}.mp4", studio, film)
        frames, times = follow(config, film, video, person)
        measured = measure(studio, film, frames)
        (config.output / f"{slug(name)}.json").write_text(json.dumps([measured, frames, times], indent=1))
        write_sheet(config.output / f"{slug(name)}.jpg", config.output / "runs" / f"{slug(name)}.mp4", film, frames)
        rows.append([name, *cells(measured, times)])
    print(markdown_table(["film", *COLUMNS], rows))


def slug(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "_")


def make_person_run(config: LiveFilmsConfig) -> tuple[Path, Any]:
    """A run whose person has the true shape and focal length, and the head."""
    import numpy as np
    from live_film_cases import FOCAL

    from vhap.config.synthetic import SyntheticConfig
    from vhap.data.results import load_result, newest_run, result_epochs, save_result
    from vhap.pipeline.make_synthetic_capture import load_synthetic_head
    from vhap.pipeline.make_synthetic_capture import run as make_capture

    folder = config.output / "person"
    synthetic = SyntheticConfig(
        folder / "talk", head=config.head, frames=PERSON_FRAMES, size=PERSON_SIZE, seed=config.seed, focal=FOCAL
    )
    film = make_capture(synthetic)
    truth = str(film / "ground_truth" / "tracked_flame_params_0.npz")
    if not (folder / "track").is_dir():
        # As exact as the film's own points are a live run would take the detector's to be.
        timed("detect_landmarks.py", "--input", str(film), "--no-reuse-landmarks")
        timed(
            "track.py", "--data.root_folder", str(folder), "--data.sequence", film.name,
            "--data.landmark_source", "mediapipe", "--model.head", config.head, "--model.flame_params_path", truth,
            "--model.fix_shape", "--model.focal_path", truth, "--begin_stage", "rgb_sequential_tracking",
            "--exp.no-report", "--exp.output_folder", str(folder / "track"),
        )  # fmt: skip
        # With a focal length that was given a result says none, as that of no person.
        for path in result_epochs(newest_run(folder / "track")).values():
            save_result(path, replace(load_result(path), focal_length=np.array([FOCAL], np.float32)))
    return folder / "track", load_synthetic_head(synthetic)


def open_hand(clip: Path | None):
    """What comes before faces."""
    from live_film_cases import cut_hand, drawn_hand

    from vhap.data.video import probe_video, read_frames

    return drawn_hand() if clip is None else cut_hand(next(read_frames(clip, probe_video(clip).fps)))


def write_film(path: Path, studio: Studio, film: LiveFilm) -> Path:
    """The film as an mp4, unless it is there."""
    from live_film_cases import FPS

    from vhap.evaluate.video import write_video
    from vhap.util.progress import progress

    def pictures():
        for t in progress(range(len(film.expected)), path.stem):
            picture, alpha = studio.shot(film.params, t)
            yield picture if film.change is None else film.change(t, picture, alpha)

    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, pictures(), FPS, crf=14)
    return path


def follow(
    config: LiveFilmsConfig, film: LiveFilm, video: Path, person: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of a live run, and what it says of its times."""
    from vhap.config.live import LiveConfig
    from vhap.pipeline.live import run

    folder = config.output / "runs" / slug(film.name)
    lines, overlay = folder.with_suffix(".jsonl"), folder.with_suffix(".mp4")
    made = run(
        LiveConfig(
            video=video,
            pace=config.pace,
            person=person,
            lag=config.lag,
            pictures=config.pictures,
            jsonl=lines,
            overlay=overlay,
            output_folder=folder,
        )
    )
    frames = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    return frames, json.loads((made / "live.json").read_text(encoding="utf-8"))


def measure(studio: Studio, film: LiveFilm, frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of a film. Every frame gets its `error_mm` and what is `expected` of it."""
    import numpy as np
    import torch
    from live_film_cases import FPS, HEAD, NONE

    from vhap.head.model import pose
    from vhap.synthetic.motion import frame_params

    face, shape = studio.model.regions["face"], None
    pairs: dict[int, tuple[Tensor, Tensor]] = {}
    gaps: dict[str, list[float]] = {"lids": [], "mouth": []}
    for line in frames:
        t = line["frame"]
        line["expected"], line["error_mm"] = film.expected[t], None
        shape = torch.tensor(line.pop("shape")) if "shape" in line else shape
        if not line["found"]:
            continue
        assert shape is not None
        found, true = _params(line, shape), frame_params(film.params, t)
        posed, exact = pose(studio.model, found), pose(studio.model, true)
        pairs[t] = posed[face], exact[face]
        if line["expected"] == HEAD:
            for name, difference in gap_errors(studio, (posed, found), (exact, true)).items():
                gaps[name].append(difference)
    errors = errors_mm({t: pair for t, pair in pairs.items() if film.expected[t] == HEAD}, pairs)
    for line in frames:
        line["error_mm"] = errors.get(line["frame"])
    expected = [line for line in frames if line["expected"] == HEAD]
    known = [line["error_mm"] for line in expected if line["found"]]
    none = [line for line in frames if line["expected"] == NONE]
    return {
        "median_mm": float(np.median(known)),
        "p95_mm": float(np.percentile(known, 95)),
        "lost": [line["frame"] for line in expected if not line["found"]],
        "wrong": [line["frame"] for line in frames if line["found"] and line["error_mm"] > WRONG_MM],
        "ghosts": [line["frame"] for line in none if line["found"]],
        "found_after_s": [_found_after(frames, start) / FPS for start in film.returns],
        **{name: float(np.mean(gaps[name])) if name == film.measured else None for name in gaps},
    }


def _params(line: dict[str, Any], shape: Tensor) -> HeadParams:
    import torch

    from vhap.head.model import HeadParams

    names = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr")
    return HeadParams(shape=shape, **{name: torch.tensor(line[name]) for name in names})


def errors_mm(fitted: dict[int, tuple[Tensor, Tensor]], pairs: dict[int, tuple[Tensor, Tensor]]) -> dict[int, float]:
    """Frame -> mean distance of the face's vertices (found, true) in mm after one similarity, which is that of the
    fitted frames without those that it leaves far off."""
    from vhap.evaluate.metrics import SimilaritySums, vertex_distance_mm

    left = dict(fitted)
    errors: dict[int, float] = {}
    for _ in range(3):
        first, *others = left.values()
        sums = SimilaritySums.of(*first)
        for pair in others:
            sums = sums.add(*pair)
        similarity = sums.solve()
        errors = {t: float(vertex_distance_mm(similarity.apply(a), b).mean()) for t, (a, b) in pairs.items()}
        bound = 3 * sorted(errors[t] for t in fitted)[len(fitted) // 2]
        left = {t: pair for t, pair in fitted.items() if errors[t] <= bound}
    return errors


def gap_errors(studio: Studio, found: tuple[Tensor, HeadParams], true: tuple[Tensor, HeadParams]) -> dict[str, float]:
    """Vertices (V, 3) and pose, found and true -> errors of the lids' and the mouth's gap, in eye widths."""
    from vhap.evaluate.eyes_and_mouth import eyelid_gaps, in_head_space, mouth_gap
    from vhap.head.model import landmark_points

    one, other = (
        landmark_points(studio.model, in_head_space(vertices, params)[None], "ibug")[0]
        for vertices, params in (found, true)
    )
    lids = (eyelid_gaps(one) - eyelid_gaps(other)).abs().mean()
    return {"lids": float(lids), "mouth": float((mouth_gap(one) - mouth_gap(other)).abs())}


def _found_after(frames: list[dict[str, Any]], start: int) -> float:
    """Frames from one to the first right head; infinite where there is none."""
    right = (
        line["frame"] - start
        for line in frames
        if line["frame"] >= start and line["found"] and line["error_mm"] < RIGHT_MM
    )
    return next(right, float("inf"))


def cells(measured: dict[str, Any], times: dict[str, Any]) -> list[str]:
    found_after = " / ".join(number(seconds) for seconds in measured["found_after_s"]) or "-"
    return [
        number(measured["median_mm"]), number(measured["p95_mm"]),
        *[str(len(measured[name])) for name in ("lost", "wrong", "ghosts")],
        found_after, number(measured["lids"], 3), number(measured["mouth"], 3), str(times["dropped"]),
    ]  # fmt: skip


def write_sheet(path: Path, overlay: Path, film: LiveFilm, frames: list[dict[str, Any]]) -> None:
    """Frames of the overlay: evenly over the film, and those around where a head comes back."""
    import cv2
    import numpy as np
    from live_film_cases import FPS

    from vhap.data.video import probe_video, read_frames

    pictures = list(read_frames(overlay, probe_video(overlay).fps))
    around = {start + step for start in film.returns for step in (-2, 0, 1, 2, 4, 8, FPS // 2)}
    even = set(np.linspace(0, len(film.expected) - 1, max(6, SHEET_TILES - len(around))).astype(int).tolist())
    chosen = [row for row, line in enumerate(frames) if line["frame"] in around | even]
    tiles = []
    for row in chosen:
        line, scale = frames[row], TILE_WIDTH / pictures[row].shape[1]
        tile = cv2.resize(pictures[row], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        error = f"{line['error_mm']:.1f} mm" if line["found"] else "no head"
        text = f"{line['frame']} expected {line['expected']}: {error}"
        cv2.putText(tile, text, (6, tile.shape[0] - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % SHEET_COLUMNS)
    rows = [np.hstack(tiles[at : at + SHEET_COLUMNS]) for at in range(0, len(tiles), SHEET_COLUMNS)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
