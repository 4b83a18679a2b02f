"""Every rendering operation in plain float64 torch, slow and obvious: what the kernels are tested against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.render.shading import shade
from vhap.render.types import Raster, Topology

MAX_STEPS = 24


class ReferenceBackend:
    """The operations of `vhap.render.types.Backend`; results have the dtype of the input."""

    name = "reference"

    def rasterize(self, clip: Tensor, topology: Topology, height: int, width: int) -> Raster:
        faces = topology.faces.long()
        face_id = torch.stack([visible_faces(view.detach().double(), faces, height, width) for view in clip])
        pixels = torch.nonzero(face_id.reshape(-1) >= 0).squeeze(1)
        views = pixels // (height * width)
        x, y = pixel_centres(height, width, clip.device)
        within = pixels % (height * width)
        corners = clip.double()[views[:, None], faces[face_id.reshape(-1)[pixels]]]
        weights, slopes = barycentrics(corners, x[within], y[within], height, width)
        return Raster(face_id, pixels, views, weights.to(clip.dtype), slopes.detach().to(clip.dtype))

    def interpolate(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        corners = _corner_attributes(attributes, faces, raster)
        return (corners * raster.barycentrics.double()[..., None]).sum(1).to(attributes.dtype)

    def attribute_derivatives(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        corners = _corner_attributes(attributes.detach(), faces, raster)
        return torch.einsum("nkc,nkd->ncd", corners, raster.barycentric_derivatives.double()).to(attributes.dtype)

    def texture(self, texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None, raster: Raster) -> Tensor:
        levels = [texture.double()]
        while uv_derivatives is not None and max(levels[-1].shape[1:3]) > 1:
            levels.append(halve(levels[-1]))
        views = raster.views if len(texture) > 1 else torch.zeros_like(raster.views)
        sampled = torch.stack([bilinear(level, uv.double(), views) for level in levels])
        if uv_derivatives is None:
            return sampled[0].to(texture.dtype)
        level = mip_level(uv_derivatives.detach().double(), *texture.shape[1:3]).clamp(0, len(levels) - 1)
        share = (1 - (level - torch.arange(len(levels), device=level.device)[:, None]).abs()).clamp(min=0)
        return (share[..., None] * sampled).sum(0).to(texture.dtype)

    def light(self, normals: Tensor, lights: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
        unit = torch.nn.functional.normalize(normals.double(), dim=-1)
        return unit.to(normals.dtype), shade(unit, lights.double()).to(normals.dtype)

    def antialias(self, pictures: Tensor, raster: Raster, clip: Tensor, topology: Topology) -> Tensor:
        _, height, width, channels = pictures.shape
        crossings = find_crossings(raster, clip.detach().double(), topology)
        if not crossings:
            return pictures
        table = torch.tensor([[c.view, *c.owner, *c.direction, *c.edge] for c in crossings], device=clip.device)
        view, row, column, right, down, start, end = table.unbind(1)
        screen = to_screen(clip.double(), height, width)
        centre = torch.stack([column + 0.5, row + 0.5], -1)
        along, beside = torch.stack([right, down], -1), torch.stack([-down, right], -1)
        ends = torch.stack([screen[view, start] - centre, screen[view, end] - centre])
        s, t = (ends * along).sum(-1), (ends * beside).sum(-1)
        distance = s[0] - t[0] * (s[1] - s[0]) / (t[1] - t[0])
        owner = (view * height + row) * width + column
        other = owner + down * width + right
        owner_loses = distance < 0.5
        target, source = torch.where(owner_loses, owner, other), torch.where(owner_loses, other, owner)
        colours = pictures.double().reshape(-1, channels)
        change = (distance - 0.5).abs()[:, None] * (colours[source] - colours[target])
        return colours.index_add(0, target, change).reshape(pictures.shape).to(pictures.dtype)


def pixel_centres(height: int, width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """x to the right and y up in [-1, 1] of every pixel's centre, row by row, (H * W,) each."""
    rows = 1 - (2 * torch.arange(height, dtype=torch.float64, device=device) + 1) / height
    columns = (2 * torch.arange(width, dtype=torch.float64, device=device) + 1) / width - 1
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return x.reshape(-1), y.reshape(-1)


