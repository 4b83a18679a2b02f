"""A picture's pixels as linear equations: how each pixel's error changes with every unknown.

The exact derivative of the rendered picture but for visibility: surface points move over the picture, normals turn
under the light. Where the picture has an outline it says nothing here; antialiasing does that in the energy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import jacfwd
from torch.nn.functional import max_pool2d, normalize

from vhap.data.sample import FrameBatch
from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import vertex_normals
from vhap.model.head import HeadModel, HeadParams, coefficient_slopes, pose
from vhap.render.scene import compose
from vhap.render.shading import sh_basis, shade
from vhap.render.types import Raster
from vhap.tracking.params import PER_FRAME, TrackParams
from vhap.tracking.scene import Scene

GREY = (0.299, 0.587, 0.114)
OPAQUE = 0.98
FEWEST_PIXELS = 64
N_LIGHTS = 27


@dataclass(frozen=True)
class PixelPrior:
    """colour: standard deviation of a grey value; robust: in standard deviations, the difference from which a pixel
    counts less (Cauchy); count: pixels sampled a frame, each standing for its neighbours."""

    colour: float = 0.1
    robust: float = 1.5
    count: int = 4000


@dataclass(frozen=True)
class PixelSystem:
    """N sampled pixels of one picture: residual (N,) in standard deviations, weight (N,), derivatives by the shared
    (N, 1 + S + 27: log focal length, shape, lights) and the frame's own unknowns (N, P), empty where not asked for.
    cost: robust, of all pixels that the sampled ones stand for."""

    residual: Tensor
    weight: Tensor
    by_shared: Tensor
    by_local: Tensor
    cost: Tensor


@dataclass(frozen=True)
class _View:
    """The head as one picture shows it, at its N sampled pixels.

    stride: how many pixels each stands for; residual (N,) render minus picture
    and slope (N, 2) its change by a move of the surface in pixels, both in standard deviations; corners (N, 3)
    vertices and barycentrics (N, 3) of the surface point; smooth (N, 3) interpolated normals; colour (N, 3) albedo in
    grey standard deviations.
    """

    stride: int
    residual: Tensor
    slope: Tensor
    corners: Tensor
    barycentrics: Tensor
    smooth: Tensor
    colour: Tensor


def pixel_system(
    scene: Scene,
    params: TrackParams,
    batch: FrameBatch,
    prior: PixelPrior,
    sh_lights: bool = True,
    columns: bool = True,
) -> PixelSystem | None:
    """The pixels of one picture (params holds its timestep only); None where the head is out of sight."""
    vertices = pose(scene.head, params.head())
    view = _look(scene, params, batch, vertices, prior, sh_lights)
    if view is None:
        return None
    camera = params.cameras(scene.given, scene.size, batch.cameras)
    squared = view.residual.square() / prior.robust**2
    empty = view.residual.new_zeros(0, 0)
    by_shared, by_local = _columns(scene, params, camera, vertices, view) if columns else (empty, empty)
    return PixelSystem(
        residual=view.residual,
        weight=view.stride / (1 + squared),
        by_shared=by_shared,
        by_local=by_local,
        cost=view.stride * prior.robust**2 * torch.log1p(squared).sum(),
    )


def _look(
    scene: Scene, params: TrackParams, batch: FrameBatch, vertices: Tensor, prior: PixelPrior, sh_lights: bool
) -> _View | None:
    backend, topology = scene.backend, scene.topology
    clip = params.cameras(scene.given, scene.size, batch.cameras).to_clip(vertices)
    raster = backend.rasterize(clip, topology, *scene.size)
    chosen, stride = choose_pixels(raster, batch, prior.count)
    if len(chosen) < FEWEST_PIXELS:
        return None
    uv = backend.interpolate(scene.head.uvs[None], topology.uv_faces, raster)
    slopes = backend.attribute_slopes(scene.head.uvs[None], topology.uv_faces, raster)
    albedo = backend.texture(scene.albedo(params.residual_texture), uv, slopes, raster)
    smooth = backend.interpolate(vertex_normals(vertices, topology.faces), topology.faces, raster)
    shading = backend.light(smooth, params.lights, raster)[1] if sh_lights else torch.ones_like(albedo)
    grey = albedo.new_tensor(GREY) / prior.colour
    target = batch.rgb[0] @ grey
    picture = compose(albedo * shading, raster, batch.rgb)[0] @ grey
    pixels = raster.pixels[chosen]
    # The mean of both pictures' slopes converges quadratically (ESM, Benhimane and Malis 2004).
    slope = -(picture_slopes(picture) + picture_slopes(target)).flatten(0, 1)[pixels] / 2
    return _View(
        stride=stride,
        residual=(picture - target).flatten()[pixels],
        slope=slope,
        corners=scene.head.faces[raster.face_id.flatten()[pixels].long()],
        barycentrics=raster.barycentrics[chosen],
        smooth=smooth[chosen],
        colour=albedo[chosen] * grey,
    )


def _columns(scene: Scene, params: TrackParams, camera: Camera, vertices: Tensor, view: _View) -> tuple[Tensor, Tensor]:
    """Derivatives by the shared unknowns (N, 1 + S + 27) and the frame's own (N, P)."""
    points = (vertices[0][view.corners] * view.barycentrics[..., None]).sum(1)
    by_point = torch.einsum("nk,nkc->nc", view.slope, camera.projection_slopes(points[None])[0])
    by_normal = shading_slopes(view.smooth, view.colour, params.lights)
    by_shape, by_local = surface_columns(scene, params, view.corners, view.barycentrics, by_point, by_normal)
    centred = camera.project(points[None])[0][0] - torch.stack([camera.cx, camera.cy], -1)
    by_focal = (view.slope * centred).sum(-1, keepdim=True)
    by_lights = sh_basis(normalize(view.smooth, dim=-1))[:, :, None] * view.colour[:, None, :]
    return torch.cat([by_focal, by_shape, by_lights.flatten(1)], 1), by_local


