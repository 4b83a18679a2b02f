"""`vhap <command>`: every entry script as a subcommand; and the one way in which all of them read options."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, TypeVar, Union

import tyro

import vhap
from vhap.api import track
from vhap.config.common_options import short_help
from vhap.config.ranges import check_ranges
from vhap.config.track import TrackConfig
from vhap.config.translate import is_tracking, translated
from vhap.util.errors import InputError, as_one_line, exits_cleanly, shown
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain
from vhap.util.versions import versions

C = TypeVar("C")


GROUPS: dict[str, dict[str, str]] = {
    "From a video to a dataset": {
        "preprocess-video": "Makes a sequence folder from a video: pictures, alpha maps and landmarks",
        "track": "Fits a head to every frame of a preprocessed video",
        "track-person": "Solves one person from several sequences together, then follows each with that person fixed",
        "live": "Follows a head as fast as a camera films it: overlay, head pose, ARKit curves, packets for Unreal",
        "export-as-nerf-dataset": "Exports a tracking run for a trainer: GaussianAvatars, INSTA, nerfstudio and more",
        "export-mesh": "Exports a tracking run as meshes: one a frame (OBJ, PLY), or an animated head in one file",
        "convert-head": "Turns a run tracked with one head into a run of another: FLAME, GNM, ICT, built-in, a file",
        "combine-nerf-datasets": "Combines exported sequences of one person into one dataset",
        "batch": "Many sequences through the whole chain: plans a manifest, runs its steps",
    },
    "Several calibrated cameras": {
        "track-multiview": "Fits a head to every timestep of a recording by calibrated, synchronised cameras",
        "track-single-frame": "Fits a head to a static avatar: pictures of one moment from all around",
        "track-nersemble": "Fits a head to every timestep of a sequence of the NeRSemble dataset",
        "track-nersemble-v2": "Fits a head to every timestep of a sequence of version 2 of the NeRSemble dataset",
        "nersemble": "Lists and downloads the NeRSemble dataset, version 2",
        "nersemble-benchmark": "The NeRSemble benchmark: downloads and tracks its data, shows its cameras",
    },
    "Relightable avatars": {
        "preprocess-relightable": "Everything that trainers of relightable avatars read of a subject",
        "crop-and-matting": "Pictures of a subject's head, cut from a video, without background and clothes",
        "keypoint-detector": "Facial landmarks of a subject's pictures: keypoint.json",
        "iris": "Iris centres of a subject's pictures: iris.json",
        "optimize": "Fits FLAME to a subject's pictures, for trainers of relightable avatars",
        "demo-reconstruct": "Writes DECA's codes (code.json) of a subject's pictures",
        "extract-albedo": "Takes the light out of a subject's pictures",
    },
    "Quality, tests, help": {
        "doctor": "Checks the installation: versions, devices, heads, networks' weights, folders, and what is missing",
        "fetch-models": "Fetches the files of MediaPipe's networks, which find landmarks and mattes by default",
        "evaluate-tracking": "Measures how well a tracking run explains its pictures and, where it is known, the truth",
        "report": "Makes the page to look at after a tracking run",
        "view": "Shows a run, two runs, an export, a recording or a head in the browser",
        "detect-landmarks": "Detects the landmarks of a sequence folder's pictures",
        "make-synthetic-capture": "Makes a recording with known truth, ready to track",
        "demo": "The whole chain on one video: preprocess, track, export, combine",
    },
}
"""The one table of commands: name, and its line in the list, with which the script's docstring begins."""

MODULES = {"nersemble": "vhap.nersemble_dataset"}
"""Entry scripts of another name than the command's."""

HELP = {name: line for group in GROUPS.values() for name, line in group.items()}
COMMANDS = {name: MODULES.get(name, f"vhap.{name.replace('-', '_')}") for name in HELP}
ALIASES = {"benchmark": "nersemble-benchmark", "export": "export-as-nerf-dataset"}
SHELLS = ("bash", "zsh", "tcsh")
HELP_ALL = ("--help-all", "--help_all")

_program: ContextVar[str | None] = ContextVar("program", default=None)
_asks_for_options: ContextVar[bool] = ContextVar("asks_for_options", default=False)


class OptionsFound(Exception):
    """Ends an entry script where it would parse its options, for `options_of`. args: their type."""


def parse(kind: type[C], description: str | None, args: Sequence[str] | None = None, positional: bool = False) -> C:
    """Options from the command line; a wrong one ends the program with one line on stderr and exit status 2. What
    other trackers' scripts hold is translated, and said in the log. positional: options without a default have no
    name."""
    config, lines = parse_with_lines(kind, description, args, positional)
    for line in lines:
        get_logger().warning(line)
    return config


