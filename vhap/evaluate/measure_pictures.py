"""How well a run's rendered heads explain its pictures and landmarks, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vhap.evaluate.frame_pass import RenderedFrame
from vhap.evaluate.metrics import (
    SquaredErrorSum,
    eye_width_px,
    head_window,
    landmark_nme_percent,
    silhouette_iou,
    silhouette_overlap,
)
from vhap.evaluate.run_scene import RunScene
from vhap.head.model import joint_rotations
from vhap.head.regions import faces_of_region

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


class PictureMeasurer:
    """Takes part in a pass and measures its frames."""

    def __init__(self, scene: RunScene) -> None:
        self.scene = scene
        self.in_face = faces_of_region(scene.model, "face")
        self.above_neck = _vertices_above_neck(scene)
        self.frames: list[FrameMeasures] = []
        self._row: list[PictureMeasures] = []
        self._finite = True

    def add(self, frame: RenderedFrame) -> None:
        self._finite = bool(torch.isfinite(frame.vertices).all())
        self._row.append(measure_picture(frame, self.in_face, self.above_neck) if self._finite else lost_picture(frame))

    def end_row(self, row: int) -> None:
        self.frames.append(FrameMeasures(tuple(self._row), self._finite))
        self._row = []


def lost_picture(frame: RenderedFrame) -> PictureMeasures:
    """Of a head that is not finite: lost and nothing else."""
    return PictureMeasures(_shows_face(frame))


def measure_picture(frame: RenderedFrame, in_face: Tensor, above_neck: Tensor) -> PictureMeasures:
    """in_face: (F,) bool, the faces of the region `face`; above_neck (V,) bool."""
    target, detected = frame.picture, _shows_face(frame)
    squares = squared_differences(frame)
    nme = picture_landmark_error(frame) if detected else math.nan
    both, either = 0, 0
    if target.alpha is not None:
        window, matte = silhouette_window(frame, above_neck), target.alpha[0] > MATTE_THRESHOLD
        both, either = silhouette_overlap(frame.rendering.raster.mask[0], matte, window)
    head, face = SquaredErrorSum.of(squares), SquaredErrorSum.of(squares[facing_camera(frame, in_face)])
    return PictureMeasures(detected, head, face, nme, both, either)


def _shows_face(frame: RenderedFrame) -> bool:
    return bool((frame.picture.confidence > 0).any())


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


def squared_differences(frame: RenderedFrame) -> Tensor:
    """(N, 3) float64 of the covered pixels."""
    pixels = frame.rendering.raster.pixels
    drawn, target = (values.reshape(-1, 3)[pixels].double() for values in (frame.rendering.picture, frame.picture.rgb))
    return (drawn - target).square()


def facing_camera(frame: RenderedFrame, in_face: Tensor) -> Tensor:
    """(N,) bool: covered pixels of the wanted faces (F,) bool whose normal is turned to the camera."""
    scene, rendering = frame.scene, frame.rendering
    raster = rendering.raster
    places = scene.backend.interpolate(frame.vertices[None], scene.topology.faces, raster)
    towards = normalize(frame.camera.centre() - places, dim=-1)
    facing = (rendering.normals * towards).sum(-1) >= FACING_COSINE
    return facing & in_face[raster.face_id.view(-1)[raster.pixels].long()]


def picture_landmark_error(frame: RenderedFrame) -> float:
    """% of the detected distance between the outer eye corners, over the points that both sides know; NaN where that is
    not known."""
    scene, name = frame.scene, frame.scene.capture.landmark_set
    detected_px, confidence = frame.picture.landmarks_px[0], frame.picture.confidence[0]
    ids = scene.model.landmarks[name].detector_ids
    width = eye_width_px(detected_px, confidence, name)
    return float(landmark_nme_percent(frame.landmarks_px, detected_px[ids], confidence[ids], width))


def silhouette_window(frame: RenderedFrame, above_neck: Tensor) -> Tensor:
    """(H, W) bool, see head_window; the head's up axis is that of its root and neck. above_neck (V,) bool."""
    scene, vertices = frame.scene, frame.vertices
    height, width = scene.capture.size
    points_px, _ = frame.camera.project(vertices)
    face = scene.model.regions["face"]
    middle = vertices[face].mean(0)
    axes = _head_rotation(scene, frame.row)
    ends = torch.stack([middle, middle + 0.01 * axes[:, 1]])
    start_px, end_px = frame.camera.project(ends)[0]
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
