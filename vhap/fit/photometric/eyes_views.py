"""What pictures show of eyeballs: pixels between the lids, as rays in the axes of a resting eye.

An eyeball that turns about its joint keeps its outline, so the same pixels show it whatever its rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.params import TrackParams
from vhap.fit.scene import Scene
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, canonical_vertices, joint_places, joint_rotations, pose
from vhap.head.regions import faces_of_region
from vhap.head.skinning import chain_transforms
from vhap.render.shading import shade

SIDES = ("left", "right")
"""Eyes in the order of eyes_pose."""
EYE_JOINTS = (3, 4)
OPAQUE = 0.98
LID_PX = 1
"""So far from lids pixels show a mixture of lid and eye."""
MOST_PIXELS = 600
"""Of one eye in one picture: more bring no precision that the pose of the head has."""
FEWEST_PIXELS = 6
CHART_KERNEL = 18
LEAST_SHADING = 0.2
SAMPLES = 10
"""Points along each edge of a triangle, of which an eyeball's surface is sampled."""
CHART_REACH, CHART_SIZE, CHART_BLUR = 1.2, 161, 0.015
"""Stereographic charts of an eyeball's directions about +z, of which 1 is a right angle: a grid, and its smoothing."""


@dataclass(frozen=True)
class Eyeballs:
    """Both eyes of T frames. joint (T, 2, 3): centres of rotation in the world; base (T, 2, 3, 3): from the axes of an
    eye at rest to the world; axis (2, 3): the optical axis of an eye at rest; radius (2, CHART_SIZE, CHART_SIZE, 1):
    the surface's distance from the joint by direction, metres; detail (2, CHART_SIZE, CHART_SIZE, 3): factors on the
    albedo of a profile about the axis, of what is painted and not round."""

    joint: Tensor
    base: Tensor
    axis: Tensor
    radius: Tensor
    detail: Tensor


@dataclass(frozen=True)
class EyePixels:
    """N pixels of W views (one eye in one picture). view, frame, eye (N,); colour, shading (N, 3); ray (N, 3) unit
    directions and origin (N, 3) the camera's centre, in the axes of the resting eye about its joint; across (N, 2):
    position in the view, from about -1 to 1; counts (N,): so many pixels each stands for; n_views: W."""

    view: Tensor
    frame: Tensor
    eye: Tensor
    colour: Tensor
    shading: Tensor
    ray: Tensor
    origin: Tensor
    across: Tensor
    counts: Tensor
    n_views: int

    def select(self, index: Tensor) -> EyePixels:
        """Some of the pixels; the views stay."""
        names = [f.name for f in fields(self) if f.name != "n_views"]
        return replace(self, **{name: getattr(self, name)[index] for name in names})


@dataclass(frozen=True)
class EyeSurface:
    """Points on eyeballs. eye (M,); corners (M, 3): vertices; weights (M, 3): barycentric; uv (M, 2)."""

    eye: Tensor
    corners: Tensor
    weights: Tensor
    uv: Tensor


def has_eyes(head: HeadModel) -> bool:
    return all(f"{side}_eyeball" in head.regions and len(head.regions[f"{side}_eyeball"]) for side in SIDES)


def eye_surface(head: HeadModel) -> EyeSurface:
    """A regular pattern of points on each triangle of the eyeballs."""
    steps = torch.arange(SAMPLES, dtype=torch.float32) + 1 / 3
    first, second = (part.flatten() for part in torch.meshgrid(steps, steps, indexing="ij"))
    inside = first + second < SAMPLES
    first, second = first[inside] / SAMPLES, second[inside] / SAMPLES
    weights = torch.stack([1 - first - second, first, second], -1).to(head.template)
    parts = []
    for eye, side in enumerate(SIDES):
        faces = torch.nonzero(faces_of_region(head, f"{side}_eyeball")).flatten()
        repeated = faces.repeat_interleave(len(weights))
        tiled = weights.repeat(len(faces), 1)
        uv = (head.uvs[head.uv_faces[repeated]] * tiled[..., None]).sum(1)
        parts.append((torch.full_like(repeated, eye), head.faces[repeated], tiled, uv))
    return EyeSurface(*(torch.cat(column) for column in zip(*parts)))


def surface_directions(head: HeadModel, surface: EyeSurface) -> Tensor:
    """(M, 3) unit directions of the points from the joints of the template's eyes."""
    points = (head.template[surface.corners] * surface.weights[..., None]).sum(1)
    return F.normalize(points - head.joint_template[list(EYE_JOINTS)][surface.eye], dim=-1)


