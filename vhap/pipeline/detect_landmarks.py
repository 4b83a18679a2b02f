"""Landmarks of a sequence folder."""

from __future__ import annotations

from pathlib import Path

from vhap.config.detect import DetectConfig
from vhap.data.sequence_folder import find_folder, open_sequence
from vhap.detect.landmarks import ensure_landmarks


def run(config: DetectConfig) -> Path:
    """Completes the landmark files and returns the folder they are in. Raises InputError like ensure_landmarks."""
    folder = find_folder(config.input.parent, config.input.name) if not config.input.is_dir() else config.input
    folder = folder.resolve()
    sequence = open_sequence(folder.parent, folder.name)
    files = ensure_landmarks(
        sequence, config.landmark_source, config.landmark_detector_njobs, config.reuse_landmarks, config.device
    )
    return files[0].parent
