"""The head: one immutable type for every linear head model, and the functions that pose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.skinning import chain_transforms, skin

JOINT_NAMES = ("root", "neck", "jaw", "left_eye", "right_eye")


@dataclass(frozen=True)
class LandmarkSet:
    """Points on the surface, one per detector point.

    face_ids: (L,) long; barycentrics: (L, 3); detector_ids: (L,) long, the index of each point among the
    detector's own (a set may cover only some of them).
    """

    face_ids: Tensor
    barycentrics: Tensor
    detector_ids: Tensor


@dataclass(frozen=True)
class JawLine:
    """Jaw-line points that slide with the head's yaw (FLAME's dynamic contour).

    face_ids: (79, 17), barycentrics: (79, 17, 3). Row: 0..39 = yaw in whole degrees, 40..78 = 39 - yaw for
    negative yaw; yaw is positive where the face turns towards the image's right (about +y). They replace the
    first 17 points of the set `ibug`.
    """

    face_ids: Tensor
    barycentrics: Tensor


@dataclass(frozen=True)
class HeadModel:
    """Any linear head. Tensors and names only; metres, y up, face towards +z, the subject's left is +x.

    template (V, 3); faces (F, 3) long, counter-clockwise from outside.
    shape_basis (V, 3, S) and expr_basis (V, 3, E): metres per unit coefficient.
    pose_basis (V, 3, 9 (J - 1)) correctives for the rotation matrices of joints 1.. minus identity, or None.
    joint_template (J, 3) and joint_shape_basis (J, 3, S): joint places are linear in the shape.
    parents: -1 for the root; J = 5, in the order of JOINT_NAMES. weights (V, J).
    uvs (U, 2), origin at the lower left; uv_faces (F, 3) long.
    regions: name -> vertex ids (long). Names are listed in `regions.py`.
    landmarks: name -> LandmarkSet; `ibug` = 68 iBUG points, then the two iris centres (68 on the image's left);
    `mediapipe` = MediaPipe's 478.
    jaw_line: sliding contour or None. base_texture (H, W, 3) sRGB in [0, 1], row 0 on top, or None.
    shape_names, expr_names: empty where the basis is anonymous. has_jaw: False where the jaw joint moves nothing.
    open_mouth: expression coefficients that open the mouth, index -> value (empty where has_jaw).
    unit_variance: whether named expressions are statistics, as those without names always are; else they run from 0 to
    1.
    asset_hash: identifies the file (or the code's version) that the model came from.
    """

    name: str
    asset_hash: str
    template: Tensor
    faces: Tensor
    shape_basis: Tensor
    expr_basis: Tensor
    pose_basis: Tensor | None
    joint_template: Tensor
    joint_shape_basis: Tensor
    weights: Tensor
    uvs: Tensor
    uv_faces: Tensor
    parents: tuple[int, ...] = (-1, 0, 1, 1, 1)
    regions: Mapping[str, Tensor] = field(default_factory=dict)
    landmarks: Mapping[str, LandmarkSet] = field(default_factory=dict)
    jaw_line: JawLine | None = None
    base_texture: Tensor | None = None
    shape_names: tuple[str, ...] = ()
    expr_names: tuple[str, ...] = ()
    has_jaw: bool = True
    open_mouth: Mapping[int, float] = field(default_factory=dict)
    unit_variance: bool = False

    @property
    def n_vertices(self) -> int:
        return self.template.shape[0]

    @property
    def n_shape(self) -> int:
        return self.shape_basis.shape[-1]

    @property
    def n_expr(self) -> int:
        return self.expr_basis.shape[-1]

    @property
    def has_activations(self) -> bool:
        """Whether expressions have names and run from 0 to 1."""
        return bool(self.expr_names) and not self.unit_variance

    @property
    def identity(self) -> str:
        """Written into results, so that numbers of one head are never read as another's."""
        return f"{self.name}:{self.asset_hash}"

    def to(self, device: torch.device | str) -> HeadModel:
        return map_tensors(self, lambda tensor: tensor.to(device))

    def keep_coefficients(self, n_shape: int, n_expr: int) -> HeadModel:
        """The first n_shape and n_expr coefficients (fewer where the head has fewer)."""
        return replace(
            self,
            shape_basis=self.shape_basis[..., :n_shape].contiguous(),
            joint_shape_basis=self.joint_shape_basis[..., :n_shape].contiguous(),
            expr_basis=self.expr_basis[..., :n_expr].contiguous(),
            shape_names=self.shape_names[:n_shape],
            expr_names=self.expr_names[:n_expr],
            open_mouth={index: value for index, value in self.open_mouth.items() if index < n_expr},
        )

    def keep_vertices(self, vertex_ids: Tensor) -> HeadModel:
        """The same head with only some vertices (faces, regions and landmarks dropped): posing them is cheaper."""
        return replace(
            self,
            template=self.template[vertex_ids],
            faces=self.faces[:0],
            shape_basis=self.shape_basis[vertex_ids],
            expr_basis=self.expr_basis[vertex_ids],
            pose_basis=None if self.pose_basis is None else self.pose_basis[vertex_ids],
            weights=self.weights[vertex_ids],
            uvs=self.uvs[:0],
            uv_faces=self.uv_faces[:0],
            regions={},
            landmarks={},
            jaw_line=None,
        )


@dataclass(frozen=True)
class HeadParams:
    """What poses a head. B is any leading batch (or none); shape may lack it.

    shape (..., S), expr (..., E); rotation, translation, neck_pose, jaw_pose (..., 3); eyes_pose (..., 6), left
    first. Rotations are axis-angle in radians, translation in metres. static_offset (..., V, 3) metres in
    canonical space, or None. scale: () or None (1).
    """

    shape: Tensor
    expr: Tensor
    rotation: Tensor
    translation: Tensor
    neck_pose: Tensor
    jaw_pose: Tensor
    eyes_pose: Tensor
    static_offset: Tensor | None = None
    scale: Tensor | None = None


def map_tensors(value: HeadModel, change: Callable[[Tensor], Tensor]) -> HeadModel:
    """A copy of a head with every tensor, also in mappings and nested dataclasses, changed."""

    def convert(item: Any) -> Any:
        if isinstance(item, Tensor):
            return change(item)
        if isinstance(item, Mapping):
            return {key: convert(entry) for key, entry in item.items()}
        if hasattr(item, "__dataclass_fields__"):
            return replace(item, **{f.name: convert(getattr(item, f.name)) for f in fields(item)})
        return item

    return convert(value)


def zero_params(model: HeadModel, batch: tuple[int, ...] = ()) -> HeadParams:
    """The neutral head at the origin, for any leading batch."""

    def zeros(size: int) -> Tensor:
        return model.template.new_zeros(*batch, size)

    return HeadParams(
        shape=zeros(model.n_shape),
        expr=zeros(model.n_expr),
        rotation=zeros(3),
        translation=zeros(3),
        neck_pose=zeros(3),
        jaw_pose=zeros(3),
        eyes_pose=zeros(6),
    )


def pose(model: HeadModel, params: HeadParams) -> Tensor:
    """Vertices of the posed head: (..., V, 3) metres, in the world.

    vertices = scale * skin(template + shape + expression + pose correctives + offset) + translation
    (FLAME, Li et al. 2017, eq. 1 and 2). Pure and differentiable.
    """
    return skin_canonical(model, params, canonical_vertices(model, params))


def person_head(head: HeadModel, shape: Tensor, offset: Tensor | None) -> HeadModel:
    """The head of one person: shape (S,) and offset (V, 3) become part of it, so that no frame computes them again. It
    has no shape coefficients."""
    template = head.template + head.shape_basis @ shape
    return replace(
        head,
        template=template if offset is None else template + offset,
        joint_template=head.joint_template + head.joint_shape_basis @ shape,
        shape_basis=head.shape_basis[..., :0],
        joint_shape_basis=head.joint_shape_basis[..., :0],
        shape_names=(),
    )


def canonical_vertices(model: HeadModel, params: HeadParams) -> Tensor:
    """(..., V, 3): template, shape, expression and static offset, before pose correctives and skinning."""
    count = model.n_vertices
    shaped = model.template + (params.shape @ model.shape_basis.reshape(3 * count, -1).T).unflatten(-1, (count, 3))
    shaped = shaped + (params.expr @ model.expr_basis.reshape(3 * count, -1).T).unflatten(-1, (count, 3))
    return shaped if params.static_offset is None else shaped + params.static_offset


def joint_angles(params: HeadParams) -> Tensor:
    """(..., 5, 3) axis-angle in radians, in the order of JOINT_NAMES."""
    left, right = params.eyes_pose[..., :3], params.eyes_pose[..., 3:]
    return torch.stack([params.rotation, params.neck_pose, params.jaw_pose, left, right], -2)


def joint_rotations(params: HeadParams) -> Tensor:
    """(..., 5, 3, 3) local rotation matrices in the order of JOINT_NAMES."""
    return axis_angle_to_matrix(joint_angles(params))


def joint_places(model: HeadModel, shape: Tensor) -> Tensor:
    """(..., S) -> (..., 5, 3) places of the joints of the unposed head, metres."""
    return model.joint_template + (shape @ model.joint_shape_basis.flatten(0, 1).T).unflatten(-1, (-1, 3))


def pose_feature(rotations: Tensor) -> Tensor:
    """(..., J, 3, 3) local rotations -> (..., 9 (J - 1)): what the pose correctives are linear in (FLAME, eq. 5)."""
    identity = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    return (rotations[..., 1:, :, :] - identity).flatten(-3)


def pose_correctives(model: HeadModel, rotations: Tensor) -> Tensor:
    """Local rotations (..., J, 3, 3) -> (..., V, 3) metres, zero for a head without correctives."""
    if model.pose_basis is None:
        return model.template.new_zeros(*rotations.shape[:-3], model.n_vertices, 3)
    feature = pose_feature(rotations)
    return (feature @ model.pose_basis.reshape(-1, feature.shape[-1]).T).unflatten(-1, (model.n_vertices, 3))


def skin_canonical(model: HeadModel, params: HeadParams, canonical: Tensor) -> Tensor:
    """Pose correctives, skinning, scale and translation applied to canonical vertices."""
    rotations = joint_rotations(params)
    if model.pose_basis is not None:
        canonical = canonical + pose_correctives(model, rotations)
    joints = joint_places(model, params.shape).expand(*rotations.shape[:-2], 3)
    vertices = skin(canonical, chain_transforms(rotations, joints, model.parents), model.weights)
    if params.scale is not None:
        vertices = vertices * params.scale
    return vertices + params.translation[..., None, :]


def landmark_points(model: HeadModel, vertices: Tensor, name: str, yaw_rad: Tensor | None = None) -> Tensor:
    """Points of a landmark set on posed vertices, or what else is linear in them: (..., V, C) -> (..., L, C).

    yaw_rad: (...,) the head's yaw seen from the camera; where it is given and the head has a sliding jaw line,
    the first 17 points of `ibug` slide with it.
    """
    points = model.landmarks[name]
    fixed = barycentric_points(vertices, model.faces, points.face_ids, points.barycentrics)
    if yaw_rad is None or name != "ibug" or model.jaw_line is None:
        return fixed
    rows = jaw_line_rows(yaw_rad.reshape(-1))
    corners = model.faces[model.jaw_line.face_ids[rows]].flatten(1)
    flat = vertices.reshape(-1, *vertices.shape[-2:])
    places = flat.gather(1, corners[..., None].expand(-1, -1, flat.shape[-1])).unflatten(1, (-1, 3))
    sliding = (places * model.jaw_line.barycentrics[rows][..., None]).sum(-2)
    return torch.cat([sliding.reshape(*fixed.shape[:-2], -1, fixed.shape[-1]), fixed[..., sliding.shape[1] :, :]], -2)


def jaw_line_rows(yaw_rad: Tensor) -> Tensor:
    """(N,) yaw -> (N,) long rows of JawLine, whole degrees clamped to +-39."""
    degrees = torch.rad2deg(yaw_rad.detach()).round().clamp(-39, 39).long()
    return torch.where(degrees < 0, 39 - degrees, degrees)


def yaw_in_camera(params: HeadParams, camera_rotation: Tensor) -> Tensor:
    """(...,) yaw in radians of head and neck seen from cameras (..., 3, 3), positive towards the image's right."""
    rotations = joint_rotations(params)
    facing = camera_rotation @ rotations[..., 0, :, :] @ rotations[..., 1, :, :]
    return torch.atan2(facing[..., 0, 2], facing[..., 2, 2])


def landmark_head(model: HeadModel, name: str) -> HeadModel:
    """The head reduced to the vertices that a landmark set touches; `landmark_points` gives the same points."""
    points = model.landmarks[name]
    used = [points.face_ids]
    if name == "ibug" and model.jaw_line is not None:
        used.append(model.jaw_line.face_ids.reshape(-1))
    triangles = model.faces[torch.cat(used)]
    vertex_ids, corners = torch.unique(triangles, return_inverse=True)
    small = model.keep_vertices(vertex_ids)
    face_ids = torch.arange(len(triangles), device=triangles.device)
    count = len(points.face_ids)
    jaw_line = model.jaw_line if len(used) == 2 else None
    if jaw_line is not None:
        jaw_line = replace(jaw_line, face_ids=face_ids[count:].reshape(jaw_line.face_ids.shape))
    return replace(
        small,
        faces=corners.reshape(-1, 3),
        landmarks={name: replace(points, face_ids=face_ids[:count])},
        jaw_line=jaw_line,
    )
