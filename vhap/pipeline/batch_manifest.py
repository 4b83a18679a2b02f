"""The manifest of a batch: made from what a folder holds, written for people to edit, read back and checked."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from vhap.config.batch import (
    MANIFEST_VERSION,
    Manifest,
    PlanConfig,
    SequenceEntry,
    StepOptions,
    SubjectEntry,
)
from vhap.config.loading import from_plain, read_yaml, to_plain
from vhap.config.ranges import check_ranges
from vhap.data.pictures import some_names
from vhap.pipeline.batch_sources import Source, clean, find_sources
from vhap.util.errors import InputError, shown
from vhap.util.files import write_text

HEADER = """\
# A manifest of `vhap batch`: edit it, then `vhap batch run` this file, or workflow/Snakefile with it (doc/scale.md).
# options: what the commands of each step get beside the paths, as it is typed; sequences may have options as well.
# subjects: together solves a person once from all sequences; else identity_from is the sequence that is tracked first,
# and null lets each sequence have its own identity.
# command: words that start vhap, as [apptainer, exec, vhap.sif, vhap]; empty is the Python that runs the batch.
"""


def plan(config: PlanConfig) -> Manifest:
    """The manifest of a folder's sequences; written unless it is a dry run. InputError where there are none."""
    if not config.dry_run and config.output.exists() and not config.overwrite:
        raise InputError(
            f"expected no manifest at {config.output}, found one that may have been edited; choose another --output, "
            "or --overwrite it"
        )
    manifest = manifest_of(chosen(find_sources(config.data), config), config)
    if not config.dry_run:
        write_manifest(config.output, manifest)
    return manifest


def chosen(sources: list[Source], config: PlanConfig) -> list[Source]:
    """Those that the patterns allow. InputError where a pattern fits none."""
    for option, patterns in (("subjects", config.subjects), ("sequences", config.sequences)):
        names = {_word(source, option) for source in sources}
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise InputError(
                    f"expected {option} of {config.data} for --{option}, found none like {shown(pattern)} (there are: "
                    f"{some_names(sorted(names))}); correct it"
                )
        sources = [
            source
            for source in sources
            if not patterns or any(fnmatchcase(_word(source, option), pattern) for pattern in patterns)
        ]
    if not sources:
        raise InputError(f"expected a sequence that --subjects and --sequences allow, found none in {config.data}")
    return sources


def _word(source: Source, option: str) -> str:
    return source.subject if option == "subjects" else source.name or source.subject


def manifest_of(sources: list[Source], config: PlanConfig) -> Manifest:
    """An entry for each sequence and each person; all paths absolute."""
    results = config.results.absolute()
    entries = []
    for source in sources:
        name = source.sequence_id
        entries.append(
            SequenceEntry(
                id=name,
                subject=_subject(source),
                kind=source.kind,
                source=source.path,
                frames=results / "frames" / name if source.kind == "video" else source.path,
                run=results / "runs" / name,
                export=results / "export" / name,
            )
        )
    options = StepOptions(export=f"--layout {config.layout}")
    return with_subjects(Manifest(results=results, options=options, sequences=tuple(entries)))


def _subject(source: Source) -> str:
    return clean(source.subject).replace("_", "-")


def with_subjects(manifest: Manifest) -> Manifest:
    """The manifest with an entry for each person whose sequences it has; those that it names stay as they are."""
    named = {entry.subject: entry for entry in manifest.subjects}
    members: dict[str, list[SequenceEntry]] = {}
    for entry in manifest.sequences:
        members.setdefault(entry.subject, []).append(entry)
    subjects = (named.get(subject, _new_subject(subject, entries)) for subject, entries in members.items())
    return replace(manifest, subjects=tuple(subjects))


def _new_subject(subject: str, entries: list[SequenceEntry]) -> SubjectEntry:
    """Solved together where that is possible, else with the identity of the first sequence."""
    union = entries[0].export.parent / f"{subject}_union"
    together = len(entries) > 1 and can_be_solved_together(entries)
    return SubjectEntry(subject, union, None if together else entries[0].id, together)


