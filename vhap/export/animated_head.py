"""The tracked head as one animated glTF file.

Posing a head is adding blendshapes and then linear blend skinning, which is what glTF's morph targets and skins do,
so the file moves exactly as the head was tracked.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from vhap.config.export import GltfAnimation
from vhap.export.glb import GltfTree, write_glb
from vhap.export.mesh_files import TrackedHead
from vhap.export.meshes import split_at_seams
from vhap.geometry.meshes import vertex_normals
from vhap.geometry.rotations import matrix_to_quaternion
from vhap.head.model import (
    JOINT_NAMES,
    HeadParams,
    canonical_vertices,
    joint_places,
    joint_rotations,
    pose,
    pose_feature,
)

MESH, PLACE, FIRST_JOINT = 0, 1, 2
"""Nodes of the file: the mesh, the head's place in the world, and the joints in the order of JOINT_NAMES."""


def write_animated_head(path: Path, head: TrackedHead, animation: GltfAnimation) -> None:
    """The person's neutral head, textured with its albedo, and its motion in the tracked world. Metres, seconds.

    blendshapes: morph targets for the expression coefficients (and, as `pose_..`, for FLAME's pose correctives), a
    skin of the five joints, and an animation of weights, joints and the head's place. The head must have no moving
    offset. frames: each timestep is a morph target, in the head's own axes, and the head's place moves.
    """
    model = head.model
    vertex_ids, uv_ids, faces = split_at_seams(model.faces.numpy(), model.uv_faces.numpy())
    neutral = canonical_vertices(model, _neutral(head))
    mesh = trimesh.Trimesh(
        neutral.numpy()[vertex_ids],
        faces,
        vertex_normals=vertex_normals(neutral, model.faces).numpy()[vertex_ids],
        visual=TextureVisuals(
            model.uvs.numpy()[uv_ids],
            PBRMaterial(
                name="head",
                baseColorTexture=Image.fromarray(head.albedo),
                metallicFactor=0.0,
                roughnessFactor=1.0,
            ),
        ),
        process=False,
    )
    add = _add_blendshapes if animation == "blendshapes" else _add_frames
    write_glb(path, mesh, lambda tree: add(tree, head, neutral, vertex_ids))


def _add_blendshapes(tree: GltfTree, head: TrackedHead, neutral: torch.Tensor, vertex_ids: np.ndarray) -> None:
    assert not head.has_moving_offset
    model, rotations = head.model, joint_rotations(head.params)
    bases, weights, names = [model.expr_basis], [head.params.expr], list(model.expr_names)
    names += [f"expr_{index:03d}" for index in range(len(names), model.n_expr)]
    if model.pose_basis is not None:
        bases.append(model.pose_basis)
        weights.append(pose_feature(rotations))
        names += [f"pose_{index:02d}" for index in range(model.pose_basis.shape[-1])]
    moves = torch.cat(bases, -1)[vertex_ids].permute(2, 0, 1).contiguous().numpy()
    tree.add_targets(list(moves), names)
    joints = joint_places(model, head.params.shape)
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse_bind[:, :3, 3] = -joints
    nodes = range(FIRST_JOINT, FIRST_JOINT + len(joints))
    tree.add_skin(nodes, inverse_bind, model.weights.numpy()[vertex_ids])
    tree.set_nodes(
        [{"name": "head", "mesh": 0, "skin": 0}, _place_node(head), *_joint_nodes(joints, model.parents)],
        [MESH, PLACE],
    )
    turns = [(node, "rotation", _quaternions(rotations[:, joint])) for joint, node in enumerate(nodes)]
    values = torch.cat(weights, -1).numpy()
    tree.animate(_clock(head), [(PLACE, "translation", _translation(head)), *turns, (MESH, "weights", values)])


def _add_frames(tree: GltfTree, head: TrackedHead, neutral: torch.Tensor, vertex_ids: np.ndarray) -> None:
    """The root joint turns about its place; the mesh hangs on it and stands where it would without the joint."""
    moves = []
    for row in range(head.n_timesteps):
        params = head.at(row)
        still = replace(
            params,
            rotation=torch.zeros_like(params.rotation),
            translation=torch.zeros_like(params.translation),
            scale=None,
        )
        moves.append((pose(head.model, still) - neutral)[vertex_ids].numpy())
    tree.add_targets(moves, [f"frame_{row:05d}" for row in range(head.n_timesteps)])
    root = joint_places(head.model, head.params.shape)[0]
    tree.set_nodes(
        [
            {"name": "head", "mesh": 0, "translation": (-root).tolist()},
            _place_node(head),
            {"name": JOINT_NAMES[0], "translation": root.tolist(), "children": [MESH]},
        ],
        [PLACE],
    )
    turn = _quaternions(joint_rotations(head.params)[:, 0])
    tracks = [(PLACE, "translation", _translation(head)), (FIRST_JOINT, "rotation", turn)]
    tree.animate(_clock(head), [*tracks, (MESH, "weights", np.eye(head.n_timesteps, dtype=np.float32))])


def _neutral(head: TrackedHead) -> HeadParams:
    params = head.at(0)
    return replace(params, expr=torch.zeros_like(params.expr))


def _place_node(head: TrackedHead) -> dict[str, Any]:
    scale = 1.0 if head.params.scale is None else float(head.params.scale)
    return {"name": "place", "children": [FIRST_JOINT], "scale": [scale] * 3}


def _joint_nodes(joints: torch.Tensor, parents: tuple[int, ...]) -> list[dict[str, Any]]:
    nodes = []
    for joint, parent in enumerate(parents):
        offset = joints[joint] if parent < 0 else joints[joint] - joints[parent]
        node: dict[str, Any] = {"name": JOINT_NAMES[joint], "translation": offset.tolist()}
        if children := [FIRST_JOINT + child for child, above in enumerate(parents) if above == joint]:
            node["children"] = children
        nodes.append(node)
    return nodes


def _quaternions(rotations: torch.Tensor) -> np.ndarray:
    """(T, 3, 3) -> (T, 4) in glTF's order x, y, z, w."""
    return matrix_to_quaternion(rotations).roll(-1, -1).numpy()


def _translation(head: TrackedHead) -> np.ndarray:
    return head.params.translation.numpy()


def _clock(head: TrackedHead) -> np.ndarray:
    """Seconds since the first timestep: players start at zero."""
    return head.times_s - head.times_s[0]
