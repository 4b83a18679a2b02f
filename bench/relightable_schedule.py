"""optimize.py against the schedule that it replaces, 1500 steps of Adam on landmarks, on films whose truth is known.

python bench/relightable_schedule.py --output OUT [--ict FaceXModel] [--seeds 0 1]

Every row fits the same pictures and the same noisy landmarks, and writes tracked_params.json, which the tests' outside
reader places by the trainer's formulas. The head is ICT-FaceKit's, else the built-in one, in FLAME's files. Seconds are
those of whole commands, one after the other in one run; on a machine with other work compare the processor's,
under OMP_NUM_THREADS=1, without which waiting threads count. The schedule starts from our own code.json, as it starts
from DECA's; the time of making it is not counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "pipeline"))

from common import NOISE_PX, ROOT
from filmed_subject import write_filmed_subject
from flame_like_builtin import write_builtin_as_flame
from flame_like_ict import write_ict_as_flame
from tables import markdown_table, number
from trainer_reader import Flame, HravatarReader

from vhap.config.synthetic import SyntheticConfig
from vhap.data.results import TrackResult, load_result
from vhap.pipeline.make_synthetic_capture import run as make_film

N_SHAPE, N_EXPR = 100, 100
THEIR_FOCAL = 1500 / 512
"""Their --fx where none is given, in picture sides."""
EYE_CORNERS = (36, 45)
FILE = "tracked_params.json"
COLUMNS = (
    "fit",
    "landmarks, %",
    "face in the picture, %",
    "shape / but for its size, mm",
    "expression, mm",
    "coefficients",
    "seconds",
    "of the processor",
)


@dataclass(frozen=True)
class Film:
    """size: side of the pictures; focal: true, in sides; result: true; points: name -> (70, 2) px without noise;
    face: name -> (F, 2) px of the face's vertices."""

    subject: Path
    flame: Path
    size: int
    focal: float
    result: TrackResult
    points: dict[str, np.ndarray]
    face: dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--ict", type=Path, help="ICT-FaceKit's folder FaceXModel")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--only", nargs="+", default=None, help="parts of rows' names")
    options = parser.parse_args()
    flame = stand_in(options.output / ("flame_ict" if options.ict else "flame_builtin"), options.ict)
    for seed in options.seeds:
        film = make(options.output / f"seed{seed}", flame, seed, options.frames, options.size)
        print(f"\nseed {seed}, {options.frames} pictures of {options.size} px, focal length {film.focal:.3f} sides\n")
        rows = []
        for name, command in commands(film).items():
            if options.only is None or any(part in name for part in options.only):
                seconds = seconds_of(command)
                rows.append([name, *measure(film), *seconds])
                shutil.copy(film.subject / FILE, film.subject / f"row{len(rows)}.json")
                print("; ".join(rows[-1]), file=sys.stderr, flush=True)
        print(markdown_table(COLUMNS, rows), flush=True)


def stand_in(folder: Path, ict: Path | None) -> Path:
    """generic_model.pkl of a head whose files may be made; left alone where it is there."""
    model = folder / "generic_model.pkl"
    if not model.is_file():
        with pytest.MonkeyPatch.context() as patch:
            return write_ict_as_flame(folder, ict, patch) if ict else write_builtin_as_flame(folder, patch)
    return model


def make(folder: Path, flame: Path, seed: int, frames: int, size: int) -> Film:
    """The film and the subject with pictures, keypoint.json, iris.json and code.json."""
    film = make_film(
        SyntheticConfig(
            folder / "film", head="flame", flame_model_path=flame, frames=frames, size=size, seed=seed,
            landmark_source="face-alignment", landmark_noise_px=NOISE_PX, image_format="png", max_yaw=25,
        )
    )  # fmt: skip
    subject = folder / "subject"
    shutil.rmtree(subject, ignore_errors=True)
    write_filmed_subject(film, subject)
    words = ["-i", str(subject / "image"), "--savefolder", str(subject / "deca"), "--flame_model_path", str(flame)]
    run("vhap/demo_reconstruct.py", *words)
    result = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
    assert result.focal_length is not None
    focal = float(result.focal_length[0])
    vertices = np.load(film / "ground_truth" / "vertices.npy").astype(np.float64)
    reader = Flame(flame)
    names = sorted(path.name for path in (subject / "image").iterdir())
    pixels = {name: true_pixels(vertices[row][: len(reader.template)], focal, size) for row, name in enumerate(names)}
    points = {name: reader.marked_px(px) for name, px in pixels.items()}
    return Film(
        subject, flame, size, focal, result, points, {name: px[reader.face_ids()] for name, px in pixels.items()}
    )


def true_pixels(vertices: np.ndarray, focal: float, size: int) -> np.ndarray:
    """(V, 2) px: the film's camera stands at (0, 0, 1) and looks along -z."""
    x, y, z = (vertices - np.array([0, 0, 1])).T
    return np.stack([size / 2 - focal * size * x / z, size / 2 + focal * size * y / z], 1)


