"""Starting Warp, whose kernels draw heads and correct colours."""

from __future__ import annotations

import warp as wp

from vhap.util.quiet_stderr import stderr_without


def start_quietly() -> None:
    """Starts Warp without its greeting and without its warning on machines that have no CUDA driver."""
    if hasattr(wp.config, "log_level"):
        wp.config.log_level = wp.LOG_WARNING
    else:
        wp.config.quiet = True  # pyright: ignore[reportAttributeAccessIssue]
    with stderr_without("NVIDIA CUDA driver"):
        wp.init()
