"""Where the weights of neural networks are: an option, an environment variable, or the cache folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vhap.util.errors import InputError
from vhap.util.paths import weights_folder


@dataclass(frozen=True)
class WeightsFile:
    """files: names accepted, the best first. variable: environment variable that names a file. url: where to get it."""

    network: str
    files: tuple[str, ...]
    variable: str
    url: str


ROBUST_VIDEO_MATTING = WeightsFile(
    "RobustVideoMatting (GPL-3.0)",
    ("rvm_resnet50_fp32.torchscript", "rvm_mobilenetv3_fp32.torchscript"),
    "VHAP_RVM_WEIGHTS",
    "https://github.com/PeterL1n/RobustVideoMatting/releases",
)
BACKGROUND_MATTING = WeightsFile(
    "BackgroundMattingV2 (MIT)",
    ("torchscript_resnet101_fp32.pth", "torchscript_resnet50_fp32.pth", "torchscript_mobilenetv2_fp32.pth"),
    "VHAP_BMV2_WEIGHTS",
    "https://github.com/PeterL1n/BackgroundMattingV2",
)
STAR_CHECKPOINT = WeightsFile(
    "STAR", ("300W_STARLoss_NME_2_87.pkl",), "VHAP_STAR_WEIGHTS", "https://github.com/ZhenglinZhou/STAR"
)


def find_weights(weights: WeightsFile, option: Path | None = None) -> Path:
    """The option's file, else the environment variable's, else the first in the cache folder. Raises InputError."""
    named = [(option, "the option"), (os.environ.get(weights.variable) or None, weights.variable)]
    for given, origin in named:
        if given is not None:
            path = Path(given).expanduser()
            if not path.is_file():
                raise InputError(
                    f"expected the weights of {weights.network} at {path} ({origin}), found none; correct it"
                )
            return path
    folder = weights_folder()
    for name in weights.files:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"expected the weights of {weights.network} in {folder}, found none; get "
        f"{' or '.join(weights.files)} from "
        f"{weights.url} and put it there, or name it in {weights.variable}"
    )
