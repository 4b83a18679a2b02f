"""A head in GNM v3's file format, made of another head's geometry: the published file cannot be had here.

Keys, structure and traps are the published ones (joints first in the weights, components first in the bases, two
triangles a quad, parts that overlap in texture space, groups that overlap, shells before the irises, the jaw in the
expressions, rows 2 to 6 of the landmarks backwards); none of its numbers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gnm_like_fields import Fields, RandomFields, bump
from gnm_like_mesh import LikeMesh, like_mesh

from vhap.geometry.meshes import barycentric_points
from vhap.head.builtin import load_builtin
from vhap.head.gnm.file import FILE_NAME
from vhap.head.gnm.landmarks import FILE_NAME as LANDMARKS
from vhap.head.model import HeadModel, pose, zero_params
from vhap.head.regions import complete_regions
from vhap.head.teeth import add_teeth

JOINTS = ("neck", "head", "left_eye", "right_eye")
TORSO, SKULL, LEFT, RIGHT = range(4)


@dataclass(frozen=True)
class Sizes:
    """Components of head, eyes, teeth; of one eye's region, lower face, tongue (besides tongue_mean)."""

    head: int = 12
    eyes: int = 3
    teeth: int = 4
    eye_region: int = 6
    lower_face: int = 10
    tongue: int = 3


PUBLISHED = Sizes(170, 3, 80, 100, 150, 31)
Change = Callable[[dict[str, np.ndarray]], object]


@dataclass
class Like:
    """The arrays of the file and what is known of them. mesh: parts, groups; jaw: of the expressions, what opens it."""

    arrays: dict[str, np.ndarray]
    mesh: LikeMesh
    landmarks: np.ndarray = field(repr=False)


def builtin_donor() -> HeadModel:
    return complete_regions(add_teeth(load_builtin()))


def make_gnm(donor: HeadModel | None = None, sizes: Sizes = Sizes(), seed: int = 0) -> Like:
    donor = donor or builtin_donor()
    mesh = like_mesh(donor)
    fields = RandomFields(mesh, seed)
    identity, identity_names = _identity(donor, mesh, fields, sizes)
    expression, expression_names = _expression(donor, mesh, fields, sizes, seed)
    joints = mesh.joints
    weights = _weights(donor, mesh)
    count, names = len(mesh.points), tuple(mesh.groups)
    arrays: dict[str, np.ndarray] = {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": mesh.points,
        "template_joint_positions": joints,
        "vertex_identity_basis": identity,
        "joint_identity_basis": _joint_basis(mesh, identity),
        "expression_basis": expression,
        "identity_names": np.array(identity_names),
        "joint_names": np.array(JOINTS),
        "expression_names": np.array(expression_names),
        "joint_parent_indices": np.array([-1, 0, 1, 1], np.int32),
        "skinning_weights": weights,
        "quads": mesh.quads.astype(np.int32),
        "triangles": np.concatenate([mesh.quads[:, [0, 1, 2]], mesh.quads[:, [2, 3, 0]]]).astype(np.int32),
        "quad_uvs": mesh.quad_uvs,
        "triangle_uvs": np.concatenate([mesh.quad_uvs[:, [0, 1, 2]], mesh.quad_uvs[:, [2, 3, 0]]]),
        "mesh_component_names": np.array(mesh.parts),
        "mirror_indices": mesh.mirror.astype(np.int32),
        "joint_regressor": np.full((4, count), 1 / count),
        "pose_correctives_regressor": np.zeros((36, 3 * count)),
        "bone_aligned_template_joint_orientations": np.tile(np.eye(3), (4, 1, 1)),
        "vertex_groups": np.stack([mesh.groups[name] for name in names]),
        "vertex_group_names": np.array(names),
    }
    plain = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    return Like(plain, mesh, _landmark_rows(donor, mesh))


