"""The forward function of GNM v3 in plain numpy and float64, written from the public formula alone."""

from __future__ import annotations

import numpy as np


def gnm_forward(
    arrays: dict[str, np.ndarray],
    identity: np.ndarray,
    expression: np.ndarray,
    rotations: np.ndarray,
    translation: np.ndarray,
) -> np.ndarray:
    """(V, 3). identity (I,), expression (E,), rotations (J, 3) axis-angle, translation (3,)."""
    get = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in arrays.items()}
    vertices = get["template_vertex_positions"].copy()
    vertices += np.einsum("i,ivc->vc", identity, get["vertex_identity_basis"])
    vertices += np.einsum("e,evc->vc", expression, get["expression_basis"])
    joints = get["template_joint_positions"] + np.einsum("i,ijc->jc", identity, get["joint_identity_basis"])
    turns = np.stack([_rodrigues(row) for row in rotations])
    feature = (turns - np.eye(3)).reshape(-1)
    vertices += (feature @ get["pose_correctives_regressor"]).reshape(-1, 3)
    world: list[np.ndarray] = []
    for joint, parent in enumerate(get["joint_parent_indices"].tolist()):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        is_root = parent < 0 or parent == joint
        local[:3, 3] = joints[joint] + translation if is_root else joints[joint] - joints[parent]
        world.append(local if is_root else world[parent] @ local)
    posed = np.zeros_like(vertices)
    for joint, matrix in enumerate(world):
        moved = vertices @ matrix[:3, :3].T + matrix[:3, 3] - matrix[:3, :3] @ joints[joint]
        posed += get["skinning_weights"][joint][:, None] * moved
    return posed


def _rodrigues(axis_angle: np.ndarray) -> np.ndarray:
    angle = np.linalg.norm(axis_angle)
    if angle == 0:
        return np.eye(3)
    x, y, z = axis_angle / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
