"""Options of `vhap batch`, and what its manifest holds: many sequences, each through the whole chain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from vhap.config.export import Layout
from vhap.config.ranges import CountOrNone, Range, Workers

MANIFEST_VERSION = 1
SequenceKind = Literal["video", "pictures", "multiview", "single_frame", "nersemble", "nersemble_v2"]
StepName = Literal["preprocess", "person", "track", "export", "union"]


@dataclass(frozen=True)
class PlanConfig:
    """Finds the sequences in a folder and writes them into a manifest, to be looked at and edited."""

    data: Path
    """Folder with videos, preprocessed sequences, folders of one person each, or the NeRSemble dataset."""
    subjects: tuple[str, ...] = ()
    """Persons to take, patterns allowed (07*); empty takes all."""
    sequences: tuple[str, ...] = ()
    """Sequences to take by their names without the person's, patterns allowed (EMO-*); empty takes all."""
    layout: Layout = "gaussian_avatars"
    """Layout of the exports; persons get a union of their sequences in nerf only."""
    output: Path = Path("batch.yaml")
    """The manifest to write."""
    results: Path = Path("output/batch")
    """Folder of everything that the batch makes: frames, runs, exports, logs, states."""
    overwrite: bool = False
    """Replace a manifest that is there, and with it what was edited in it."""
    dry_run: bool = False
    """Print what was found and write nothing."""


@dataclass(frozen=True)
class RunConfig:
    """Runs the steps of a manifest on this machine; given again, it runs those that are not finished."""

    manifest: Path
    """As `plan` writes it."""
    jobs: Annotated[int, Range(1, 1024)] = 1
    """Steps that run at the same time; each gets its share of the cores."""
    retries: CountOrNone = 0
    """Further attempts at a step that fails."""
    dry_run: bool = False
    """Print the state of every step and run none."""


@dataclass(frozen=True)
class StepConfig:
    """Runs one step of a manifest, unless it is finished: what workflow engines call."""

    manifest: Path
    """As `plan` writes it."""
    step: StepName
    """Which step; those before it have to be finished."""
    target: str
    """Id of the sequence; of a person and of a union the subject."""
    threads: Workers = 0
    """Threads of the step; 0 takes all cores that the process may use."""


@dataclass(frozen=True)
class StepOptions:
    """Further options of the commands of each step, as they are typed."""

    preprocess: str = ""
    track: str = ""
    export: str = ""
    union: str = ""


@dataclass(frozen=True)
class SequenceEntry:
    """A sequence: what it is, and where its files go."""

    id: str
    """SUBJECT_SEQUENCE: letters, digits and `_ + = . -`."""
    subject: str
    """Whose sequence it is, without `_`."""
    kind: SequenceKind
    source: Path
    """Video, or folder of the recording."""
    frames: Path
    """Sequence folder: pictures, mattes, landmarks. Of a folder of a recording that folder itself."""
    run: Path
    """Output folder of tracking."""
    export: Path
    options: StepOptions = StepOptions()
    """Beside those of all sequences."""


@dataclass(frozen=True)
class SubjectEntry:
    """A person: where the identity comes from, and where the union of the exports goes."""

    subject: str
    union: Path
    """Beside the exports."""
    identity_from: str | None = None
    """Id of the sequence that is tracked first and gives the others its identity; None: each has its own. Without
    together."""
    together: bool = False
    """The person is solved once from all sequences together, which are then followed."""


@dataclass(frozen=True)
class Manifest:
    """Everything that a batch runs."""

    results: Path
    """Folder of logs and states."""
    share_identity: bool = True
    """One identity a person, solved together or of the sequence that identity_from names."""
    command: tuple[str, ...] = ()
    """Words that start vhap in a step, as those of a container. Empty: the Python that runs the batch."""
    options: StepOptions = StepOptions()
    """Of all sequences."""
    subjects: tuple[SubjectEntry, ...] = field(default_factory=tuple)
    sequences: tuple[SequenceEntry, ...] = field(default_factory=tuple)
