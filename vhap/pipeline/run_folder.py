"""Run folders: a new one with config and versions, or the one that an interrupted run left."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import torch

from vhap.config.loading import load_config, save_config, to_plain
from vhap.config.track import TrackConfig
from vhap.tracking.checkpoint import CHECKPOINT, Checkpoint, OtherVersionError, load_checkpoint
from vhap.util.errors import InputError
from vhap.util.files import make_folder, write_json
from vhap.util.log import get_logger
from vhap.util.versions import versions


def start_run_folder(config: TrackConfig) -> Path:
    """A new timestamped folder with the config and the versions of everything."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = config.exp.output_folder / stamp
    for count in range(1, 1000):
        if not folder.exists():
            break
        folder = config.exp.output_folder / f"{stamp}_{count}"
    make_folder(folder)
    write_json(folder / "versions.json", versions())
    save_config(folder / "config.yml", config)
    return folder


def unfinished_run(config: TrackConfig, device: torch.device) -> tuple[Path, Checkpoint] | None:
    """What exp.resume asks to continue: never nothing; auto the newest run folder with an equal config, unless it is
    finished, its page included, or of another release; else that folder. InputError where a named folder cannot be
    continued."""
    asked = config.exp.resume
    if asked == "never":
        return None
    if asked != "auto":
        return _named_run(Path(asked), config, device)
    runs = config.exp.output_folder.glob(f"*/{CHECKPOINT}")
    for path in sorted(runs, key=lambda path: path.parent.name, reverse=True):
        if _same(path.parent, config):
            try:
                checkpoint = load_checkpoint(path, device)
            except OtherVersionError:
                get_logger().warning("another release of vhap began %s; starting anew", path.parent)
                return None
            return None if _complete(path.parent, config, checkpoint) else (path.parent, checkpoint)
    return None


def _named_run(folder: Path, config: TrackConfig, device: torch.device) -> tuple[Path, Checkpoint]:
    if not (folder / CHECKPOINT).is_file():
        raise InputError(
            f"expected a run folder with {CHECKPOINT} at {folder} for --exp.resume, found none; name one, or take auto"
        )
    if not _same(folder, config):
        raise InputError(
            f"expected the options of {folder / 'config.yml'} for --exp.resume, found other ones; give the same options"
        )
    return folder, load_checkpoint(folder / CHECKPOINT, device)


def _complete(folder: Path, config: TrackConfig, checkpoint: Checkpoint) -> bool:
    """Whether nothing is left to do, the page included."""
    return checkpoint.finished and (not config.exp.report or (folder / "report.html").is_file())


def _same(folder: Path, config: TrackConfig) -> bool:
    """Whether a run folder was made with these options, those aside that only say where to continue."""
    try:
        made = load_config(folder / "config.yml", TrackConfig)
    except InputError:
        return False
    return _told(made) == _told(config)


def _told(config: TrackConfig) -> dict:
    return to_plain(replace(config, exp=replace(config.exp, resume="auto")))