@torch.no_grad()
def eyeballs_of(
    head: HeadModel, params: HeadParams, surface: EyeSurface, template_axis: Tensor
) -> tuple[Eyeballs, Tensor]:
    """params: (T, ...), shape (S,); template_axis (2, 3): optical axes of the template. Also the unit directions (M, 3)
    of the surface's points from the joints of eyes at rest: an identity's eyeball is not the template's."""
    rotations = joint_rotations(params)
    joints = joint_places(head, params.shape)
    at_rest = rotations.clone()
    at_rest[..., list(EYE_JOINTS), :, :] = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    carried = chain_transforms(at_rest, joints.expand(*rotations.shape[:-2], 3), head.parents)
    carried = carried[..., list(EYE_JOINTS), :, :]
    eyes = joints[list(EYE_JOINTS)]
    joint = (carried[..., :3, :3] @ eyes[..., None]).squeeze(-1) + carried[..., :3, 3] + params.translation[:, None]
    vertices = canonical_vertices(head, params).reshape(-1, head.n_vertices, 3).mean(0)
    axis = torch.stack([_turn(head, vertices, side) @ axis for side, axis in zip(SIDES, template_axis)])
    points = (vertices[surface.corners] * surface.weights[..., None]).sum(1) - eyes[surface.eye]
    length = points.norm(dim=-1, keepdim=True)
    radius = charts(points / length, length, surface.eye)
    even = torch.ones_like(radius).expand(-1, -1, -1, 3)
    return Eyeballs(joint, carried[..., :3, :3], axis, radius, even), points / length


def _turn(head: HeadModel, vertices: Tensor, side: str) -> Tensor:
    """(3, 3): the rotation that fits an eyeball's vertices best to the template's (Kabsch 1976)."""
    ids = head.regions[f"{side}_eyeball"]
    before, after = (points[ids].double() - points[ids].double().mean(0) for points in (head.template, vertices))
    left, _, right = torch.linalg.svd(after.T @ before)
    sign = left.new_tensor([1, 1, float(torch.linalg.det(left @ right))])
    return ((left * sign) @ right).to(vertices)


def chart(direction: Tensor) -> Tensor:
    """(n, 3) unit -> (n, 2)."""
    return direction[:, :2] / (1 + direction[:, 2:]).clamp(min=1e-2)


def charts(direction: Tensor, value: Tensor, eye: Tensor) -> Tensor:
    """(2, CHART_SIZE, CHART_SIZE, C) of both eyes, rows by y: values (n, C) in directions (n, 3), smoothed by a
    Gaussian, and by a wider one where there are none near."""
    position = chart(direction)
    step = 2 * CHART_REACH / (CHART_SIZE - 1)
    cell = ((position + CHART_REACH) / step).round().long()
    inside = ((cell >= 0) & (cell < CHART_SIZE)).all(-1)
    cell, eye, found = cell[inside], eye[inside], torch.cat([value[inside], torch.ones_like(value[inside, :1])], -1)
    sums = value.new_zeros(2 * CHART_SIZE**2, found.shape[1])
    sums.index_add_(0, (eye * CHART_SIZE + cell[:, 1]) * CHART_SIZE + cell[:, 0], found)
    steps = torch.arange(-CHART_KERNEL, CHART_KERNEL + 1, device=value.device, dtype=value.dtype) * step / CHART_BLUR
    planes = sums.view(2, CHART_SIZE, CHART_SIZE, -1).permute(0, 3, 1, 2).flatten(0, 1)[:, None]
    narrow, wide = (_blurred(planes, torch.exp(-steps.square() / twice)) for twice in (2, 50))
    blurred = (narrow + 1e-4 * wide)[:, 0].unflatten(0, (2, -1)).permute(0, 2, 3, 1)
    total, weight = blurred[..., :-1], blurred[..., -1:]
    return torch.where(weight > 1e-6, total / weight.clamp(min=1e-6), value.mean(0))


