"""Points on the head's surface and what pictures show of them: the same points in every picture.

Unlike pixels they can be compared from one picture to another, so that their colours need not be known. Pictures are
worked on a few at a time: every kernel is launched once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.fit.params import N_CAMERA, TrackParams
from vhap.fit.photometric.pictures import GREY, GreyPicture
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.visibility import BORDER_PX, visible_points
from vhap.fit.residuals.outlines import Outline, outline_at
from vhap.fit.residuals.surface_derivatives import surface_derivatives
from vhap.fit.scene import N_LIGHT, Scene
from vhap.render.types import BESIDE_PICTURE
from vhap.render.warp_point_derivatives import Gradients, point_gradients
from vhap.render.warp_surface_points import (
    Drawn,
    Placed,
    PointList,
    camera_numbers,
    place_points,
    sample_points,
    shade_points,
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
    """M points: corners (M, 3) vertices, barycentrics (M, 3), grey (M,) albedo that is expected, uv (M, 2). recording
    (M,) long: which of several recordings alone shows a point; None: all pictures may."""

    corners: Tensor
    barycentrics: Tensor
    grey: Tensor
    uv: Tensor
    recording: Tensor | None = None


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
class Shown:
    """What one picture shows where the head stands: index (n,) of the points; counts: how much they do; outline: the
    head's, where there is a matte. It stays while the head moves a little, so that costs can be compared: a head gains
    nothing by hiding points, by shrinking, or by turning them aside."""

    index: Tensor
    counts: Counts
    outline: Outline | None

    def among(self, points: SurfacePoints, recording: int, count: float) -> Shown | None:
        """Of the points of one recording alone, which count as if they were `count`; None where it shows hardly any."""
        assert points.recording is not None
        own = points.recording == recording
        index = self.index[own[self.index]]
        if len(index) < FEWEST_POINTS:
            return None
        return replace(self, index=index, counts=replace(self.counts, points=len(index) * count / int(own.sum())))

    def counting(self, counts: Counts) -> Shown:
        """The same, which counts otherwise."""
        outline = self.outline
        if outline is not None:
            outline = replace(outline, share=counts.outline / len(outline.distance))
        return replace(self, counts=counts, outline=outline)

    @property
    def share(self) -> Tensor:
        """(n,) what each point counts: the less the more aslant it is seen, since a pixel then shows more around it."""
        each = self.counts.facing[self.index].clamp(min=LEAST_FACING).square()
        return self.counts.points * each / each.sum()


@dataclass(frozen=True)
class PictureBatch:
    """P pictures of B heads. heads (P,) int32, ascending: which head each shows."""

    posed: PosedHeads
    pictures: Sequence[GreyPicture]
    heads: Tensor

    @classmethod
    def of_one(cls, posed: PosedHeads, picture: GreyPicture) -> PictureBatch:
        return cls(posed, [picture], torch.zeros(1, dtype=torch.int32, device=posed.canonical.device))

    def cameras(self, scene: Scene) -> Tensor:
        """(P, 4, 4) as `camera_numbers` gives them."""
        which = torch.cat([picture.cameras for picture in self.pictures])
        return camera_numbers(self.posed.params.cameras(scene.given, scene.size, which))


@dataclass(frozen=True)
class ListedPoints:
    """What some pictures show, picture by picture. points: where on the surface; share (N,): how much each counts;
    ranges: first and end of each picture's."""

    points: PointList
    share: Tensor
    ranges: list[tuple[int, int]]

    @classmethod
    def of(
        cls, corners: Sequence[Tensor], barycentrics: Sequence[Tensor], share: Tensor, heads: Tensor
    ) -> ListedPoints:
        """corners, barycentrics (n, 3) of each picture; heads (P,): which it shows."""
        counts = [len(part) for part in corners]
        pictures = torch.arange(len(counts), dtype=torch.int32).repeat_interleave(torch.tensor(counts))
        points = PointList(
            torch.cat(list(corners)).int(), torch.cat(list(barycentrics)), pictures.to(heads.device), heads
        )
        ends = list(accumulate(counts))
        return cls(points, share, list(zip([0, *ends], ends)))


@dataclass(frozen=True)
class ShownBatch:
    """What P pictures show. each: picture by picture; index (N,): which of the points; points: these; outline: of all
    pictures, None where none has one; inset (n,) px of the outline, see `Outline`."""

    each: list[Shown]
    index: Tensor
    points: ListedPoints
    outline: ListedPoints | None
    inset: Tensor

    @classmethod
    def of(cls, each: list[Shown], points: SurfacePoints, heads: Tensor) -> ShownBatch:
        """heads (P,) int32: which head each picture shows."""
        index = torch.cat([shown.index for shown in each])
        share = torch.cat([shown.share for shown in each])
        corners, barycentrics = (
            part[index].split([len(shown.index) for shown in each]) for part in (points.corners, points.barycentrics)
        )
        listed = ListedPoints.of(corners, barycentrics, share, heads)
        outlines = [shown.outline for shown in each]
        known = [outline for outline in outlines if outline is not None]
        if not known:
            return cls(each, index, listed, None, share[:0])
        empty = known[0].corners[:0], known[0].barycentrics[:0]
        parts = [empty if one is None else (one.corners, one.barycentrics) for one in outlines]
        of_outline = torch.cat([one.inset.new_full((len(one.inset),), one.share) for one in known])
        along = ListedPoints.of(*zip(*parts), share=of_outline, heads=heads)
        return cls(each, index, listed, along, torch.cat([one.inset for one in known]))


