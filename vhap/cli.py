"""`vhap <command>`: every entry script as a subcommand; and the one way in which all of them read options."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from collections.abc import Sequence
from typing import TypeVar

import tyro

from vhap.config.report import ReportConfig
from vhap.config.track import TrackConfig
from vhap.util.errors import exits_cleanly

C = TypeVar("C")
COMMANDS = {
    "preprocess-video": "vhap.preprocess_video",
    "track": "vhap.track",
    "track-nersemble": "vhap.track_nersemble",
    "track-nersemble-v2": "vhap.track_nersemble_v2",
    "track-multiview": "vhap.track_multiview",
    "track-single-frame": "vhap.track_single_frame",
    "export-as-nerf-dataset": "vhap.export_as_nerf_dataset",
    "export-mesh": "vhap.export_mesh",
    "combine-nerf-datasets": "vhap.combine_nerf_datasets",
    "make-synthetic-capture": "vhap.make_synthetic_capture",
    "evaluate-tracking": "vhap.evaluate_tracking",
    "report": "vhap.report",
    "detect-landmarks": "vhap.detect_landmarks",
    "nersemble": "vhap.nersemble",
    "demo": "vhap.demo",
}


OTHER_NAMES = {"--w.reg_tex_res_clusters": "--w.reg_tex_res"}


def parse(kind: type[C], description: str | None, args: Sequence[str] | None = None) -> C:
    """Options from the command line; a wrong one ends the program with one line on stderr and exit status 2."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(kind, args=with_present_names(args), description=description)
    except SystemExit as stop:
        if stop.code:
            print(f"error: {one_line(complaint.getvalue())}", file=sys.stderr)
        raise


def with_present_names(args: Sequence[str] | None) -> list[str]:
    """The command line with options that have another name now under that name."""
    words = []
    for word in sys.argv[1:] if args is None else args:
        option, sign, value = word.partition("=")
        known = OTHER_NAMES.get(option.replace("-", "_").replace("__", "--", 1))
        words.append(word if known is None else f"{known}{sign}{value}")
    return words


def run_tracking(
    kind: type[TrackConfig], description: str | None, args: Sequence[str] | None, pipeline: str = "track"
) -> None:
    """What every tracking script does: options, the run of a pipeline file, its page; prints where they are."""
    config = parse(kind, description, args)
    folder = importlib.import_module(f"vhap.pipeline.{pipeline}").run(config)
    print(folder)
    if config.exp.report and not config.dry_run:
        print(importlib.import_module("vhap.pipeline.report").run(ReportConfig(folder)))


def one_line(box: str) -> str:
    """tyro's boxed message without its frame."""
    words = re.sub(r"[\u2500-\u257f]", " ", re.sub(r"\x1b\[[0-9;]*m", "", box))
    return " ".join(words.split())


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    """Passes the rest of the command line on to the command's own script."""
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print("usage: vhap <command> [options]; commands: " + ", ".join(COMMANDS))
        return
    name = words[0].replace("_", "-")
    if name not in COMMANDS:
        print(f"error: expected a command out of {', '.join(COMMANDS)}, found {words[0]!r}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module(COMMANDS[name]).main(words[1:])
