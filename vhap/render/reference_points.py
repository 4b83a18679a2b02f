"""Points of a surface in a picture in plain float64 torch, slow and obvious: what the kernels are tested against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import summed_normals
from vhap.render.reference import ReferenceBackend
from vhap.render.shading import sh_basis
from vhap.render.types import BESIDE_PICTURE, Raster, Topology


def camera_of_numbers(numbers: Tensor, size: tuple[int, int]) -> Camera:
    """The camera of numbers (4, 4), with leading axis 1; size: (height, width)."""
    numbers = numbers.double()
    pose = torch.eye(4, dtype=torch.float64, device=numbers.device)[None].clone()
    pose[0, :3] = numbers[1:]
    fx, fy, cx, cy = numbers[0, :, None]
    return Camera(fx, fy, cx, cy, pose, *size)


def skin_vertices(canonical: Tensor, weights: Tensor, transforms: Tensor, translation: Tensor) -> Tensor:
    """Vertices (V, 3)."""
    turned, shift = blend_rotations(weights, transforms[..., :3]), weights.double() @ transforms[..., 3].double()
    return (turned @ canonical.double()[..., None])[..., 0] + shift + translation.double()


def blend_rotations(weights: Tensor, rotations: Tensor) -> Tensor:
    """(V, 3, 3)."""
    return torch.einsum("vj,jab->vab", weights.double(), rotations.double())


def fan_normals(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Unit normals (V, 3) and lengths (V,) of the sums of the faces' normals."""
    total = summed_normals(vertices.double(), faces.long())
    length = total.norm(dim=-1)
    return total / length[:, None], length