def choose_pixels(raster: Raster, batch: FrameBatch, count: int) -> tuple[Tensor, int]:
    """Rows of the raster's pixels inside head and matte, about `count` of them, and how many each stands for."""
    inside = interior(raster.mask[0])
    if batch.alpha is not None:
        inside = inside & interior(batch.alpha[0] > OPAQUE)
    rows = torch.nonzero(inside.flatten()[raster.pixels]).flatten()
    stride = max(1, len(rows) // count)
    return rows[stride // 2 :: stride], stride


def shading_slopes(smooth: Tensor, albedo: Tensor, lights: Tensor) -> Tensor:
    """Derivative (N, 3) of the shaded albedo (N, 3), summed over channels, by interpolated normals (N, 3)."""
    with torch.enable_grad():
        leaf = smooth.detach().requires_grad_(True)
        shaded = shade(normalize(leaf, dim=-1), lights.detach())
        return torch.autograd.grad((shaded * albedo).sum(), leaf)[0]


def surface_columns(
    scene: Scene, params: TrackParams, corners: Tensor, barycentrics: Tensor, by_point: Tensor, by_normal: Tensor
) -> tuple[Tensor, Tensor]:
    """Derivatives of the residuals by shape (N, S) and by the frame's own unknowns (N, 18 + E).

    by_point, by_normal (N, 3): by the surface point and by its interpolated normal.
    """
    touched = torch.zeros(scene.head.n_vertices, dtype=torch.bool, device=corners.device)
    touched[corners.flatten()] = True
    around = scene.head.faces[touched[scene.head.faces].any(1)]
    used, local_faces = torch.unique(around, return_inverse=True)
    place = torch.zeros(scene.head.n_vertices, dtype=torch.long, device=corners.device)
    place[used] = torch.arange(len(used), device=corners.device)
    head, corners = scene.head.keep_vertices(used), place[corners]
    single = _single(params, used)
    by_shape, by_expr = coefficient_slopes(head, single)
    moves = torch.cat([by_shape, motion_slopes(head, single), by_expr]).permute(1, 2, 0).contiguous()
    turns = normal_slopes(pose(head, single), local_faces, moves)
    columns = torch.zeros(len(corners), moves.shape[-1], device=corners.device)
    for corner in range(3):
        share = barycentrics[:, corner : corner + 1]
        columns += torch.einsum("nc,nck->nk", by_point * share, moves[corners[:, corner]])
        columns += torch.einsum("nc,nck->nk", by_normal * share, turns[corners[:, corner]])
    return columns[:, : head.n_shape], columns[:, head.n_shape :]


def _single(params: TrackParams, used: Tensor) -> HeadParams:
    """The one row of params without a leading axis, for a head that keeps the vertices used."""
    own = {name: getattr(params, name)[0] for name in PER_FRAME}
    offset = params.offset()
    if offset is not None:
        offset = (offset if offset.ndim == 2 else offset[0])[used]
    return HeadParams(shape=params.shape, static_offset=offset, **own)


def motion_slopes(head: HeadModel, params: HeadParams) -> Tensor:
    """(18, V, 3): derivatives of the posed vertices by rotation, translation, neck, jaw and eyes."""
    names = PER_FRAME[:-1]
    values = torch.cat([getattr(params, name) for name in names])
    widths = [getattr(params, name).shape[0] for name in names]

    def moved(motion: Tensor) -> Tensor:
        return pose(head, replace(params, **dict(zip(names, motion.split(widths)))))

    return jacfwd(moved)(values).permute(2, 0, 1)


def normal_slopes(vertices: Tensor, faces: Tensor, moves: Tensor) -> Tensor:
    """Derivatives (V, 3, K) of the unit vertex normals where vertices (V, 3) move by moves (V, 3, K)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    move_a, move_b, move_c = (moves[faces[:, k]] for k in range(3))
    edge_b, edge_c = (b - a)[..., None], (c - a)[..., None]
    turned = torch.linalg.cross(move_b - move_a, edge_c, dim=1) + torch.linalg.cross(edge_b, move_c - move_a, dim=1)
    total, change = torch.zeros_like(vertices), torch.zeros_like(moves)
    flat = torch.linalg.cross(b - a, c - a)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], flat)
        change.index_add_(0, faces[:, corner], turned)
    length = total.norm(dim=-1).clamp(min=1e-12)
    unit = total / length[:, None]
    along = torch.einsum("vc,vck->vk", unit, change)
    return (change - unit[..., None] * along[:, None]) / length[:, None, None]


def picture_slopes(picture: Tensor) -> Tensor:
    """(H, W) -> (H, W, 2): central differences by x and y, zero at the border."""
    slopes = torch.zeros(*picture.shape, 2, dtype=picture.dtype, device=picture.device)
    slopes[:, 1:-1, 0] = (picture[:, 2:] - picture[:, :-2]) / 2
    slopes[1:-1, :, 1] = (picture[2:] - picture[:-2]) / 2
    return slopes


def interior(mask: Tensor) -> Tensor:
    """(H, W) bool: pixels whose eight neighbours are covered too."""
    free = (~mask).float()[None, None]
    return max_pool2d(free, 3, 1, 1)[0, 0] == 0
