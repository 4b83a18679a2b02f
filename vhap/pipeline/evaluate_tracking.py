"""Measures a tracking run against its pictures, its landmarks and, where it is known, the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vhap.config.evaluate import EvaluateConfig
from vhap.data.results import TrackResult, load_result, result_path
from vhap.data.sample import FrameBatch
from vhap.model.head import joint_rotations
from vhap.model.regions import faces_of_region
from vhap.pipeline.rendered_frames import RunScene, open_run
from vhap.render.scene import Rendering
from vhap.tracking.metrics import (
    Distribution,
    Similarity,
    SimilaritySums,
    SquaredErrorSum,
    eye_width_px,
    focal_error_percent,
    head_window,
    landmark_nme_percent,
    second_difference_mm,
    silhouette_iou,
    silhouette_overlap,
    vertex_distance_mm,
)
from vhap.util.errors import InputError
from vhap.util.files import write_json
from vhap.util.log import get_logger
from vhap.util.progress import progress

FACING_COSINE = 0.2
LOST_NME_PERCENT = 10.0
MATTE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Truth:
    """vertices (T, V, 3) metres on disk; row_of: timestep name -> row; focal in units of max(height, width)."""

    vertices: np.ndarray
    row_of: dict[str, int]
    focal: float

    def frame(self, name: str, device: torch.device) -> Tensor | None:
        """(V, 3) of a timestep, None where the truth does not have it."""
        row = self.row_of.get(name)
        return None if row is None else torch.from_numpy(np.array(self.vertices[row])).to(device)


@dataclass
class PictureSums:
    """What the pictures of a run add up to, frame by frame."""

    head: SquaredErrorSum = field(default_factory=SquaredErrorSum)
    face: SquaredErrorSum = field(default_factory=SquaredErrorSum)
    landmark_errors: list[float] = field(default_factory=list)
    both: int = 0
    either: int = 0
    detected: int = 0
    lost: int = 0


def run(config: EvaluateConfig) -> Path:
    """Writes evaluation.json into the run folder and returns its path. Memory does not grow with the frames."""
    scene = open_run(config.run, config.epoch)
    truth = open_truth(config, scene)
    with torch.no_grad():
        values = evaluate(scene, truth)
    path = scene.folder / "evaluation.json"
    write_json(path, {name: _as_json(value) for name, value in values.items()})
    return path


def evaluate(scene: RunScene, truth: Truth | None = None) -> dict[str, float | int | str]:
    """Names and values; NaN where there is nothing to measure.

    frames: timesteps of the capture. frames_lost: without a finite result, or with a landmark error above 10 % where
    a face was detected. landmark_nme_percent: mean over the detected frames. psnr_head_db: rendered pixels;
    psnr_face_db: those of the region `face` that face the camera with a cosine of at least 0.2. silhouette_iou:
    rendered mask against the matte above 0.5, inside the bounding box of the head without its neck, above the chin.
    jitter_mm: median second difference of the vertices. With a truth also the distance of the vertices, of the region
    `face` and of all.
    """
    sums = measure_pictures(scene)
    frames = len(scene.capture.timestep_ids)
    errors = sums.landmark_errors
    values: dict[str, float | int | str] = {
        "epoch": scene.epoch,
        "frames": frames,
        "frames_lost": frames - scene.n_rows + sums.lost,
        "detected_fraction": sums.detected / max(scene.n_rows, 1),
        "landmark_nme_percent": float(np.mean(errors)) if errors else math.nan,
        "psnr_head_db": sums.head.psnr_db(),
        "psnr_face_db": sums.face.psnr_db(),
        "silhouette_iou": silhouette_iou(sums.both, sums.either),
        "jitter_mm": vertex_jitter_mm(scene),
    }
    return values if truth is None else {**values, **compare_with_truth(scene, truth)}


def measure_pictures(scene: RunScene) -> PictureSums:
    """Renders every frame over its picture; frames whose head is not finite count as lost and nothing else."""
    sums = PictureSums()
    in_face = faces_of_region(scene.model, "face")
    for row in progress(range(scene.n_rows), "evaluating"):
        vertices = scene.vertices(row)
        frame = scene.load(row)
        detected = bool((frame.confidence > 0).any())
        sums.detected += detected
        if not torch.isfinite(vertices).all():
            sums.lost += 1
            continue
        rendering = scene.render_vertices(vertices, scene.camera(), frame.rgb)
        mask = rendering.raster.mask
        sums.head.add(rendering.picture, frame.rgb, mask)
        sums.face.add(rendering.picture, frame.rgb, facing_mask(scene, rendering, vertices, in_face))
        if detected:
            error = frame_landmark_error(scene, row, vertices, frame)
            sums.landmark_errors.append(error)
            sums.lost += error > LOST_NME_PERCENT
        if frame.alpha is not None:
            window = silhouette_window(scene, row, vertices)
            both, either = silhouette_overlap(mask[0], frame.alpha[0] > MATTE_THRESHOLD, window)
            sums.both, sums.either = sums.both + both, sums.either + either
    return sums


def facing_mask(scene: RunScene, rendering: Rendering, vertices: Tensor, in_face: Tensor) -> Tensor:
    """(1, H, W) bool: rendered pixels of the wanted faces (F,) bool whose normal is turned to the camera."""
    raster = rendering.raster
    places = scene.backend.interpolate(vertices[None], scene.topology.faces, raster)
    towards = normalize(scene.camera().centre() - places, dim=-1)
    facing = (rendering.normals * towards).sum(-1) >= FACING_COSINE
    mask = torch.zeros_like(raster.mask)
    mask.view(-1)[raster.pixels] = facing & in_face[raster.face_id.view(-1)[raster.pixels].long()]
    return mask


def frame_landmark_error(scene: RunScene, row: int, vertices: Tensor, frame: FrameBatch) -> float:
    """% of the detected distance between the outer eye corners, over the points that both sides know."""
    ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids
    width = eye_width_px(frame.landmarks_px[0], scene.capture.landmark_set)
    model_px = scene.landmarks_px(row, vertices=vertices)
    return float(landmark_nme_percent(model_px, frame.landmarks_px[0, ids], frame.confidence[0, ids], width))


def silhouette_window(scene: RunScene, row: int, vertices: Tensor) -> Tensor:
    """(H, W) bool, see head_window; the head's up axis is that of its root and neck."""
    camera = scene.camera()
    height, width = scene.capture.size
    points_px, _ = camera.project(vertices)
    face, above_neck = scene.model.regions["face"], _vertices_above_neck(scene)
    middle = vertices[face].mean(0)
    axes = _head_rotation(scene, row)
    ends = torch.stack([middle, middle + 0.01 * axes[:, 1]])
    start_px, end_px = camera.project(ends)[0]
    return head_window(points_px[above_neck], end_px - start_px, points_px[face], height, width)


