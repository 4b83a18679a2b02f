"""Which detections are the head: a detector may find a face in the background, or somebody else's, for a moment."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.residuals.landmark_problem import LandmarkProblem

MAX_GAP = 25
"""Frames after which a face that was lost is taken for a new one."""
MAX_STEP, MAX_GROWTH = 3.0, 1.5
"""Movement in radii (three are about a face's height), and ratio of radii, from one frame with a head to the next."""
BRIEF, TIMES_LONGER = 3, 4
"""A face in view for at most so many frames is brief, if another one is in view for so many times longer."""
MISFIT_RATIO, MISFIT_LEAST = 4.0, 0.03
"""A frame whose typical landmark is off by more than so many times the clip's median, and by more than that fraction
of the face's extent, shows no head. Measured: 0.002 for exact points, 0.03 for points 2 px off on a face of 83 px, 0.3
for points that are no face."""


@dataclass
class _Track:
    """One face through time, where it was seen last."""

    centre: Tensor
    radius: float
    frames: list[int] = field(default_factory=list)

    def step_to(self, centre: Tensor, radius: float) -> float:
        """Movement in radii; infinite where the size changed too much for one head."""
        growth = max(radius, self.radius) / max(1e-6, min(radius, self.radius))
        return float((centre - self.centre).norm()) / max(1e-6, self.radius) if growth <= MAX_GROWTH else float("inf")


def find_brief_faces(problem: LandmarkProblem) -> Tensor:
    """(B, C) bool: pictures whose face stands elsewhere than the head, for a few frames only."""
    cameras = zip(problem.detected_px.cpu().unbind(1), (problem.weight > 0).cpu().unbind(1))
    return torch.stack([_brief_faces(pixels, seen) for pixels, seen in cameras], 1)


def _brief_faces(pixels: Tensor, seen: Tensor) -> Tensor:
    """(B,) bool of one camera: points (B, L, 2) px where seen (B, L).

    Places and sizes are medians over the points, so single wrong points change neither. A fast head stays one face as
    long as it moves less than its height from frame to frame; after a cut it is a new one that stays in view.
    """
    tracks: list[_Track] = []
    for frame in torch.nonzero(seen.any(1)).flatten().tolist():
        points = pixels[frame][seen[frame]]
        centre = points.median(0).values
        radius = float((points - centre).norm(dim=-1).median())
        recent = [track for track in tracks if frame - track.frames[-1] <= MAX_GAP]
        track = min(recent, key=lambda track: track.step_to(centre, radius), default=None)
        if track is None or track.step_to(centre, radius) > MAX_STEP:
            track = _Track(centre, radius)
            tracks.append(track)
        track.centre, track.radius = centre, radius
        track.frames.append(frame)
    longest = max((len(track.frames) for track in tracks), default=0)
    brief = torch.zeros(len(pixels), dtype=torch.bool)
    for track in tracks:
        brief[track.frames] = len(track.frames) <= min(BRIEF, longest / TIMES_LONGER)
    return brief


def find_misfits(problem: LandmarkProblem, params: TrackParams, found: Tensor) -> Tensor:
    """(B, C) bool: found pictures whose landmarks the solved head does not explain, far worse than the clip's others.

    A picture's median distance counts, so one with a few wrong points is none.
    """
    distance = problem.residuals_px(params).norm(dim=-1) / problem.extent_px()[..., None]
    typical = distance.masked_fill(problem.weight <= 0, torch.nan).nanmedian(-1).values.cpu()
    limit = (MISFIT_RATIO * typical[found].median()).clamp(min=MISFIT_LEAST)
    return found & (typical > limit)
