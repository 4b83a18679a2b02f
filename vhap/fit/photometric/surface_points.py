"""Points on the head's surface and what pictures show of them: the same points in every picture.

Unlike pixels they can be compared from one picture to another, so that their colours need not be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.fit.params import N_CAMERA, TrackParams
from vhap.fit.photometric.pictures import GREY, GreyPicture
from vhap.fit.photometric.posed_heads import PosedFrame, PosedHead
from vhap.fit.photometric.visibility import BORDER_PX, visible_points
from vhap.fit.residuals.outlines import Outline, outline_at
from vhap.fit.residuals.surface_derivatives import surface_derivatives
from vhap.fit.scene import N_LIGHT, Scene
from vhap.geometry.cameras import Camera
from vhap.render.types import BESIDE_PICTURE
from vhap.render.warp_point_derivatives import Gradients, point_gradients
from vhap.render.warp_surface_points import (
    Drawn,
    Placed,
    camera_numbers,
    fan_normals,
    place_points,
    sample_points,
    to_clip,
)
from vhap.util.threads import in_threads

FEWEST_POINTS = 64
TURNED_AWAY = -0.3
"""Beyond this cosine a point that was seen shows nothing of the picture any more: a head gains nothing by turning its
back."""
GREY_TEXELS = 256
LEAST_FACING = 0.05
"""A surface counts as seen under this cosine at least."""
GOLDEN = 0.618
"""Multiples of the golden ratio, without their whole part, spread evenly over [0, 1), however many there are."""


@dataclass(frozen=True)
class SurfacePoints:
    """M points: corners (M, 3) vertices, barycentrics (M, 3), grey (M,) albedo that is expected, uv (M, 2)."""

    corners: Tensor
    barycentrics: Tensor
    grey: Tensor
    uv: Tensor


@dataclass(frozen=True)
class Counts:
    """How much a picture counts. points, outline: as many as all its points, and those of its outline, count together;
    facing (M,): cosine of the angle under which all points are seen, or would be."""

    points: float
    outline: float
    facing: Tensor

    def shared_by(self, correlation: float, photo_share: float = 1.0) -> Counts:
        """So many count as one; photo_share: factor on the points."""
        return replace(self, points=photo_share * self.points / correlation, outline=self.outline / correlation)


@dataclass(frozen=True)
class View:
    """The n points that one picture shows.

    index (n,): which; counts: how much; value (n,): the picture's grey; shading (n,); slope (n, 2): the picture's by x
    and y; surface (n, 3) positions and normals (n, 3), interpolated; outline: the head's, where there is a matte.
    """

    index: Tensor
    counts: Counts
    value: Tensor
    shading: Tensor
    slope: Tensor
    surface: Tensor
    normals: Tensor
    outline: Outline | None

    @property
    def share(self) -> Tensor:
        """(n,) what each point counts: the less the more aslant it is seen, since a pixel then shows more around it."""
        each = self.counts.facing[self.index].clamp(min=LEAST_FACING).square()
        return self.counts.points * each / each.sum()


@dataclass(frozen=True)
class Shown:
    """What one picture shows where the head stands: index (n,) of the points; counts: how much they do; outline: the
    head's, where there is a matte. It stays while the head moves a little, so that costs can be compared: a head gains
    nothing by hiding points, by shrinking, or by turning them aside."""

    index: Tensor
    counts: Counts
    outline: Outline | None

    def counting(self, counts: Counts) -> Shown:
        """The same, which counts otherwise."""
        outline = self.outline
        if outline is not None:
            outline = replace(outline, share=counts.outline / len(outline.distance))
        return replace(self, counts=counts, outline=outline)


def choose_points(
    scene: Scene, pictures: Sequence[tuple[PosedFrame, GreyPicture]], each: int, left_out: Tensor | None = None
) -> SurfacePoints | None:
    """`each` points under the pixels of each picture (with the head of its timestep) that shows the head; None where
    none does. left_out: (F,) bool, triangles without points."""

    @torch.no_grad()
    def chosen(numbered: tuple[int, tuple[PosedFrame, GreyPicture]]) -> tuple[Tensor, Tensor, Tensor] | None:
        count, (posed, picture) = numbered
        camera = camera_numbers(camera_of(scene, posed.params, picture))
        drawn = Drawn.of(to_clip(posed.vertices, camera, scene.size), scene.topology, scene.size)
        pixels = torch.nonzero(_away_from_borders(drawn.mask & picture.inside).flatten()).flatten()
        if left_out is not None:
            pixels = pixels[~left_out[drawn.at(pixels)[0]]]
        if len(pixels) < FEWEST_POINTS:
            return None
        start = count * GOLDEN % 1
        some = ((torch.arange(each, device=pixels.device) + start) * (len(pixels) / each)).long()
        faces, barycentrics = drawn.at(pixels[some])
        uv = (scene.head.uvs[scene.topology.uv_faces.long()[faces]] * barycentrics[..., None]).sum(1)
        return scene.head.faces[faces], barycentrics, uv

    side_by_side = in_threads if scene.head.template.device.type == "cpu" else map
    found = [part for part in side_by_side(chosen, list(enumerate(pictures))) if part is not None]
    if not found:
        return None
    corners, barycentrics, uv = (torch.cat(column) for column in zip(*found))
    return SurfacePoints(corners, barycentrics, _grey_at(scene.albedo(pictures[0][0].params.residual_texture), uv), uv)


def _grey_at(albedo: Tensor, uv: Tensor) -> Tensor:
    """(M,) of a texture (1, R, R, 3), smoothed over GREY_TEXELS of its side, at uv (M, 2)."""
    grey = (albedo @ albedo.new_tensor(GREY))[:, None]
    small = F.adaptive_avg_pool2d(grey, min(grey.shape[-1], GREY_TEXELS))
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)
    return F.grid_sample(small, grid[None, None], "bilinear", "border", align_corners=False)[0, 0, 0]


def camera_of(scene: Scene, params: TrackParams, picture: GreyPicture) -> Camera:
    """That of a picture; params: the row of its timestep."""
    return params.cameras(scene.given, scene.size, picture.cameras)


def _away_from_borders(inside: Tensor) -> Tensor:
    """(H, W) bool: what is inside, but for the pixels along its border, where colours mix."""
    return _largest_around((~inside).to(torch.uint8), BORDER_PX) == 0


def _largest_around(values: Tensor, reach: int) -> Tensor:
    """(..., H, W): the largest value at most `reach` pixels away in rows and columns. Many times faster on a CPU than
    pooling."""
    for dim in (-1, -2):
        length, largest = values.shape[dim], values.clone()
        for step in range(1, min(reach, length - 1) + 1):
            low, high = (part.narrow(dim, 0, length - step) for part in (values, largest))
            torch.maximum(high, values.narrow(dim, step, length - step), out=high)
            high = largest.narrow(dim, step, length - step)
            torch.maximum(high, low, out=high)
        values = largest
    return values


def find_shown(
    scene: Scene,
    posed: PosedFrame,
    picture: GreyPicture,
    points: SurfacePoints,
    outline_points: int = 0,
    fixed_outline: Tensor | None = None,
) -> Shown | None:
    """Which of the points a picture shows; None where that is next to nothing. outline_points: how many of the outline,
    of vertices that are not in fixed_outline (V,)."""
    camera = camera_numbers(camera_of(scene, posed.params, picture))
    drawn = Drawn.of(to_clip(posed.vertices, camera, scene.size), scene.topology, scene.size)
    placed = _placed(scene, posed, points, camera)
    index = visible_points(scene, drawn, picture.inside, placed.px, points.uv)
    if len(index) < FEWEST_POINTS:
        return None
    outline = None
    if picture.border is not None and outline_points:
        outline = outline_at(scene.topology.faces, drawn.mask, drawn.at, picture.border, outline_points, fixed_outline)
    along = 0.0 if outline is None else outline.share * len(outline.distance)
    return Shown(index, Counts(len(index), along, placed.facing), outline)


def look_at(scene: Scene, posed: PosedFrame, picture: GreyPicture, points: SurfacePoints, shown: Shown) -> View:
    """What a picture shows at points, and along an outline, that have been found to be shown."""
    params, index, outline = posed.params, shown.index, shown.outline
    camera = camera_numbers(camera_of(scene, params, picture))
    placed = _placed(scene, posed, points, camera)
    value, slope, shading = sample_points(index, placed.px, placed.normals, grey_lights(params), picture.planes)
    away = placed.facing[index] < TURNED_AWAY
    value, slope = torch.where(away, BESIDE_PICTURE, value), torch.where(away[:, None], 0.0, slope)
    if outline is not None and picture.border is not None:
        surface = surface_at(outline, posed.vertices)
        outline = outline.moved(picture.border, camera_of(scene, params, picture).project(surface[None])[0][0])
    return View(
        index=index,
        counts=shown.counts,
        value=value,
        shading=shading,
        slope=slope,
        surface=placed.surface[index],
        normals=placed.normals[index],
        outline=outline,
    )


def _placed(scene: Scene, posed: PosedFrame, points: SurfacePoints, camera: Tensor) -> Placed:
    units = fan_normals(posed.vertices, scene.fans)[0]
    return place_points(points.corners.int(), points.barycentrics, posed.vertices, units, camera)


def grey_lights(params: TrackParams) -> Tensor:
    """(9,) of what shades a grey albedo."""
    return params.lights @ params.lights.new_tensor(GREY)


def surface_at(points: SurfacePoints | Outline, values: Tensor) -> Tensor:
    """Vertices' values (V, C) at the points (M, C)."""
    return (values[points.corners] * points.barycentrics[..., None]).sum(1)


