"""ICT-FaceKit's people in FLAME's files: real faces for the loader of FLAME 2020, where no FLAME file can be had.

Made anew by each test that needs it; nothing converted is kept in the project. As FLAME's head it has no inside of the
mouth, a jaw joint that does what the expression jawOpen did, and eyes that joints alone turn.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from flame_like_builtin import write_head_as_flame
from torch import Tensor

from vhap.detect.embedding import make_embedding
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.head.ict_facekit import load_ict_facekit
from vhap.head.landmark_files import vertex_landmarks
from vhap.head.model import HeadModel
from vhap.head.regions import complete_regions, region_mask
from vhap.render.backend import get_backend

INSIDE_MOUTH = ("teeth", "lip_inside")
NECK, JAW, JOINTS = 1, 2, 5
CHIN_SHARE = 0.8
"""Of jawOpen's largest movement: what moves that far is bone, and moves as one."""
MASKS = (
    "eye_region", "neck", "left_eyeball", "right_eyeball", "right_ear", "left_ear", "forehead", "lips", "nose", "scalp",
    "boundary", "face", "left_eye_region", "right_eye_region",
)  # fmt: skip
"""What FLAME_masks.pkl names."""
JAW_SINE, TURN_SIZE = 7, 9
"""Where a rotation matrix about x, flattened, has its sine; numbers of a matrix."""


def write_ict_as_flame(folder: Path, ict_folder: str | Path, monkeypatch, detected: bool = False) -> Path:
    """generic_model.pkl with its masks, landmarks, template and texture: 100 identity and 44 expression modes.

    detected: the landmarks are where MediaPipe finds them on pictures of this head, all 478 of them where FLAME's file
    has 105; else where ICT-FaceKit's own file has its 68, which is elsewhere by 4 % of the eye corner distance.
    """
    head = flame_like_head(load_ict_facekit(ict_folder))
    if detected:
        head = replace(
            head, landmarks=make_embedding(complete_regions(head), MediapipeLandmarks(), get_backend("auto"))
        )
        write_detected(folder, head)
    return write_head_as_flame(folder, head, monkeypatch)


def write_detected(folder: Path, head: HeadModel) -> None:
    """mediapipe_landmark_embedding.npz."""
    points = head.landmarks["mediapipe"]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "mediapipe_landmark_embedding.npz",
        lmk_face_idx=points.face_ids.numpy(),
        lmk_b_coords=points.barycentrics.numpy(),
        landmark_indices=points.detector_ids.numpy(),
    )


def flame_like_head(head: HeadModel) -> HeadModel:
    head = with_jaw(without_inside(head))
    kept = [row for row, name in enumerate(head.expr_names) if name != "jawOpen" and not name.startswith("eyeLook")]
    names = tuple(head.expr_names[row] for row in kept)
    return replace(head, expr_basis=head.expr_basis[..., kept], expr_names=names, open_mouth={}, has_jaw=True)


def without_inside(head: HeadModel) -> HeadModel:
    """The head with a mouth that is an open edge, as FLAME's."""
    inside = region_mask(head, torch.cat([head.regions[name] for name in INSIDE_MOUTH]))
    kept = ~inside[head.faces].any(1)
    new_id = torch.cumsum(~inside, 0) - 1
    faces = new_id[head.faces[kept]]
    marks = head.landmarks["ibug"]
    corners = head.faces[marks.face_ids].gather(1, marks.barycentrics.argmax(1, keepdim=True))[:, 0]
    regions = {name: new_id[head.regions[name][~inside[head.regions[name]]]] for name in MASKS}
    return replace(
        head,
        template=head.template[~inside],
        faces=faces,
        shape_basis=head.shape_basis[~inside],
        expr_basis=head.expr_basis[~inside],
        weights=head.weights[~inside],
        uv_faces=head.uv_faces[kept],
        regions=regions,
        landmarks={"ibug": vertex_landmarks(faces, new_id[corners])},
    )


def with_jaw(head: HeadModel) -> HeadModel:
    """jawOpen as a turn of the jaw joint: weights where it moves like bone, a pose corrective for the rest."""
    opening = head.expr_basis[..., head.expr_names.index("jawOpen")]
    length = opening.norm(dim=1)
    bone = length > CHIN_SHARE * length.max()
    angle, centre = turn_about_x(head.template[bone], head.template[bone] + opening[bone])
    turned = rotated_about_x(head.template - centre, angle) + centre - head.template
    share = ((opening * turned).sum(1) / turned.square().sum(1).clamp(min=1e-8)).clamp(0, 1)
    weights = head.weights.clone()
    weights[:, JAW] = share * head.weights[:, NECK]
    weights[:, NECK] = (1 - share) * head.weights[:, NECK]
    pose_basis = torch.zeros(head.n_vertices, 3, TURN_SIZE * (JOINTS - 1))
    rest = opening - weights[:, JAW, None] * turned
    pose_basis[..., TURN_SIZE * (JAW - 1) + JAW_SINE] = rest / math.sin(angle)
    ears = torch.cat([head.regions["left_ear"], head.regions["right_ear"]])
    joints, joint_shapes = head.joint_template.clone(), head.joint_shape_basis.clone()
    joints[JAW], joint_shapes[JAW] = centre, head.shape_basis[ears].mean(0)
    return replace(head, weights=weights, pose_basis=pose_basis, joint_template=joints, joint_shape_basis=joint_shapes)


def turn_about_x(before: Tensor, after: Tensor) -> tuple[float, Tensor]:
    """Angle in radians and centre (3,), x = 0, of the turn about x that takes points (N, 3) nearest to others."""
    flat, moved = before[:, 1:].double(), after[:, 1:].double()
    a, b = flat - flat.mean(0), moved - moved.mean(0)
    cross = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    angle = math.atan2(float(cross), float((a * b).sum()))
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]).double()
    shift = moved.mean(0) - turn @ flat.mean(0)
    centre = torch.linalg.solve(torch.eye(2).double() - turn, shift)
    return angle, torch.cat([torch.zeros(1), centre.float()])


def rotated_about_x(points: Tensor, angle: float) -> Tensor:
    x, y, z = points.unbind(-1)
    cosine, sine = math.cos(angle), math.sin(angle)
    return torch.stack([x, cosine * y - sine * z, sine * y + cosine * z], -1)
