"""One person in several sequences: solved once from all, then followed through each with that person fixed."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vhap.config.data import DataConfig, NersembleDataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.person import PersonConfig, check_person_options, sequence_config, with_person
from vhap.config.report import ReportConfig
from vhap.config.track import with_known_occlusions
from vhap.data.joined import JoinedCapture
from vhap.data.results import load_result, result_path
from vhap.data.sequence_folder import find_folder
from vhap.evaluate.evaluation_file import EVALUATION
from vhap.pipeline import evaluate_tracking, report, track
from vhap.pipeline.batch_manifest import aligned
from vhap.pipeline.batch_sources import clean
from vhap.pipeline.captures import complete_capture
from vhap.pipeline.estimate import describe
from vhap.pipeline.heads import resolved
from vhap.pipeline.person_run import finished_person, keyframe_tracker, person_stages, solve_person
from vhap.pipeline.track_checks import check_options
from vhap.util.errors import InputError, as_one_line
from vhap.util.files import read_json
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

PERSON = "person"
"""What the person's own folder is called, and a person without a name."""


@dataclass(frozen=True)
class PersonRuns:
    """What became of a person. person: the run folder with the identity; runs: sequence -> its run folder; failed:
    sequence -> why it has none; values: sequence -> frames, landmark error (NME, %) and PSNR of the face (dB)."""

    person: Path
    runs: dict[str, Path] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    values: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    def table(self) -> str:
        """A line a sequence, and why those failed that did."""
        rows = [("sequence", "frames", "NME, %", "face PSNR, dB", "run")]
        for name, folder in self.runs.items():
            frames, nme, psnr = self.values[name]
            rows.append((name, str(frames), f"{nme:.2f}", f"{psnr:.1f}" if math.isfinite(psnr) else "-", str(folder)))
        rows += [(name, "-", "-", "-", "FAILED") for name in self.failed]
        lines = aligned(rows) + [f"{name}: {why}" for name, why in self.failed.items()]
        return "\n".join([*lines, f"person: {self.person}"])


def run(config: PersonConfig, lines: Sequence[str] = ()) -> PersonRuns:
    """Solves the person and follows the sequences; what is finished is kept. lines: for the log, of options that were
    not taken as they were typed.

    A sequence that cannot be read takes no part in the person. One that cannot be read or followed is reported and
    stops no other one. InputError where options are wrong, where no sequence can be read, or where they do not belong
    together.
    """
    check_person_options(config)
    check_options(sequence_config(config, config.sequences[0], config.exp.output_folder))
    track.warn(list(lines))
    config = spelt_out(config)
    place, subject = config.exp.output_folder, subject_of(config)
    own = of_person_alone(config, place / f"{subject}_{PERSON}")
    if config.dry_run:
        device, joined = track.choose_device(config.device), joined_of(config)
        head = track.open_textured_head(own, joined.landmark_set, device)
        describe(keyframe_tracker(own, joined, head, device), person_stages(own))
        return PersonRuns(own.exp.output_folder)
    with folder_lock(own.exp.output_folder):
        known = None if config.exp.resume == "never" else finished_person(own)
        person = known or solve_person(own, joined_of(config))
    done = PersonRuns(person)
    for name in () if config.person_only else config.sequences:
        try:
            folder = follow(config, name, place / run_name(subject, name), result_path(person))
            done.runs[name], done.values[name] = folder, measured(folder)
        except InputError as error:
            done.failed[name] = as_one_line(str(error))
        # Whatever is wrong with one sequence, the others are followed.
        except Exception as error:
            get_logger().warning("%s", traceback.format_exc())
            done.failed[name] = as_one_line(f"{type(error).__name__}: {error}")
        if name in done.failed:
            get_logger().warning("%s: FAILED (%s)", name, done.failed[name])
    return done


def spelt_out(config: PersonConfig) -> PersonConfig:
    """The options as config.yml keeps them: the head's files and the recordings by their whole names, and what counts
    as hidden. InputError where a recording's folder is not there."""
    data, names = config.data, config.sequences
    if isinstance(data, NersembleDataConfig):
        names = tuple(name.rstrip("/") for name in names)
    else:
        folders = [find_folder(data.root_folder, name) for name in names]
        names = tuple(str(folder.relative_to(data.root_folder)) for folder in folders)
    config = replace(config, sequences=names, data=replace(data, sequence=names[0]), model=resolved(config.model))
    subject = subject_of(config)
    folders = [run_name(subject, name) for name in names]
    if twice := next((name for name in folders if [*folders, f"{subject}_{PERSON}"].count(name) > 1), None):
        raise InputError(
            f"expected a folder of results for each sequence and for the person, found {twice} twice; name each "
            "sequence once, and none as that"
        )
    return replace(config, model=with_known_occlusions(config).model)


def of_person_alone(config: PersonConfig, folder: Path) -> PersonConfig:
    """The options with which a person is solved: those that change nothing of it as they are by default."""
    exp = replace(config.exp, output_folder=folder, report=True)
    model = replace(config.model, use_dynamic_offset=False)
    return replace(config, exp=exp, model=model, person_only=False)


def joined_of(config: PersonConfig) -> JoinedCapture:
    """The sequences that can be read, as one recording. InputError where none can."""
    names, captures, why = [], [], []
    for name in config.sequences:
        try:
            captures.append(complete_capture(replace(config.data, sequence=name), config.exp.reuse_landmarks))
            names.append(name)
        except InputError as error:
            why.append(f"{name}: {as_one_line(str(error))}")
            get_logger().warning("takes no part in the person: %s", why[-1])
    if not names:
        raise InputError(f"expected sequences that can be read, found none of {len(config.sequences)} ({why[0]})")
    return JoinedCapture(names, captures)


def follow(config: PersonConfig, sequence: str, folder: Path, person: Path) -> Path:
    """The finished run of a sequence with the person of a result, and its page where that is wanted."""
    one = sequence_config(config, sequence, folder)
    solved = isinstance(one.data, DataConfig) and load_result(person).focal_length is not None
    run_folder = track.run_once(with_person(one, person, with_focal=solved))
    if config.exp.report and not (run_folder / "report.html").is_file():
        report.run(ReportConfig(run_folder))
    return run_folder


def measured(folder: Path) -> tuple[int, float, float]:
    """Frames, landmark error (NME, %) and PSNR of the face (dB) of a run; NaN where there is none."""
    path = folder / EVALUATION
    if not path.is_file():
        path = evaluate_tracking.run(EvaluateConfig(folder))
    values = read_json(path, dict)
    nme, psnr = (values.get(name) for name in ("landmark_nme_percent", "psnr_face_db"))
    return int(values["frames"]), math.nan if nme is None else nme, math.nan if psnr is None else psnr


def subject_of(config: PersonConfig) -> str:
    """With which the folders of a person's results begin."""
    if isinstance(config.data, NersembleDataConfig):
        return clean(config.data.subject.zfill(3))
    if config.subject:
        return clean(config.subject)
    before = {Path(name).name.partition("_")[0] for name in config.sequences if "_" in Path(name).name}
    return (
        clean(before.pop()) if len(before) == 1 and all("_" in Path(name).name for name in config.sequences) else PERSON
    )


def run_name(subject: str, sequence: str) -> str:
    """SUBJECT_SEQUENCE, as batches name them."""
    name = clean(Path(sequence).name)
    return name if name == subject or name.startswith(f"{subject}_") else f"{subject}_{name}"
