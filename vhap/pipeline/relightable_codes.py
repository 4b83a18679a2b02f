"""DECA's codes of a subject's pictures: from the run of optimize.py where it is there, else from a quick fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vhap.config.data import DataConfig
from vhap.config.relightable import ReconstructConfig
from vhap.config.track import ExperimentConfig, ModelConfig, MonocularTrackConfig
from vhap.data.pictures import some_names
from vhap.data.provenance import Origin, Provenance
from vhap.evaluate.jpeg import write_jpeg
from vhap.pipeline import track
from vhap.pipeline.heads import configured_head, resolved
from vhap.pipeline.relightable_capture import SubjectCapture, subject_capture
from vhap.pipeline.relightable_files import SubjectRun, open_subject_run, shown_picture
from vhap.pipeline.relightable_runs import finished_subject_run, subject_of_pictures
from vhap.relightable.deca_codes import face_square
from vhap.relightable.head_files import CODE_SIZES, HeadCode, codes_text, read_codes
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.errors import InputError
from vhap.util.files import write_bytes
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain
from vhap.util.progress import progress

OF_DECA = "deca"
SQUARE_PX = 224


def run(config: ReconstructConfig) -> Path:
    """Writes code.json and the pictures asked for. Returns code.json, or the savefolder where no code is written."""
    subject = subject_of_pictures(config.inputpath, "-i")
    target = codes_file(config.savefolder)
    model = model_options(config)
    with folder_lock(subject.path):
        capture = subject_capture(subject)
        folder = finished_subject_run(subject, capture, configured_head(model).identity)
        if folder is not None:
            get_logger().info("codes of the run %s", folder)
        folder = folder or quick_fit(config, capture, model)
        tracked = open_subject_run(folder, capture.names, with_translation=True)
        chosen = tracked.written.names[:: config.sample_step]
        with torch.no_grad():
            if config.saveVis:
                write_pictures(config, subject, tracked, chosen)
            if config.saveCode:
                codes = tracked.codes()
                keep_codes(subject, target, {name: codes[name] for name in chosen}, Origin(capture.path.name))
                get_logger().info("%d codes in %s", len(chosen), target)
    return target if config.saveCode else config.savefolder


def keep_codes(subject: SubjectFolder, target: Path, codes: Mapping[str, HeadCode], origin: Origin) -> None:
    """Writes the file, and what it was made of into the subject's record; one that is the same already is left."""
    content, record = codes_text(codes).encode(), Provenance(subject.path)
    is_there = target.is_file() and target.read_bytes() == content
    if not is_there or record.origins({"": target}).get("") != origin:
        record.write(target, origin, lambda path: write_bytes(path, content))


def has_codes(subject: SubjectFolder) -> bool:
    """Whether the subject's code.json is of its pictures as they are now: by our record, or, if another tool wrote it,
    by the pictures' names, of which there has to be a code for each. A line in the log where it is not."""
    if not subject.codes.is_file():
        return False
    names, made_from = subject_capture(subject).path.name, Provenance(subject.path).origins({"": subject.codes})
    if made_from:
        found = "those of other pictures" if made_from[""].source != names else ""
    else:
        codes = {Path(name).stem for name in read_codes(subject.codes)}
        without = [name for name in subject.pictures() if Path(name).stem not in codes]
        found = f"another tool's without {len(without)} of the pictures ({some_names(without)})" if without else ""
    if found:
        get_logger().warning("codes in %s are %s: they are made anew", subject.codes, found)
    return not found


def codes_file(savefolder: Path) -> Path:
    """DECA removes its name from savefolder's last part, which makes SUBJECT/deca the subject's folder. In the parts
    above, which may be anybody's, the name stays."""
    name = savefolder.name.replace(OF_DECA, "")
    return (savefolder.with_name(name) if name else savefolder.parent) / "code.json"


def model_options(config: ReconstructConfig) -> ModelConfig:
    """Resolved; InputError where the head is not FLAME."""
    model = resolved(
        ModelConfig(
            head=config.head,
            flame_model_path=config.flame_model_path,
            n_shape=CODE_SIZES["shape"],
            n_expr=CODE_SIZES["exp"],
            use_static_offset=False,
        )
    )
    if model.head != "flame":
        raise InputError(
            f"expected FLAME for code.json, whose readers pose FLAME, found the head {model.head}; name FLAME's file "
            "by --flame_model_path or VHAP_FLAME_MODEL"
        )
    return model


def quick_fit(config: ReconstructConfig, capture: SubjectCapture, model: ModelConfig) -> Path:
    """Each picture by its landmarks, nothing taken to move little from one to the next; one shape."""
    exp = ExperimentConfig(Path(os.path.abspath(config.savefolder)), photometric=False, report=False)
    data = DataConfig(
        root_folder=capture.path.parent,
        sequence=capture.path.name,
        landmark_source=capture.landmark_source,
        background_color=capture.background,
        unordered=True,
    )
    return track.run_once(MonocularTrackConfig(data=data, exp=exp, model=model, device=config.device))


def write_pictures(
    config: ReconstructConfig, subject: SubjectFolder, tracked: SubjectRun, chosen: Sequence[str]
) -> None:
    """savefolder/NAME_vis.jpg: the head over the picture, or over the face's square. Those of this run are left."""
    record = Provenance(subject.path)
    made_from = replace(tracked.origin(), options={"whole": str(config.render_orig)})
    targets = {name: config.savefolder / f"{Path(name).stem}_vis.jpg" for name in chosen}
    done = record.origins({name: path for name, path in targets.items() if path.is_file()})
    rows = [row for row, name in enumerate(tracked.written.names) if name in targets and done.get(name) != made_from]
    points = tracked.points()
    for row in progress(rows, "pictures"):
        picture = shown_picture(tracked, row)
        if not config.render_orig:
            picture = cut_square(picture, tracked.written.camera.project(points[row].double())[0].numpy()[:68])
        record.write(targets[tracked.written.names[row]], made_from, partial(write_jpeg, picture=picture))


def cut_square(picture: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    """(224, 224, 3): the face's square, black beyond the picture."""
    cv2 = import_or_explain("cv2")
    centre, side = face_square(points_px)
    scale = SQUARE_PX / side
    # Pixel centres lie at half integers.
    shift = SQUARE_PX / 2 - scale * centre + (scale - 1) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(picture, matrix, (SQUARE_PX, SQUARE_PX), flags=cv2.INTER_LINEAR)
