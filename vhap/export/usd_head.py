"""The tracked head as UsdSkel has it: a skeleton, a skinned mesh with blend shapes, and their animation.

Posing a head is adding blend shapes and then linear blend skinning, which is what UsdSkel evaluates. FLAME's pose
correctives are blend shapes too, whose weights are animated along.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vhap.export.centred_result import CentredTrack
from vhap.export.usd_stage import add_mesh, bind_material, identifiers, int_array, textured_material
from vhap.geometry.meshes import vertex_normals
from vhap.geometry.rotations import matrix_to_quaternion
from vhap.head.model import JOINT_NAMES, HeadModel, canonical_vertices, joint_places, joint_rotations, pose_feature
from vhap.util.log import get_logger

LEAST_MOVE_M = 1e-9
"""Vertices that a shape moves by less are left out of it."""
LEAST_COEFFICIENT = 1e-6
"""What is nearer to zero is none."""


@dataclass(frozen=True)
class HeadMotion:
    """What moves the head, T time codes: rotations (T, J, 3, 3) of the joints in their parents, translations (T, 3) of
    the root's place, metres, and coefficients (T, E) of expressions, then of pose correctives."""

    rotations: Tensor
    translations: Tensor
    coefficients: Tensor


@dataclass(frozen=True)
class Shape:
    """A blend shape. index: of the coefficient that it holds; factor: that coefficient at weight 1, below zero for the
    shape of its values below zero. weights (T,), in [0, 1]."""

    name: str
    index: int
    factor: float
    weights: np.ndarray


def add_head(pxr: Any, stage: Any, path: str, track: CentredTrack, codes: np.ndarray, texture: str) -> HeadMotion:
    """The head at `path`, a SkelRoot. track: without a scale; codes (T,): of its rows; texture: path beside the stage.

    Offsets that move have no place; their mean does, and a line of the log says what it costs. Returns what
    moves the head.
    """
    model, neutral = track.head, neutral_vertices(track)
    joints = joint_places(model, track.params(0).shape)
    root = pxr.UsdSkel.Root.Define(stage, path)
    root.GetPrim().SetCustomDataByKey("headModel", model.identity)
    extent = root.CreateExtentAttr()
    for row, code in enumerate(codes.tolist()):
        vertices = track.vertices(row).float().numpy()
        extent.Set(pxr.Vt.Vec3fArray.FromNumpy(np.stack([vertices.min(0), vertices.max(0)])), code)
    mesh = add_mesh(
        pxr, stage, f"{path}/Mesh", neutral.numpy(), model.faces.numpy(), model.uvs.numpy(), model.uv_faces.numpy()
    )
    normals = vertex_normals(neutral, model.faces).numpy()
    mesh.CreateNormalsAttr(pxr.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(normals, np.float32)))
    mesh.SetNormalsInterpolation(pxr.UsdGeom.Tokens.vertex)
    bind_material(pxr, mesh, textured_material(pxr, stage, f"{path}/Material", {0.0: texture}, "diffuseColor"))
    skeleton = add_skeleton(pxr, stage, f"{path}/Skeleton", joints, model.parents)
    motion = motion_of(track, joints)
    shapes = bounded_shapes(coefficient_names(model), motion.coefficients.numpy())
    names = identifiers(pxr, [shape.name for shape in shapes])
    binding = pxr.UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    add_influences(pxr, binding, model.weights.numpy())
    add_shapes(pxr, stage, binding, names, shapes, coefficient_moves(model))
    rest, weights = local_places(joints, model.parents), np.stack([shape.weights for shape in shapes], 1)
    animation = add_animation(pxr, stage, f"{path}/Animation", rest, motion, weights, codes)
    animation.CreateJointsAttr(skeleton.GetJointsAttr().Get())
    animation.CreateBlendShapesAttr(names)
    bound = pxr.UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    bound.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    return motion


def neutral_vertices(track: CentredTrack) -> Tensor:
    """(V, 3) of the person without expression and pose, with the mean of offsets that move."""
    params, moving = track.params(0), track.result.dynamic_offset
    if moving is not None:
        fixed = 0 if track.result.static_offset is None else track.result.static_offset.reshape(-1, 3)
        mean = moving.mean(0, dtype=np.float64)
        distance_mm = 1000 * np.linalg.norm(moving - mean, axis=-1)
        get_logger().warning(
            "the head's moving offsets are written as their mean: its vertices lie %.2f mm from the tracked ones on "
            "average, and at most %.1f mm", distance_mm.mean(), distance_mm.max(),
        )  # fmt: skip
        params = replace(params, static_offset=torch.from_numpy(np.float32(fixed + mean)))
    return canonical_vertices(track.head, replace(params, expr=torch.zeros_like(params.expr)))


def coefficient_names(model: HeadModel) -> list[str]:
    """Of expressions, then of pose correctives."""
    names = [*model.expr_names, *(f"expr_{index:03d}" for index in range(len(model.expr_names), model.n_expr))]
    if model.pose_basis is not None:
        names += [f"pose_{index:02d}" for index in range(model.pose_basis.shape[-1])]
    return names


def coefficient_moves(model: HeadModel) -> np.ndarray:
    """(E, V, 3) metres per unit coefficient, in the order of `coefficient_names`."""
    bases = [model.expr_basis] if model.pose_basis is None else [model.expr_basis, model.pose_basis]
    return torch.cat(bases, -1).permute(2, 0, 1).contiguous().numpy()