@dataclass(frozen=True)
class OutlineView:
    """distance (n,) px of an outline's points beyond the matte's border; slope (n, 2): its change by a move of each;
    surface (n, 3): where they are."""

    distance: Tensor
    slope: Tensor
    surface: Tensor


@dataclass(frozen=True)
class View:
    """The N points that some pictures show. shown: which, and how much they count; value (N,): the picture's grey;
    shading (N,); slope (N, 2): the picture's by x and y; surface (N, 3) positions and normals (N, 3), interpolated;
    outline: the heads', where there are mattes."""

    shown: ShownBatch
    value: Tensor
    shading: Tensor
    slope: Tensor
    surface: Tensor
    normals: Tensor
    outline: OutlineView | None

    @property
    def index(self) -> Tensor:
        return self.shown.index

    @property
    def share(self) -> Tensor:
        """(N,) what each point counts."""
        return self.shown.points.share


def choose_points(
    scene: Scene,
    batches: Sequence[PictureBatch],
    each: int,
    left_out: Tensor | None = None,
    recordings: Sequence[int] | None = None,
) -> SurfacePoints | None:
    """`each` points under the pixels of each picture that shows the head; None where none does. left_out: (F,) bool,
    triangles without points. recordings: that of every batch, where each recording has points of its own."""
    begins = accumulate([len(batch.pictures) for batch in batches], initial=0)

    @torch.no_grad()
    def chosen(numbered: tuple[int, PictureBatch]) -> list[tuple[Tensor, Tensor, Tensor]]:
        first, batch = numbered
        found = []
        for count, (drawn, picture) in enumerate(zip(drawn_in(scene, batch, batch.cameras(scene)), batch.pictures)):
            pixels = torch.nonzero(_away_from_borders(drawn.mask & picture.inside).flatten()).flatten()
            if left_out is not None:
                pixels = pixels[~left_out[drawn.at(pixels)[0]]]
            if len(pixels) >= FEWEST_POINTS:
                start = (first + count) * GOLDEN % 1
                some = ((torch.arange(each, device=pixels.device) + start) * (len(pixels) / each)).long()
                faces, barycentrics = drawn.at(pixels[some])
                uv = (scene.head.uvs[scene.topology.uv_faces.long()[faces]] * barycentrics[..., None]).sum(1)
                found.append((scene.head.faces[faces], barycentrics, uv))
        return found

    side_by_side = in_threads if scene.head.template.device.type == "cpu" else map
    parts = list(side_by_side(chosen, list(zip(begins, batches))))
    found = [part for of_batch in parts for part in of_batch]
    if not found:
        return None
    corners, barycentrics, uv = (torch.cat(column) for column in zip(*found))
    residual = batches[0].posed.params.residual_texture
    recording = None
    if recordings is not None:
        counts = [sum(len(part[0]) for part in of_batch) for of_batch in parts]
        recording = torch.tensor(recordings).repeat_interleave(torch.tensor(counts)).to(uv.device)
    return SurfacePoints(corners, barycentrics, _grey_at(scene.albedo(residual), uv), uv, recording)


def drawn_in(scene: Scene, batch: PictureBatch, cameras: Tensor) -> list[Drawn]:
    """The head in each of the pictures, whose cameras (P, 4, 4) are given."""
    clip = to_clip(batch.posed.vertices, batch.heads, cameras, scene.size)
    return Drawn.all_of(clip, scene.topology, scene.size)


def _grey_at(albedo: Tensor, uv: Tensor) -> Tensor:
    """(M,) of a texture (1, R, R, 3), smoothed over GREY_TEXELS of its side, at uv (M, 2)."""
    grey = (albedo @ albedo.new_tensor(GREY))[:, None]
    small = F.adaptive_avg_pool2d(grey, min(grey.shape[-1], GREY_TEXELS))
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)
    return F.grid_sample(small, grid[None, None], "bilinear", "border", align_corners=False)[0, 0, 0]


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
    batch: PictureBatch,
    points: SurfacePoints,
    outline_points: int = 0,
    fixed_outline: Tensor | None = None,
) -> list[Shown | None]:
    """Which of the points each picture shows; None where that is next to nothing. outline_points: how many of the
    outline, of vertices that are not in fixed_outline (V,)."""
    count, cameras = len(points.grey), batch.cameras(scene)
    every = [points.corners] * len(batch.pictures), [points.barycentrics] * len(batch.pictures)
    placed = _placed(batch, ListedPoints.of(*every, share=points.grey, heads=batch.heads).points, cameras)
    found: list[Shown | None] = []
    pictures = zip(drawn_in(scene, batch, cameras), batch.pictures, placed.px.split(count), placed.facing.split(count))
    for drawn, picture, px, facing in pictures:
        index = visible_points(scene, drawn, picture.inside, px, points.uv)
        if len(index) < FEWEST_POINTS:
            found.append(None)
            continue
        outline, border = None, picture.border
        if border is not None and outline_points:
            outline = outline_at(scene.topology.faces, drawn.mask, drawn.at, border, outline_points, fixed_outline)
        along = 0.0 if outline is None else outline.share * len(outline.distance)
        found.append(Shown(index, Counts(len(index), along, facing), outline))
    return found


