"""Where things lie: the project's asset folder, the user's caches. Never relative to the working directory."""

from __future__ import annotations

import os
from pathlib import Path

ASSET_FOLDER = Path(__file__).resolve().parents[2] / "asset"


def cache_folder() -> Path:
    """`VHAP_CACHE`, else `$XDG_CACHE_HOME/vhap`, else `~/.cache/vhap`. Not created here."""
    if override := os.environ.get("VHAP_CACHE"):
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "vhap"


def weights_folder() -> Path:
    """Where neural weights are looked for when neither an option nor an environment variable names them."""
    return cache_folder() / "weights"
