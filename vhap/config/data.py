"""Options of a capture: where it is, which pictures of it, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.preprocess import MattingMethod
from vhap.config.ranges import (
    CalibrationPixels,
    Downsampling,
    FocalPixels,
    FramesASecond,
    PrincipalPoint,
    Scale,
    Workers,
)

LandmarkSource = Literal["mediapipe", "face-alignment", "star", "both"]
BackgroundColor = Literal["white", "black"]
Division = Literal["train", "val", "front-view", "side-view", "six-view"]


@dataclass(frozen=True)
class RecordingConfig:
    """What every kind of capture has."""

    root_folder: Path
    """Folder that holds the sequences."""
    sequence: str
    """Name of the sequence's folder, or a prefix that only one folder has."""
    n_downsample_rgb: Downsampling | None = None
    """Read the pictures in images_N instead of images."""
    scale_factor: Scale = 1.0
    """Further scaling of the pictures while they are read, at most 1."""
    background_color: BackgroundColor | None = "white"
    """What stands behind the person, by the alpha maps; None keeps the pictures as they are."""
    use_alpha_map: bool = False
    """Require alpha maps; without, they are used where they are there."""
    use_landmark: bool = True
    """Landmarks take part in tracking."""
    landmark_source: LandmarkSource = "mediapipe"
    """Detector; `both` takes mouth and eyes from STAR, jaw line, nose and brows from face-alignment."""
    landmark_detector_njobs: Workers = 0
    """Processes that detect landmarks at the same time; 0 takes one for each core."""
    subset: str | None = None
    """Which timesteps: ti3 (one), ti3tj9 (3 to 9), tn20 (20 evenly), ts5 (every 5th), joined by `_`.
    Cameras likewise: ci0, cn4, cs2."""


@dataclass(frozen=True)
class DataConfig(RecordingConfig):
    """One camera: a video, or a folder of pictures made from one, or of a user's own."""

    root_folder: Path = Path()
    """Folder that holds the sequences."""
    sequence: str = ""
    """Name of the sequence's folder, or a prefix that only one folder has."""
    video: Path | None = None
    """Video to track, in place of a sequence: pictures, alpha maps and landmarks are made once, in the cache folder."""
    target_fps: FramesASecond = 25.0
    """Pictures taken from each second of data.video, at most as many as it has."""
    matting_method: MattingMethod = "auto"
    """What tells the person from the background in data.video, as in preprocessing; none does without alpha maps."""
    calibrated: bool = False
    """The focal length is known and stays as given by fx; giving fx implies it."""
    fx: FocalPixels | None = None
    """Focal length in pixels of the full-size pictures; None solves for it."""
    fy: FocalPixels | None = None
    """Vertical focal length in pixels of the full-size pictures; None takes fx."""
    cx: PrincipalPoint | None = None
    """Principal point from the left edge, pixels of the full-size pictures; None takes the centre."""
    cy: PrincipalPoint | None = None
    """Principal point from the top edge, pixels of the full-size pictures; None takes the centre."""
    unordered: bool = False
    """Pictures of one person in no order, as photographs: nothing is taken to move little from one to the next."""


@dataclass(frozen=True, kw_only=True)
class RigDataConfig(RecordingConfig):
    """Several cameras, calibrated and synchronised."""

    cameras: tuple[str, ...] = ()
    """Names of the cameras to use, in any order; empty takes all of the calibration. A subset counts what is left."""
    calibrated: bool = True
    """The cameras are given; off, for a single one, its focal length is solved."""
    align_cameras_to_axes: bool = True
    """Turn the world so that the mean axes of all calibrated cameras are the world's axes."""


@dataclass(frozen=True, kw_only=True)
class NersembleDataConfig(RigDataConfig):
    """The NeRSemble dataset, in the folders of its version 1 or 2."""

    subject: str
    """Number of the participant, 74 or 074."""
    layout: Literal["v1", "v2"] = "v1"
    """Version of the dataset, whose folders differ."""
    background_color: BackgroundColor | None = None
    """What stands behind the person, by the alpha maps; None keeps the pictures as they are."""
    use_color_correction: bool = True
    """Correct each camera's colours by the dataset's calibration."""
    image_size_during_calibration: tuple[CalibrationPixels, CalibrationPixels] = (3208, 2200)
    """Height and width that the intrinsics count in where camera_params.json does not say."""
    division: Division | None = None
    """Cameras by their serials: train, val, front-view, side-view, six-view; None takes all."""
    occluded_by_subject: tuple[str, ...] = (
        "018:neck_lower",
        "218:neck_lower",
        "253:neck_lower",
        "251:neck_lower,boundary",
    )
    """Regions hidden on some subjects, SUBJECT:REGION[,REGION]: what model.occluded is where it is not given. Without
    values no region counts as hidden by itself."""


@dataclass(frozen=True, kw_only=True)
class NersembleV2DataConfig(NersembleDataConfig):
    """The same options, for the folders of version 2."""

    layout: Literal["v1", "v2"] = "v2"
    """Version of the dataset, whose folders differ."""


@dataclass(frozen=True, kw_only=True)
class MultiviewDataConfig(RigDataConfig):
    """Any rig: a folder of pictures for each camera, and a file that describes the cameras."""

    calibration: Path | None = None
    """camera_params.json, transforms.json or a COLMAP model. None: what is in the sequence's folder, else in the
    root."""
    unordered: bool = False
    """Pictures of one person in no order, as photographs: nothing is taken to move little from one to the next."""


@dataclass(frozen=True, kw_only=True)
class SingleFrameDataConfig(RigDataConfig):
    """A static avatar: pictures of one moment from all around, listed with their cameras in camera_info.json."""
