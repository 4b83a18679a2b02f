"""The subject that pictures are of, and its finished runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vhap.config.loading import load_config
from vhap.config.track import TrackConfig
from vhap.data.results import load_result, result_path
from vhap.data.run_order import runs_in
from vhap.pipeline.relightable_capture import FOLDER, SubjectCapture
from vhap.pipeline.relightable_files import RUNS, written_run
from vhap.pipeline.run_folder import is_finished
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.commands import command
from vhap.util.errors import InputError

ALBEDO_RUNS = "albedo_track"
"""Of a subject: the output folder of tracking where extract_albedo.py finds no run. Readers of optimize.py's look
elsewhere."""


def subject_of_pictures(pictures: Path, option: str) -> SubjectFolder:
    """option: which names the folder of pictures. InputError where it is not that of a subject."""
    # Runs are found again by their options, whatever folder the command is given in.
    subject = SubjectFolder(Path(os.path.abspath(pictures)).parent)
    if not pictures.is_dir() or subject.image_folder.resolve() != pictures.resolve():
        found = "another folder" if pictures.is_dir() else "no folder"
        raise InputError(
            f"expected a subject's folder of pictures for {option}, as SUBJECT/image, found {found} at {pictures}; cut "
            f"a video into one by `{command('crop-and-matting')}`"
        )
    return subject


def has_runs(subject: SubjectFolder) -> bool:
    """Whether there is any run of the subject, finished or not."""
    return any(runs_in(subject.path / output) for output in (RUNS, ALBEDO_RUNS))


def finished_subject_run(subject: SubjectFolder, capture: SubjectCapture, head: str | None = None) -> Path | None:
    """The finished run of these pictures that the subject's tracked_params.json is of, else the newest one, by whatever
    points, of a head with this identity where one is given; None without one. Those of optimize.py come before that of
    extract_albedo.py."""
    recordings = (subject.path / FOLDER).resolve()
    runs = [folder for output in (RUNS, ALBEDO_RUNS) for folder in reversed(runs_in(subject.path / output))]
    # Options that were given before find their run again, and its files are written anew, however many are newer.
    written = written_run(subject)
    for folder in sorted(runs, key=lambda folder: folder != written):
        shown = _recording(folder)
        is_these = shown is not None and shown.name == capture.path.name and shown.parent.parent == recordings
        if is_these and is_finished(folder) and head in (None, load_result(result_path(folder)).head_identity):
            return folder
    return None


def _recording(run: Path) -> Path | None:
    """What a run shows; None where it is not there, or where no run is."""
    try:
        data = load_config(run / "config.yml", TrackConfig).data
    except InputError:
        return None
    path = (Path(data.root_folder) / data.sequence).resolve()
    return path if path.is_dir() else None


def finished_runs(output: Path) -> Iterator[Path]:
    """The finished runs in an output folder of tracking, the newest first."""
    return (folder for folder in reversed(runs_in(output)) if is_finished(folder))
