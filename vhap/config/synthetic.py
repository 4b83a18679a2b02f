"""Options of a synthetic capture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from vhap.config.ranges import Count, Degrees, FramesASecond, Index, Pixels, Range, Seed

LAYOUT_FPS = {"benchmark_mono": 24.3, "benchmark_svfr": 73.0}


@dataclass(frozen=True)
class SyntheticConfig:
    output: Path
    """monocular: ROOT/NAME, the sequence's folder; its video is written beside it as ROOT/NAME.mp4. Else: ROOT."""
    head: Literal["auto", "flame", "gnm", "ict", "builtin", "file"] = "builtin"
    """Head model that is filmed. file: that of head_path."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    head_path: Path | None = None
    """A head of your own, with head file: an npz as vhap.head.head_file.save_head writes it."""
    layout: Literal[
        "monocular",
        "nersemble_v1",
        "nersemble_v2",
        "benchmark_nvs",
        "benchmark_mono",
        "benchmark_svfr",
        "multiview",
        "single_frame",
    ] = "monocular"
    """How the recording lies on disk; all but monocular are of a calibrated rig. benchmark_mono and benchmark_svfr
    take the benchmark's own participants as --subject."""
    frames: Count = 60
    """Length of the clip; single_frame has one moment. benchmark_svfr: how many of the participant's pictures, the
    first ones; there are 13 to 20."""
    fps: FramesASecond | None = None
    """Frames a second: of the video, and of the motion. None: 25; benchmark_mono: 24.3; benchmark_svfr: 73, in which
    its timesteps count."""
    size: Pixels = 512
    """Side of square pictures, those of one camera, single_frame, benchmark_mono and benchmark_svfr, in pixels."""
    subject: Index = 1
    """Rigs: number of the person; NeRSemble's subjects have a calibration each."""
    sequence: str = "EXP-1-head"
    """Rigs: name of the sequence's folder, which also chooses the motion. benchmark_svfr: the pictures' own."""
    cameras: Annotated[int, Range(1, 1024)] | None = None
    """Rigs: number of cameras. None: 16; single_frame: 24, on three rings all around; benchmark_mono always has 4."""
    width: Pixels = 275
    """Rigs whose pictures are not square: width of the pictures; even with videos."""
    height: Pixels = 401
    """Rigs whose pictures are not square: height of the pictures; even with videos."""
    videos: bool = False
    """Rigs but single_frame: write each camera's mp4 too; benchmark_nvs and benchmark_mono always have them."""
    camera_file: Literal["camera_params", "transforms", "colmap"] | None = None
    """multiview: the file that describes the cameras. None: transforms.json."""
    world: Literal["metric", "similarity"] = "metric"
    """multiview: the cameras' world has any scale, orientation and origin with `similarity`."""
    image_format: Literal["jpg", "png"] = "jpg"
    """Format of the pictures; png keeps them exact, and is that of single_frame and of the benchmark."""
    hair: Literal["none", "long"] = "none"
    """Hair that the head model does not have. long: over scalp and ears and down to the shoulders; it moves with the
    skull and is part of pictures and mattes, but not of the true vertices."""
    seed: Seed = 0
    """Chooses person, light, camera and motion. Equal options give equal files."""
    motion_seed: Seed | None = None
    """One camera: chooses the motion and what stands behind, so that films of one person differ. None: seed. A rig's
    motion is chosen by its sequence's name."""
    light_seed: Seed | None = None
    """Chooses the light. None: seed."""
    focal: Annotated[float, Range(0, 100, above=True)] | None = None
    """Focal length in units of the picture's longer side. None: random in 1.5 to 2.5; rigs: 2.55."""
    max_yaw: Degrees = 35.0
    """Largest turn to the side, degrees."""
    max_pitch: Degrees = 15.0
    """Largest nod, degrees."""
    max_roll: Degrees = 10.0
    """Largest tilt, degrees."""
    max_shift: Annotated[float, Range(0, 10)] = 0.03
    """Largest displacement of the head's centre along each axis, metres."""
    expression: Annotated[float, Range(0, 100)] = 1.0
    """Strength of speech, smiles and brows; 0 leaves only blinks."""
    supersampling: Annotated[int, Range(1, 64)] = 2
    """Samples a pixel along each axis, averaged by area."""
    landmark_noise_px: Annotated[float, Range(0, 1000)] = 0.0
    """Standard deviation of the noise on the written landmarks, in pixels."""
    landmark_source: Literal["all", "mediapipe", "face-alignment"] = "all"
    """Detectors whose landmark files are written; all: those whose points the head knows."""

    @property
    def frame_rate(self) -> float:
        """Frames a second, the layout's own where `fps` is None."""
        return LAYOUT_FPS.get(self.layout, 25.0) if self.fps is None else self.fps
