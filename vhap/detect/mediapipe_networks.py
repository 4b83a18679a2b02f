"""MediaPipe's networks, which come inside its wheel, started without a dozen lines about what they were built from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from vhap.util.optional import import_or_explain
from vhap.util.quiet_stderr import stderr_without

GREETINGS = ("absl::InitializeLog()", "inference_feedback_manager", "TensorFlow Lite XNNPACK delegate")


@contextlib.contextmanager
def starting_networks() -> Iterator[Any]:
    """MediaPipe's `solutions`, to make networks from; InputError where the package is missing."""
    import_or_explain("cv2", "pip install opencv-contrib-python")
    solutions = import_or_explain("mediapipe", "pip install mediapipe==0.10.21").solutions
    with stderr_without(*GREETINGS):
        yield solutions


def started(network: Any) -> Any:
    """The network after a first, empty picture: it opens in threads of its own, and until then may still speak."""
    network.process(np.zeros((64, 64, 3), np.uint8))
    return network
