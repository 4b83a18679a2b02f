"""Where the weights of neural networks are (an option, an environment variable, or the cache folder), and which files
are known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from vhap.util.errors import InputError
from vhap.util.paths import weights_folder


@dataclass(frozen=True)
class WeightsFile:
    """files: names accepted, the best first. variable: environment variable that names a file. url: where to get it.
    published: name -> SHA-256 of the file as its authors published it, where that is known."""

    network: str
    files: tuple[str, ...]
    variable: str
    url: str
    published: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


# SHA-256 of release v1.0.0's files, as others measured them who downloaded them: mobilenetv3 in
# github.com/nkkbr/Wan2.2-Animate-H200 (docs/optimization7/benchmark/external_model_registry.step01.json), and alike in
# three more public repositories; resnet50 alike in the download scripts of two.
ROBUST_VIDEO_MATTING = WeightsFile(
    "RobustVideoMatting (GPL-3.0)",
    ("rvm_resnet50_fp32.torchscript", "rvm_mobilenetv3_fp32.torchscript"),
    "VHAP_RVM_WEIGHTS",
    "https://github.com/PeterL1n/RobustVideoMatting/releases",
    MappingProxyType(
        {
            "rvm_resnet50_fp32.torchscript": "072adec3c75a1af773ec35d8b595612f8e3472b7a4b8a210684432b493376852",
            "rvm_mobilenetv3_fp32.torchscript": "f01e0c9338b9a6a31b881ea6d4360d70c1e549701b3792e14c9ed88d6196c5a1",
        }
    ),
)
# Release v1.0.0, as registered in github.com/nkkbr/Wan2.2-Animate-H200 (docs/optimization6/benchmark/
# external_model_registry.step02.json). No SHA-256 of the resnet101 file was found.
BACKGROUND_MATTING = WeightsFile(
    "BackgroundMattingV2 (MIT)",
    ("torchscript_resnet101_fp32.pth", "torchscript_resnet50_fp32.pth", "torchscript_mobilenetv2_fp32.pth"),
    "VHAP_BMV2_WEIGHTS",
    "https://github.com/PeterL1n/BackgroundMattingV2/releases",
    MappingProxyType(
        {
            "torchscript_resnet50_fp32.pth": "c22fe27f627c04122cd44a3476315eb2fcb06a8d8ff2803ac610c1dd6d4de2a7",
            "torchscript_mobilenetv2_fp32.pth": "6d449e8a0445438491cf07c03a6e86f21df2b3aa2dc630d9430347fcb807aae4",
        }
    ),
)
STAR_CHECKPOINT = WeightsFile(
    "STAR", ("300W_STARLoss_NME_2_87.pkl",), "VHAP_STAR_WEIGHTS", "https://github.com/ZhenglinZhou/STAR"
)
FACE_PARSING = WeightsFile(
    "face-parsing.PyTorch (MIT)",
    ("79999_iter.pth",),
    "VHAP_FACE_PARSING_WEIGHTS",
    "https://github.com/zllrunning/face-parsing.PyTorch",
)
SELFIE_MULTICLASS = WeightsFile(
    "MediaPipe's multiclass selfie segmentation (Apache-2.0)",
    ("selfie_multiclass_256x256.tflite",),
    "VHAP_SELFIE_MULTICLASS",
    "https://ai.google.dev/edge/mediapipe/solutions/vision/image_segmenter",
)

ANOTHER_MATTING = "take --matting_method mediapipe_video, which needs no weights"


def find_weights(weights: WeightsFile, option: Path | None = None, *, otherwise: str) -> Path:
    """The option's file, else the environment variable's, else the first in the cache folder.

    otherwise: what does without these weights, for the InputError where there are none.
    """
    named = [(option, "the option"), (os.environ.get(weights.variable) or None, weights.variable)]
    for given, origin in named:
        if given is not None:
            path = Path(given).expanduser()
            if not path.is_file():
                raise InputError(
                    f"expected the weights of {weights.network} at {path} ({origin}), found none; correct it, or "
                    f"{otherwise}"
                )
            return path
    folder = weights_folder()
    for name in weights.files:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"expected the weights of {weights.network} in {folder}, found none; get {' or '.join(weights.files)} from "
        f"{weights.url} and put it there, name it in {weights.variable}, or {otherwise}"
    )


def weights_if_there(weights: WeightsFile, option: Path | None = None) -> Path | None:
    """As `find_weights`, None where none are named or in the cache folder. InputError where a named file is missing."""
    is_named = option is not None or bool(os.environ.get(weights.variable))
    if is_named or any((weights_folder() / name).is_file() for name in weights.files):
        return find_weights(weights, option, otherwise="name none")
    return None


def require_known(weights: WeightsFile, path: Path, content: bytes) -> None:
    """InputError for a file that is none of the published ones, byte for byte."""
    found = hashlib.sha256(content).hexdigest()
    if found in weights.published.values():
        return
    unlisted = [name for name in weights.files if name not in weights.published]
    note = f" (the SHA-256 of {', '.join(unlisted)} is not known here)" if unlisted else ""
    raise InputError(
        f"expected {' or '.join(weights.published)} as {weights.network} published it{note}, found another file at "
        f"{path} (SHA-256 {found}); TorchScript is a program: loading it can write files and run operators on this "
        "machine; get the published file, or give --allow_unknown_weights if you trust this one"
    )
