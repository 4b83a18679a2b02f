"""Options of following a head as fast as a camera films it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from vhap.config.ranges import Count, FocalPixels, FramesASecond, Index, Range

Lag = Annotated[int, Range(0, 30)]


@dataclass(frozen=True)
class LiveConfig:
    """A camera, or a video that takes its place."""

    camera: Index | None = None
    """Number of the camera, from 0 on; without it and --video the first one."""
    video: Path | None = None
    """A video instead of a camera: every frame is taken, however long that takes, unless --pace is given."""
    pace: FramesASecond | Literal["own"] | None = None
    """Give out the video's frames as a camera would, so many a second, or at the video's own rate: those that come too
    fast are dropped."""
    person: Path | None = None
    """A folder of an earlier run (of track or of live) of the same person: head, shape, focal length and albedo are
    known from the first frame on. Without it they are estimated from the first seconds, and improve while frames
    come. With --video the run folder is a finished run of the video's frames."""
    prepare: bool = False
    """With --video and --person: make pictures, landmarks and mattes of the video meanwhile, in a process of its own,
    for reports and exports of the run. Without, these make them when they need them."""
    head: Literal["auto", "flame", "gnm", "ict", "builtin", "file"] = "auto"
    """Head model of a new person; auto takes FLAME if its file is there, else GNM, else ICT-FaceKit, else the built-in
    head. file: that of --head_path."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    head_path: Path | None = None
    """A head of your own, with head file."""
    n_shape: Count = 300
    """Identity coefficients of a new person, at most as many as the head has."""
    n_expr: Count = 100
    """Expression coefficients of a new person, at most as many as the head has."""
    fx: FocalPixels | None = None
    """Focal length in pixels, where it is known; without it that of --person, else estimated."""
    lag: Lag = 1
    """So many frames later a frame is given out, smoothed by those that follow; 0 gives it out at once."""
    pictures: bool = True
    """Fit to the pictures too, as soon as the person's albedo is known; without, to landmarks alone."""
    window: bool = False
    """Show the overlay in a window; q or Escape in it ends the run."""
    overlay: Path | None = None
    """Write the overlay into this mp4."""
    csv: Path | None = None
    """Write head pose and ARKit's curves into this CSV, in the columns of the Live Link Face app."""
    jsonl: Path | None = None
    """Write the head model's own parameters into this file, a line of JSON for each frame."""
    udp: str | None = None
    """HOST:PORT to which packets in the layout of the Live Link Face app are sent (Unreal listens on 11111)."""
    subject: str = "vhap"
    """The subject's name in those packets."""
    output_folder: Path = Path("output/live")
    """Where run folders are made."""
