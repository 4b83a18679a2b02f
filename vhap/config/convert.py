"""Options of a conversion between heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.ranges import Count, Epoch


@dataclass(frozen=True)
class ConvertConfig:
    run: Path
    """Output folder of a tracking run, or one of its run folders; the newest run counts."""
    to: Literal["flame", "gnm", "ict", "builtin", "file"] = "flame"
    """Head of the new run; the run itself says which one it was tracked with. file: that of head_path."""
    output: Path | None = None
    """Output folder in which the new run folder is made. None: beside the run's own, as output/anna_flame."""
    epoch: Epoch = -1
    """Epoch of the result; -1 is the last."""
    offsets: bool = True
    """Write what the new head's identity leaves of the tracked face (hair, ears, what that head cannot be) as its
    static offset. Off: the head's own shape alone. Pose and expression are the same either way."""
    n_shape: Count = 300
    """Identity coefficients of the new head, at most as many as it has."""
    n_expr: Count = 100
    """Expression coefficients of the new head, at most as many as it has."""
    flame_model_path: Path | None = None
    """FLAME pickle. Default: $VHAP_FLAME_MODEL, else the first known name in flame/ of the asset folders."""
    gnm_path: Path | None = None
    """gnm_head.npz of GNM v3. Default: $VHAP_GNM_HEAD, else gnm/ of the asset folders, else its package's cache."""
    ict_facekit_path: Path | None = None
    """The FaceXModel folder of ICT-FaceKit. Default: $VHAP_ICT_FACEKIT."""
    head_path: Path | None = None
    """A head of your own, with --to file: an npz as vhap.head.head_file.save_head writes it."""
