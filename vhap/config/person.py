"""Options of `vhap track-person`: those of tracking a sequence of each kind of recording, and which sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from vhap.config.ranges import Count
from vhap.config.track import (
    ExperimentConfig,
    ModelConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    TrackConfig,
)
from vhap.util.errors import InputError

REFUSED = (
    "data.video",
    "data.sequence",
    "model.flame_params_path",
    "model.fix_shape",
    "begin_stage",
    "begin_timestep",
)
"""Options of tracking that a person to be solved has no use for."""


@dataclass(frozen=True)
class PersonOptions:
    """Which sequences show the person, and what is made of them."""

    sequences: tuple[str, ...] = ()
    """Names of the sequences' folders, or beginnings that only one folder has."""
    subject: str = ""
    """The person's name, with which the folders of the results begin; the number of the participant in the NeRSemble
    dataset. Without it: what all sequences' names have before their first `_`, else `person`."""
    keyframes: Count | None = None
    """Pictures at one moment of which the person is solved, of all sequences together. None: as many as are solved
    together, 64, or 21 by three and more cameras."""
    person_only: bool = False
    """Solve the person and follow no sequence."""
    exp: ExperimentConfig = field(default_factory=lambda: ExperimentConfig(Path("output")))


@dataclass(frozen=True)
class MonocularPersonConfig(PersonOptions, MonocularTrackConfig):
    """Videos, one camera."""


@dataclass(frozen=True)
class MultiviewPersonConfig(PersonOptions, MultiviewTrackConfig):
    """Recordings by a rig of one's own."""


@dataclass(frozen=True)
class NersemblePersonConfig(PersonOptions, NersembleTrackConfig):
    """Sequences of a participant of the NeRSemble dataset."""


@dataclass(frozen=True)
class NersembleV2PersonConfig(PersonOptions, NersembleV2TrackConfig):
    """Sequences of a participant of version 2 of the NeRSemble dataset."""


PersonConfig = MonocularPersonConfig | MultiviewPersonConfig | NersemblePersonConfig | NersembleV2PersonConfig
FOLLOWING: Mapping[type[PersonConfig], type[TrackConfig]] = {
    MonocularPersonConfig: MonocularTrackConfig,
    MultiviewPersonConfig: MultiviewTrackConfig,
    NersemblePersonConfig: NersembleTrackConfig,
    NersembleV2PersonConfig: NersembleV2TrackConfig,
}


def sequence_config(config: PersonConfig, sequence: str, folder: Path) -> TrackConfig:
    """The run of one sequence, with an output folder."""
    kind = FOLLOWING[type(config)]
    values = {field.name: getattr(config, field.name) for field in fields(kind)}
    values["data"] = replace(config.data, sequence=sequence)
    values["exp"] = replace(config.exp, output_folder=folder)
    return kind(**values)


def with_person(config: TrackConfig, result: Path, with_focal: bool) -> TrackConfig:
    """The run with a person's shape, offsets and albedo kept, and the focal length where that was solved."""
    model = replace(config.model, flame_params_path=result, fix_shape=True, focal_path=result if with_focal else None)
    return replace(config, model=model)


def check_person_options(config: PersonConfig) -> None:
    """InputError where options do not go together."""
    model: ModelConfig = config.model
    names = config.sequences
    if len(names) < 2:
        raise InputError(
            f"expected two or more sequences of one person in --sequences, found {len(names)}; name them, or track one "
            "with vhap track"
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"expected each sequence once in --sequences, found {twice} twice; remove one")
    if model.flame_params_path is not None or model.fix_shape or model.focal_path is not None:
        raise InputError(
            "expected a person to be solved, found --model.flame_params_path, --model.fix_shape or --model.focal_path; "
            "leave them out, or follow the sequences of a known person with vhap track"
        )
    if config.begin_stage is not None or config.begin_timestep:
        raise InputError(
            "expected all stages of all frames, found --begin_stage or --begin_timestep; leave them out, or choose "
            "frames by --data.subset"
        )
    if config.exp.resume not in ("auto", "never"):
        raise InputError(f"expected auto or never for --exp.resume, found {config.exp.resume!r}; choose one of them")
