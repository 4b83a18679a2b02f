"""How far the target's surface lies from the source's, region by region."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vhap.fit.conversion.convert import Motion
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.head.registration.correspondence import Correspondence
from vhap.util.choice import even_choice

REGIONS = ("face", "scalp", "neck", "ears", "eyelids", "lips")
MEASURED_FRAMES = 48
LARGE_MM = 3.0
"""A median from which a region is warned of."""
Residuals = dict[str, dict[str, float]]


@torch.no_grad()
def residuals_mm(
    motion: Motion, target: HeadModel, params: HeadParams, offset: Tensor | None, match: Correspondence
) -> Residuals:
    """Region -> median and 95 % quantile ("p95") of the distances, in mm, between the target's vertices and their
    counterparts, over an even choice of frames; "matched": the share of the region that has counterparts."""
    distances = []
    for row in even_choice(motion.count, MEASURED_FRAMES):
        moving = {name: value[row] for name, value in vars(params).items() if name in _MOVING}
        own = pose(target, HeadParams(shape=params.shape, **moving, static_offset=offset))
        distances.append((own - match.points(motion.head, motion.vertices([row])[0])).norm(dim=-1) * 1000)
    stacked = torch.stack(distances)
    found = {}
    for name in REGIONS:
        ids = target.regions.get(name, torch.zeros(0, dtype=torch.long))
        matched = match.weights[ids] > 0
        if bool(matched.any()):
            values = stacked[:, ids[matched]].flatten().double().numpy()
            found[name] = {
                "median": _quantile(values, 0.5),
                "p95": _quantile(values, 0.95),
                "matched": round(float(matched.float().mean()), 3),
            }
    return found


_MOVING = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")


def _quantile(values: np.ndarray, share: float) -> float:
    return round(float(np.quantile(values, share)), 3)


def table(residuals: Residuals) -> list[str]:
    """Lines for the log."""
    head = f"{'region':10} {'median mm':>10} {'95 % mm':>10} {'matched':>8}"
    rows = [f"{name:10} {r['median']:10.2f} {r['p95']:10.2f} {r['matched']:8.0%}" for name, r in residuals.items()]
    return [head, *rows]


def warnings(residuals: Residuals, offsets: bool) -> list[str]:
    large = {name: r["median"] for name, r in residuals.items() if r["median"] > LARGE_MM}
    if not large:
        return []
    listed = ", ".join(f"{name} {value:.1f} mm" for name, value in large.items())
    remedy = "look at the report" if offsets else "leave out --no-offsets, or look at the report"
    return [f"the converted head is far from the tracked one: {listed} (median); {remedy}"]
