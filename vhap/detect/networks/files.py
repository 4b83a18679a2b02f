"""Files of MediaPipe's networks (Apache-2.0): inside an installed mediapipe wheel, or where `vhap fetch-models` keeps
them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.files import read_bytes
from vhap.util.paths import weights_folder

if TYPE_CHECKING:
    from vhap.detect.networks.network import Network

RELEASE = "0.10.21"
"""Of mediapipe: the last one whose wheel has the networks inside."""
FILES: dict[str, tuple[str, str]] = {
    "face_detection_short_range.tflite": (
        "mediapipe/modules/face_detection",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "face_detection_full_range_sparse.tflite": (
        "mediapipe/modules/face_detection",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    ),
    "face_landmark_with_attention.tflite": (
        "mediapipe/modules/face_landmark",
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
    ),
    "selfie_segmentation.tflite": (
        "mediapipe/modules/selfie_segmentation",
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    ),
    "selfie_segmentation_landscape.tflite": (
        "mediapipe/modules/selfie_segmentation",
        "a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
    ),
}
"""Name -> folder inside the wheel, and SHA-256."""


def find_network(name: str) -> Path:
    """The file of a network; InputError where there is none."""
    candidates = [weights_folder() / name]
    if (packages := _packages()) is not None:
        candidates.insert(0, packages / FILES[name][0] / name)
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise InputError(
            f"expected MediaPipe's network {name} in {weights_folder()} or in an installed mediapipe {RELEASE}, found "
            f"none; {command('fetch-models')} gets it"
        )
    return found


def open_network(name: str, device: object = "cpu") -> Network:
    """A network ready for inference; threads may share it. InputError where its file is missing or another one."""
    return _opened(name, find_network(name), str(device))


def is_published(name: str, content: bytes) -> bool:
    """Whether it is the published file, byte for byte."""
    return hashlib.sha256(content).hexdigest() == FILES[name][1]


def require_published(name: str, content: bytes, path: str | Path) -> None:
    """InputError for another or a damaged file."""
    if not is_published(name, content):
        found = hashlib.sha256(content).hexdigest()
        raise InputError(
            f"expected {name} as mediapipe {RELEASE} has it in {path}, found another or a damaged file of "
            f"{len(content)} bytes (SHA-256 {found}); {command('fetch-models')} gets the right one"
        )


@functools.cache
def _opened(name: str, path: Path, device: str) -> Network:
    from vhap.detect.networks.network import load_network

    content = read_bytes(path, f"MediaPipe's network {name}")
    require_published(name, content, path)
    return load_network(content, path, device)


def _packages() -> Path | None:
    """The folder that has mediapipe in it, without importing it: that takes seconds, and libraries that may lack."""
    try:
        spec = importlib.util.find_spec("mediapipe")
    except ValueError:
        return None
    places = list(spec.submodule_search_locations or []) if spec else []
    return Path(places[0]).parent if places else None
