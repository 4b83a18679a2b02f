"""How well a run's rendered heads explain its pictures and landmarks, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vhap.data.sample import FrameBatch
from vhap.evaluate.metrics import (
    SquaredErrorSum,
    eye_width_px,
    head_window,
    landmark_nme_percent,
    silhouette_iou,
    silhouette_overlap,
)
from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.head.model import joint_rotations
from vhap.head.regions import faces_of_region
from vhap.render.scene import Rendering
from vhap.util.progress import progress

FACING_COSINE = 0.2
LOST_NME_PERCENT = 10.0
MATTE_THRESHOLD = 0.5


@dataclass(frozen=True)
class PictureMeasures:
    """One picture. detected: it shows a face; nme_percent: landmark error, NaN without a face or its eye corners; both,
    either: pixels of the silhouettes' intersection and union, 0 without a matte."""

    detected: bool
    head: SquaredErrorSum = field(default_factory=SquaredErrorSum)
    face: SquaredErrorSum = field(default_factory=SquaredErrorSum)
    nme_percent: float = math.nan
    both: int = 0
    either: int = 0


@dataclass(frozen=True)
class FrameMeasures:
    """One timestep by all cameras, in their order. finite: whether the head is. shows_nothing: why no camera shows it,
    empty where one does."""

    pictures: tuple[PictureMeasures, ...]
    finite: bool
    shows_nothing: str = ""

    @property
    def nme_percent(self) -> float:
        """Mean over the pictures with a face; NaN without one."""
        return mean_nme_percent(self.pictures)

    @property
    def lost(self) -> bool:
        """The head is not finite, its landmarks are off by over 10 %, or no picture shows it."""
        return not self.finite or self.nme_percent > LOST_NME_PERCENT or self.shows_nothing != ""


def measure_pictures(scene: RunScene) -> list[FrameMeasures]:
    """Renders every frame over its pictures, one in memory at a time."""
    in_face = faces_of_region(scene.model, "face")
    return [measure_frame(scene, row, in_face) for row in progress(range(scene.n_rows), "evaluating")]


def measure_frame(scene: RunScene, row: int, in_face: Tensor) -> FrameMeasures:
    """in_face: (F,) bool, the faces of the region `face`. A head that is not finite is lost and nothing else."""
    vertices = scene.vertices(row)
    pictures = tuple(measure_picture(scene, row, view, vertices, in_face) for view in range(scene.n_views))
    return FrameMeasures(pictures, bool(torch.isfinite(vertices).all()))


def measure_picture(scene: RunScene, row: int, view: int, vertices: Tensor, in_face: Tensor) -> PictureMeasures:
    frame, camera = scene.load(row, view), scene.camera(view)
    detected = bool((frame.confidence > 0).any())
    if not torch.isfinite(vertices).all():
        return PictureMeasures(detected)
    rendering = scene.render_vertices(vertices, camera, frame.rgb)
    mask = rendering.raster.mask
    head, face = SquaredErrorSum(), SquaredErrorSum()
    head.add(rendering.picture, frame.rgb, mask)
    face.add(rendering.picture, frame.rgb, facing_mask(scene, rendering, vertices, camera, in_face))
    nme = picture_landmark_error(scene, row, view, vertices, frame) if detected else math.nan
    both, either = 0, 0
    if frame.alpha is not None:
        window = silhouette_window(scene, row, vertices, camera)
        both, either = silhouette_overlap(mask[0], frame.alpha[0] > MATTE_THRESHOLD, window)
    return PictureMeasures(detected, head, face, nme, both, either)


def picture_values(pictures: Sequence[PictureMeasures]) -> dict[str, float]:
    """What the pixels of some pictures say, all together."""
    return {
        "psnr_head_db": summed([picture.head for picture in pictures]).psnr_db(),
        "psnr_face_db": summed([picture.face for picture in pictures]).psnr_db(),
        "silhouette_iou": silhouette_iou(sum(p.both for p in pictures), sum(p.either for p in pictures)),
    }


def mean_nme_percent(measures: Sequence[PictureMeasures] | Sequence[FrameMeasures]) -> float:
    """Mean of the landmark errors that are there; NaN where none is."""
    errors = [measured.nme_percent for measured in measures if not math.isnan(measured.nme_percent)]
    return sum(errors) / len(errors) if errors else math.nan


def detected_share(pictures: Sequence[PictureMeasures]) -> float:
    """Of pictures with a face."""
    return sum(picture.detected for picture in pictures) / max(len(pictures), 1)


def summed(errors: Sequence[SquaredErrorSum]) -> SquaredErrorSum:
    return SquaredErrorSum(sum(error.total for error in errors), sum(error.count for error in errors))


def facing_mask(scene: RunScene, rendering: Rendering, vertices: Tensor, camera: Camera, in_face: Tensor) -> Tensor:
    """(1, H, W) bool: rendered pixels of the wanted faces (F,) bool whose normal is turned to the camera."""
    raster = rendering.raster
    places = scene.backend.interpolate(vertices[None], scene.topology.faces, raster)
    towards = normalize(camera.centre() - places, dim=-1)
    facing = (rendering.normals * towards).sum(-1) >= FACING_COSINE
    mask = torch.zeros_like(raster.mask)
    mask.view(-1)[raster.pixels] = facing & in_face[raster.face_id.view(-1)[raster.pixels].long()]
    return mask


def picture_landmark_error(scene: RunScene, row: int, view: int, vertices: Tensor, frame: FrameBatch) -> float:
    """% of the detected distance between the outer eye corners, over the points that both sides know; NaN where that is
    not known."""
    ids = scene.model.landmarks[scene.capture.landmark_set].detector_ids
    width = eye_width_px(frame.landmarks_px[0], frame.confidence[0], scene.capture.landmark_set)
    model_px = scene.landmarks_px(row, view, vertices)
    return float(landmark_nme_percent(model_px, frame.landmarks_px[0, ids], frame.confidence[0, ids], width))


def silhouette_window(scene: RunScene, row: int, vertices: Tensor, camera: Camera) -> Tensor:
    """(H, W) bool, see head_window; the head's up axis is that of its root and neck."""
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
