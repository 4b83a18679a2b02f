"""A known motion of one head as another head's, and back: residuals by region, seconds, and what comes back.

    python bench/convert_head.py --pairs ict-flame ict-builtin builtin-ict ict-gnm

The person and the motion are those of synthetic films (speech, smiles, blinks, brows, gaze), without pictures. Files of
FLAME, GNM and ICT-FaceKit are found as by every command (VHAP_FLAME_MODEL, VHAP_GNM_HEAD, VHAP_ICT_FACEKIT).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from tables import markdown_table
from torch import Tensor

from vhap.fit.conversion.convert import Motion, convert
from vhap.fit.conversion.residuals import REGIONS, Residuals, residuals_mm
from vhap.head.load import load_head
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.head.registration.correspondence import correspondence
from vhap.pipeline.heads import with_detector_points
from vhap.synthetic.motion import MotionLimits, frame_params, make_motion

LIMITS = MotionLimits(yaw_rad=0.6, pitch_rad=0.26, roll_rad=0.17, shift_m=0.03, expression=1.0)
SHAPE_DEVIATION = 0.7
CURVES = {
    "jaw": ("jawOpen",),
    "smile": ("mouthSmile_L", "mouthSmile_R"),
    "blink": ("eyeBlink_L", "eyeBlink_R"),
    "brow": ("browInnerUp", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R"),
}


@dataclass(frozen=True)
class Way:
    """One conversion. params: the target's, with its offset; bare: without it."""

    params: HeadParams
    residuals: Residuals
    bare: Residuals
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", nargs="+", default=["ict-builtin", "builtin-ict"])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = {name for pair in options.pairs for name in pair.split("-")}
    heads = {name: with_detector_points(load_head(name), "ibug") for name in sorted(names)}
    ways, returns = [], []
    for pair in options.pairs:
        source, target = (heads[name] for name in pair.split("-"))
        true = true_motion(source, options.frames, options.seed)
        there = way(source, target, true)
        back = way(target, source, there.params)
        ways += [row(f"{pair} ({label})", found, there.seconds) for label, found in labelled(there)]
        returns.append([f"{pair} and back", *compared(source, true, back.params)])
    print(f"{options.frames} frames, seed {options.seed}. Median / 95 % of the distances to counterparts, mm:\n")
    print(markdown_table(["conversion", *REGIONS, "seconds"], ways))
    print("\nThere and back: mean distance of the face to the original, mm; correlation of curves; gaze, degrees\n")
    print(markdown_table(["conversion", "face", *CURVES, "gaze"], returns))


def true_motion(head: HeadModel, frames: int, seed: int) -> HeadParams:
    shape = torch.randn(head.n_shape, generator=torch.Generator().manual_seed(seed)) * SHAPE_DEVIATION
    return make_motion(head, shape, np.arange(frames) / 25, LIMITS, seed)


def way(source: HeadModel, target: HeadModel, params: HeadParams) -> Way:
    match = correspondence(source, target)
    motion = Motion(source, params, torch.arange(len(params.rotation)))
    started = time.monotonic()
    found = convert(motion, target, match)
    seconds = time.monotonic() - started
    whole, bare = (residuals_mm(motion, target, found.params.head(), offset, match) for offset in (found.offset, None))
    return Way(replace(found.params.head(), static_offset=found.offset), whole, bare, seconds)


def labelled(there: Way) -> list[tuple[str, Residuals]]:
    return [("with offsets", there.residuals), ("without", there.bare)]


def row(name: str, residuals: Residuals, seconds: float) -> list[str]:
    cells = [
        f"{found['median']:.2f} / {found['p95']:.2f}" if (found := residuals.get(region)) else "-" for region in REGIONS
    ]
    return [name, *cells, f"{seconds:.1f}"]


def compared(head: HeadModel, true: HeadParams, back: HeadParams) -> list[str]:
    face = head.regions["face"]
    distances = [
        (pose(head, frame_params(true, t)) - pose(head, frame_params(back, t)))[face].norm(dim=-1).mean() * 1000
        for t in range(len(true.rotation))
    ]
    curves = [curve_cell(head, true, back, key) for key in CURVES]
    gaze = torch.rad2deg((true.eyes_pose - back.eyes_pose).unflatten(-1, (2, 3)).norm(dim=-1)).mean()
    return [f"{float(torch.stack(distances).mean()):.2f}", *curves, f"{float(gaze):.2f}"]


def curve_cell(head: HeadModel, true: HeadParams, back: HeadParams, key: str) -> str:
    """The lowest correlation of the curves of one kind that move; a jaw joint stands for a missing jawOpen."""
    columns = [head.expr_names.index(name) for name in CURVES[key] if name in head.expr_names]
    pairs = [(true.expr[:, column], back.expr[:, column]) for column in columns]
    if key == "jaw" and not columns and head.has_jaw:
        pairs = [(true.jaw_pose[:, 0], back.jaw_pose[:, 0])]
    found = [correlation(one, other) for one, other in pairs if float(one.std()) > 1e-3]
    return f"{min(found):.3f}" if found else "-"


def correlation(one: Tensor, other: Tensor) -> float:
    return float(np.corrcoef(one.numpy(), other.numpy())[0, 1]) if float(other.std()) > 1e-6 else 0.0


if __name__ == "__main__":
    main()