def look_at(scene: Scene, batch: PictureBatch, shown: ShownBatch) -> View:
    """What pictures show at points, and along outlines, that have been found to be shown."""
    cameras, listed = batch.cameras(scene), shown.points
    placed = _placed(batch, listed.points, cameras)
    value, slope = sample_points(placed.px, [picture.planes for picture in batch.pictures], listed.ranges)
    away = placed.facing < TURNED_AWAY
    return View(
        shown=shown,
        value=torch.where(away, BESIDE_PICTURE, value),
        shading=shade_points(placed.normals, grey_lights(batch.posed.params)),
        slope=torch.where(away[:, None], 0.0, slope),
        surface=placed.surface,
        normals=placed.normals,
        outline=_outline_view(batch, shown, cameras),
    )


def _outline_view(batch: PictureBatch, shown: ShownBatch, cameras: Tensor) -> OutlineView | None:
    if shown.outline is None:
        return None
    placed = _placed(batch, shown.outline.points, cameras)
    known = [
        (picture.border.planes, part)
        for picture, part in zip(batch.pictures, shown.outline.ranges)
        if picture.border is not None and part[1] > part[0]
    ]
    planes, ranges = zip(*known)
    distance, slope = sample_points(placed.px, planes, ranges, marks_beside=False)
    return OutlineView(distance + shown.inset, slope, placed.surface)


def _placed(batch: PictureBatch, points: PointList, cameras: Tensor) -> Placed:
    return place_points(points, batch.posed.vertices, batch.posed.normals[0], cameras)


def grey_lights(params: TrackParams) -> Tensor:
    """(9,) of what shades a grey albedo."""
    return params.light @ params.lights.new_tensor(GREY)


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
        recording=None if points.recording is None else points.recording[index],
    )


def point_derivatives(
    scene: Scene, batch: PictureBatch, seen: View, albedo: Tensor, shared: bool = True, unit: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Derivatives of the differences, render minus picture, at the N points that pictures show, in units of grey.

    albedo (N,): of these points. By what all frames share (N, N_CAMERA + S + N_LIGHT: logarithms of CAMERA, shape, a
    change of the light that is the same in all colours), (N, 0) unless shared, and by the frame's own unknowns (N, P).
    """
    found, points = gradients_of(scene, batch, seen, albedo, unit), seen.shown.points.points
    by_shared, by_own = surface_derivatives(scene, batch.posed, points, found.by_point, found.by_normal, shared)
    if shared:
        by_shared[:, :N_CAMERA], by_shared[:, -N_LIGHT:] = found.by_camera, found.by_light
    return by_shared, by_own


def gradients_of(scene: Scene, batch: PictureBatch, seen: View, albedo: Tensor, unit: float) -> Gradients:
    """Of the differences at the N points that pictures show, in units of grey; albedo (N,)."""
    cameras, lights = batch.cameras(scene), grey_lights(batch.posed.params)
    pictures = seen.shown.points.points.pictures
    return point_gradients(cameras, pictures, lights, seen.surface, seen.normals, seen.slope, albedo / unit, -1 / unit)


def outline_derivatives(
    scene: Scene, batch: PictureBatch, seen: View, shared: bool = True, unit: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Derivatives of the distances (n,) of outlines, in units of pixels, as `point_derivatives` gives them without the
    light: (n, N_CAMERA + S), (n, 0) unless shared, and (n, P)."""
    view, listed = seen.outline, seen.shown.outline
    assert view is not None
    assert listed is not None
    cameras, lights, dark = batch.cameras(scene), grey_lights(batch.posed.params), torch.zeros_like(view.distance)
    points, still = listed.points, torch.zeros_like(view.surface)
    found = point_gradients(cameras, points.pictures, lights, view.surface, still, view.slope, dark, 1 / unit)
    by_shared, by_own = surface_derivatives(scene, batch.posed, points, found.by_point, shared=shared)
    if not shared:
        return by_shared, by_own
    by_shared[:, :N_CAMERA] = found.by_camera
    return by_shared[:, :-N_LIGHT], by_own


def outline_slopes(scene: Scene, batch: PictureBatch, points: PointList, outline: OutlineView) -> Tensor:
    """(n, 3, 3): derivatives of outlines' distances by the corners of their points."""
    dark, still = torch.zeros_like(outline.distance), torch.zeros_like(outline.surface)
    lights = grey_lights(batch.posed.params)
    found = point_gradients(
        batch.cameras(scene), points.pictures, lights, outline.surface, still, outline.slope, dark, 1.0
    )
    return points.barycentrics[..., None] * found.by_point[:, None]