def write_gnm(
    folder: Path,
    like: Like | None = None,
    change: Change | None = None,
    landmarks: bool = True,
    compressed: bool = False,
) -> Path:
    """gnm_head.npz and its landmarks. change: what is done to the arrays before they are written."""
    like = like or make_gnm()
    folder.mkdir(parents=True, exist_ok=True)
    arrays = dict(like.arrays)
    if change is not None:
        change(arrays)
    save = np.savez_compressed if compressed else np.savez
    save(folder / FILE_NAME, **arrays)
    if landmarks:
        write_landmarks(folder / LANDMARKS, like.landmarks)
    return folder / FILE_NAME


def write_landmarks(path: Path, rows: np.ndarray) -> None:
    lines = (" ".join(f"{int(i)} {w:.3f}" for i, w in zip(row[0::2], row[1::2])) for row in rows)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _weights(donor: HeadModel, mesh: LikeMesh) -> np.ndarray:
    """(4, V): the donor's, its jaw with the head."""
    own = donor.weights.numpy().astype(np.float64)[mesh.donor_of]
    merged = np.stack([own[:, 0], own[:, 1] + own[:, 2], own[:, 3], own[:, 4]])
    for row, name in ((SKULL, "tongue"), (SKULL, "lower_teeth_and_gums"), (LEFT, "left_eye"), (RIGHT, "right_eye")):
        inside = mesh.groups[name] > 0.5
        merged[:, inside] = 0
        merged[row, inside] = 1
    return merged / merged.sum(0)


def _joint_basis(mesh: LikeMesh, identity: np.ndarray) -> np.ndarray:
    """(I, 4, 3): joints go with the vertices about them."""
    nearest = [np.argsort(np.linalg.norm(mesh.points - joint, axis=1))[:60] for joint in mesh.joints]
    for row, name in ((LEFT, "left_eye"), (RIGHT, "right_eye")):
        nearest[row] = np.nonzero(mesh.groups[name] > 0.5)[0]
    return np.stack([identity[:, ids].mean(1) for ids in nearest], 1)


def _identity(donor: HeadModel, mesh: LikeMesh, fields: Fields, sizes: Sizes) -> tuple[np.ndarray, list[str]]:
    own = donor.shape_basis.numpy().transpose(2, 0, 1)[:, mesh.donor_of]
    own = mesh.carried(own[: min(len(own), sizes.head)])
    rest = [mesh.carried(fields.next(0.004 / (2 + k))[None])[0] for k in range(sizes.head - len(own))]
    head = np.concatenate([own, np.stack(rest)]) if rest else own
    # Every coordinate changes, and every joint.
    head = head + mesh.carried(np.stack([fields.next(0.0006, 0.3) for _ in head]))
    # Larger in all directions, then in each of two alone.
    sphere = np.stack([mesh.from_eye(0.0004), *np.eye(3)[:2, None] * mesh.from_eye(0.0003)])[: sizes.eyes]
    mouth = mesh.inside("upper_teeth_and_gums") | mesh.inside("lower_teeth_and_gums")
    teeth = np.stack([fields.next(0.0008 / (1 + k / 4), 4.0) * mouth[:, None] for k in range(sizes.teeth)])
    counts = {"head": sizes.head, "eyes": sizes.eyes, "teeth": sizes.teeth}
    names = [f"{region}_{k:03d}" for region, count in counts.items() for k in range(count)]
    return np.concatenate([head, sphere, teeth]), names


