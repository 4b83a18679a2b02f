"""Vertex errors of calibrated rigs in their own world, without any alignment, on synthetic recordings.

noisy68 and noisy478 track the recording with its own landmarks (0.7 px of noise), of iBUG's or of MediaPipe's points;
detector finds them in the pictures. alone: on landmarks only.

    python bench/rigs.py --output OUT --head builtin --landmarks noisy68 --layouts nersemble_v1 nersemble_v2
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common import FACE_ERROR, MEASURES, NOISE_PX, Landmarks, measure_cells, timed
from tables import markdown_table

from vhap.cli import parse
from vhap.config.synthetic import SyntheticConfig
from vhap.data.results import newest_run
from vhap.pipeline.evaluate_tracking import clip_values
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.errors import exits_cleanly
from vhap.util.files import read_json, write_json

Layout = Literal["nersemble_v1", "nersemble_v2", "colmap", "transforms"]
SCRIPTS = {"nersemble_v1": "track_nersemble.py", "nersemble_v2": "track_nersemble_v2.py"}
SUBJECT, SEQUENCE = 1, "EXP-1-head"


@dataclass(frozen=True)
class RigsConfig:
    output: Path
    """Where everything is written; finished runs are kept and not done again."""
    head: Literal["builtin", "ict", "gnm"] = "builtin"
    """Head model that is filmed and tracked."""
    landmarks: Landmarks = "noisy68"
    """Where the landmarks come from."""
    layouts: tuple[Layout, ...] = ("nersemble_v1", "nersemble_v2", "colmap", "transforms")
    """Rows of the table. colmap and transforms: a user's own rig in a world of any scale, axes and origin."""
    cameras: int = 16
    """Of the rig."""
    frames: int = 20
    """Timesteps."""
    width: int = 275
    """Of the pictures."""
    height: int = 401
    """Of the pictures."""
    seed: int = 0
    """Person, light and motion."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(RigsConfig, __doc__, args)
    rows = []
    for layout in config.layouts:
        root = record(config, layout)
        full, alone = (measure(config, layout, root, photometric) for photometric in (True, False))
        rows.append([layout, *measure_cells(full), f"{alone[FACE_ERROR]:.2f}"])
    print(markdown_table(["layout", *MEASURES, "face mean alone, mm"], rows))


def record(config: RigsConfig, layout: Layout) -> Path:
    """The root folder of a recording; left alone where it is there."""
    own = layout in ("colmap", "transforms")
    size = f"{config.cameras}x{config.frames}x{config.width}"
    root = config.output / "recordings" / f"{config.head}_{layout}_{size}_seed{config.seed}"
    options = SyntheticConfig(
        root,
        head=config.head,
        layout="multiview" if own else layout,
        frames=config.frames,
        subject=SUBJECT,
        sequence=SEQUENCE,
        cameras=config.cameras,
        width=config.width,
        height=config.height,
        seed=config.seed,
        camera_file=layout if own else None,
        world="similarity" if own else "metric",
        landmark_noise_px=NOISE_PX,
    )
    make_capture(options)
    return root


def measure(config: RigsConfig, layout: Layout, root: Path, photometric: bool) -> dict[str, Any]:
    """Tracks and evaluates by the users' commands."""
    name = f"{root.name}_{config.landmarks}{'' if photometric else '_alone'}"
    output = config.output / "runs" / name
    if not list(output.glob("*/evaluation.json")):
        shutil.rmtree(output, ignore_errors=True)
        source = "face-alignment" if config.landmarks == "noisy68" else "mediapipe"
        data = root if config.landmarks != "detector" else without_landmarks(root)
        options = ["--data.root-folder", str(data), "--data.sequence", SEQUENCE, "--data.landmark-source", source]
        options += ["--exp.output-folder", str(output), "--exp.no-report", "--model.head", config.head]
        options += ["--data.subject", f"{SUBJECT:03d}"] if layout in SCRIPTS else []
        options += [] if photometric else ["--exp.no-photometric"]
        seconds = timed(SCRIPTS.get(layout, "track_multiview.py"), *options)
        timed("evaluate_tracking.py", "--run", str(output))
        write_json(newest_run(output) / "benchmark.json", {"seconds": seconds})
    folder = newest_run(output)
    return {**clip_values(read_json(folder / "evaluation.json")), **read_json(folder / "benchmark.json")}


def without_landmarks(root: Path) -> Path:
    """A copy of a recording without its written landmarks, so that the detector finds them."""
    copy = root.with_name(f"{root.name}_detected")
    if not copy.is_dir():
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("landmark2d"))
    return copy


if __name__ == "__main__":
    main()