def parse_with_lines(
    kind: type[C], description: str | None, args: Sequence[str] | None = None, positional: bool = False
) -> tuple[C, list[str]]:
    """As parse, with the lines for the log: what was not taken as it was typed."""
    if _asks_for_options.get():
        raise OptionsFound(kind)
    typed = [*(sys.argv[1:] if args is None else args)]
    if is_tracking(kind) and {"-h", "--help"} & {*typed}:
        print(short_help(kind, program_name() or Path(sys.argv[0]).name, description))
        raise SystemExit(0)
    words, lines = translated(["--help" if word in HELP_ALL else word for word in typed], kind)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            markers = (tyro.conf.PositionalRequiredArgs,) if positional else ()
            config = tyro.cli(kind, prog=program_name(), args=words, description=description, config=markers)
    except SystemExit as stop:
        if stop.code:
            line = one_line(complaint.getvalue())
            print(f"error: {re.sub('--help$', '--help-all', line) if is_tracking(kind) else line}", file=sys.stderr)
        raise
    check_ranges(config)
    return config, lines


def run_tracking(kind: type[TrackConfig], description: str | None, args: Sequence[str] | None) -> None:
    """What every tracking script does: options, the run and its page; prints where they are."""
    config, lines = parse_with_lines(kind, description, args)
    folder = track(config, notes=lines)
    print(folder)
    if config.exp.report and not config.dry_run:
        print(folder / "report.html")


def one_line(box: str) -> str:
    """tyro's boxed message without its frame, and without what a value has too many of."""
    words = re.sub(r"[\u2500-\u257f]|-{5,}", " ", re.sub(r"\x1b\[[0-9;]*m", "", box))
    return as_one_line(re.sub(r"(\S{40})\S{60,}", r"\1...", words))


def program_name() -> str | None:
    """What the user typed to start this command, for its usage line; None where that is unknown."""
    script = sys.argv[0]
    return _program.get() or (f"python {script}" if script.endswith(".py") else None)


def list_of_commands() -> str:
    width = max(map(len, [*COMMANDS, *ALIASES]))
    lines = ["usage: vhap <command> [options]", "", str(vhap.__doc__)]
    for heading, group in GROUPS.items():
        lines += ["", f"{heading}:", *(f"  {name:{width}}  {line}" for name, line in group.items())]
    lines += ["", "Short names:", *(f"  {alias:{width}}  {name}" for alias, name in ALIASES.items())]
    lines += [
        "",
        "vhap <command> --help                        the options of a command; of track..., the common ones",
        "vhap <command> --help-all                    all options of a command",
        "vhap --version                               the version",
        f"vhap --print-completion {'|'.join(SHELLS)}        a script that completes commands and options in that shell",
    ]
    return "\n".join(lines)


def options_of(command: str) -> type:
    """The type of a command's options, or of its subcommands, as its script has them parsed."""
    asking = _asks_for_options.set(True)
    try:
        importlib.import_module(COMMANDS[command]).main([])
    except OptionsFound as found:
        return found.args[0]
    finally:
        _asks_for_options.reset(asking)
    raise TypeError(f"{COMMANDS[command]} parses no options")


def completion_script(shell: str) -> str:
    """tyro's script for a shell, as if all commands were subcommands of one parser."""
    if shell not in SHELLS:
        raise InputError(f"expected a shell out of {', '.join(SHELLS)}, found {shown(shell)}; choose one of them")
    if shell == "tcsh":
        import_or_explain("shtab")
    kinds = tuple(
        Annotated[options_of(name), tyro.conf.subcommand(name, description=line)] for name, line in HELP.items()
    )
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(Union[kinds], prog="vhap", args=["--tyro-print-completion", shell])  # pyright: ignore # noqa: UP007
    # tyro's bash function takes each line of a help text for an option of its own.
    lines = script.getvalue().splitlines()
    return "\n".join(line.replace(r"\n", " ") if line.startswith("COMPLETION_SPEC = ") else line for line in lines)


def command_named(word: str) -> str:
    """The command's name, of which a short name or another spelling was typed; InputError with the nearest one."""
    name = word.replace("_", "-").lower()
    if (name := ALIASES.get(name, name)) in COMMANDS:
        return name
    nearest = difflib.get_close_matches(name, [*COMMANDS, *ALIASES], n=3)
    hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    raise InputError(f"expected a command of vhap, found {shown(word)}; {hint}vhap --help lists them")


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    """Passes the rest of the command line on to the command's own script."""
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(list_of_commands())
    elif words[0] == "--version":
        print("vhap", versions().get("vhap", "(not installed, run from its sources)"))
    elif words[0].replace("_", "-") == "--print-completion":
        print(completion_script(words[1] if len(words) > 1 else ""))
    else:
        name = command_named(words[0])
        before = _program.set(f"vhap {name}")
        try:
            importlib.import_module(COMMANDS[name]).main(words[1:])
        finally:
            _program.reset(before)
