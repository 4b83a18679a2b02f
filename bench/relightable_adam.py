"""The schedule that optimize.py replaces: FLAME fitted to landmarks by 1500 steps of Adam.

python bench/relightable_adam.py --path SUBJECT --flame generic_model.pkl --fx 1500 --size 512

Written from a description of its terms, rates and cameras, over our public head model. It reads keypoint.json,
iris.json and code.json and writes tracked_params.json. --points_only poses the landmarks' own vertices instead of the
whole mesh, with the same result in less time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.head.load import load_head
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.relightable.head_files import TrackedFrame, TrackedParams, read_codes, write_tracked_params
from vhap.relightable.point_files import Points, read_irises, read_keypoints

FLAME_SCALE = 4.0
ALL_STEPS, EYE_STEPS = 1000, 500
EYES = slice(9, 15)
LID_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))
TRANSLATION_DIFF, POSE_DIFF = 5.0, 10.0


@dataclass
class Unknowns:
    """shape (S,); exp (T, E); pose (T, 15): head, neck, jaw, eyes; translation (T, 3); camera (3,)."""

    shape: Tensor
    exp: Tensor
    pose: Tensor
    translation: Tensor
    camera: Tensor = field(default_factory=lambda: torch.tensor([0.0, 0.0, -4.0]))

    def groups(self) -> list[dict]:
        rates = {"pose": 1e-2, "exp": 1e-2, "shape": 1e-2, "camera": 1e-2, "translation": 1e-4}
        return [{"params": [getattr(self, name).requires_grad_()], "lr": rate} for name, rate in rates.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--flame", type=Path, required=True)
    parser.add_argument("--fx", type=float, required=True, help="pixels; fy is the same, and the centre is the middle")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--points_only", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    head = load_head("flame", options.flame, n_shape=100, n_expr=100, add_teeth=False)
    points = read_keypoints(options.path / "keypoint.json")
    irises = read_irises(options.path / "iris.json")
    pixels = np.stack([np.concatenate([known(points, name), known(irises, name)[::-1]]) for name in points])
    target = torch.from_numpy(2 * pixels / options.size - 1).float()
    unknowns = start(head, options.path, len(points))
    if options.points_only:
        fitted = landmark_head(head)
    else:
        marks = head.landmarks["ibug"]
        fitted = head, head.faces[marks.face_ids], marks.barycentrics
    fit(fitted, unknowns, target, options.fx / options.size)
    write(options.path / "tracked_params.json", list(points), unknowns, options.fx, options.size)


def known(points: Points, name: str) -> np.ndarray:
    found = points[name]
    if found is None:
        raise SystemExit(f"expected landmarks of every picture, found none of {name}")
    return found


def start(head: HeadModel, subject: Path, count: int) -> Unknowns:
    """DECA's mean shape and its expressions; its global rotation goes into the neck, the head's own starts at zero."""
    codes = list(read_codes(subject / "code.json").values())
    assert len(codes) == count
    exp = torch.zeros(count, head.n_expr)
    exp[:, :50] = torch.from_numpy(np.stack([code.exp for code in codes]))
    turns = torch.zeros(count, 15)
    turns[:, 3:9] = torch.from_numpy(np.stack([code.pose for code in codes]))
    shape = torch.from_numpy(np.mean([code.shape for code in codes], 0)).float()
    return Unknowns(shape, exp, turns, torch.zeros(count, 3))


def landmark_head(head: HeadModel) -> tuple[HeadModel, Tensor, Tensor]:
    """The head of the vertices that carry landmarks, the corners (70, 3) among them and their weights (70, 3)."""
    marks = head.landmarks["ibug"]
    vertices, corners = head.faces[marks.face_ids].unique(return_inverse=True)
    return head.keep_vertices(vertices), corners, marks.barycentrics


def fit(head: tuple[HeadModel, Tensor, Tensor], unknowns: Unknowns, target: Tensor, focal: float) -> None:
    """Both stages. target (T, 70, 2) in [-1, 1], y down; focal in picture sides."""
    optimizer = torch.optim.Adam(unknowns.groups())
    for _ in range(ALL_STEPS):
        optimizer.zero_grad()
        all_terms(unknowns, projected(head, unknowns, focal), target).backward()
        optimizer.step()
    rest, eyes = unknowns.pose.detach().clone(), unknowns.pose.detach()[:, EYES].clone().requires_grad_()
    optimizer = torch.optim.Adam([eyes], lr=1e-2)
    for _ in range(EYE_STEPS):
        optimizer.zero_grad()
        unknowns.pose = torch.cat([rest[:, : EYES.start], eyes], 1)
        found = projected(head, unknowns, focal)
        loss = 10 * (found - target)[:, 68:].norm(dim=-1).mean() + 0.1 * POSE_DIFF * change(eyes)
        loss.backward()
        optimizer.step()


def all_terms(unknowns: Unknowns, found: Tensor, target: Tensor) -> Tensor:
    upper, lower = torch.tensor(LID_PAIRS).T
    gaps = (found[:, upper] - found[:, lower]) - (target[:, upper] - target[:, lower])
    return (
        (found - target).norm(dim=-1).mean()
        + 1e-2 * unknowns.shape.square().mean()
        + 1e-2 * unknowns.exp.square().mean()
        + 1e-1 * change(unknowns.exp)
        + POSE_DIFF * change(unknowns.pose)
        + TRANSLATION_DIFF * change(unknowns.translation)
        + gaps.square().mean()
    )


def change(rows: Tensor) -> Tensor:
    return (rows[1:] - rows[:-1]).square().mean()


def projected(head: tuple[HeadModel, Tensor, Tensor], unknowns: Unknowns, focal: float) -> Tensor:
    """(T, 70, 2) in [-1, 1]: four times the head, before a camera that looks along -z, y of the picture down."""
    model, corners, weights = head
    turns, zero = unknowns.pose, torch.zeros(len(unknowns.pose), 3)
    vertices = pose(
        model,
        HeadParams(
            shape=unknowns.shape,
            expr=unknowns.exp,
            rotation=turns[:, :3],
            translation=zero,
            neck_pose=turns[:, 3:6],
            jaw_pose=turns[:, 6:9],
            eyes_pose=turns[:, EYES],
        ),
    )
    points = barycentric_points(vertices, corners, torch.arange(len(corners)), weights)
    x, y, z = (FLAME_SCALE * (points + unknowns.translation[:, None]) + unknowns.camera).unbind(-1)
    return torch.stack([-2 * focal * x / z, 2 * focal * y / z], -1)


def write(path: Path, names: list[str], unknowns: Unknowns, fx: float, size: int) -> None:
    values = {key: tensor.detach().double().numpy() for key, tensor in vars(unknowns).items()}
    world = np.eye(4)
    world[:3, 3] = values["camera"]
    frames = {
        name: TrackedFrame(
            expcode=values["exp"][row],
            fullposecode=values["pose"][row],
            cam=np.zeros(3),
            world_mat=world,
            translation=values["translation"][row],
        )
        for row, name in enumerate(names)
    }
    write_tracked_params(path, TrackedParams(np.array([fx, fx, size / 2, size / 2]), values["shape"], frames))


if __name__ == "__main__":
    main()
