"""Options of the commands that prepare a subject's folder for trainers of relightable avatars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.ranges import BoxScale, FramesASecondOrOwn, Index, Pixels, Workers

SubjectMatting = Literal["auto", "input", "mediapipe", "robust_video_matting"]


@dataclass(frozen=True)
class CropConfig:
    """SOURCE/NAME holds NAME.mp4, or pictures of your own in image/."""

    source: Path
    """Folder of subjects."""
    name: str
    """The subject: its folder's name in --source, and that of its video."""
    fps: FramesASecondOrOwn = -1
    """Pictures taken from each second of video, at most as many as it has; -1: all."""
    image_size: tuple[Pixels, Pixels] = (512, 512)
    """Height and width of the pictures that are written."""
    matting: bool = False
    """Take the background away: RGBA pictures; else RGB."""
    crop_image: bool = False
    """Cut the pictures to the head; else all of them is shown."""
    mask_clothes: bool = True
    """With --matting: make clothes transparent, too."""
    crop_range: tuple[Index, Index, Index, Index] | None = None
    """Rows y0 to y1 and columns x0 to x1 of the video's pictures, ends exclusive: nothing else of them is looked at."""
    bbox_scale: BoxScale = 2.2
    """With --crop_image: size of the box, in widths of the face."""
    crop_box: Literal["all", "first"] = "all"
    """With --crop_image: one box that holds the head of all pictures, or the box of the first one."""
    premultiplied: bool = False
    """Write colours times alpha, as older tools did; trainers that composite count soft edges twice then."""
    keep_masks: bool = False
    """With --matting: keep alpha maps in mask/ and class maps in seg/."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 640,360 who is at that pixel of the video (of
    --crop_range, where it is given), auto the largest."""
    matting_method: SubjectMatting = "auto"
    """What tells the person from the background. input: the video's own alpha channel; auto: input where there is one
    that is not opaque everywhere, else mediapipe, which needs no weights."""
    matting_weights: Path | None = None
    """Weights of robust_video_matting; by default the environment, then the cache folder."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where robust_video_matting runs."""
    n_jobs: Workers = 0
    """Face detectors that run at the same time; 0 takes one for each core."""


@dataclass(frozen=True)
class KeypointConfig:
    """The 68 iBUG points of every picture of a subject."""

    path: Path
    """The subject's folder, with pictures in image/ or images/."""
    landmark_source: Literal["mediapipe", "face-alignment"] = "mediapipe"
    """Landmark detector; face-alignment is a package of its own."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 300,200 who is at that pixel, auto the
    largest."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where face-alignment runs."""
    n_jobs: Workers = 0
    """Detectors that run at the same time; 0 takes one for each core."""


@dataclass(frozen=True)
class IrisConfig:
    """The two iris centres of every picture of a subject."""

    path: Path
    """The subject's folder, with pictures in image/ or images/."""
    person: str | None = None
    """Whom to follow where several are seen: 2 the second from the left, 300,200 who is at that pixel, auto the
    largest."""
    n_jobs: Workers = 0
    """Detectors that run at the same time; 0 takes one for each core."""
