"""The forward function of a GNM head, on all vertices of its file: what its checks pose."""

from __future__ import annotations

import numpy as np
import torch

from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.gnm.file import GnmFile
from vhap.head.skinning import chain_transforms, skin


def posed_vertices(
    gnm: GnmFile,
    identity: np.ndarray | None = None,
    expression: np.ndarray | None = None,
    rotations: np.ndarray | None = None,
    translation: np.ndarray | None = None,
) -> np.ndarray:
    """(V, 3) metres. identity (I,), expression (E,) or the first few of each; rotations (J, 3) axis-angle in the file's
    order of joints; translation (3,), added after the rotations."""
    shape, joints = gnm["template_vertex_positions"].copy(), gnm["template_joint_positions"].copy()
    for name, values in (("vertex_identity_basis", identity), ("expression_basis", expression)):
        if values is not None:
            shape += np.tensordot(values.astype(np.float32), gnm[name][: len(values)], 1)
    if identity is not None:
        joints += np.tensordot(identity.astype(np.float32), gnm["joint_identity_basis"][: len(identity)], 1)
    turns = torch.zeros(len(joints), 3) if rotations is None else torch.from_numpy(rotations).float()
    matrices = axis_angle_to_matrix(turns)
    feature = (matrices - torch.eye(3)).flatten().numpy()
    shape += (feature @ gnm["pose_correctives_regressor"]).reshape(-1, 3)
    transforms = chain_transforms(matrices, torch.from_numpy(joints), gnm.parents)
    posed = skin(torch.from_numpy(shape), transforms, torch.from_numpy(gnm["skinning_weights"].T.copy())).numpy()
    return posed if translation is None else posed + translation.astype(np.float32)
