"""Run folders: a new one with config and versions, or the one that an interrupted run left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from vhap.config.loading import load_config, save_config, to_plain
from vhap.config.track import TrackConfig
from vhap.data.results import result_epochs
from vhap.data.run_order import new_run_folder, runs_in
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint, OtherVersionError, checkpoint_in, load_checkpoint
from vhap.util.errors import InputError
from vhap.util.files import write_json
from vhap.util.log import get_logger
from vhap.util.versions import versions


def start_run_folder(config: TrackConfig) -> Path:
    """A new timestamped and numbered folder with the config and the versions of everything."""
    folder = new_run_folder(config.exp.output_folder)
    write_json(folder / "versions.json", versions())
    save_config(folder / "config.yml", config)
    return folder


def unfinished_run(config: TrackConfig, views: tuple[int, int], device: torch.device) -> tuple[Path, Checkpoint] | None:
    """What exp.resume asks to continue: never nothing; auto the newest run folder with an equal config, unless it is
    finished, its page included, or cannot be continued, which the log says; else that folder.

    views: timesteps and cameras of the capture. InputError where a named folder cannot be continued.
    """
    asked = config.exp.resume
    if asked == "never":
        return None
    if asked != "auto":
        return _named_run(Path(asked), config, views, device)
    for folder in reversed(runs_in(config.exp.output_folder)):
        if checkpoint_in(folder) and same_options(folder, config):
            try:
                checkpoint = _checkpoint(folder, views, device)
            except OtherVersionError:
                get_logger().warning("another release of vhap began %s; starting anew", folder)
                return None
            except InputError as error:
                get_logger().warning("%s; starting anew", str(error).split("; ")[0])
                return None
            return None if _complete(folder, config, checkpoint) else (folder, checkpoint)
    return None


def finished_run(config: TrackConfig, changed_ns: int = 0) -> Path | None:
    """The newest run folder with an equal config that was tracked to its end; whether it has its page is no matter.

    config: as `start_run_folder` writes it. changed_ns: when its pictures were last changed; older runs do not count.
    """
    for folder in reversed(runs_in(config.exp.output_folder)):
        if checkpoint_in(folder) and same_options(folder, config) and result_epochs(folder):
            return folder if _began_ns(folder) >= changed_ns and is_finished(folder) else None
    return None


def is_finished(folder: Path) -> bool:
    """Whether a run folder was tracked to its end, by its own checkpoint and result."""
    if not (checkpoint_in(folder) and result_epochs(folder)):
        return False
    try:
        return load_checkpoint(folder, torch.device("cpu")).finished
    except (InputError, OtherVersionError):
        return False


def is_interrupted(folder: Path) -> bool:
    """Whether a run's checkpoint says that it was not tracked to its end; not where that is unknown."""
    try:
        return checkpoint_in(folder) and not load_checkpoint(folder, torch.device("cpu")).finished
    except (InputError, OtherVersionError):
        return False


def _began_ns(folder: Path) -> int:
    """When the run's options were written."""
    return (folder / "config.yml").stat().st_mtime_ns


def _named_run(
    folder: Path, config: TrackConfig, views: tuple[int, int], device: torch.device
) -> tuple[Path, Checkpoint]:
    if not checkpoint_in(folder):
        raise InputError(
            f"expected a run folder with {CHECKPOINT} at {folder} for --exp.resume, found none; name one, or take auto"
        )
    if not same_options(folder, config):
        raise InputError(
            f"expected the options of {folder / 'config.yml'} for --exp.resume, found other ones; give the same options"
        )
    return folder, _checkpoint(folder, views, device)


def _checkpoint(folder: Path, views: tuple[int, int], device: torch.device) -> Checkpoint:
    """InputError where the capture has got other frames since."""
    checkpoint = load_checkpoint(folder, device)
    if tuple(checkpoint.found.shape) != views:
        was, now = (f"{frames} timesteps by {cameras} cameras" for frames, cameras in (checkpoint.found.shape, views))
        raise InputError(f"expected the {was} that {folder} began with, found {now}; take --exp.resume never")
    return checkpoint


def _complete(folder: Path, config: TrackConfig, checkpoint: Checkpoint) -> bool:
    """Whether nothing is left to do, the page included."""
    return checkpoint.finished and (not config.exp.report or (folder / "report.html").is_file())


def same_options(folder: Path, config: TrackConfig) -> bool:
    """Whether a run folder was made with these options, those aside that only say where to continue."""
    try:
        made = load_config(folder / "config.yml", type(config))
    except InputError:
        return False
    return _told(made) == _told(config)


def _told(config: TrackConfig) -> dict:
    return to_plain(replace(config, exp=replace(config.exp, resume="auto")))
