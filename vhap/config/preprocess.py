"""Options of preprocessing: from a video to pictures, alpha maps and landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.ranges import Downsampling, FramesASecond, Workers

MattingMethod = Literal[
    "auto",
    "input",
    "mediapipe_video",
    "mediapipe",
    "background_difference",
    "robust_video_matting",
    "background_matting_v2",
    "none",
]
PreprocessLandmarks = Literal["mediapipe", "face-alignment", "star", "both", "none"]


@dataclass(frozen=True)
class PreprocessConfig:
    """A video, a folder with a video of each camera of a rig, or a sequence folder with pictures in images/."""

    input: Path
    """Video (mp4, mov, ...), folder of a rig's videos (cam_*.mp4 or any names, or with them in images/) or sequence
    folder; a prefix that only one folder has is enough, a trailing * allowed."""
    output_folder: Path | None = None
    """Sequence folder to write; by default beside the video, with its name, or the folder of videos itself."""
    target_fps: FramesASecond = 25.0
    """Pictures taken from each second of video, at most as many as it has, at least one of the whole."""
    downsample_scales: tuple[Downsampling, ...] = ()
    """Smaller copies: 2 writes images_2 with half the width and height (any of 2 4 8)."""
    image_format: Literal["jpg", "png"] = "jpg"
    """Format of the extracted pictures."""
    matting_method: MattingMethod = "auto"
    """What tells the person from the background. input: the alpha channel of the video or of the pictures in images/.
    auto: input where there is one that is not opaque everywhere, else background_difference for several cameras that
    all have a picture of the empty scene, else mediapipe_video; none writes no alpha maps. mediapipe_video: MediaPipe's
    networks fused over neighbouring pictures along their motion, and closed-form matting at the outline; mediapipe: one
    network on each picture by itself, coarser."""
    matting_weights: Path | None = None
    """Weights of robust_video_matting or background_matting_v2; by default the environment, then the cache folder."""
    allow_unknown_weights: bool = False
    """Load matting weights that are not the published files. TorchScript is a program: a file from elsewhere can write
    files and run operators on this machine while it is loaded."""
    background_folder: Path = Path("../../BACKGROUND")
    """Picture of the empty scene for background_difference and background_matting_v2, relative to the images folder;
    of several cameras: the folder with image_<camera>.jpg."""
    landmark_source: PreprocessLandmarks = "mediapipe"
    """Landmark detector to run; none leaves it to tracking."""
    person: str | None = None
    """Whom landmarks and mattes follow where several are seen: 2 the second from the left in the first picture of those
    with the most faces; 640,360 who is at that pixel x,y of the full-size pictures; auto the largest, most central and
    longest in view. Not given: as before, at first auto."""
    landmark_detector_njobs: Workers = 0
    """Landmark detectors that run at the same time; 0 takes one for each core."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where robust_video_matting and background_matting_v2 run."""
