"""Points on the head's surface and what pictures show of them: the same points in every picture.

Unlike pixels they can be compared from one picture to another, so that their colours need not be known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA, TrackParams
from vhap.fit.photometric.outlines import Outline, outline_at
from vhap.fit.photometric.pictures import GREY, GreyPicture
from vhap.fit.photometric.posed_heads import PosedFrame, PosedHead, posed_frames
from vhap.fit.photometric.surface_derivatives import surface_derivatives
from vhap.fit.photometric.visibility import BORDER_PX, visible_points
from vhap.fit.scene import N_LIGHT, Scene
from vhap.geometry.cameras import Camera
from vhap.head.model import pose
from vhap.render.types import Raster
from vhap.render.warp_point_derivatives import Gradients, point_gradients
from vhap.render.warp_surface_points import Drawn, camera_numbers, fan_normals, place_points, sample_points, to_clip

FEWEST_POINTS = 64
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
    and y; surface (n, 3) places and normals (n, 3), interpolated; outline: the head's, where there is a matte.
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

    def counting(self, counts: Counts) -> View:
        """The same, which counts otherwise."""
        outline = self.outline
        if outline is not None:
            outline = replace(outline, share=counts.outline / len(outline.distance))
        return replace(self, counts=counts, outline=outline)


def choose_points(
    scene: Scene, pictures: Iterable[tuple[TrackParams, GreyPicture]], each: int, left_out: Tensor | None = None
) -> SurfacePoints | None:
    """`each` points under the pixels of each picture (params: the row of its timestep) that shows the head; None where
    none does. left_out: (F,) bool, triangles without points."""
    found = []
    for count, (params, picture) in enumerate(pictures):
        vertices = pose(scene.head, params.head())
        raster = scene.backend.rasterize(
            camera_of(scene, params, picture).to_clip(vertices), scene.topology, *scene.size
        )
        usable = _away_from_borders(raster, picture).flatten()[raster.pixels]
        faces = raster.face_id.flatten()[raster.pixels].long()
        rows = torch.nonzero(usable if left_out is None else usable & ~left_out[faces]).flatten()
        if len(rows) < FEWEST_POINTS:
            continue
        start = count * GOLDEN % 1
        rows = rows[((torch.arange(each, device=rows.device) + start) * (len(rows) / each)).long()]
        uv = scene.backend.interpolate(scene.head.uvs[None], scene.topology.uv_faces, raster)
        slopes = scene.backend.attribute_derivatives(scene.head.uvs[None], scene.topology.uv_faces, raster)
        albedo = scene.backend.texture(scene.albedo(params.residual_texture), uv, slopes, raster)
        grey = albedo[rows] @ albedo.new_tensor(GREY)
        found.append((scene.head.faces[faces[rows]], raster.barycentrics[rows], grey, uv[rows]))
    return SurfacePoints(*(torch.cat(column) for column in zip(*found))) if found else None


def camera_of(scene: Scene, params: TrackParams, picture: GreyPicture) -> Camera:
    """That of a picture; params: the row of its timestep."""
    return params.cameras(scene.given, scene.size, picture.cameras)


def _away_from_borders(raster: Raster, picture: GreyPicture) -> Tensor:
    """(H, W) bool: head and matte, but for the pixels along their borders, where colours mix."""
    outside = ~(raster.mask[0] & picture.inside)
    return _largest_around(outside.to(torch.uint8), BORDER_PX) == 0


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


def view_of(
    scene: Scene,
    params: TrackParams,
    picture: GreyPicture,
    points: SurfacePoints,
    outline_points: int = 0,
    fixed_outline: Tensor | None = None,
    posed: PosedFrame | None = None,
) -> View | None:
    """What a picture shows of the points; None where that is next to nothing. params: the row of its timestep; posed:
    the same head, where it is at hand; outline_points: how many of the outline, of vertices that are not in
    fixed_outline (V,)."""
    vertices = (posed_frames(scene.head, params)[0] if posed is None else posed).vertices
    camera = camera_numbers(camera_of(scene, params, picture))
    drawn = Drawn.of(to_clip(vertices, camera, scene.size), scene.topology, scene.size)
    units = fan_normals(vertices, scene.fans)[0]
    placed = place_points(points.corners.int(), points.barycentrics, vertices, units, camera)
    index = visible_points(scene, drawn, picture.inside, placed.px, points.uv)
    if len(index) < FEWEST_POINTS:
        return None
    value, slope, shading = sample_points(index, placed.px, placed.normals, grey_lights(params), picture.planes)
    outline = None
    if picture.border is not None and outline_points:
        outline = outline_at(scene.topology.faces, drawn.mask, drawn.at, picture.border, outline_points, fixed_outline)
    return View(
        index=index,
        counts=Counts(len(index), 0.0 if outline is None else outline.share * len(outline.distance), placed.facing),
        value=value,
        shading=shading,
        slope=slope,
        surface=placed.surface[index],
        normals=placed.normals[index],
        outline=outline,
    )


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