def _expression(
    donor: HeadModel, mesh: LikeMesh, fields: Fields, sizes: Sizes, seed: int
) -> tuple[np.ndarray, list[str]]:
    still = mesh.inside("left_eye") | mesh.inside("right_eye")
    own = [*donor.expr_basis.numpy().transpose(2, 0, 1), _jaw_opening(donor)]
    own = np.stack(own)[:, mesh.donor_of] * ~still[:, None]
    own[:, mesh.inside("tongue")] = own[:, mesh.inside("lower_teeth_and_gums")].mean(1, keepdims=True)
    windows = {side: mesh.groups[f"expression_basis_{side}"] for side in ("left_eye", "mouth_nose_ears")}
    left = _region(own, windows["left_eye"], still, fields, sizes.eye_region, seed)
    right = mesh.mirrored(left) * ~still[:, None]
    lower = _region(own, windows["mouth_nose_ears"], still, fields, sizes.lower_face, seed + 1)
    tongue = mesh.inside("tongue")[:, None]
    mean = np.array([0, 0.001, 0.006]) * tongue
    parts = [fields.next(0.003 / (1 + k / 3), 4.0) * tongue for k in range(sizes.tongue)]
    names = [
        *(f"left_eye_region_{k:03d}" for k in range(sizes.eye_region)),
        *(f"right_eye_region_{k:03d}" for k in range(sizes.eye_region)),
        *(f"lower_face_region_{k:03d}" for k in range(sizes.lower_face)),
        "tongue_mean",
        *(f"tongue_{k:03d}" for k in range(sizes.tongue)),
        "pupils_000",
    ]
    return np.concatenate([left, right, lower, mean[None], np.stack(parts), mesh.wider_pupils(0.0003)[None]]), names


def _region(
    own: np.ndarray, window: np.ndarray, still: np.ndarray, fields: Fields, count: int, seed: int
) -> np.ndarray:
    """(count, V, 3): the donor's expressions inside a window, mixed, then smooth random ones that fall off."""
    inside = own * window[:, None]
    energy = np.square(inside).sum((1, 2))
    chosen = inside[np.argsort(-energy, kind="stable")[: min(count, 12)]]
    chosen = chosen[np.square(chosen).sum((1, 2)) > 1e-6]
    mix = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(chosen), len(chosen))))[0]
    mixed = 0.4 * np.tensordot(mix, chosen, 1)
    kept = window[:, None] * ~still[:, None]
    rest = [fields.next(0.002 / (1 + k / 3) ** 1.3, 3.0) * kept for k in range(count - len(mixed))]
    return np.concatenate([mixed, np.stack(rest)]) if rest else mixed


def _jaw_opening(donor: HeadModel) -> np.ndarray:
    """(V, 3): what the donor's jaw joint does, zeros where it has none."""
    params = zero_params(donor)
    rest = pose(donor, params)
    params.jaw_pose[0] = 0.3 if donor.has_jaw else 0.0
    return (pose(donor, params) - rest).numpy()


def _landmark_rows(donor: HeadModel, mesh: LikeMesh) -> np.ndarray:
    """(68, 6) as the older revision has them: each point mostly on one vertex, mirror partners with equal weights, rows
    2 to 6 backwards."""
    marks = donor.landmarks["ibug"]
    points = barycentric_points(donor.template, donor.faces, marks.face_ids, marks.barycentrics)[:68].numpy()
    skin = np.nonzero(mesh.inside("skin"))[0]
    triangles = np.concatenate([mesh.quads[:, [0, 1, 2]], mesh.quads[:, [2, 3, 0]]])
    rows = np.zeros((68, 6))
    for k, point in enumerate(points + mesh.shift):
        main = skin[np.linalg.norm(mesh.points[skin] - point, axis=1).argmin()]
        faces = triangles[(triangles == main).any(1)]
        face = next(f for f in faces if len(set(f.tolist())) == 3)
        main_weight = 0.8 + 0.01 * min(k, abs(16 - k), 9)
        rows[k, 0::2] = [main, *(v for v in face if v != main)]
        rows[k, 1::2] = main_weight, (1 - main_weight) * 0.75, (1 - main_weight) * 0.25
    rows[2:7] = rows[2:7][::-1].copy()
    return rows


__all__ = ["PUBLISHED", "Like", "Sizes", "builtin_donor", "bump", "make_gnm", "write_gnm", "write_landmarks"]