def visible_faces(clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """One view: clip (V, 4) -> (H, W) int32 face seen at each pixel's centre, -1 where none. F * H * W memory."""
    if len(faces) == 0:
        return torch.full((height, width), -1, dtype=torch.int32, device=clip.device)
    x, y = pixel_centres(height, width, clip.device)
    a, b, c = (clip[faces[:, k]][:, [0, 1, 3]] for k in range(3))
    lines = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 1)
    edges = lines[..., :1] * x + lines[..., 1:2] * y + lines[..., 2:]
    tie = (lines[..., 0] > 0) | ((lines[..., 0] == 0) & (lines[..., 1] < 0))
    inside = ((edges > 0) | ((edges == 0) & tie[..., None])).all(1)
    determinant = (a * lines[:, 0]).sum(-1)
    depth = (edges * clip[faces][..., 2:3]).sum(1) / determinant[:, None]
    seen = inside & (determinant > 0)[:, None] & (depth >= -1) & (depth <= 1)
    nearest, face = torch.where(seen, depth, torch.inf).min(0)
    return torch.where(nearest.isfinite(), face, -1).reshape(height, width).int()


def barycentrics(corners: Tensor, x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """corners (N, 3, 4) clip, pixel centres x, y (N,) -> weights (N, 3), their slopes by picture x and y (N, 3, 2)."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    with torch.enable_grad():
        qx = corners[..., 0] - x[:, None] * corners[..., 3]
        qy = corners[..., 1] - y[:, None] * corners[..., 3]
        areas = qx.roll(-1, 1) * qy.roll(-2, 1) - qx.roll(-2, 1) * qy.roll(-1, 1)
        weights = areas / areas.sum(1, keepdim=True)
        slopes = [torch.autograd.grad(weights[:, k].sum(), (x, y), retain_graph=True) for k in range(3)]
    by_x = torch.stack([slope[0] for slope in slopes], 1) * (2 / width)
    by_y = torch.stack([slope[1] for slope in slopes], 1) * (-2 / height)
    return weights, torch.stack([by_x, by_y], -1)


def _corner_attributes(attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
    corners = faces.long()[raster.face_id.reshape(-1)[raster.pixels].long()]
    views = raster.views if len(attributes) > 1 else torch.zeros_like(raster.views)
    return attributes.double()[views[:, None], corners]


def halve(texture: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, max(H // 2, 1), max(W // 2, 1), C), exact area averages."""
    rows, columns = area_weights(texture.shape[1]).to(texture), area_weights(texture.shape[2]).to(texture)
    return torch.einsum("ih,bhwc,jw->bijc", rows, texture, columns)


def area_weights(size: int) -> Tensor:
    """(max(size // 2, 1), size): the share of each coarse texel that each fine one covers."""
    coarse = max(size // 2, 1)
    low = torch.arange(coarse, dtype=torch.float64)[:, None] * size / coarse
    cells = torch.arange(size, dtype=torch.float64)
    covered = torch.minimum(low + size / coarse, cells + 1) - torch.maximum(low, cells)
    return covered.clamp(min=0) * coarse / size


def bilinear(texture: Tensor, uv: Tensor, views: Tensor) -> Tensor:
    """texture (B, H, W, C), uv (N, 2) clamped to the border, views (N,) -> (N, C)."""
    height, width = texture.shape[1:3]
    x = (uv[:, 0] * width - 0.5).clamp(0, width - 1)
    y = ((1 - uv[:, 1]) * height - 0.5).clamp(0, height - 1)
    x0, y0 = x.detach().floor().long(), y.detach().floor().long()
    x1, y1 = (x0 + 1).clamp(max=width - 1), (y0 + 1).clamp(max=height - 1)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    upper = texture[views, y0, x0] * (1 - fx) + texture[views, y0, x1] * fx
    lower = texture[views, y1, x0] * (1 - fx) + texture[views, y1, x1] * fx
    return upper * (1 - fy) + lower * fy


def mip_level(slopes: Tensor, height: int, width: int) -> Tensor:
    """(N, 2, 2) -> (N,) logarithm of the longer axis of a pixel's footprint in texels."""
    texels = slopes * torch.tensor([width, height], dtype=slopes.dtype, device=slopes.device)[:, None]
    return torch.linalg.matrix_norm(texels, ord=2).clamp(min=1e-12).log2()


@dataclass(frozen=True)
class Crossing:
    """A silhouette between two pixel centres: the pixel (row, column) its surface covers, the way (right, down)
    to the other pixel, and the edge's two vertices."""

    view: int
    owner: tuple[int, int]
    direction: tuple[int, int]
    edge: tuple[int, int]


def to_screen(clip: Tensor, height: int, width: int) -> Tensor:
    """(..., 4) -> (..., 2) pixels, x right and y down."""
    x, y = clip[..., 0] / clip[..., 3], clip[..., 1] / clip[..., 3]
    return torch.stack([(x + 1) * width / 2, (1 - y) * height / 2], -1)


def find_crossings(raster: Raster, clip: Tensor, topology: Topology) -> list[Crossing]:
    """Looks between all horizontal and vertical neighbours with different triangles."""
    _, height, width = raster.face_id.shape
    found = []
    for direction in ((1, 0), (0, 1)):
        right, down = direction
        first = raster.face_id[:, : height - down, : width - right]
        second = raster.face_id[:, down:, right:]
        for view, row, column in torch.nonzero(first != second).tolist():
            here, there = (row, column), (row + down, column + right)
            sides = [(here, there, direction), (there, here, (-right, -down))]
            sides = [side for side in sides if raster.face_id[view][side[0]] >= 0]
            depths = [_depth(raster.face_id[view], clip[view], topology, side[0]) for side in sides]
            if len(sides) == 2 and depths[1] < depths[0]:
                sides.reverse()
            found += _first_crossing(view, sides, raster, clip[view], topology)
    return found


def _first_crossing(view: int, sides: list, raster: Raster, clip: Tensor, topology: Topology) -> list[Crossing]:
    """The nearer surface's silhouette, else the other's; at most one."""
    faces = raster.face_id[view]
    size = (faces.shape[0], faces.shape[1])
    for owner, other, direction in sides:
        outcome, edge = follow(int(faces[owner]), int(faces[other]), owner, direction, clip, topology, size)
        if outcome == "crossed":
            steep = _is_steep(clip, edge, direction, size)
            return [Crossing(view, owner, direction, edge)] if steep else []
        if outcome == "reached":
            return []
    return []


def follow(
    face: int,
    goal: int,
    pixel: tuple[int, int],
    direction: tuple[int, int],
    clip: Tensor,
    topology: Topology,
    size: tuple[int, int],
) -> tuple[str, tuple[int, int]]:
    """Walks over front-facing triangles from a pixel's centre to the next: "crossed" where the surface turns away
    or ends, with the edge; "reached" where it arrives at the triangle `goal`; "nothing" otherwise."""
    edge = (-1, -1)
    start = face
    if face != goal and goal in topology.neighbour[face].tolist():
        return "reached", edge
    for _ in range(MAX_STEPS):
        corners = topology.faces[face].tolist()
        if bool((clip[corners, 3] <= 1e-6).any()):
            break
        places = to_screen(clip[corners], *size) - torch.tensor([pixel[1] + 0.5, pixel[0] + 0.5])
        (ax, ay), (bx, by), (cx, cy) = places.tolist()
        if face != start and (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) >= 0:
            return "crossed", edge
        right, down = direction
        sides = [-down * x + right * y for x, y in places.tolist()]
        leaving = [k for k in range(3) if sides[k] > 0 >= sides[(k + 1) % 3]]
        if not leaving:
            break
        k, following = leaving[0], (leaving[0] + 1) % 3
        ahead = [right * x + down * y for x, y in places.tolist()]
        share = sides[k] / (sides[k] - sides[following])
        if ahead[k] + share * (ahead[following] - ahead[k]) > 1:
            break
        edge = (corners[k], corners[following])
        face = int(topology.neighbour[face, k])
        if face == -1:
            return "crossed", edge
        if face == goal:
            return "reached", edge
    return "nothing", edge


def _is_steep(clip: Tensor, edge: tuple[int, int], direction: tuple[int, int], size: tuple[int, int]) -> bool:
    """Steep edges move coverage along rows, flat ones along columns, so that each edge counts once."""
    x, y = (to_screen(clip[edge[1]], *size) - to_screen(clip[edge[0]], *size)).abs().tolist()
    return y >= x if direction[0] else x > y


def _depth(faces: Tensor, clip: Tensor, topology: Topology, pixel: tuple[int, int]) -> float:
    height, width = faces.shape
    corners = clip[topology.faces[int(faces[pixel])].long()]
    x = torch.tensor([(2 * pixel[1] + 1) / width - 1], dtype=clip.dtype)
    y = torch.tensor([1 - (2 * pixel[0] + 1) / height], dtype=clip.dtype)
    weights = barycentrics(corners[None], x, y, height, width)[0][0]
    return float((weights * corners[:, 2]).sum() / (weights * corners[:, 3]).sum())
