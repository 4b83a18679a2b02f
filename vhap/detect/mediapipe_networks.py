"""MediaPipe's networks, which come inside its wheel, started without a dozen lines about what they were built from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain
from vhap.util.quiet_stderr import stderr_without

INSTALL = (
    "pip install mediapipe==0.10.21, which wants Python 3.10 to 3.12 and numpy 1.26, or do without: landmarks by "
    "--landmark_source face-alignment or by files of yours, mattes by --matting_method input, background_difference, "
    "robust_video_matting or none"
)
"""What helps where MediaPipe is missing; it is no requirement where it has no wheel (doc/packaging.md)."""
GREETINGS = ("absl::InitializeLog()", "inference_feedback_manager", "TensorFlow Lite XNNPACK delegate")


def mediapipe_module(name: str = "mediapipe") -> Any:
    """MediaPipe or a module of it, whose attributes have no types; InputError where the package is missing."""
    return import_or_explain(name, INSTALL)


@contextlib.contextmanager
def starting_networks() -> Iterator[Any]:
    """MediaPipe's `solutions`, to make networks from; InputError where the package is missing, or is a release that has
    none."""
    import_or_explain("cv2")
    mediapipe = mediapipe_module()
    solutions = getattr(mediapipe, "solutions", None)
    if solutions is None:
        found = getattr(mediapipe, "__version__", "another release")
        raise InputError(f"expected mediapipe 0.10.21, which has its networks inside, found {found}; {INSTALL}")
    with stderr_without(*GREETINGS):
        yield solutions


def started(network: Any) -> Any:
    """The network after a first, empty picture: it opens in threads of its own, and until then may still speak."""
    network.process(np.zeros((64, 64, 3), np.uint8))
    return network
