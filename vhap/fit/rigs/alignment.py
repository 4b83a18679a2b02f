"""Scale, axes and origin of a rig whose calibration knows none of them, from landmarks seen by several cameras."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.scene import emphasis
from vhap.geometry.cameras import Camera
from vhap.geometry.robust import GemanMcClure
from vhap.geometry.triangulation import reprojection_errors, triangulate
from vhap.head.model import HeadModel, landmark_points

MOST_TIMESTEPS = 24
TOLERANCE = 0.02
"""Of the face's size in the picture: from where a landmark counts less. Detectors differ that much between views."""
CAMERAS_FOR_A_BAD_ONE = 6
"""Of so many, one may disagree: detectors fail in views from behind."""
ITERATIONS = 20
LEAST_POINTS = 6
QUANTILES = (0.1, 0.9)
"""Of the points along an axis; they bound the face whatever a few wrong points do."""


@dataclass(frozen=True)
class RigFit:
    """How a calibration's world lies to the tracker's.

    metres_per_unit: length of the calibration's unit. T_tracked_given (4, 4) float64: the similarity from the
    calibration's world to the tracker's, x_tracked = T_tracked_given @ x_given; cameras go along by `Camera.moved`.
    reprojection_px: median distance of the triangulated landmarks to the detected ones; reprojection: the same in
    units of the face's size in the picture, the mean of the cameras' medians, without the worst of each six
    cameras (detectors may fail in views from behind). camera_error (C,): these medians, 1 for a camera which the
    head lies behind, NaN for one that saw no point in common with another.
    template_error: as reprojection, of the rigid template laid on the triangulated landmarks: how little they look like
    a head.
    """

    metres_per_unit: float
    T_tracked_given: Tensor
    reprojection_px: float
    reprojection: float
    camera_error: Tensor
    template_error: float


@dataclass(frozen=True)
class HeadPoses:
    """The template's landmarks on triangulated ones: given = scale * rotation[t] @ template + translation[t].

    scale: units per metre; rotation (T, 3, 3); translation (T, 3).
    """

    scale: float
    rotation: Tensor
    translation: Tensor

    def points(self, template: Tensor) -> Tensor:
        """(L, 3) -> (T, L, 3)."""
        return self.scale * template @ self.rotation.mT + self.translation[:, None]


@dataclass(frozen=True)
class Observations:
    """Landmarks that several cameras saw at the same time. template (L, 3) metres; points_px (T, C, L, 2);
    weight (T, C, L), 0 where nothing was seen; extent_px (C,): size of the face in each camera's pictures."""

    template: Tensor
    points_px: Tensor
    weight: Tensor
    extent_px: Tensor

    def thinned(self, timesteps: int, landmarks: int) -> Observations:
        """At most so many of them, evenly spread."""
        rows, columns = _spread(len(self.weight), timesteps), _spread(len(self.template), landmarks)
        return replace(
            self,
            template=self.template[columns],
            points_px=self.points_px[rows][:, :, columns],
            weight=self.weight[rows][:, :, columns],
        )


@dataclass(frozen=True)
class Agreement:
    """How well cameras explain observations. reprojection_px, reprojection, camera_error, template_error: see `RigFit`;
    mirror_error: that of the template's mirror image. poses: the head's, None where too few points could be
    triangulated; both template errors are then 1."""

    reprojection_px: float
    reprojection: float
    camera_error: Tensor
    template_error: float
    mirror_error: float
    poses: HeadPoses | None


def fit_rig(
    head: HeadModel, name: str, points_px: Tensor, weight: Tensor, camera: Camera, keep_axes: bool = False
) -> RigFit | None:
    """Solves how the calibration's world lies to the head; None where there is nothing to solve it from.

    head: `landmark_head` of the set `name`; points_px (T, C, L, 2) in the set's order; weight (T, C, L), 0 where
    nothing was detected; camera: leading axis C, in any unit. The tracked world is metric; the mean head pose is
    upright in it and looks towards +z, and the mean position of the root joint is the template's. keep_axes: the
    world keeps axes and origin and becomes metric only. None: no two cameras see the head at the same time, or too few
    points can be triangulated. The unit is that of the head's template: a larger head makes a larger unit.
    """
    observations = collect_observations(head, name, points_px, weight)
    return None if observations is None else finish_fit(head, measure_agreement(observations, camera), keep_axes)


def finish_fit(head: HeadModel, agreement: Agreement, keep_axes: bool) -> RigFit | None:
    """What `fit_rig` returns, None where too few points could be triangulated."""
    if (poses := agreement.poses) is None:
        return None
    return RigFit(
        metres_per_unit=1 / poses.scale,
        T_tracked_given=_tracked_from_given(poses, head.joint_template[0].double(), keep_axes),
        reprojection_px=agreement.reprojection_px,
        reprojection=agreement.reprojection,
        camera_error=agreement.camera_error,
        template_error=agreement.template_error,
    )


def collect_observations(head: HeadModel, name: str, points_px: Tensor, weight: Tensor) -> Observations | None:
    """Points that do not slide, in at most 24 timesteps in which two cameras or more see the same ones; None where
    there are none. Arguments as in `fit_rig`."""
    columns = torch.nonzero(emphasis(name, head.landmarks[name].detector_ids, jaw_line=False) > 0).flatten()
    common = (weight[..., columns] > 0).sum(1) >= 2
    rows = torch.nonzero(common.sum(-1) >= LEAST_POINTS).flatten()
    if len(rows) == 0:
        return None
    rows = rows[_spread(len(rows), MOST_TIMESTEPS)]
    points_px, weight = points_px[rows][:, :, columns].double(), weight[rows][:, :, columns].double()
    template = landmark_points(head, head.template, name)[columns].double()
    return Observations(template, points_px, weight, face_extent_px(points_px, weight))


