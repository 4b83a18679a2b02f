"""A relightable avatar's subject whose run is made without tracking: FLAME 2020's stand-in, moved as chosen."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vhap.config.loading import save_config
from vhap.config.track import TrackConfig
from vhap.data.results import TrackResult, save_result
from vhap.data.run_order import runs_in
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint, Progress, save_checkpoint
from vhap.fit.params import initial_params
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline.heads import configured_head
from vhap.pipeline.run_folder import finished_run, is_finished
from vhap.render.shading import uniform_lights

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))

import flame_files

COUNT, SIZE, FOCAL = 4, 96, 2.4
loaded_once = functools.cache(load_head)
"""Reading the head takes longer than what is tested: in place of `vhap.pipeline.heads.load_head`."""


def write_flame2020(folder: Path, monkeypatch) -> Path:
    """Named as the download of 2020, with landmarks beside it."""
    path = flame_files.write_flame(folder, monkeypatch, "generic_model.pkl")
    flame_files.write_landmarks(folder, 70, len(flame_files.head_mesh()[1]))
    return path


def write_subject(folder: Path, count: int = COUNT, size: tuple[int, int] = (SIZE, SIZE)) -> Path:
    """RGBA pictures with a disc as matte."""
    (folder / "image").mkdir(parents=True)
    rows, columns = np.mgrid[: size[0], : size[1]]
    matte = np.hypot(rows - size[0] / 2, columns - size[1] / 2) < 0.4 * min(size)
    for index in range(count):
        picture = np.full((*size, 4), (90 + 20 * index, 120, 140, 0), np.uint8)
        picture[..., 3] = np.uint8(255) * matte
        Image.fromarray(picture).save(folder / "image" / f"{index:05d}.png")
    return folder


def moved_result(head: HeadModel, names: list[str], size: tuple[int, int], focal: float | None, seed=0) -> TrackResult:
    """Every number at random: turns of head, neck, jaw and eyes, and a head beside the axis."""
    rng, count = np.random.default_rng(seed), len(names)

    def rows(width: int, spread: float) -> np.ndarray:
        return (spread * rng.standard_normal((count, width))).astype(np.float32)

    return TrackResult(
        rotation=rows(3, 0.2),
        translation=rows(3, 0.03),
        neck_pose=rows(3, 0.1),
        jaw_pose=np.abs(rows(3, 0.05)),
        eyes_pose=rows(6, 0.1),
        shape=rng.standard_normal(head.n_shape).astype(np.float32),
        expr=rows(head.n_expr, 0.5),
        timestep_id=np.array(names),
        timestep_index=np.arange(count),
        n_processed_frames=np.array(count),
        image_size=np.array(size),
        head_model=np.array(head.identity),
        focal_length=None if focal is None else np.float32([focal]),
    )


def fake_tracking(config: TrackConfig, size: tuple[int, int] = (SIZE, SIZE)) -> Path:
    """In place of `track.run_once`: a finished run folder of these options, that which is there where there is one.
    Runs are named one after the other."""
    if (found := finished_run(config)) is not None:
        return found
    head = configured_head(config.model)
    output = config.exp.output_folder
    run = output / f"2026-01-02_03-04-{len([folder for folder in runs_in(output) if is_finished(folder)]):02d}"
    run.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in (config.data.root_folder / config.data.sequence / "images").iterdir())
    save_config(run / "config.yml", config)
    focal = FOCAL if config.data.fx is None else None
    save_result(run / "tracked_flame_params_0.npz", moved_result(head, names, size, focal))
    finish(run, head, len(names))
    return run


def finish(run: Path, head: HeadModel, count: int) -> None:
    """Writes the checkpoint of a run that came to its end."""
    checkpoint = Checkpoint(
        params=initial_params(head, count, 1, uniform_lights()),
        progress=Progress(),
        step=0,
        found=torch.ones(count, 1, dtype=torch.bool),
        init_frames=[0],
        beside_pixels=1.0,
        correlation=1.0,
        known={},
        finished=True,
    )
    save_checkpoint(run / CHECKPOINT, checkpoint)
