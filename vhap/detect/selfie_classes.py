"""MediaPipe's multiclass selfie segmentation (Apache-2.0): six parts of people. Its file is not in the wheel."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from vhap.detect.mediapipe_networks import mediapipe_module, starting_networks
from vhap.detect.weights import SELFIE_MULTICLASS
from vhap.util.errors import InputError
from vhap.util.files import read_bytes

PARTS = ("background", "hair", "body-skin", "face-skin", "clothes", "others")
"""In the order of the network's outputs; others are accessories."""
TFLITE_MARK = b"TFL3"


class SelfieClasses:
    """One picture at a time, no state between them."""

    def __init__(self, path: Path) -> None:
        """InputError for a file that is not this network."""
        content = read_bytes(path, f"the weights of {SELFIE_MULTICLASS.network}")
        self._mediapipe = mediapipe_module()
        self._segmenter = _opened(path, content)
        found = len(self._masks(np.zeros((64, 64, 3), np.uint8)))
        if found != len(PARTS):
            raise _other_file(path, f"a network of {found} outputs, not {len(PARTS)}")

    def shares(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W, 6) float32 probabilities of PARTS."""
        return np.stack([mask.numpy_view() for mask in self._masks(picture)], -1)

    def _masks(self, picture: np.ndarray) -> list[Any]:
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        return self._segmenter.segment(image).confidence_masks


def _opened(path: Path, content: bytes) -> Any:
    tasks = mediapipe_module("mediapipe.tasks.python")
    metadata = mediapipe_module("mediapipe.tasks.python.metadata.metadata")
    # A network without metadata ends the process inside MediaPipe.
    if content[4:8] != TFLITE_MARK:
        raise _other_file(path, "no TFLite network")
    try:
        metadata.MetadataDisplayer.with_model_buffer(content)
        options = tasks.vision.ImageSegmenterOptions(
            base_options=tasks.BaseOptions(model_asset_buffer=content),
            output_category_mask=False,
            output_confidence_masks=True,
        )
        with starting_networks(), warnings.catch_warnings():
            # MediaPipe's own use of protobuf.
            warnings.filterwarnings("ignore", "MessageFactory class is deprecated", UserWarning)
            return tasks.vision.ImageSegmenter.create_from_options(options)
    # MediaPipe and flatbuffers raise almost any exception on damaged files; all of them mean the same here.
    except Exception as error:
        if isinstance(error, InputError):
            raise
        raise _other_file(path, "another network or a damaged file") from error


def _other_file(path: Path, found: str) -> InputError:
    return InputError(
        f"expected {SELFIE_MULTICLASS.network} in {path}, found {found}; get {SELFIE_MULTICLASS.files[0]} from "
        f"{SELFIE_MULTICLASS.url}, or remove it: parsing works without it"
    )
