"""Combining: makes one dataset of several exports of a person."""

from __future__ import annotations

from pathlib import Path

from vhap.config.export import CombineConfig
from vhap.export.union import combine_exports


def run(config: CombineConfig) -> Path:
    """Combines exports. Returns the union's folder."""
    return combine_exports(config.src_folders, config.tgt_folder, config.division_mode)
