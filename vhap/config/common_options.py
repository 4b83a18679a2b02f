"""The options of tracking scripts that people use: what `--help` shows. `--help-all` shows all."""

from __future__ import annotations

import shutil
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal

from vhap.config.person import REFUSED, PersonOptions
from vhap.config.translate import Known, options_of

COMMON = {
    "Recording": {
        "data.video": "video to track, in place of a sequence's folder",
        "data.root_folder": "folder that holds the sequences",
        "sequences": "names of the person's sequences, two or more",
        "subject": "the person's name in results; of NeRSemble the participant's number",
        "data.subject": "number of the participant",
        "data.sequence": "name of the sequence's folder, or the beginning of it",
        "data.calibration": "file with the cameras, if it is not in the sequence's folder",
        "data.cameras": "names of the cameras to use; all without it",
        "data.subset": "frames to use: ti3tj9 (3 to 9), tn20 (20 evenly chosen), ts5 (every 5th)",
        "data.n_downsample_rgb": "read the pictures in images_N",
        "data.landmark_source": "landmark detector",
        "data.fx": "known focal length in pixels; estimated without it",
    },
    "Head": {
        "model.head": "head model; auto: FLAME, else GNM, else ICT-FaceKit, else built in",
        "model.n_shape": "identity coefficients, at most",
        "model.n_expr": "expression coefficients, at most",
        "model.no_use_static_offset": "no displacements of the vertices (hair, ears)",
        "model.occluded": "regions under hair or clothes, as hair neck_lower",
        "model.flame_params_path": "result of an earlier run of this person to start from",
        "model.fix_shape": "keep that result's shape, offsets and texture",
    },
    "Run": {
        "exp.output_folder": "where run folders are made",
        "exp.no_photometric": "landmarks only: quick, no texture, less exact",
        "exp.no_report": "no evaluation and page of the finished run",
        "exp.resume": "auto: go on with an unfinished run; never; or a run folder",
        "keyframes": "moments of all sequences of which the person is solved",
        "person_only": "solve the person and follow no sequence",
        "begin_stage": "leave the stages before this one out",
        "begin_timestep": "first frame",
        "batch_size": "consecutive timesteps solved together",
        "device": "auto: cuda if there",
        "dry_run": "print frames, stages and an estimate of the time, then stop",
    },
}
"""Groups of options, as they are typed (a switch in the form that changes something), with a line of help. A script
shows those that it has."""


def common_of(kind: type) -> dict[str, dict[str, tuple[str, Known]]]:
    """The groups with the options that a script has: as typed, their help and type."""
    refused = REFUSED if issubclass(kind, PersonOptions) else ()
    known = {name: option for name, option in options_of(kind) if name not in refused}
    found = {
        heading: {name: (line, known[on]) for name, line in group.items() if (on := positive(name, known)) in known}
        for heading, group in COMMON.items()
    }
    return {heading: group for heading, group in found.items() if group}


def positive(name: str, known: typing.Container[str]) -> str:
    """model.use_static_offset of model.no_use_static_offset; other names as they are."""
    group, dot, last = name.rpartition(".")
    return name if name in known else f"{group}{dot}{last.removeprefix('no_')}"


def short_help(kind: type, program: str, description: str | None) -> str:
    """Help with the common options alone; one line each, where the terminal is wide enough."""
    groups = common_of(kind)
    rest = sum(1 for _ in options_of(kind)) - sum(map(len, groups.values()))
    lines = [f"usage: {program} [-h] [--help-all] [OPTIONS]", *(["", description.strip()] if description else [])]
    for heading, group in groups.items():
        lines += ["", f"{heading}:"]
        for name, (line, option) in group.items():
            lines += _entry(f"--{name.replace('_', '-')}{_values(option.plain)}", f"{line}{_default(option)}")
    return "\n".join([*lines, "", f"--help-all shows the other {rest} options."])


def _entry(option: str, line: str, column: int = 38) -> Iterator[str]:
    width = max(60, shutil.get_terminal_size((120, 24)).columns)
    first, *more = textwrap.wrap(line, width - column)
    if len(option) > column - 4:
        yield f"  {option}"
        option = ""
    yield f"  {option:{column - 2}}{first}"
    yield from (f"{'':{column}}{text}" for text in more)


def _values(hint: Any) -> str:
    """What stands behind an option, with the space before it; nothing behind a switch."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f" {'|'.join(map(str, arguments))}"
    if origin is tuple:
        return f"{_values(arguments[0])} ..."
    if origin in (typing.Union, types.UnionType):
        return _values(next(part for part in arguments if part is not type(None)))
    if origin is typing.Annotated:
        return _values(arguments[0])
    return {bool: "", int: " N", float: " X", Path: " PATH"}.get(hint, " NAME")


def _default(option: Known) -> str:
    if option.default is MISSING:
        return " (required)"
    shown = option.default is not None and option.default != () and not isinstance(option.default, bool)
    return f" (default: {option.default})" if shown else ""
