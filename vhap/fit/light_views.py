"""What pictures show of the head's vertices, and the light that explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.light_separation import PointViews, light_on_albedo, separate_light, shading_of
from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel
from vhap.render.types import Backend, Topology
from vhap.util.optional import import_or_explain
from vhap.util.threads import get_threads, results_ahead

MOST_PICTURES = 60
SAME_PLACE_M = 0.004
"""Between a vertex and the surface that its pixel shows."""
LEAST_FACING, LEAST_ALPHA = 0.3, 0.95
DETAIL = 0.015
"""Spread of the blur that takes spots and pores out, in sides of a square as large as the head."""
NOT_SKIN = ("eyeballs", "teeth", "teeth_upper", "teeth_lower", "lip_inside", "hair", "boundary")
NOT_ALIKE = ("lips_tight", "brows")
"""Of another colour than the rest of the face."""


@dataclass(frozen=True)
class PosedPicture:
    """One picture, frame a batch of one, with vertices (V, 3) of the head in it and its camera, leading axis 1."""

    vertices: Tensor
    camera: Camera
    frame: FrameBatch


@dataclass(frozen=True)
class SeparatedLight:
    """lights (9, 3) in world axes, as `separate_light` gives them; views of vertices in so many pictures; turn_degrees:
    median over the vertices of how far their normals turn about their mean, root mean square."""

    lights: Tensor
    pictures: int
    views: int
    turn_degrees: float


@torch.no_grad()
def light_of_pictures(
    head: HeadModel,
    backend: Backend,
    topology: Topology,
    pictures: Iterable[PosedPicture],
    albedo: Tensor | None = None,
) -> SeparatedLight:
    """The light on a head that pictures show. Eyes, teeth and hair are left out; the light is uniform where no
    vertex is seen. albedo (1, R, R, 3): that of the person where it is known, else light is separated from it."""
    seen, alike = ~_inside(head, NOT_SKIN), _inside(head, ("face",)) & ~_inside(head, NOT_ALIKE)
    views = _views_of(backend, topology, pictures, seen)
    if albedo is None:
        lights = separate_light(views, head.n_vertices, alike & seen)
    else:
        lights = light_on_albedo(views, vertex_albedo(head, albedo))
    lights = lights.to(topology.faces.device)
    count = sum(len(view.points) for view in views)
    return SeparatedLight(lights, len(views), count, turn_of(views, head.n_vertices))


@torch.no_grad()
def lights_of_recordings(
    head: HeadModel, backend: Backend, topology: Topology, recordings: Sequence[Iterable[PosedPicture]]
) -> list[Tensor]:
    """(9, 3) lights of several recordings of one head, which show one albedo: one light is separated from it for all,
    and each recording's is then the one that explains its pictures best on that albedo."""
    seen, alike = ~_inside(head, NOT_SKIN), _inside(head, ("face",)) & ~_inside(head, NOT_ALIKE)
    views = [_views_of(backend, topology, pictures, seen) for pictures in recordings]
    shared = separate_light([view for of_one in views for view in of_one], head.n_vertices, alike & seen)
    albedo = albedo_of_views(views, [shared] * len(views), head.n_vertices)
    lights = [light_on_albedo(of_one, albedo) for of_one in views]
    return [light.to(topology.faces.device) for light in lights]


def albedo_of_views(views: Sequence[Sequence[PointViews]], lights: Sequence[Tensor], count: int) -> Tensor:
    """(count, 3) that explains the points best under the light of each recording; 0 where none is seen."""
    crossed, squares = torch.zeros(count, 3), torch.zeros(count, 3)
    for of_one, light in zip(views, lights):
        for view in of_one:
            shading = shading_of(view.normals, light)
            crossed.index_add_(0, view.points, shading * view.colours)
            squares.index_add_(0, view.points, shading.square())
    return crossed / squares.clamp(min=1e-6)


