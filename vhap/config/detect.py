"""Options of landmark detection alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.data import LandmarkSource
from vhap.config.ranges import Workers


@dataclass(frozen=True)
class DetectConfig:
    """Landmarks of a sequence folder whose pictures are there."""

    input: Path
    """Sequence folder with pictures in images/; a prefix that only one folder has is enough."""
    landmark_source: LandmarkSource = "mediapipe"
    """Landmark detector; `both` runs STAR and face-alignment."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 640,360 who is at that pixel, auto the largest
    (see preprocess-video, which makes mattes of another person again); not given: as before."""
    landmark_detector_njobs: Workers = 0
    """Detectors that run at the same time; 0 takes one for each core."""
    reuse_landmarks: bool = True
    """Keep files that are complete; off detects again and replaces them."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where face-alignment and STAR run."""
