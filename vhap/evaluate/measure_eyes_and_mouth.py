"""Eyes, lids, lips and teeth of a track against the truth."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vhap.evaluate.eyes_and_mouth import (
    CLOSED_GAP,
    EYEBALLS,
    eyelid_gaps,
    gaze_error_deg,
    mouth_gap,
    optical_axes,
    teeth_outside_mm,
)
from vhap.head.model import HeadModel, landmark_points

MEASURES = (
    "lid_gap_error",
    "closed_lid_gap",
    "mouth_gap_error",
    "gaze_error_deg_mean",
    "teeth_outside_mm",
    "teeth_outside_mm_truth",
)
"""In the order in which they are written."""


class EyesAndMouth:
    """Errors of frames that come one after the other.

    lid_gap_error, mouth_gap_error: absolute difference in eye widths. closed_lid_gap: tracked gap where the true one
    is below 0.05. gaze_error_deg_mean: angle between the optical axes. teeth_outside_mm and, of the truth,
    teeth_outside_mm_truth.
    """

    def __init__(self, model: HeadModel) -> None:
        self.model = model
        self.teeth = _Teeth(model) if {"teeth", "face", "lips"} <= model.regions.keys() else None
        self.found: dict[str, list[Tensor]] = {}

    def add(self, vertices: Tensor, exact: Tensor) -> None:
        """Tracked and true vertices (V, 3) of a frame, in head space."""
        model = self.model
        values = _gap_errors(model, vertices, exact) if "ibug" in model.landmarks else {}
        if set(EYEBALLS) <= model.regions.keys():
            error = gaze_error_deg(optical_axes(model, vertices), optical_axes(model, exact))
            values["gaze_error_deg_mean"] = error
        if self.teeth is not None:
            values["teeth_outside_mm"] = self.teeth.outside_mm(vertices)
            values["teeth_outside_mm_truth"] = self.teeth.outside_mm(exact)
        for name, value in values.items():
            self.found.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """MEASURES over frames (and both eyes); NaN where the head lacks the points or parts, or no eye closes."""
        return {name: _mean(self.found.get(name, [])) for name in MEASURES}


def _gap_errors(model: HeadModel, vertices: Tensor, exact: Tensor) -> dict[str, Tensor]:
    points, true_points = (landmark_points(model, posed, "ibug") for posed in (vertices, exact))
    gaps, true_gaps = eyelid_gaps(points), eyelid_gaps(true_points)
    return {
        "lid_gap_error": (gaps - true_gaps).abs(),
        "closed_lid_gap": gaps[true_gaps < CLOSED_GAP],
        "mouth_gap_error": (mouth_gap(points) - mouth_gap(true_points)).abs(),
    }


class _Teeth:
    """Teeth and the skin before them: the face without what lies inside the mouth."""

    def __init__(self, model: HeadModel) -> None:
        self.ids = model.regions["teeth"]
        outer = torch.cat([model.regions["face"], model.regions["lips"]])
        inner = torch.cat([self.ids, model.regions.get("lip_inside", self.ids)])
        self.skin = model.faces[torch.isin(model.faces, outer).all(1) & ~torch.isin(model.faces, inner).any(1)]

    def outside_mm(self, vertices: Tensor) -> Tensor:
        return torch.tensor(teeth_outside_mm(vertices[self.ids], vertices[self.skin]))


def _mean(values: list[Tensor]) -> float:
    numbers = torch.cat([value.detach().cpu().reshape(-1).double() for value in values]) if values else torch.zeros(0)
    return float(numbers.mean()) if len(numbers) else math.nan
