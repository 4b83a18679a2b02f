"""Options of a capture: where it is, which pictures of it, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LandmarkSource = Literal["mediapipe", "face-alignment", "star", "both"]
BackgroundColor = Literal["white", "black"]


@dataclass(frozen=True)
class DataConfig:
    """One camera: a folder of pictures made from a video, or of a user's own."""

    root_folder: Path
    """Folder that holds the sequences."""
    sequence: str
    """Name of the sequence's folder, or a prefix that only one folder has."""
    n_downsample_rgb: int | None = None
    """Read the pictures in images_N instead of images."""
    scale_factor: float = 1.0
    """Further scaling of the pictures while they are read, at most 1."""
    background_color: BackgroundColor | None = "white"
    """What stands behind the person, by the alpha maps; None keeps the pictures as they are."""
    use_alpha_map: bool = False
    """Require alpha maps; without, they are used where they are there."""
    use_landmark: bool = True
    """Landmarks take part in tracking."""
    landmark_source: LandmarkSource = "mediapipe"
    """Detector; `both` takes mouth and eyes from STAR, jaw line, nose and brows from face-alignment."""
    landmark_detector_njobs: int = 0
    """Processes that detect landmarks at the same time; 0 takes one for each core."""
    subset: str | None = None
    """Which timesteps: ti3 (one), ti3tj9 (3 to 9), tn20 (20 evenly), ts5 (every 5th), joined by `_`."""
    calibrated: bool = False
    """The focal length is known and stays as given by fx; giving fx implies it."""
    fx: float | None = None
    """Focal length in pixels of the full-size pictures; None solves for it."""
    fy: float | None = None
    """Vertical focal length in pixels of the full-size pictures; None takes fx."""
    cx: float | None = None
    """Principal point from the left edge, pixels of the full-size pictures; None takes the centre."""
    cy: float | None = None
    """Principal point from the top edge, pixels of the full-size pictures; None takes the centre."""