def _inside(head: HeadModel, regions: tuple[str, ...]) -> Tensor:
    """(V,) bool on the CPU: vertices in one of the regions that the head has."""
    inside = torch.zeros(head.n_vertices, dtype=torch.bool)
    for name in regions:
        if name in head.regions:
            inside[head.regions[name].cpu()] = True
    return inside


def vertex_albedo(head: HeadModel, albedo: Tensor) -> Tensor:
    """(V, 3) on the CPU: a texture (1, R, R, 3) at the vertices; at a seam on one of its sides."""
    uv = head.uvs.new_zeros(head.n_vertices, 2)
    uv[head.faces.flatten()] = head.uvs[head.uv_faces.flatten()]
    # Row 0 of the texture is on top, v = 0 at the bottom.
    grid = torch.stack([2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]], -1)
    planes = albedo.permute(0, 3, 1, 2)
    return F.grid_sample(planes, grid[None, None], align_corners=False, padding_mode="border")[0, :, 0].T.cpu()


def turn_of(views: list[PointViews], count: int) -> float:
    """Degrees; see `SeparatedLight`. Zero where no point, of so many, is seen twice."""
    total, times = torch.zeros(count, 3, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    for view in views:
        total.index_add_(0, view.points, view.normals.double())
        times.index_add_(0, view.points, torch.ones(len(view.points), dtype=torch.float64))
    often = times > 1
    if not bool(often.any()):
        return 0.0
    # Unit vectors of mean length r lie 2 - 2 r from their mean direction, in the mean square.
    length = total[often].norm(dim=-1) / times[often]
    return float((2 - 2 * length).clamp(min=0).sqrt().median().rad2deg())


def _views_of(
    backend: Backend, topology: Topology, pictures: Iterable[PosedPicture], wanted: Tensor
) -> list[PointViews]:
    """`vertices_seen` of each picture, side by side on a CPU."""

    @torch.no_grad()
    def see(picture: PosedPicture) -> PointViews:
        return vertices_seen(backend, topology, picture, wanted)

    on_cpu = topology.faces.device.type == "cpu"
    return list(results_ahead(see, pictures, get_threads()) if on_cpu else map(see, pictures))


def vertices_seen(backend: Backend, topology: Topology, picture: PosedPicture, wanted: Tensor) -> PointViews:
    """The vertices, of those wanted (V,), that a picture shows unhidden and not from the side."""
    frame, camera, vertices = picture.frame, picture.camera, picture.vertices
    height, width = frame.rgb.shape[1:3]
    raster = backend.rasterize(camera.to_clip(vertices[None]), topology, height, width)
    surface = vertices.new_full((height * width, 3), float("inf"))
    surface[raster.pixels] = backend.interpolate(vertices[None], topology.faces, raster)
    column, line = camera.project(vertices[None])[0][0].floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    pixel = torch.where(inside, line * width + column, 0)
    normals = vertex_normals(vertices, topology.faces)
    towards = F.normalize(camera.centre() - vertices, dim=-1)
    kept = inside & wanted.to(inside.device) & ((normals * towards).sum(-1) > LEAST_FACING)
    kept &= (surface[pixel] - vertices).norm(dim=-1) < SAME_PLACE_M
    if frame.alpha is not None:
        kept &= frame.alpha.reshape(-1)[pixel] > LEAST_ALPHA
    ids = torch.nonzero(kept).flatten()
    colours = without_detail(frame.rgb[0].cpu().numpy(), raster.mask[0].cpu().numpy())
    return PointViews(ids.cpu(), torch.from_numpy(colours).reshape(-1, 3)[pixel[ids].cpu()], normals[ids].cpu())


def without_detail(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) blurred inside mask (H, W) bool: a pixel beside its point would count as another shading."""
    cv2 = import_or_explain("cv2")
    if not mask.any():
        return rgb
    sigma = DETAIL * float(np.sqrt(mask.sum()))
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(rgb * weight[..., None], (0, 0), sigma)
    return total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-6)[..., None]
