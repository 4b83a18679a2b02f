"""What a tracker has to beat: landmarks alone, and the mean of the pictures as texture.

A plain least-squares fit of the head to the detected landmarks (shape and focal length shared, pose and expression for
every frame, weak priors, nothing that ties the frames together), then every texel takes the mean colour that the
pictures show there. No light, no photometric step. The result is written like a tracking run and measured with the same
functions:

    python bench/baseline.py --data.root-folder ROOT --data.sequence man_gray --head ict --output OUT
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from vhap.cli import parse
from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.monocular import MonocularCapture
from vhap.data.results import save_result
from vhap.evaluate.run_scene import RunScene
from vhap.fit.landmarks.first_guess import pose_from_landmarks
from vhap.fit.landmarks.solver import solve_landmarks
from vhap.fit.params import TrackParams, initial_params, to_result
from vhap.fit.residuals.landmark_problem import LandmarkPrior, LandmarkProblem
from vhap.geometry.meshes import barycentric_points, vertex_normals
from vhap.head.model import HeadModel, landmark_head
from vhap.head.texture import fill_outside
from vhap.pipeline.evaluate_tracking import run as evaluate
from vhap.pipeline.heads import open_head
from vhap.pipeline.open_run import open_run
from vhap.render.shading import uniform_lights
from vhap.synthetic.uv_map import make_uv_map
from vhap.util.errors import exits_cleanly
from vhap.util.progress import progress

NOT_ROBUST = 1e4
ITERATIONS = 60
TEXTURE_SIZE = 512
DEPTH_TOLERANCE_M = 0.004
SEEN_COSINE = 0.1


@dataclass(frozen=True)
class BaselineConfig:
    data: DataConfig
    output: Path
    """Where the folder `baseline` is written."""
    head: Literal["auto", "flame", "gnm", "ict", "builtin"] = "auto"
    """Head model."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    path = run(parse(BaselineConfig, __doc__, args))
    print(path.read_text(encoding="utf-8"), end="")
    print(path)


def run(config: BaselineConfig) -> Path:
    """Fits, writes OUTPUT/baseline/ and returns the evaluation's file."""
    track_config = TrackConfig(config.data, ExperimentConfig(config.output), ModelConfig(head=config.head))
    capture = MonocularCapture(config.data)
    model = open_head(track_config.model, capture.landmark_set)
    params = fit_landmarks(model, capture)
    folder = config.output / "baseline"
    save_config(folder / "config.yml", track_config)
    write_result(folder, params, model, capture, None)
    write_result(folder, params, model, capture, mean_texture(open_run(folder)))
    return evaluate(EvaluateConfig(folder))


def fit_landmarks(model: HeadModel, capture: MonocularCapture) -> TrackParams:
    """Every unknown but texture and light, at the minimum of squared landmark distances plus weak priors."""
    name = capture.landmark_set
    points_px, confidence = capture.load_landmarks()
    ids = model.landmarks[name].detector_ids
    problem = LandmarkProblem(
        head=landmark_head(model, name),
        name=name,
        detected_px=points_px[:, :, ids],
        weight=confidence[:, :, ids],
        timesteps=torch.arange(len(points_px)),
        size=capture.size,
        given=capture.given_camera(),
        prior=LandmarkPrior(robust=NOT_ROBUST),
    )
    start = initial_params(model, len(points_px), 1, uniform_lights())
    posed, _ = pose_from_landmarks(problem, start)
    return solve_landmarks(problem, posed, with_shared=True, iterations=ITERATIONS)


def write_result(
    folder: Path, params: TrackParams, model: HeadModel, capture: MonocularCapture, texture: Tensor | None
) -> None:
    result = to_result(
        params,
        head_identity=model.identity,
        timestep_ids=capture.timestep_ids,
        timestep_indices=capture.timestep_indices,
        image_size=capture.size,
        albedo=None if texture is None else texture[None],
        calibrated=capture.given_camera() is not None,
        sh_lights=False,
    )
    save_result(folder / "tracked_flame_params_0.npz", result)


def mean_texture(scene: RunScene) -> Tensor:
    """(R, R, 3): the mean colour over the pictures that see a texel; where none does, the nearest texel's."""
    uv_map = make_uv_map(scene.model, scene.backend, TEXTURE_SIZE, TEXTURE_SIZE)
    face_ids, weights = uv_map.face_id.reshape(-1), uv_map.barycentrics(scene.model).reshape(-1, 3)
    total, count = torch.zeros(len(face_ids), 3), torch.zeros(len(face_ids), 1)
    for row in progress(range(scene.n_rows), "mean texture"):
        vertices = scene.vertices(row)
        places = barycentric_points(vertices, scene.model.faces, face_ids, weights)
        normals = barycentric_points(vertex_normals(vertices, scene.model.faces), scene.model.faces, face_ids, weights)
        colours, seen = _sample(scene, row, vertices, places, normals)
        total += colours * seen[:, None]
        count += seen[:, None]
    mean = (total / count.clamp(min=1)).reshape(TEXTURE_SIZE, TEXTURE_SIZE, 3)
    covered = (count > 0).reshape(TEXTURE_SIZE, TEXTURE_SIZE)
    return torch.from_numpy(fill_outside(mean.numpy(), covered.numpy()))


def _sample(scene: RunScene, row: int, vertices: Tensor, places: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Colours (N, 3) of surface points in one picture, and which of them (N,) it shows."""
    frame, camera = scene.load(row), scene.camera()
    height, width = scene.capture.size
    raster = scene.backend.rasterize(camera.to_clip(vertices[None]), scene.topology, height, width)
    surface = scene.backend.interpolate(vertices[None], scene.topology.faces, raster)
    depth_map = torch.zeros(height * width)
    depth_map[raster.pixels] = camera.project(surface)[1]
    points_px, depth = camera.project(places)
    grid = (points_px / torch.tensor([width, height]) * 2 - 1)[None, None]
    colours = grid_sample(frame.rgb.permute(0, 3, 1, 2), grid, align_corners=False)[0, :, 0].T
    column, line = points_px.floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    first = depth_map[(line.clamp(0, height - 1) * width + column.clamp(0, width - 1))]
    facing = (normals * normalize(camera.centre() - places, dim=-1)).sum(-1)
    return colours, inside & ((depth - first).abs() < DEPTH_TOLERANCE_M) & (facing > SEEN_COSINE)


if __name__ == "__main__":
    main()