def _vertices_above_neck(scene: RunScene) -> Tensor:
    """(V,) bool: not in the regions neck and boundary."""
    above = torch.ones(scene.model.n_vertices, dtype=torch.bool, device=scene.device)
    for name in ("neck", "boundary"):
        above[scene.model.regions.get(name, [])] = False
    return above


def _head_rotation(scene: RunScene, row: int) -> Tensor:
    rotations = joint_rotations(scene.head_params(row))
    return rotations[0] @ rotations[1]


def vertex_jitter_mm(scene: RunScene) -> float:
    """Median over all vertices and inner frames, exact to 0.002 mm; NaN below three frames."""
    lengths = Distribution()
    window: list[Tensor] = []
    for row in range(scene.n_rows):
        window = [*window[-2:], scene.vertices(row)]
        if len(window) == 3:
            lengths.add(second_difference_mm(*window))
    return lengths.quantile(0.5)


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


def _truth(vertices: Path, result: TrackResult) -> Truth:
    assert result.focal_length is not None
    names = [str(name) for name in result.timestep_id]
    return Truth(
        vertices=np.load(vertices, mmap_mode="r"),
        row_of={name: row for row, name in enumerate(names)},
        focal=float(result.focal_length.reshape(-1)[0]),
    )


def compare_with_truth(scene: RunScene, truth: Truth) -> dict[str, float | str]:
    """Vertex errors in mm after one similarity a sequence (none where the camera was given), and the focal error."""
    calibrated = scene.capture.given_camera() is not None
    similarity = None if calibrated else align_with_truth(scene, truth)
    face, head = Distribution(), Distribution()
    for vertices, exact in _pairs(scene, truth):
        distance = vertex_distance_mm(vertices if similarity is None else similarity.apply(vertices), exact)
        face.add(distance[scene.model.regions["face"]])
        head.add(distance)
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
        "jitter_mm_truth": truth_jitter_mm(scene, truth),
    }


def align_with_truth(scene: RunScene, truth: Truth) -> Similarity | None:
    """The one similarity that brings the whole head of all frames nearest to the truth; None without common frames."""
    sums: SimilaritySums | None = None
    for vertices, exact in _pairs(scene, truth):
        sums = SimilaritySums.of(vertices, exact) if sums is None else sums.add(vertices, exact)
    return None if sums is None else sums.solve()


def truth_jitter_mm(scene: RunScene, truth: Truth) -> float:
    """The true motion's own jitter over the tracked timesteps, to compare jitter_mm with."""
    lengths = Distribution()
    window: list[Tensor] = []
    for _, exact in _pairs(scene, truth):
        window = [*window[-2:], exact]
        if len(window) == 3:
            lengths.add(second_difference_mm(*window))
    return lengths.quantile(0.5)


def _pairs(scene: RunScene, truth: Truth):
    """Tracked and true vertices (V, 3) of every timestep that both have."""
    for row, name in enumerate(scene.result.timestep_id):
        exact = truth.frame(str(name), scene.device)
        vertices = scene.vertices(row)
        if exact is not None and torch.isfinite(vertices).all():
            yield vertices, exact


def _as_json(value: float | int | str) -> float | int | str | None:
    """JSON knows no NaN and no infinity: null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
