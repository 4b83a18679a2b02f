"""Head tracking: from a video of a head to a dataset that a neural avatar trains on."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

# OpenMP's threads spin at the end of every small operation while they wait for each other. Beside another busy process
# that makes a photometric step several times slower than sleeping does (doc/benchmarks.md). The setting is read when
# torch is loaded, so it has to come first; a user's own counts.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from vhap.util.versions import version

    return version()
