"""How well a run's rendered heads explain its pictures and landmarks, frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vhap.data.sample import unit_floats
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

    def look(self, frame: RenderedFrame) -> PictureMeasures | None:
        """None of a head that is not finite."""
        is_finite = bool(torch.isfinite(frame.vertices).all())
        return measure_picture(frame, self.in_face, self.above_neck) if is_finite else None

    def add(self, frame: RenderedFrame, seen: PictureMeasures | None) -> None:
        self._finite = seen is not None
        self._row.append(lost_picture(frame) if seen is None else seen)

    def end_row(self, row: int) -> None:
        self.frames.append(FrameMeasures(tuple(self._row), self._finite))
        self._row = []


def lost_picture(frame: RenderedFrame) -> PictureMeasures:
    """Of a head that is not finite: lost and nothing else."""
    return PictureMeasures(_shows_face(frame))


def measure_picture(frame: RenderedFrame, in_face: Tensor, above_neck: Tensor) -> PictureMeasures:
    """in_face: (F,) bool, the faces of the region `face`; above_neck (V,) bool."""
    detected, alpha = _shows_face(frame), frame.picture.alpha
    squares = squared_differences(frame)
    nme = picture_landmark_error(frame) if detected else math.nan
    both, either = 0, 0
    if alpha is not None:
        matte = torch.from_numpy(frame.window.of(alpha) > MATTE_THRESHOLD * 255)
        window = silhouette_window(frame, above_neck)
        both, either = silhouette_overlap(frame.rendering.raster.mask[0].cpu(), matte, window.cpu())
    head = SquaredErrorSum.of(squares)
    face = SquaredErrorSum.of(squares[facing_camera(frame, in_face)])
    return PictureMeasures(detected, head, face, nme, both, either)


def _shows_face(frame: RenderedFrame) -> bool:
    return bool((frame.confidence > 0).any())


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
    rendering, pixels = frame.rendering, frame.rendering.raster.pixels
    shown = np.ascontiguousarray(frame.window.of(frame.picture.rgb)).reshape(-1, 3)
    target = unit_floats(shown.take(pixels.cpu().numpy(), 0))
    drawn = rendering.picture.reshape(-1, 3).index_select(0, pixels).cpu()
    return drawn.double().sub_(target).square_()


def facing_camera(frame: RenderedFrame, in_face: Tensor) -> Tensor:
    """(M,) long: which of the covered pixels are of the wanted faces (F,) bool, with normals that are turned to the
    camera."""
    raster, camera, window = frame.rendering.raster, frame.camera, frame.window
    covering = raster.face_id.view(-1).index_select(0, raster.pixels)
    wanted = in_face.index_select(0, covering).nonzero().squeeze(1)
    rows = raster.pixels[wanted].div(window.width, rounding_mode="floor")
    columns = raster.pixels[wanted] - rows * window.width
    # What a pixel shows lies on its ray, whatever the depth: (x, -y, -1) in the camera's axes.
    x = (columns + (window.left + 0.5) - camera.cx) / camera.fx
    y = (rows + (window.top + 0.5) - camera.cy) / camera.fy
    normals = rendering_normals(frame, wanted)
    towards = normals[:, 1] * y - normals[:, 0] * x + normals[:, 2]
    return wanted[towards >= FACING_COSINE * (x * x + y * y + 1).sqrt()].cpu()


def rendering_normals(frame: RenderedFrame, which: Tensor) -> Tensor:
    """(M, 3) of some covered pixels, in the camera's axes."""
    return frame.rendering.normals.index_select(0, which) @ frame.camera.T_camera_world[:3, :3].T


def picture_landmark_error(frame: RenderedFrame) -> float:
    """% of the detected distance between the outer eye corners, over the points that both sides know; NaN where that is
    not known."""
    scene, name = frame.scene, frame.scene.capture.landmark_set
    detected_px, confidence = frame.detected_px, frame.confidence
    ids = scene.model.landmarks[name].detector_ids.cpu()
    width = eye_width_px(detected_px, confidence, name)
    return float(landmark_nme_percent(frame.landmarks_px.cpu(), detected_px[ids], confidence[ids], width))


def silhouette_window(frame: RenderedFrame, above_neck: Tensor) -> Tensor:
    """(h, w) bool of the frame's window, see head_window; the head's up axis is that of its root and neck. above_neck
    (V,) bool."""
    scene, vertices, window = frame.scene, frame.vertices, frame.window
    face = scene.model.regions["face"]
    middle = vertices.index_select(0, face).mean(0)
    axes = _head_rotation(scene, frame.row)
    ends = torch.stack([middle, middle + 0.01 * axes[:, 1]])
    start_px, end_px = frame.camera.project(ends)[0]
    return head_window(frame.points_px[above_neck], end_px - start_px, frame.points_px.index_select(0, face), window)


def _vertices_above_neck(scene: RunScene) -> Tensor:
    """(V,) bool: not in the regions neck and boundary."""
    above = torch.ones(scene.model.n_vertices, dtype=torch.bool, device=scene.device)
    for name in ("neck", "boundary"):
        above[scene.model.regions.get(name, [])] = False
    return above


def _head_rotation(scene: RunScene, row: int) -> Tensor:
    rotations = joint_rotations(scene.head_params(row))
    return rotations[0] @ rotations[1]
