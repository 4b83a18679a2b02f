"""The subject that pictures are of, and its finished runs."""

from __future__ import annotations

from pathlib import Path

from vhap.config.loading import load_config
from vhap.config.track import ModelConfig, TrackConfig
from vhap.data.run_order import runs_in
from vhap.pipeline.relightable_capture import SubjectCapture
from vhap.pipeline.relightable_files import RUNS
from vhap.pipeline.run_folder import finished_run
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.commands import command
from vhap.util.errors import InputError


def subject_of_pictures(pictures: Path, option: str) -> SubjectFolder:
    """option: which names the folder of pictures. InputError where it is not that of a subject."""
    subject = SubjectFolder(pictures.absolute().parent)
    if not pictures.is_dir() or subject.image_folder.resolve() != pictures.resolve():
        found = "another folder" if pictures.is_dir() else "no folder"
        raise InputError(
            f"expected a subject's folder of pictures for {option}, as SUBJECT/image, found {found} at {pictures}; cut "
            f"a video into one by `{command('crop-and-matting')}`"
        )
    return subject


def finished_subject_run(
    subject: SubjectFolder, capture: SubjectCapture, model: ModelConfig | None = None
) -> Path | None:
    """The newest finished run of these pictures, by the FLAME file of model where that is given; None without one."""
    for folder in reversed(runs_in(subject.path / RUNS)):
        try:
            made = load_config(folder / "config.yml", TrackConfig)
        except InputError:
            continue
        is_head = model is None or made.model.flame_model_path == model.flame_model_path
        if is_head and made.data.sequence == capture.path.name and finished_run(made) == folder:
            return folder
    return None