def select(points: SurfacePoints, index: Tensor) -> SurfacePoints:
    return replace(
        points,
        corners=points.corners[index],
        barycentrics=points.barycentrics[index],
        grey=points.grey[index],
        uv=points.uv[index],
    )


def point_derivatives(
    scene: Scene,
    posed: PosedHead,
    picture: GreyPicture,
    points: SurfacePoints,
    seen: View,
    albedo: Tensor,
    shared: bool = True,
    unit: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Derivatives of the differences, render minus picture, at the n points that a picture shows, in units of grey.

    albedo (n,): of these points. By what all frames share (n, N_CAMERA + S + N_LIGHT: logarithms of CAMERA, shape, a
    change of the light that is the same in all colours), (n, 0) unless shared, and by the frame's own unknowns (n, P).
    """
    found, points = gradients_of(scene, posed, picture, seen, albedo, unit), select(points, seen.index)
    by_shared, by_own = surface_derivatives(
        scene, posed, points.corners, points.barycentrics, found.by_point, found.by_normal, shared
    )
    if shared:
        by_shared[:, :N_CAMERA], by_shared[:, -N_LIGHT:] = found.by_camera, found.by_light
    return by_shared, by_own


def gradients_of(
    scene: Scene, posed: PosedFrame, picture: GreyPicture, seen: View, albedo: Tensor, unit: float
) -> Gradients:
    """Of the differences at the n points that a picture shows, in units of grey; albedo (n,)."""
    camera, lights = camera_numbers(camera_of(scene, posed.params, picture)), grey_lights(posed.params)
    return point_gradients(camera, lights, seen.surface, seen.normals, seen.slope, albedo / unit, -1 / unit)


def outline_derivatives(
    scene: Scene, posed: PosedHead, picture: GreyPicture, outline: Outline, shared: bool = True, unit: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Derivatives of the distances (n,) of an outline, in units of pixels, as `point_derivatives` gives them without
    the light: (n, N_CAMERA + S), (n, 0) unless shared, and (n, P)."""
    camera, lights = camera_numbers(camera_of(scene, posed.params, picture)), grey_lights(posed.params)
    surface, dark = surface_at(outline, posed.vertices), torch.zeros_like(outline.distance)
    found = point_gradients(camera, lights, surface, torch.zeros_like(surface), outline.slope, dark, 1 / unit)
    by_shared, by_own = surface_derivatives(
        scene, posed, outline.corners, outline.barycentrics, found.by_point, shared=shared
    )
    if not shared:
        return by_shared, by_own
    by_shared[:, :N_CAMERA] = found.by_camera
    return by_shared[:, :-N_LIGHT], by_own