def can_be_solved_together(entries: Sequence[SequenceEntry]) -> bool:
    """Whether sequences are recordings of moving heads of one kind."""
    kinds = {"pictures" if entry.kind == "video" else entry.kind for entry in entries}
    return len(kinds) == 1 and "single_frame" not in kinds


def write_manifest(path: Path, manifest: Manifest) -> None:
    plain = {"version": MANIFEST_VERSION, **to_plain(manifest)}
    empty = to_plain(StepOptions())
    for entry in plain["sequences"]:
        if entry["options"] == empty:
            del entry["options"]
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
    write_text(path, HEADER + text)


def read_manifest(path: Path) -> Manifest:
    """A manifest with all persons. InputError where it is none, or says what cannot be."""
    plain = read_yaml(path)
    if not isinstance(plain, dict) or plain.pop("version", None) != MANIFEST_VERSION:
        raise InputError(f"expected version {MANIFEST_VERSION} of a manifest in {path}, found another; plan it anew")
    manifest = from_plain(Manifest, plain, str(path))
    check_ranges(manifest, f"{path}:")
    _check(manifest, path)
    return with_subjects(manifest)


def _check(manifest: Manifest, path: Path) -> None:
    ids = [entry.id for entry in manifest.sequences]
    if not ids:
        raise InputError(f"expected sequences in {path}, found none; plan it anew")
    subjects = [entry.subject for entry in manifest.subjects]
    for names in (ids, subjects):
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"expected each name once in {path}, found {shown(twice)} twice; remove one")
    for name in (*ids, *subjects, *(entry.subject for entry in manifest.sequences)):
        if name != clean(name) or not name:
            raise InputError(
                f"expected names of letters, digits and _ + = . - in {path}, found {shown(name)}; rename it there"
            )
    owners = {entry.id: entry.subject for entry in manifest.sequences}
    for entry in manifest.subjects:
        if entry.identity_from is not None and owners.get(entry.identity_from) != entry.subject:
            raise InputError(
                f"expected a sequence of subject {entry.subject} as identity_from in {path}, found "
                f"{shown(entry.identity_from)}; name one of its ids, or null"
            )
        if entry.together:
            _check_together(entry, [one for one in manifest.sequences if one.subject == entry.subject], path)
    for where, options in [("options", manifest.options), *((entry.id, entry.options) for entry in manifest.sequences)]:
        for step, text in to_plain(options).items():
            _words(text, f"{path}: {where}: {step}")


def _check_together(entry: SubjectEntry, members: list[SequenceEntry], path: Path) -> None:
    if entry.identity_from is not None:
        raise InputError(
            f"expected together or identity_from of subject {entry.subject} in {path}, found both; set one of them to "
            "false or null"
        )
    if not can_be_solved_together(members):
        raise InputError(
            f"expected sequences of one kind, not of static avatars, of subject {entry.subject} in {path}, to be "
            f"solved together, found {', '.join(sorted({one.kind for one in members})) or 'none'}; set together to "
            "false"
        )


def _words(text: str, where: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InputError(f"expected options as they are typed at {where}, found {shown(text)} ({error})") from error


def table(manifest: Manifest) -> str:
    """One line a sequence, by persons."""
    rows = [("id", "subject", "kind", "identity", "source")]
    rows += [
        (entry.id, entry.subject, entry.kind, _identity(entry, manifest), str(entry.source))
        for entry in manifest.sequences
    ]
    counts = f"{len(manifest.sequences)} sequences of {len(manifest.subjects)} persons"
    return "\n".join([*aligned(rows), counts])


def _identity(entry: SequenceEntry, manifest: Manifest) -> str:
    subject = next(subject for subject in manifest.subjects if subject.subject == entry.subject)
    members = sum(other.subject == entry.subject for other in manifest.sequences)
    if not manifest.share_identity:
        return "own"
    if subject.together and members > 1:
        return "of all"
    return "own" if subject.identity_from in (None, entry.id) else f"of {subject.identity_from}"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of words in columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]
