"""Meshes of svfr's pictures, as the benchmark takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from trimesh import Trimesh

from vhap.config.benchmark import BenchmarkRunConfig
from vhap.data.plausible import FaceError
from vhap.head.model import HeadModel, HeadParams, landmark_points, pose, zero_params
from vhap.nersemble.benchmark.flame_tracking import without_teeth
from vhap.nersemble.benchmark.mesh_submission import FLAME_VERTICES, SVFRSubmissionDataWriter
from vhap.pipeline.benchmark_track import BenchmarkSequence, track_sequence
from vhap.pipeline.heads import configured_head
from vhap.pipeline.open_run import open_run
from vhap.util.log import get_logger

NOW_POINTS = (36, 39, 42, 45, 33, 48, 54)
"""NoW's seven among the 68 of iBUG: corners of the eye on the image's left, of the other one, below the nose, corners
of the mouth (https://now.is.tue.mpg.de)."""


def add_meshes(
    writer: SVFRSubmissionDataWriter, picture: BenchmarkSequence, config: BenchmarkRunConfig, output: Path
) -> bool:
    """Reconstructs a picture and adds its posed and its neutral mesh. Whether a face was found: else they are those of
    the mean head."""
    try:
        folder = track_sequence(picture, config, output)
    except FaceError as error:
        get_logger().warning("%s", error)
        model = configured_head(config.model)
        posed = neutral = zero_params(model)
    else:
        scene = open_run(folder, with_landmarks=False)
        model, posed = scene.model, scene.head_params(0)
        neutral = replace(zero_params(model), shape=posed.shape, static_offset=posed.static_offset)
    sequence_name, timestep, serial = picture.name.rsplit("_", 2)
    key = (picture.participant, sequence_name, int(timestep), serial)
    writer.add_posed_mesh(*key, *submitted(model, posed))
    writer.add_neutral_mesh(*key, *submitted(model, neutral))
    return posed is not neutral


def submitted(model: HeadModel, params: HeadParams) -> tuple[Trimesh, np.ndarray | None]:
    """A mesh in metres, and NoW's landmarks (7, 3) where it has not FLAME's 5023 vertices. FLAME's teeth, which come
    last, are left out."""
    with torch.no_grad():
        vertices = pose(model, params)
    count, faces = without_teeth(model)
    if count == FLAME_VERTICES:
        return Trimesh(vertices[:count].numpy(), faces, process=False), None
    points, ids = landmark_points(model, vertices, "ibug"), model.landmarks["ibug"].detector_ids.tolist()
    landmarks = points[[ids.index(number) for number in NOW_POINTS]]
    return Trimesh(vertices.numpy(), model.faces.numpy(), process=False), landmarks.numpy()
