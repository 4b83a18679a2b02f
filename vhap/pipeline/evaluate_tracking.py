"""Measures a tracking run against its pictures, its landmarks and, where it is known, the truth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vhap.config.data import DataConfig, MultiviewDataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.data.lost_frames import small_pictures
from vhap.data.result_cameras import given_cameras, similarity_of
from vhap.data.results import TrackResult, load_result, result_path
from vhap.evaluate.evaluation_file import EVALUATION, read_evaluation
from vhap.evaluate.eyes_and_mouth import in_head_space
from vhap.evaluate.frame_pass import RenderedFrame, pass_over
from vhap.evaluate.measure_cameras import per_camera, worst_cameras
from vhap.evaluate.measure_eyes_and_mouth import EyesAndMouth
from vhap.evaluate.measure_pictures import (
    FrameMeasures,
    PictureMeasurer,
    PictureMeasures,
    detected_share,
    mean_nme_percent,
    picture_values,
)
from vhap.evaluate.metrics import (
    Distribution,
    Similarity,
    SimilaritySums,
    focal_error_percent,
    second_difference_mm,
    vertex_distance_mm,
)
from vhap.evaluate.run_scene import RunScene, result_head_params
from vhap.geometry.similarities import apply_similarity
from vhap.pipeline.lost_frames import detected_rows, lost_reasons, raw_capture
from vhap.pipeline.open_run import open_run
from vhap.util.cached import read_cached
from vhap.util.errors import InputError
from vhap.util.files import map_npy, write_json
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

SHOWS_NOTHING = "shows_nothing"
PER_FRAME, PER_CAMERA, WORST_CAMERAS = "per_frame", "per_camera", "worst_cameras"
"""The keys of evaluation.json that are not single values."""


@dataclass(frozen=True)
class Truth:
    """vertices (T, V, 3) on disk, in the calibration's world and units; row_of: timestep name -> row; result: what
    posed them."""

    vertices: np.ndarray
    row_of: dict[str, int]
    result: TrackResult

    @property
    def focal(self) -> float:
        """In units of max(height, width); NaN where the cameras were given."""
        return math.nan if self.result.focal_length is None else float(self.result.focal_length.reshape(-1)[0])

    @property
    def scale(self) -> float:
        """Units of the calibration in a metre."""
        return 1.0 if self.result.scale is None else float(self.result.scale)

    def frame(self, name: str, device: torch.device) -> Tensor | None:
        """(V, 3) metres of a timestep, None where the truth does not have it."""
        row = self.row_of.get(name)
        return None if row is None else torch.from_numpy(self.vertices[row] / self.scale).float().to(device)


def run(config: EvaluateConfig) -> Path:
    """Writes evaluation.json into the run folder and returns its path. Memory does not grow with the frames."""
    scene = open_run(config.run, config.epoch)
    evaluation = RunEvaluation(scene, open_truth(config, scene))
    with folder_lock(scene.folder):
        pass_over(scene, [evaluation], "evaluating")
        return evaluation.write()


def known_evaluation(folder: Path, epoch: int, timestep_ids: Sequence[str]) -> dict[str, Any] | None:
    """evaluation.json of a run folder; None where it is missing, damaged, of an older release, or of a result of other
    timesteps or of another epoch."""
    return read_cached(folder / EVALUATION, partial(read_evaluation, epoch=epoch, timestep_ids=timestep_ids))


def clip_values(values: dict[str, Any]) -> dict[str, float | int | str | None]:
    """What an evaluation says of the clip as a whole, by name."""
    return {name: value for name, value in values.items() if name not in (PER_FRAME, PER_CAMERA, WORST_CAMERAS)}


class RunEvaluation:
    """Takes part in a pass over all pictures of a run and knows afterwards how good the run is."""

    def __init__(self, scene: RunScene, truth: Truth | None = None) -> None:
        self.scene, self.truth = scene, truth
        self.pictures, self.jitter = PictureMeasurer(scene), Jitter()

    def look(self, frame: RenderedFrame) -> PictureMeasures | None:
        return self.pictures.look(frame)

    def add(self, frame: RenderedFrame, seen: PictureMeasures | None) -> None:
        self.pictures.add(frame, seen)
        if frame.view == 0:
            self.jitter.add(frame.vertices)

    def end_row(self, row: int) -> None:
        self.pictures.end_row(row)

    def row_values(self, row: int) -> dict[str, float]:
        """Landmark error and PSNR of the face of a row that has been given."""
        measured = self.pictures.frames[row]
        return {
            "landmark_nme_percent": measured.nme_percent,
            "psnr_face_db": picture_values(measured.pictures)["psnr_face_db"],
        }

    def write(self) -> Path:
        """evaluation.json into the run folder."""
        path = self.scene.folder / EVALUATION
        write_json(path, _as_json(self.values()))
        return path

    @torch.no_grad()
    def values(self) -> dict[str, Any]:
        """Names and values of the clip, under PER_FRAME those of its frames, under PER_CAMERA those of its cameras, and
        the names of the worst of these under WORST_CAMERAS; NaN where there is nothing to measure.

        frames: timesteps of the capture. frames_lost: without a finite result, with a landmark error above 10 % where a
        face was detected, or with nothing of the head in any picture. detected_fraction: of all pictures.
        landmark_nme_percent: mean over the detected frames, of each over its cameras. psnr_head_db: rendered pixels;
        psnr_face_db: those of the region `face` that face the camera with a cosine of at least 0.2. silhouette_iou:
        rendered mask against the matte above 0.5, inside the bounding box of the head without its neck, above the chin.
        jitter_mm: median second difference of the vertices, NaN where pictures have no order. With a truth also the
        distance of the vertices, of the region `face` and of all, and the measures of `EyesAndMouth`.
        """
        scene, nothing = self.scene, shown_nothing(self.scene)
        measures = [replace(m, shows_nothing=why) for m, why in zip(self.pictures.frames, nothing, strict=True)]
        frames = len(scene.capture.timestep_ids)
        pictures = [picture for measured in measures for picture in measured.pictures]
        cameras = per_camera(scene.capture.camera_ids, measures)
        values = {
            "epoch": scene.epoch,
            "frames": frames,
            "frames_lost": frames - scene.n_rows + sum(m.lost for m in measures),
            "detected_fraction": detected_share(pictures),
            "landmark_nme_percent": mean_nme_percent(measures),
            **picture_values(pictures),
            "jitter_mm": math.nan if is_unordered(scene) else self.jitter.median_mm(),
        }
        compared = {} if self.truth is None else compare_with_truth(scene, self.truth)
        by_camera = {PER_CAMERA: cameras, WORST_CAMERAS: worst_cameras(cameras)}
        return {**values, **compared, PER_FRAME: per_frame(scene, measures), **by_camera}


def per_frame(scene: RunScene, measures: list[FrameMeasures]) -> dict[str, list]:
    """Values of every frame of the result, in its order; NaN where a frame has nothing to measure."""
    pixels = [picture_values(measured.pictures) for measured in measures]
    return {
        "timestep_id": [str(name) for name in scene.result.timestep_id],
        "lost": [measured.lost for measured in measures],
        SHOWS_NOTHING: [measured.shows_nothing for measured in measures],
        "landmark_nme_percent": [measured.nme_percent for measured in measures],
        "psnr_head_db": [values["psnr_head_db"] for values in pixels],
        "psnr_face_db": [values["psnr_face_db"] for values in pixels],
    }


def shown_nothing(scene: RunScene) -> list[str]:
    """Why no picture of a row shows the head, empty where one does: as the result has it, else by the pictures."""
    reasons = scene.result.lost_reason
    if reasons is None:
        pictures = small_pictures(raw_capture(scene.config.data), scene.timesteps, range(scene.n_views))
        reasons = lost_reasons(scene, pictures, detected_rows(scene.capture, scene.timesteps, scene.config.data))
    return [str(row[0]) if (row != "").all() else "" for row in reasons]


def is_unordered(scene: RunScene) -> bool:
    data = scene.config.data
    return isinstance(data, DataConfig | MultiviewDataConfig) and data.unordered


class Jitter:
    """Median second difference over all vertices and inner frames, exact to 0.002 mm; NaN below three frames."""

    def __init__(self) -> None:
        self.lengths = Distribution()
        self.window: list[Tensor] = []

    def add(self, vertices: Tensor) -> None:
        """(V, 3) metres of the next frame."""
        self.window = [*self.window[-2:], vertices]
        if len(self.window) == 3:
            self.lengths.add(second_difference_mm(*self.window))

    def median_mm(self) -> float:
        return self.lengths.quantile(0.5)


def open_truth(config: EvaluateConfig, scene: RunScene) -> Truth | None:
    """The truth that was asked for, else the tracked sequence's own where it fits; None without one.

    Raises InputError where a truth that was asked for is missing or of another head.
    """
    folder = config.truth if config.truth is not None else scene.sequence_folder
    folder = folder / "ground_truth" if (folder / "ground_truth").is_dir() else folder
    vertices = folder / "vertices.npy"
    if not vertices.is_file():
        if config.truth is None:
            return None
        raise InputError(
            f"expected a synthetic capture's ground truth at {folder}, found no vertices.npy; check --truth"
        )
    result = load_result(result_path(folder))
    if result.head_identity != scene.model.identity:
        message = f"expected the truth of the head {scene.model.identity} in {folder}, found {result.head_identity}"
        if config.truth is not None:
            raise InputError(f"{message}; track with that head to compare vertices")
        get_logger().info("%s: vertices are not compared", message)
        return None
    return _truth(vertices, result)


def _truth(path: Path, result: TrackResult) -> Truth:
    names = [str(name) for name in result.timestep_id]
    vertices = map_npy(path)
    if vertices.dtype.kind != "f" or vertices.ndim != 3 or len(vertices) != len(names) or vertices.shape[2] != 3:
        raise InputError(
            f"expected the vertices of {len(names)} frames in {path}, found {vertices.dtype} of shape "
            f"{vertices.shape}; make the capture again"
        )
    return Truth(vertices, {name: row for row, name in enumerate(names)}, result)


@torch.no_grad()
def compare_with_truth(scene: RunScene, truth: Truth) -> dict[str, float | str]:
    """Vertex errors in mm of the head, after one similarity a sequence where the camera was solved; with given cameras
    without any, in their own world. The focal error; eyes and mouth, each in its own head's space; the true motion's
    own jitter over the tracked timesteps, to compare jitter_mm with."""
    calibrated = given_cameras(scene.capture, scene.result) is not None
    similarity = None if calibrated else align_with_truth(scene, truth)
    face, head, jitter, eyes_and_mouth = Distribution(), Distribution(), Jitter(), EyesAndMouth(scene.model)
    for pair in _pairs(scene, truth):
        jitter.add(pair.exact)
        moved = pair.tracked if similarity is None else similarity.apply(pair.tracked)
        distance = vertex_distance_mm(moved, pair.exact)
        face.add(distance[scene.model.regions["face"]])
        head.add(distance)
        eyes_and_mouth.add(*pair.in_head_space(scene, truth))
    focal = math.nan
    if scene.result.focal_length is not None:
        focal = focal_error_percent(float(scene.result.focal_length.reshape(-1)[0]), truth.focal)
    return {
        "alignment": "none" if calibrated else "similarity",
        "face_vertex_error_mm_mean": face.mean(),
        "face_vertex_error_mm_p95": face.quantile(0.95),
        "head_vertex_error_mm_mean": head.mean(),
        "head_vertex_error_mm_p95": head.quantile(0.95),
        "focal_error_percent": focal,
        "jitter_mm_truth": jitter.median_mm(),
        **eyes_and_mouth.means(),
    }


def align_with_truth(scene: RunScene, truth: Truth) -> Similarity | None:
    """The one similarity that brings the whole head of all frames nearest to the truth; None without common frames."""
    sums: SimilaritySums | None = None
    for pair in _pairs(scene, truth):
        sums = SimilaritySums.of(pair.tracked, pair.exact) if sums is None else sums.add(pair.tracked, pair.exact)
    return None if sums is None else sums.solve()


@dataclass(frozen=True)
class _Pair:
    """Vertices (V, 3) of a timestep, in metres: tracked and exact ones in the truth's world, posed ones in the tracked
    world. row: of the result."""

    row: int
    posed: Tensor
    tracked: Tensor
    exact: Tensor

    def in_head_space(self, scene: RunScene, truth: Truth) -> tuple[Tensor, Tensor]:
        """Tracked and true vertices without the turns of root and neck."""
        true_row = truth.row_of[str(scene.result.timestep_id[self.row])]
        true_params = result_head_params(truth.result, true_row, scene.device)
        return in_head_space(self.posed, scene.head_params(self.row)), in_head_space(self.exact, true_params)


def _pairs(scene: RunScene, truth: Truth) -> Iterator[_Pair]:
    """Of every timestep that both have."""
    T_tracked_given = similarity_of(scene.capture, scene.result)
    back = None if T_tracked_given is None else torch.from_numpy(np.linalg.inv(T_tracked_given))
    for row, name in enumerate(scene.result.timestep_id):
        exact = truth.frame(str(name), scene.device)
        if exact is None:
            continue
        tracked = posed = scene.vertices(row)
        if back is not None:
            tracked = apply_similarity(back, posed.double()).div(truth.scale).float()
        if torch.isfinite(tracked).all():
            yield _Pair(row, posed, tracked, exact)


def _as_json(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {name: _as_json(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_as_json(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
