"""Starting Warp, whose kernels draw heads and correct colours."""

from __future__ import annotations

import os
import sys
import tempfile

import warp as wp


def start_quietly() -> None:
    """Starts Warp without its greeting and without its warning on machines that have no CUDA driver."""
    if hasattr(wp.config, "log_level"):
        wp.config.log_level = wp.LOG_WARNING
    else:
        wp.config.quiet = True  # pyright: ignore[reportAttributeAccessIssue]
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        caught.seek(0)
        lines = caught.read().decode(errors="replace").splitlines(keepends=True)
    sys.stderr.write("".join(line for line in lines if "NVIDIA CUDA driver" not in line))
