"""The steps of a batch: which there are, what each waits for, its command, and whether it is finished."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from vhap.config.batch import Manifest, SequenceEntry, StepName, SubjectEntry
from vhap.data.results import result_path
from vhap.data.run_order import runs_in
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json

TRACKING = {
    "video": "track",
    "pictures": "track",
    "multiview": "track-multiview",
    "single_frame": "track-single-frame",
    "nersemble": "track-nersemble",
    "nersemble_v2": "track-nersemble-v2",
}
STATE, LOGS, PERSONS = "state", "logs", "persons"
"""Folders of the results; PERSONS: of the persons that are solved together."""
OF_ONE_CAMERA = ("video", "pictures")


@dataclass(frozen=True)
class Step:
    """name: what is done. target: the sequence's id; of a person and of a union the subject. after: keys of steps that
    it needs; ended: of steps that must have ended, whether they are finished or failed."""

    name: StepName
    target: str
    after: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.target}.{self.name}"


class Steps:
    """All steps of a manifest in the order in which they are best begun."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.sequences: Mapping[str, SequenceEntry] = {entry.id: entry for entry in manifest.sequences}
        self.subjects: Mapping[str, SubjectEntry] = {entry.subject: entry for entry in manifest.subjects}
        self.members: dict[str, list[str]] = {}
        for entry in manifest.sequences:
            self.members.setdefault(entry.subject, []).append(entry.id)

    @cached_property
    def all(self) -> dict[str, Step]:
        """By keys. Whoever gives a person its identity comes before the others of that person."""
        steps: list[Step] = []
        for subject, members in self.members.items():
            leader = self.subjects[subject].identity_from
            if self.is_together(subject):
                first = [step for name in members for step in self._before_tracking(self.sequences[name])]
                steps += [*first, Step("person", subject, ended=tuple(step.key for step in first))]
            for name in sorted(members, key=lambda member: member != leader):
                steps += self._of_sequence(self.sequences[name])
            if self.has_union(subject):
                steps.append(Step("union", subject, tuple(f"{name}.export" for name in members)))
        return {step.key: step for step in steps}

    def _of_sequence(self, entry: SequenceEntry) -> list[Step]:
        first = self._before_tracking(entry)
        needed = [step.key for step in first]
        if self.is_together(entry.subject):
            needed.append(f"{entry.subject}.person")
        elif leader := self.leader(entry):
            needed.append(f"{leader}.track")
        track = Step("track", entry.id, tuple(needed))
        return [*first, track, Step("export", entry.id, (track.key,))]

    def _before_tracking(self, entry: SequenceEntry) -> list[Step]:
        # A static avatar's pictures need no preparation.
        return [] if entry.kind == "single_frame" else [Step("preprocess", entry.id)]

    def is_together(self, subject: str) -> bool:
        """Whether a person is solved from several sequences at once."""
        is_wanted = self.manifest.share_identity and self.subjects[subject].together
        return is_wanted and len(self.members[subject]) > 1

    def leader(self, entry: SequenceEntry) -> str | None:
        """Whose identity a sequence gets; None: its own."""
        leader = self.subjects[entry.subject].identity_from if self.manifest.share_identity else None
        return None if leader == entry.id else leader

    def has_union(self, subject: str) -> bool:
        """Where a person has several sequences, exported as datasets that can be combined."""
        members = self.members[subject]
        words = [word for name in members for word in self._typed("export", self.sequences[name])]
        layouts = {value for option, value in pairwise(words) if option == "--layout"}
        return len(members) > 1 and layouts <= {"gaussian_avatars", "nerf"}

    def named(self, name: StepName, target: str) -> Step:
        """InputError where the manifest has no such step."""
        step = self.all.get(f"{target}.{name}")
        if step is None:
            targets = sorted(step.target for step in self.all.values() if step.name == name)
            raise InputError(
                f"expected a target of the step {name}, found {target!r} (there are: {', '.join(targets[:6]) or 'none'}"
                "); correct it, or the manifest"
            )
        return step

    def log(self, step: Step) -> Path:
        return self.manifest.results / LOGS / f"{step.key}.log"

    def mark(self, step: Step) -> Path:
        """The file that says that a step is finished."""
        return self.manifest.results / STATE / f"{step.key}.json"

    def command(self, step: Step) -> list[str]:
        """All words of a step's command. InputError where it needs a result that is not there."""
        started = self.manifest.command or (sys.executable, "-m", "vhap")
        return [*started, *self.words(step)]

    def words(self, step: Step, with_identity: bool = True) -> list[str]:
        """The command's name and options. with_identity: False leaves out the result of the one who is tracked first,
        which need not be there."""
        if step.name == "union":
            sources = [str(self.sequences[name].export) for name in self.members[step.target]]
            target = str(self.subjects[step.target].union)
            options = shlex.split(self.manifest.options.union)
            return ["combine-nerf-datasets", "--src_folders", *sources, "--tgt_folder", target, *options]
        if step.name == "person":
            return self._person_words(step.target)
        entry = self.sequences[step.target]
        options = self._typed(step.name, entry)
        if step.name == "preprocess":
            place = [] if entry.frames == entry.source else ["--output_folder", str(entry.frames)]
            return ["preprocess-video", "--input", str(entry.source), *place, *options]
        if step.name == "export":
            places = ["--src_folder", str(entry.run), "--tgt_folder", str(entry.export)]
            return ["export-as-nerf-dataset", *places, *options]
        identity = self._identity(entry, options) if with_identity else []
        places = [*_recording(entry), "--exp.output_folder", str(entry.run)]
        return [TRACKING[entry.kind], *places, *identity, *options]

    def _person_words(self, subject: str) -> list[str]:
        """With the options that the tracking of all sequences has."""
        folders = [self.sequences[name].frames for name in self.members[subject]]
        kind = self.sequences[self.members[subject][0]].kind
        if kind.startswith("nersemble"):
            root = folders[0].parents[2 if kind == "nersemble_v2" else 1]
            names, number = [folder.name for folder in folders], folders[0].relative_to(root).parts[0]
        else:
            root = Path(os.path.commonpath([folder.parent for folder in folders]))
            names, number = [str(folder.relative_to(root)) for folder in folders], subject
        place = ["--exp.output_folder", str(self.manifest.results / PERSONS), "--person_only"]
        typed = shlex.split(self.manifest.options.track)
        recording = ["--data.root_folder", str(root), "--subject", number, "--sequences", *names]
        return ["track-person", *recording, *place, *typed]

    def _identity(self, entry: SequenceEntry, typed: list[str]) -> list[str]:
        """The options that fix the person of a sequence."""
        leader = self.leader(entry)
        if self.is_together(entry.subject):
            result = str(self.person_result(entry.subject))
            focal = entry.kind in OF_ONE_CAMERA and "--data.fx" not in typed
            camera = ["--model.focal_path", result] if focal else []
            return ["--model.flame_params_path", result, "--model.fix_shape", *camera]
        return [] if leader is None else ["--model.flame_params_path", str(self.result_of(leader)), "--model.fix_shape"]

    def result_of(self, sequence: str) -> Path:
        """The newest result of a sequence."""
        return _newest_result(self.sequences[sequence].run, sequence)

    def person_result(self, subject: str) -> Path:
        """The newest result of a person that is solved together."""
        return _newest_result(self.manifest.results / PERSONS / f"{subject}_person", f"the person {subject}")

    def _typed(self, step: StepName, entry: SequenceEntry) -> list[str]:
        return [
            word for options in (self.manifest.options, entry.options) for word in shlex.split(getattr(options, step))
        ]

    def is_done(self, step: Step) -> bool:
        """Whether the step was finished with the command that it has now, after steps of which that is true."""
        return self.digest(step) is not None

    def digest(self, step: Step) -> str | None:
        """What a finished step was made by, its earlier steps included; None where it is not finished."""
        try:
            made_by = self.made_by(step)
            mark = read_json(self.mark(step), dict) if made_by else {}
        except InputError:
            return None
        return made_by if made_by and mark.get("made_by") == made_by else None

    def made_by(self, step: Step) -> str | None:
        """A digest of the command, of the earlier steps' and of the source's size; None where these are not finished.

        InputError where the command needs a result that is not there."""
        before = [self.digest(self.all[key]) for key in step.after]
        if not all(before):
            return None
        before += [self.digest(self.all[key]) for key in step.ended]
        source = self.sequences[step.target].source if step.name == "preprocess" else None
        size = source.stat().st_size if source is not None and source.is_file() else 0
        text = "\0".join([*self.words(step), *map(str, before), str(size)])
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def remember(self, step: Step, seconds: float) -> None:
        """Notes that a step is finished."""
        record = {"made_by": self.made_by(step), "seconds": round(seconds, 2), "command": shlex.join(self.words(step))}
        write_json(self.mark(step), record)


def _newest_result(folder: Path, whose: str) -> Path:
    """InputError where there is no run."""
    runs = runs_in(folder)
    if not runs:
        raise InputError(f"expected a run of {whose} in {folder}, found none; track it first")
    return result_path(runs[-1])


def _recording(entry: SequenceEntry) -> list[str]:
    """The options that name a sequence folder to the tracking commands."""
    folder = entry.frames
    place, subject = folder.parent, []
    if entry.kind == "nersemble_v2":
        place, subject = folder.parents[2], ["--data.subject", folder.parents[1].name]
    elif entry.kind == "nersemble":
        place, subject = folder.parents[1], ["--data.subject", folder.parent.name]
    return ["--data.root_folder", str(place), *subject, "--data.sequence", folder.name]