def measure_agreement(observations: Observations, camera: Camera) -> Agreement:
    """Triangulates the observations and lays the template on them."""
    camera = camera.to(torch.float64)
    weight, extent = observations.weight, observations.extent_px
    found = triangulate(camera, observations.points_px, weight, TOLERANCE * extent)
    counted = (weight > 0) & ((weight > 0).sum(1, keepdim=True) >= 2)
    camera_error = _camera_medians(found.error_px / extent[:, None], counted)
    rows = found.valid.sum(-1) >= LEAST_POINTS
    poses, errors = None, [1.0, 1.0]
    if bool(rows.any()):
        templates = (observations.template, observations.template * observations.template.new_tensor([-1, 1, 1]))
        fits = [fit_poses(template, found.points[rows], found.valid[rows]) for template in templates]
        seen = replace(observations, points_px=observations.points_px[rows], weight=weight[rows])
        errors = [template_error(seen, camera, fit.points(template)) for template, fit in zip(templates, fits)]
        poses = fits[0]
    return Agreement(
        float(found.error_px[counted].median()),
        _mean_of_most(camera_error),
        camera_error,
        errors[0],
        errors[1],
        poses,
    )


def template_error(observations: Observations, camera: Camera, points: Tensor) -> float:
    """Distance of projected points (T, L, 3) from the observations, as `RigFit.template_error`."""
    error, depth = reprojection_errors(camera, points, observations.points_px)
    relative = torch.where(depth > 0, error / observations.extent_px[:, None], torch.inf)
    return _mean_of_most(_camera_medians(relative, observations.weight > 0))


def _camera_medians(relative: Tensor, counted: Tensor) -> Tensor:
    """(T, C, L) -> (C,) medians of the counted ones, at most 1; NaN where there are none."""
    return torch.where(counted, relative.clamp(max=1), torch.nan).movedim(1, 0).flatten(1).nanmedian(1).values


def _mean_of_most(camera_error: Tensor) -> float:
    """The mean without NaN and the largest of each six."""
    known = camera_error[~camera_error.isnan()].sort().values
    return float(known[: len(known) - len(known) // CAMERAS_FOR_A_BAD_ONE].mean())


def _spread(count: int, most: int) -> Tensor:
    """(min(count, most),) evenly spread indices."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def face_extent_px(points_px: Tensor, weight: Tensor) -> Tensor:
    """(C,) size of the face in each camera's pictures: the longer side of the box around most points, median over
    time; the largest of the other cameras' where one sees none. points_px (T, C, L, 2), weight (T, C, L)."""
    seen = torch.where(weight[..., None] > 0, points_px, torch.nan)
    bounds = torch.nanquantile(seen, torch.tensor(QUANTILES, dtype=seen.dtype, device=seen.device), dim=2)
    extent = (bounds[1] - bounds[0]).amax(-1).nanmedian(0).values
    return torch.where(extent > 0, extent, extent.nan_to_num().amax().clamp(min=1))


def fit_poses(template: Tensor, points: Tensor, valid: Tensor) -> HeadPoses:
    """A pose for each timestep and one scale for all, robustly (Geman-McClure about the median distance).

    template (L, 3); points (T, L, 3); valid (T, L) bool. Points that move with expression or that were triangulated
    wrongly lose their weight. Umeyama 1991 with one scale.
    """
    counted = valid.to(points)
    spread = points.where(valid[..., None], torch.nan)
    middle = spread.nanmedian(1, keepdim=True).values
    distance = (spread - middle).norm(dim=-1)
    weight = counted * (distance < 3 * distance.nanmedian(1, keepdim=True).values)
    for _ in range(ITERATIONS):
        share = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        source_mean, target_mean = share @ template, (share[:, None] @ points).squeeze(1)
        source, target = template - source_mean[:, None], points - target_mean[:, None]
        covariance = (target * weight[..., None]).mT @ source
        rotation = nearest_rotation(covariance)
        scale = (rotation * covariance).sum() / (weight[..., None] * source.square()).sum()
        error = (target - scale * source @ rotation.mT).norm(dim=-1)
        median = error[valid].median()
        weight = counted * GemanMcClure(max(2 * float(median), 1e-12)).weight(error.square())
    translation = target_mean - scale * (rotation @ source_mean[..., None]).squeeze(-1)
    return HeadPoses(float(scale), rotation, translation)


def nearest_rotation(matrix: Tensor) -> Tensor:
    """(..., 3, 3) -> the rotations that maximise the trace of rotation^T matrix; never a reflection."""
    left, _, right = torch.linalg.svd(matrix)
    left = torch.cat([left[..., :2], left[..., 2:] * torch.linalg.det(left @ right)[..., None, None]], -1)
    return left @ right


def _tracked_from_given(poses: HeadPoses, root: Tensor, keep_axes: bool) -> Tensor:
    T_tracked_given = torch.eye(4, dtype=torch.float64, device=root.device)
    if keep_axes:
        T_tracked_given[:3, :3] /= poses.scale
        return T_tracked_given
    turn = nearest_rotation(poses.rotation.sum(0)).mT / poses.scale
    roots = poses.translation + poses.scale * poses.rotation @ root
    T_tracked_given[:3, :3] = turn
    T_tracked_given[:3, 3] = root - turn @ roots.quantile(0.5, dim=0)
    return T_tracked_given
