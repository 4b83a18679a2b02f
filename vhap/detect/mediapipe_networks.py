"""MediaPipe itself, for the one network that is read by its own runtime (`selfie_classes`), started without a dozen
lines about what it was built from. The networks inside its wheel run in torch (`networks/`)."""

from __future__ import annotations

import contextlib
from typing import Any

from vhap.util.optional import import_or_explain
from vhap.util.quiet_stderr import stderr_without

INSTALL = (
    "pip install mediapipe==0.10.21, which wants Python 3.10 to 3.12 and numpy 1.26, or take selfie_multiclass out of "
    "the weights' folder: parsing works without it"
)
"""What helps where MediaPipe is missing; it is no requirement where it has no wheel (doc/packaging.md)."""
GREETINGS = ("absl::InitializeLog()", "inference_feedback_manager", "TensorFlow Lite XNNPACK delegate")


def mediapipe_module(name: str = "mediapipe") -> Any:
    """MediaPipe or a module of it, whose attributes have no types; InputError where the package is missing."""
    return import_or_explain(name, INSTALL)


def starting_networks() -> contextlib.AbstractContextManager[None]:
    """Within it MediaPipe says nothing of how its networks start."""
    return stderr_without(*GREETINGS)
