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

from vhap.api import track
from vhap.config.legacy import translated
from vhap.config.ranges import check_ranges
from vhap.config.track import TrackConfig
from vhap.util.errors import as_one_line, exits_cleanly
from vhap.util.log import get_logger

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
    "nersemble": "vhap.nersemble_dataset",
    "nersemble-benchmark": "vhap.nersemble_benchmark",
    "demo": "vhap.demo",
    "crop-and-matting": "vhap.crop_and_matting",
    "keypoint-detector": "vhap.keypoint_detector",
    "iris": "vhap.iris",
    "extract-albedo": "vhap.extract_albedo",
    "demo-reconstruct": "vhap.demo_reconstruct",
    "optimize": "vhap.optimize",
    "preprocess-relightable": "vhap.preprocess_relightable",
}
ALIASES = {"benchmark": "nersemble-benchmark"}


def parse(kind: type[C], description: str | None, args: Sequence[str] | None = None) -> C:
    """Options from the command line; a wrong one ends the program with one line on stderr and exit status 2. What
    other trackers' scripts hold is translated, and said in the log."""
    config, lines = parse_with_lines(kind, description, args)
    for line in lines:
        get_logger().warning(line)
    return config


def parse_with_lines(kind: type[C], description: str | None, args: Sequence[str] | None = None) -> tuple[C, list[str]]:
    """As parse, with the lines for the log: what was not taken as it was typed."""
    words, lines = translated(sys.argv[1:] if args is None else args, kind)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            config = tyro.cli(kind, args=words, description=description)
    except SystemExit as stop:
        if stop.code:
            print(f"error: {one_line(complaint.getvalue())}", file=sys.stderr)
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


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    """Passes the rest of the command line on to the command's own script."""
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print("usage: vhap <command> [options]; commands: " + ", ".join([*COMMANDS, *ALIASES]))
        return
    name = words[0].replace("_", "-")
    name = ALIASES.get(name, name)
    if name not in COMMANDS:
        print(f"error: expected a command out of {', '.join(COMMANDS)}, found {words[0]!r}", file=sys.stderr)
        sys.exit(2)
    importlib.import_module(COMMANDS[name]).main(words[1:])