def place_points(
    corners: Tensor, barycentrics: Tensor, vertices: Tensor, units: Tensor, camera: Camera
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Surface points, normals (M, 3), pixels (M, 2) and cosines (M,)."""
    share = barycentrics.double()[..., None]
    surface, normals = ((values.double()[corners.long()] * share).sum(1) for values in (vertices, units))
    facing = F.cosine_similarity(normals, camera.centre() - surface, dim=-1)
    return surface, normals, camera.project(surface[None])[0][0], facing


@dataclass(frozen=True)
class DrawnMaps:
    """A mesh drawn into one picture, as maps of the whole picture. covered (H, W) bool; uv (H, W, 2); slopes
    (H, W, 2, 2) of u and v by x and y."""

    raster: Raster
    covered: Tensor
    uv: Tensor
    slopes: Tensor

    @classmethod
    def of(cls, clip: Tensor, topology: Topology, uvs: Tensor, size: tuple[int, int]) -> DrawnMaps:
        """clip (V, 4); uvs (U, 2); size: (height, width)."""
        backend = ReferenceBackend()
        raster = backend.rasterize(clip.double()[None], topology, *size)
        maps = [torch.zeros(size[0] * size[1], *width, dtype=torch.float64, device=clip.device) for width in _WIDTHS]
        for whole, operation in zip(maps, (backend.interpolate, backend.attribute_derivatives)):
            whole[raster.pixels] = operation(uvs.double()[None], topology.uv_faces, raster)
        return cls(raster, raster.mask[0], *(whole.unflatten(0, size) for whole in maps))


_WIDTHS = ((2,), (2, 2))


def find_visible(
    px: Tensor, uv: Tensor, drawn: DrawnMaps, inside: Tensor, border_px: int, hidden_uv: float, jump_uv: float
) -> Tensor:
    """(M,) bool, by maps of the whole picture."""
    height, width = inside.shape
    outside = (~(drawn.covered & inside)).double()
    clear = F.max_pool2d(outside[None], 2 * border_px + 1, 1, border_px)[0] == 0
    planes = drawn.uv.permute(2, 0, 1)
    high, low = (F.max_pool2d(sign * planes, 3, 1, 1) * sign for sign in (1, -1))
    connected = (high - low < 2 * drawn.slopes.abs().sum(-1).permute(2, 0, 1) + jump_uv).all(0)
    px = px.double()
    within = ((px > 0) & (px < px.new_tensor([width, height]))).all(-1)
    column, row = (px[:, axis].floor().long().clamp(0, (width, height)[axis] - 1) for axis in (0, 1))
    centre = torch.stack([column, row], -1) + 0.5
    here = drawn.uv[row, column] + (drawn.slopes[row, column] @ (px - centre)[..., None])[..., 0]
    same = (here - uv.double()).abs().amax(-1) < hidden_uv
    return within & clear[row, column] & connected[row, column] & same


def sample_points(px: Tensor, normals: Tensor, lights: Tensor, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value (n,), slope (n, 2) and shading (n,) of n points at px (n, 2); beside the picture -1, without slope."""
    height, width = planes.shape[2:]
    grid = 2 * px.double() / px.new_tensor([width, height]) - 1
    found = F.grid_sample(planes.double(), grid[None, None], padding_mode="border", align_corners=False)[0, :, 0]
    shading = sh_basis(F.normalize(normals.double(), dim=-1)) @ lights.double()
    beside = (grid.abs() > 1).any(-1)
    return torch.where(beside, BESIDE_PICTURE, found[0]), torch.where(beside[:, None], 0.0, found[1:].T), shading


def point_gradients(
    camera: Camera, lights: Tensor, surface: Tensor, normals: Tensor, slope: Tensor, albedo: Tensor, sign: float
) -> list[Tensor]:
    """By surface points and normals (N, 3), logarithms of focal length and scale (N, 2), and light (N, 9)."""
    count = len(surface)
    leaves = [surface.double(), normals.double(), torch.zeros(count, 2, dtype=torch.float64), _each(lights, count)]
    with torch.enable_grad():
        place, normal, moved, light = (leaf.to(surface.device).clone().requires_grad_() for leaf in leaves)
        factor = moved[:, 0].exp()
        single = Camera(
            camera.fx * factor,
            camera.fy * factor,
            camera.cx.expand(count),
            camera.cy.expand(count),
            camera.T_camera_world.expand(count, 4, 4),
            camera.height,
            camera.width,
        ).scaled(moved[:, 1].exp()[:, None, None])
        shading = (sh_basis(F.normalize(normal, dim=-1)) * light).sum(-1)
        shown = (single.project(place[:, None])[0][:, 0] * slope.double()).sum(-1)
        total = (albedo.double() * shading + sign * shown).sum()
        return list(torch.autograd.grad(total, [place, normal, moved, light]))


def _each(values: Tensor, count: int) -> Tensor:
    return values.double().expand(count, *values.shape)


def by_vertices(
    corners: Tensor, barycentrics: Tensor, by_point: Tensor, by_normal: Tensor | None, vertices: Tensor, faces: Tensor
) -> Tensor:
    """Derivatives (N, V, 3) of N residuals by all vertices."""
    with torch.enable_grad():
        leaf = vertices.double().clone().requires_grad_()
        share, corners = barycentrics.double()[..., None], corners.long()
        residuals = ((leaf[corners] * share).sum(1) * by_point.double()).sum(-1)
        if by_normal is not None:
            units = F.normalize(summed_normals(leaf, faces.long()), dim=-1)
            residuals = residuals + ((units[corners] * share).sum(1) * by_normal.double()).sum(-1)
        return torch.stack([torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in residuals])


def gather_joints(by_vertices: Tensor, canonical: Tensor, weights: Tensor) -> Tensor:
    """(N, 12 J + 4): derivatives by the joints' 3 x 4 transforms, by a translation, and a zero."""
    homogeneous = F.pad(canonical.double(), (0, 1), value=1.0)
    by_transforms = torch.einsum("nva,vj,vb->njab", by_vertices, weights.double(), homogeneous)
    return torch.cat([by_transforms.flatten(1), F.pad(by_vertices.sum(1), (0, 1))], 1)


def through_blend_shapes(by_vertices: Tensor, turned: Tensor, basis: Tensor) -> Tensor:
    """(N, K) by blend shapes basis (V, 3, K) of vertices whose displacements are turned (V, 3, 3) by skinning."""
    return torch.einsum("nva,vab,vbk->nk", by_vertices, turned.double(), basis.double())
