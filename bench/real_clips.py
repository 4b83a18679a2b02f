"""Real video through preprocess, track and export, beside the baseline: the table of doc/benchmarks.md.

Each step is the command that a user types, run as its own process.

    python bench/real_clips.py --videos FOLDER --output OUT --head ict
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common import timed

from vhap.cli import parse
from vhap.data.results import newest_run
from vhap.util.errors import InputError, exits_cleanly

COLUMNS = ("landmark_nme_percent", "psnr_face_db", "psnr_head_db", "silhouette_iou", "jitter_mm", "frames_lost")


@dataclass(frozen=True)
class RealClipsConfig:
    videos: Path
    """Folder of mp4 files."""
    output: Path
    """Where everything is written; what is there is kept and not done again."""
    head: Literal["auto", "flame", "gnm", "ict", "builtin"] = "ict"
    """Head model."""
    clips: tuple[str, ...] = ()
    """Names of the videos, without ending; all where empty."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(RealClipsConfig, __doc__, args)
    videos = [path for path in sorted(config.videos.glob("*.mp4")) if not config.clips or path.stem in config.clips]
    if not videos:
        raise InputError(f"expected mp4 files in {config.videos}, found none; check the path")
    rows = [measure(video, config) for video in videos]
    print("| clip | frames | " + " | ".join(COLUMNS) + " | seconds preprocess / track / export |")
    print("|---" * (len(COLUMNS) + 3) + "|")
    for video, (ours, baseline, seconds) in zip(videos, rows):
        cells = [f"{ours[name]:.2f} ({baseline[name]:.2f})" for name in COLUMNS]
        print(f"| {video.stem} | {ours['frames']} | " + " | ".join(cells) + f" | {seconds} |")
    print("In brackets the baseline of bench/baseline.py.")


def measure(video: Path, config: RealClipsConfig) -> tuple[dict, dict, str]:
    """Evaluation of our run and of the baseline, and the seconds of our three commands."""
    place = config.output / "data" / video.name
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copyfile(video, place)
    name = video.stem
    tracked, exported, baseline = (config.output / kind / name for kind in ("track", "export", "baseline"))
    data = ["--data.root_folder", str(place.parent), "--data.sequence", name]
    seconds = [timed("preprocess_video.py", "--input", str(place))]
    if not list(tracked.glob("*/tracked_flame_params_*.npz")):
        options = ["--exp.output_folder", str(tracked), "--model.head", config.head]
        seconds.append(timed("track.py", *data, *options))
    seconds.append(timed("export_as_nerf_dataset.py", "--src_folder", str(tracked), "--tgt_folder", str(exported)))
    timed("evaluate_tracking.py", "--run", str(tracked))
    if not (baseline / "baseline" / "evaluation.json").exists():
        timed("../bench/baseline.py", *data, "--head", config.head, "--output", str(baseline))
    ours = json.loads((newest_run(tracked) / "evaluation.json").read_text(encoding="utf-8"))
    theirs = json.loads((baseline / "baseline" / "evaluation.json").read_text(encoding="utf-8"))
    return ours, theirs, " / ".join(f"{value:.0f}" for value in seconds)


if __name__ == "__main__":
    main()