def _blurred(planes: Tensor, kernel: Tensor) -> Tensor:
    """(N, 1, H, W), by a kernel (K,) along rows and columns."""
    along = F.conv2d(planes, kernel[None, None, None], padding=(0, len(kernel) // 2))
    return F.conv2d(along, kernel[None, None, :, None], padding=(len(kernel) // 2, 0))


def pixels_of(scene: Scene, params: TrackParams, balls: Eyeballs, frame: int, batch: FrameBatch) -> list[EyePixels]:
    """What the pictures of one timestep show. params: its row; balls: of all frames, of which `frame` is that row's;
    an eye of which a picture shows next to nothing is left out."""
    vertices = pose(scene.head, params.head())
    cameras = params.cameras(scene.given, scene.size, batch.cameras)
    found = []
    for index in range(len(batch.cameras)):
        camera = cameras.select(index)
        for eye in range(2):
            pixels = _one_eye(scene, vertices, camera, batch, index, balls, frame, eye, params.light)
            if pixels is not None:
                found.append(pixels)
    return found


def _one_eye(
    scene: Scene,
    vertices: Tensor,
    camera: Camera,
    batch: FrameBatch,
    index: int,
    balls: Eyeballs,
    frame: int,
    eye: int,
    lights: Tensor,
) -> EyePixels | None:
    joint, base = balls.joint[frame, eye], balls.base[frame, eye]
    box = _box(camera, joint, float(balls.radius[eye].max()))
    if box is None:
        return None
    left, top, width, height = box
    crop = replace(camera, cx=camera.cx - left, cy=camera.cy - top, width=width, height=height)
    raster = scene.backend.rasterize(crop.to_clip(vertices), scene.topology, height, width)
    of_eye = faces_of_region(scene.head, f"{SIDES[eye]}_eyeball")
    face = raster.face_id[0].long()
    shown = (face >= 0) & of_eye[face.clamp(min=0)]
    window = slice(top, top + height), slice(left, left + width)
    if batch.alpha is not None:
        shown &= batch.alpha[index][window] > OPAQUE
    away = F.max_pool2d((~shown).float()[None, None], 2 * LID_PX + 1, 1, LID_PX)[0, 0] == 0
    row, column = torch.nonzero(away).unbind(-1)
    if len(row) < FEWEST_PIXELS:
        return None
    share = len(row)
    if len(row) > MOST_PIXELS:
        chosen = torch.linspace(0, len(row) - 1, MOST_PIXELS, device=row.device).long()
        row, column = row[chosen], column[chosen]
    ray = _rays(crop, row, column)
    origin = camera.centre() - joint
    count = len(row)
    normal = F.normalize(_nearest(origin, ray, float(balls.radius[eye].mean())), dim=-1)
    across = torch.stack([column, row], -1).float()
    across = (across - across.mean(0)) / (across.amax(0) - across.amin(0)).amax().clamp(min=1) * 2
    return EyePixels(
        view=row.new_zeros(count),
        frame=torch.full_like(row, frame),
        eye=torch.full_like(row, eye),
        colour=batch.rgb[index][window][row, column],
        shading=shade(normal, lights).clamp(min=LEAST_SHADING),
        ray=ray @ base,
        origin=(origin @ base).expand(count, 3),
        across=across,
        counts=torch.full((count,), share / count, device=row.device),
        n_views=1,
    )


def _box(camera: Camera, joint: Tensor, radius: float) -> tuple[int, int, int, int] | None:
    """Left, top, width, height of an eyeball's window in the picture; None where it lies outside."""
    middle, depth = camera.project(joint[None])
    if float(depth[0]) < 2 * radius:
        return None
    reach = float(camera.fx.maximum(camera.fy) / depth[0]) * radius + LID_PX + 1
    x, y = middle[0].tolist()
    left, right = max(0, int(x - reach)), min(camera.width, int(x + reach) + 1)
    top, bottom = max(0, int(y - reach)), min(camera.height, int(y + reach) + 1)
    return (left, top, right - left, bottom - top) if right - left > 2 and bottom - top > 2 else None


def _rays(camera: Camera, row: Tensor, column: Tensor) -> Tensor:
    """(n, 3) unit directions in the world through the centres of pixels."""
    x = (column + 0.5 - camera.cx) / camera.fx
    y = (camera.cy - row - 0.5) / camera.fy
    return F.normalize(torch.stack([x, y, -torch.ones_like(x)], -1) @ camera.T_camera_world[:3, :3], dim=-1)


def _nearest(origin: Tensor, ray: Tensor, radius: float) -> Tensor:
    """(n, 3) where rays from one origin meet a sphere about zero, or come nearest to it."""
    along = ray @ origin
    inside = (along.square() - origin.square().sum() + radius**2).clamp(min=0)
    return origin + (-along - inside.sqrt())[:, None] * ray


def joined(parts: Sequence[EyePixels]) -> EyePixels:
    """Views behind one another."""
    names = [f.name for f in fields(EyePixels) if f.name not in ("n_views", "view")]
    views = torch.cat([part.view + index for index, part in enumerate(parts)])
    return EyePixels(view=views, **{n: torch.cat([getattr(p, n) for p in parts]) for n in names}, n_views=len(parts))