def commands(film: Film) -> dict[str, list[str]]:
    """Name of a row -> its command."""
    subject, flame, true = str(film.subject), str(film.flame), str(film.focal * film.size)
    adam = ["bench/relightable_adam.py", "--path", subject, "--flame", flame, "--size", str(film.size)]
    ours = ["vhap/optimize.py", "--path", subject, "--flame_model_path", flame, "--size", str(film.size)]
    ours += ["--n_shape", str(N_SHAPE), "--n_expr", str(N_EXPR), "--with_translation"]
    centre = str(film.size / 2)
    camera = ["--fx", true, "--fy", true, "--cx", centre, "--cy", centre]
    return {
        "Adam, true camera, landmarks' vertices alone": [*adam, "--fx", true, "--points_only"],
        "optimize.py --no-photometric, true camera": [*ours, *camera, "--no-photometric"],
        "optimize.py --no-photometric": [*ours, "--no-photometric"],
        "Adam, true camera": [*adam, "--fx", true],
        "Adam, --fx as by default": [*adam, "--fx", str(THEIR_FOCAL * film.size)],
        "optimize.py, true camera": [*ours, *camera],
        "optimize.py": ours,
    }


def seconds_of(command: list[str]) -> list[str]:
    """Cells: on the clock, and of all processors, of a command that begins anew: no run of ours is found again."""
    subject = Path(command[command.index("--path") + 1])
    for left in ("track", ".capture"):
        shutil.rmtree(subject / left, ignore_errors=True)
    (subject / FILE).unlink(missing_ok=True)
    started, used = time.monotonic(), used_seconds()
    run(*command)
    return [number(time.monotonic() - started, 1), number(used_seconds() - used, 1)]


def used_seconds() -> float:
    """Processor time of all commands that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def run(script: str, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / script), *words]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")


def measure(film: Film) -> list[str]:
    """Cells of a row: what the outside reader finds in the subject's folder."""
    reader = HravatarReader(film.subject, Flame(film.flame), N_SHAPE, N_EXPR)
    marks, face = [], []
    for path in reader.paths:
        placed, true = reader.projected(path), film.points[path.name]
        side = np.linalg.norm(true[EYE_CORNERS[0]] - true[EYE_CORNERS[1]])
        marks.append(np.linalg.norm(reader.flame.marked_px(placed) - true, axis=1)[:68].mean() / side)
        face.append(np.linalg.norm(placed[reader.flame.face_ids()] - film.face[path.name], axis=1).mean() / side)
    shape, expression_mm, coefficients = coefficient_errors(film, reader)
    cells = [number(100 * float(np.mean(marks)), 3), number(100 * float(np.mean(face)), 3)]
    return [*cells, shape, number(expression_mm, 3), coefficients]


def coefficient_errors(film: Film, reader: HravatarReader) -> tuple[str, float, str]:
    """Mean error of the face's vertices by the shape alone (moved rigidly onto the truth's, and scaled as well: one
    camera does not show a head's size) and by the expressions alone, in mm; rms error of the coefficients of both
    against the rms of the true ones."""
    directions, ids = reader.flame.directions[reader.flame.face_ids()], reader.flame.face_ids()
    template = reader.flame.template[ids]
    true_shape = np.asarray(film.result.shape, np.float64).reshape(-1)[:N_SHAPE]
    true_exp = np.asarray(film.result.expr, np.float64)[:, :N_EXPR]
    exp = np.array([reader.entry(path)["expcode"][0][:N_EXPR] for path in reader.paths])
    moving = np.abs(directions[..., 300 : 300 + N_EXPR]).max((0, 1)) > 0
    shaped = template + directions[..., :N_SHAPE] @ reader.shape[0]
    true_shaped = template + directions[..., :N_SHAPE] @ true_shape
    shape_mm = [
        number(1000 * np.linalg.norm(moved_onto(shaped, true_shaped, scaled) - true_shaped, axis=1).mean(), 3)
        for scaled in (False, True)
    ]
    moved = np.einsum("vce,te->tvc", directions[..., 300 : 300 + N_EXPR], exp - true_exp)
    off = (exp - true_exp)[:, moving]
    texts = [f"{rms(reader.shape[0] - true_shape):.2f} of {rms(true_shape):.2f}"]
    texts.append(f"{rms(off):.2f} of {rms(true_exp[:, moving]):.2f}")
    return " / ".join(shape_mm), float(1000 * np.linalg.norm(moved, axis=-1).mean()), ", ".join(texts)


def moved_onto(points: np.ndarray, others: np.ndarray, scaled: bool) -> np.ndarray:
    """(N, 3) points after the rigid motion, or similarity, that takes them nearest to the others (Umeyama 1991)."""
    a, b = points - points.mean(0), others - others.mean(0)
    u, values, vt = np.linalg.svd(a.T @ b)
    flip = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (values * flip).sum() / np.square(a).sum() if scaled else 1.0
    return scale * a @ (u * flip @ vt) + others.mean(0)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
