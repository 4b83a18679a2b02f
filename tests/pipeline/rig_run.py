"""Finished runs of small synthetic rigs, made without tracking: their results are the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vhap.config.data import MultiviewDataConfig, NersembleDataConfig, NersembleV2DataConfig
from vhap.config.loading import save_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import (
    ExperimentConfig,
    ModelConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    TrackConfig,
)
from vhap.data.results import TrackResult, load_result, save_result
from vhap.data.rig_capture import RigCapture
from vhap.export.worlds import moved_result
from vhap.geometry.similarities import similarity
from vhap.head.builtin import load_builtin
from vhap.pipeline.captures import read_capture
from vhap.pipeline.make_synthetic_capture import run
from vhap.util.files import read_json

FRAMES, CAMERAS, SIZE = 3, 4, (160, 110)
SEQUENCE = "EXP-1-head"


def make_capture(root: Path, layout: str, **options) -> None:
    """Of the built-in head, under root / layout; of any rig in a world of any scale."""
    world = "similarity" if layout == "multiview" else "metric"
    plain = SyntheticConfig(
        root / layout, layout=layout, world=world, frames=FRAMES, cameras=CAMERAS, height=SIZE[0], width=SIZE[1],
        image_format="png", landmark_source="face-alignment",
    )  # fmt: skip
    run(replace(plain, **options))


def run_of(root: Path, layout: str, sequence: str = SEQUENCE) -> Path:
    """Output folder of the only run."""
    return root / "out" / layout / sequence


def track_config(root: Path, layout: str, sequence: str = SEQUENCE, **options) -> TrackConfig:
    exp, model = ExperimentConfig(run_of(root, layout, sequence)), ModelConfig(head="builtin")
    common = {
        "root_folder": root / layout, "sequence": sequence, "landmark_source": "face-alignment", **options
    }  # fmt: skip
    if layout == "multiview":
        return MultiviewTrackConfig(MultiviewDataConfig(**common), exp, model)
    if layout == "nersemble_v2":
        return NersembleV2TrackConfig(NersembleV2DataConfig(**common, subject="1"), exp, model)
    return NersembleTrackConfig(NersembleDataConfig(**common, subject="1"), exp, model)


def open_rig(config: TrackConfig) -> RigCapture:
    capture = read_capture(config.data)
    assert isinstance(capture, RigCapture)
    return capture


def write_true_run(config: TrackConfig) -> Path:
    """A run folder whose result is the truth in a metric world along the rig's axes. Returns the output folder."""
    capture = open_rig(config)
    truth = true_result(capture)
    run_folder = config.exp.output_folder / "2026-01-02_03-04-05"
    run_folder.mkdir(parents=True)
    save_config(run_folder / "config.yml", config)
    wanted = [str(name) for name in truth.timestep_id]
    rows = [wanted.index(name) for name in capture.timestep_ids]
    T_tracked_given = tracked_from_given(capture)
    there = replace(truth, T_tracked_given=np.eye(4), image_size=np.array(capture.size)).select(rows)
    tracked = moved_result(there, load_builtin(), T_tracked_given)
    assert tracked.scale is None or abs(float(tracked.scale) - 1) < 1e-6
    save_result(run_folder / "tracked_flame_params_0.npz", replace(tracked, scale=None))
    return config.exp.output_folder


def true_result(capture: RigCapture) -> TrackResult:
    """In the calibration's world and units."""
    return load_result(capture.folder / "ground_truth" / "tracked_flame_params_0.npz")


def tracked_from_given(capture: RigCapture) -> np.ndarray:
    """(4, 4): metres, the rig's mean axes, and where the calibration has another scale, another origin as well."""
    told = read_json(capture.folder / "ground_truth" / "cameras.json")["similarity"]
    if told["scale"] == 1:
        return capture.T_aligned_world
    shift = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64)
    return similarity(1 / told["scale"], torch.eye(3), shift).numpy() @ capture.T_aligned_world
