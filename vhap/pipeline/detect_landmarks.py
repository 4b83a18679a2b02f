"""Landmarks of a sequence folder."""

from __future__ import annotations

from pathlib import Path

from vhap.config.detect import DetectConfig
from vhap.data.rig_recording import find_rig_recording
from vhap.data.sequence_folder import find_folder, open_sequence
from vhap.detect.landmarks import ensure_landmarks, ensure_rig_landmarks
from vhap.detect.person import person_options
from vhap.pipeline.preprocess_rig import require_no_person
from vhap.util.lock import folder_lock


def run(config: DetectConfig) -> Path:
    """Completes the landmark files and returns the folder they are in. Raises InputError like ensure_landmarks."""
    folder = find_folder(config.input.parent, config.input.name) if not config.input.is_dir() else config.input
    folder = folder.resolve()
    whom = person_options(config.person)
    options = (config.landmark_source, config.landmark_detector_njobs, config.reuse_landmarks, config.device)
    with folder_lock(folder):
        if recording := find_rig_recording(folder):
            require_no_person(config.person, list(recording.images))
            ensure_rig_landmarks(recording, *options)
        else:
            ensure_landmarks(open_sequence(folder.parent, folder.name), *options, options=whom)
    return folder / "landmark2d"