def bounded_shapes(names: list[str], coefficients: np.ndarray) -> list[Shape]:
    """Shapes for coefficients (T, E), with weights from 0 to 1: Blender cuts off what is beyond.

    Each coefficient has a shape of its name, larger by a whole factor where the coefficient exceeds 1; one that falls
    below zero has a second, NAME_minus. Between samples both together are as linear as the coefficient.
    """
    shapes = []
    for index, name in enumerate(names):
        for sign, suffix in ((1, ""), (-1, "_minus")):
            values = (sign * coefficients[:, index]).clip(min=0)
            most = float(values.max())
            if sign > 0 or most > LEAST_COEFFICIENT:
                factor = max(1, math.ceil(most))
                shapes.append(Shape(name + suffix, index, sign * factor, values / factor))
    return shapes


def motion_of(track: CentredTrack, joints: Tensor) -> HeadMotion:
    params = [track.params(row) for row in range(len(track.result.timestep_id))]
    rotations = torch.stack([joint_rotations(each) for each in params])
    coefficients = torch.stack([each.expr for each in params])
    if track.head.pose_basis is not None:
        coefficients = torch.cat([coefficients, pose_feature(rotations)], -1)
    return HeadMotion(rotations, joints[0] + torch.stack([each.translation for each in params]), coefficients)


def add_skeleton(pxr: Any, stage: Any, path: str, joints: Tensor, parents: tuple[int, ...]) -> Any:
    """joints (J, 3): places in the head's rest pose, along whose axes all of them lie."""
    vt, skeleton = pxr.Vt, pxr.UsdSkel.Skeleton.Define(stage, path)
    paths: list[str] = []
    for joint, parent in enumerate(parents):
        paths.append(JOINT_NAMES[joint] if parent < 0 else f"{paths[parent]}/{JOINT_NAMES[joint]}")
    skeleton.CreateJointsAttr(paths)
    skeleton.CreateBindTransformsAttr(vt.Matrix4dArray.FromNumpy(shifts(joints)))
    skeleton.CreateRestTransformsAttr(vt.Matrix4dArray.FromNumpy(shifts(local_places(joints, parents))))
    return skeleton


def local_places(joints: Tensor, parents: tuple[int, ...]) -> Tensor:
    """(J, 3) in the parents' axes; the root's own where it stands."""
    return torch.stack([joints[k] if above < 0 else joints[k] - joints[above] for k, above in enumerate(parents)])


def shifts(places: Tensor) -> np.ndarray:
    """(J, 3) -> (J, 4, 4) of row vectors."""
    matrices = np.tile(np.eye(4), (len(places), 1, 1))
    matrices[:, 3, :3] = places.numpy()
    return matrices


def add_influences(pxr: Any, binding: Any, weights: np.ndarray) -> None:
    """weights (V, J); as many joints a vertex as the one with most of them has."""
    count = max(1, int((weights != 0).sum(1).max()))
    ids = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :count]
    chosen = np.take_along_axis(weights, ids, 1)
    binding.CreateJointIndicesPrimvar(False, count).Set(int_array(pxr, ids))
    values = np.ascontiguousarray(chosen, np.float32).reshape(-1)
    binding.CreateJointWeightsPrimvar(False, count).Set(pxr.Vt.FloatArray.FromNumpy(values))
    binding.CreateGeomBindTransformAttr(pxr.Gf.Matrix4d(1))


def add_shapes(
    pxr: Any, stage: Any, binding: Any, names: list[str], shapes: list[Shape], moves: np.ndarray
) -> None:  # fmt: skip
    """names: of the shapes' prims. moves (E, V, 3), of which those vertices are written that move."""
    vt, parent = pxr.Vt, binding.GetPrim().GetPath()
    targets = [parent.AppendChild(name) for name in names]
    for target, shape in zip(targets, shapes):
        made, move = pxr.UsdSkel.BlendShape.Define(stage, target), shape.factor * moves[shape.index]
        made.GetPrim().SetCustomDataByKey("coefficient", float(shape.factor))
        ids = np.flatnonzero(np.abs(move).max(1) > LEAST_MOVE_M)
        # Blender leaves out shapes without any offset.
        ids = ids if len(ids) else np.zeros(1, np.int64)
        made.CreateOffsetsAttr(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(move[ids], np.float32)))
        if len(ids) < len(move):
            made.CreatePointIndicesAttr(int_array(pxr, ids))
    binding.CreateBlendShapesAttr(names)
    binding.CreateBlendShapeTargetsRel().SetTargets(targets)


def add_animation(
    pxr: Any, stage: Any, path: str, rest: Tensor, motion: HeadMotion, weights: np.ndarray, codes: np.ndarray
) -> Any:
    """Samples at the time codes (T,), between which readers interpolate. rest (J, 3): joints in their parents' axes;
    weights (T, B) of the blend shapes."""
    vt, animation = pxr.Vt, pxr.UsdSkel.Animation.Define(stage, path)
    animation.CreateScalesAttr(vt.Vec3hArray.FromNumpy(np.ones((len(rest), 3), np.float16)))
    turned, placed = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    weighted = animation.CreateBlendShapeWeightsAttr()
    # Gf's quaternions lie in memory as x, y, z, w.
    turns = matrix_to_quaternion(motion.rotations).roll(-1, -1).contiguous().numpy()
    for row, code in enumerate(codes.tolist()):
        places = torch.cat([motion.translations[row : row + 1], rest[1:]]).numpy()
        turned.Set(vt.QuatfArray.FromNumpy(turns[row]), code)
        placed.Set(vt.Vec3fArray.FromNumpy(np.ascontiguousarray(places, np.float32)), code)
        weighted.Set(vt.FloatArray.FromNumpy(np.ascontiguousarray(weights[row], np.float32)), code)
    return animation
