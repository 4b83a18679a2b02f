"""How the CPU's kernels of this layer are compiled."""

from __future__ import annotations

from types import ModuleType

import warp as wp

from vhap.util.quiet_warp import start_quietly

WIDEST = "-mprefer-vector-width=512"


def use_widest_vectors(module: ModuleType) -> None:
    """For a module of kernels without gradients, before it declares them."""
    start_quietly()
    wp.set_module_options({"enable_backward": False}, module)
    if hasattr(wp.config, "cpu_compiler_flags"):
        # Compilers take half of a processor's widest vectors unless told; here every sum is of whole ones.
        wp.set_module_options(
            {"cpu_compiler_flags": f"{wp.config.cpu_compiler_flags or '-march=native'} {WIDEST}"}, module
        )
