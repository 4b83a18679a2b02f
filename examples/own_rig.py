"""Tracks a calibrated rig: several cameras whose places are known, and a head in metres in their world.

python examples/own_rig.py --rig data/rig     # cameras in transforms.json, camera_params.json or COLMAP's files
"""

from __future__ import annotations

from pathlib import Path

import tyro
from tiny import FOLDER, QUICK

from vhap.api import make_synthetic_capture, open_capture, open_run, track


def main(rig: Path | None = None, folder: Path = FOLDER, cameras: int = 3) -> Path:
    """rig: a sequence's folder as doc/calibrated.md has it; without it a tiny one is rendered."""
    if rig is None:
        rig = make_synthetic_capture(
            folder / "rig", layout="multiview", cameras=cameras, frames=1, width=96, height=128,
            landmark_source="face-alignment",
        )  # fmt: skip
    capture = open_capture(rig)
    print(f"{len(capture.camera_ids)} cameras, {len(capture.timestep_ids)} timesteps of {capture.size} pixels")
    done = track(rig, output_folder=folder / "rig_run", **QUICK)
    run = open_run(done)
    for number, name in enumerate(run.cameras):
        print(name, "at", [round(x, 2) for x in run.camera(0, number).centre().tolist()], "m")
    print("head at", [round(x, 3) for x in run.vertices(0).mean(0).tolist()], "m, in the same world")
    return done


if __name__ == "__main__":
    tyro.cli(main)
