"""Tracks a video: pictures, mattes and landmarks, then the head of every frame.

python examples/track_video.py --video anna.mp4 --head flame --no-quick
"""

from __future__ import annotations

from pathlib import Path

import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import open_run, preprocess, track


def main(video: Path | None = None, folder: Path = FOLDER, head: str = "builtin", quick: bool = True) -> Path:
    """quick: landmarks only, in seconds. Else the pictures count as well, which is what tracking is for."""
    if video is None:
        video = film(folder, "video", size=256).with_suffix(".mp4")
    sequence = preprocess(video, output_folder=folder / "preprocessed" / video.stem)
    options = {**QUICK, "landmark_source": "mediapipe"} if quick else {}
    done = track(sequence, output_folder=folder / "tracked" / video.stem, **{**options, "head": head})
    run = open_run(done)
    for t, name in enumerate(run.timesteps):
        print(name, "head at", [round(x, 3) for x in run.parameters(t).translation.tolist()], "m")
    print(f"{run.head.n_vertices} vertices, focal length {float(run.camera().fx):.0f} px, in {run.folder}")
    return done


if __name__ == "__main__":
    tyro.cli(main)
