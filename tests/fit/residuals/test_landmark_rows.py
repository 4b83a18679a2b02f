"""Rows of the landmarks' equations, against automatic differentiation of posed vertices in double precision."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd
from tracked_heads import builtin_head, in_double

from vhap.fit.landmarks.equations import normal_equations
from vhap.fit.residuals import landmark_problem
from vhap.fit.residuals.landmark_points import yaw_of
from vhap.fit.residuals.landmark_problem import LandmarkProblem, head_params
from vhap.fit.residuals.landmarks import LinearisationPoint, landmark_rows
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.landmark_files import vertex_landmarks
from vhap.head.model import HeadModel, JawLine, landmark_head, landmark_points, map_tensors, pose
from vhap.util.threads import get_threads, set_threads

SIZE, FRAMES = (480, 640), 2
HEADS = ("builtin", "ict-like", "flame-like")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def head_of(kind: str, name: str) -> HeadModel:
    """Of few coefficients, in double: the built-in head, one with named expressions and no jaw, and one with pose
    correctives, anonymous modes, joints that move by shape and a jaw line that slides."""
    head = in_double(builtin_head()).keep_coefficients(4, 5)
    marks = head.landmarks["ibug"]
    # Rounded to single precision they do not sum to one.
    whole = marks.barycentrics / marks.barycentrics.sum(1, keepdim=True)
    head = replace(head, landmarks={"ibug": replace(marks, barycentrics=whole)})
    if name == "mediapipe":
        face = head.regions["face"]
        chosen = face[torch.linspace(0, len(face) - 1, 478).long()]
        marks = vertex_landmarks(head.faces, chosen)
        blended = drawn(478, 3).abs() + 0.1
        marks = replace(marks, barycentrics=blended / blended.sum(1, keepdim=True))
        head = replace(head, landmarks={"mediapipe": marks})
    if kind == "ict-like":
        still = torch.zeros_like(head.joint_shape_basis)
        head = replace(head, joint_shape_basis=still, has_jaw=False, expr_names=tuple("abcde"))
    if kind == "flame-like":
        line = JawLine(
            torch.randint(len(head.faces), (79, 17), generator=torch.Generator().manual_seed(1)),
            drawn(79, 17, 3).softmax(-1),
        )
        head = replace(
            head,
            pose_basis=0.01 * drawn(head.n_vertices, 3, 36),
            joint_shape_basis=0.01 * drawn(5, 3, 4),
            jaw_line=line,
            expr_names=(),
        )
    return landmark_head(head, name)


def cameras_of(count: int) -> Camera:
    """On an arc about the head."""
    angles = torch.linspace(-0.7, 0.7, count, dtype=torch.double)
    T_camera_world = torch.eye(4, dtype=torch.double).repeat(count, 1, 1)
    T_camera_world[:, :3, :3] = axis_angle_to_matrix(torch.stack([0 * angles, angles, 0 * angles], -1)).mT
    T_camera_world[:, 2, 3] = -1.0
    one = camera_from_focal(torch.tensor(1.8, dtype=torch.double), *SIZE).expand(count)
    return replace(one, T_camera_world=T_camera_world)


def problem_of(kind: str, name: str, cameras: int) -> tuple[LandmarkProblem, Tensor, Tensor]:
    """Landmarks some pixels off, and unknowns (Q,), (B, P)."""
    head = head_of(kind, name)
    shape = (FRAMES, cameras, len(head.landmarks[name].face_ids))
    given = None if cameras == 1 else cameras_of(cameras)
    common = torch.cat([torch.tensor([0.6, 0.02], dtype=torch.double), 0.5 * drawn(4)])
    local = torch.cat([0.1 * drawn(FRAMES, 18), 0.3 * drawn(FRAMES, 5, seed=1)], 1)
    weight = 0.2 + drawn(*shape).abs()
    problem = LandmarkProblem(head, name, torch.zeros(*shape, 2).double(), weight, torch.arange(FRAMES), SIZE, given)
    problem = replace(problem, unknown_unit=given is not None).with_pairs()
    return replace(problem, detected_px=slow_landmarks(problem, common, local) + 3 * drawn(*shape, 2)), common, local


def slow_landmarks(problem: LandmarkProblem, common: Tensor, local: Tensor) -> Tensor:
    """(B, C, L, 2) px, by all vertices."""
    params, cameras = head_params(common, local), problem.cameras(common)
    yaw = yaw_of(params, cameras)
    vertices = pose(problem.head, params)[:, None].expand(-1, yaw.shape[1], -1, -1)
    return cameras.project(landmark_points(problem.head, vertices, problem.name, yaw))[0]


def slow_rows(problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `landmark_rows` has them, one frame: value (M,), by_own (M, P), by_shared (M, Q)."""

    def differences(common: Tensor, local: Tensor) -> Tensor:
        return problem.in_deviations(slow_landmarks(problem, common, local[None]) - problem.detected_px, sigma)

    value = differences(common, local)
    weight = (problem.weights() * problem.loss.weight(value.square().sum(-1))).sqrt()[..., None]

    def in_rows(values: Tensor) -> Tensor:
        """(1, C, N, 2, ...) -> (M, ...)."""
        return values.transpose(2, 3).flatten(0, 3)

    by_shared, by_own = jacfwd(differences, (0, 1))(common, local)
    return in_rows(value * weight), in_rows(by_own * weight[..., None]), in_rows(by_shared * weight[..., None])


def joined(one: Tensor, other: Tensor) -> Tensor:
    """(M, K) derivatives of one frame's rows (R, N, K)."""
    return torch.cat([one, other], -1).flatten(0, 1)


@pytest.mark.parametrize("kind", HEADS)
def test_frames_that_are_projected_in_parts_are_the_same(kind, monkeypatch):
    problem, common, local = problem_of(kind, "ibug", 3)
    whole = problem.project(common, local)
    monkeypatch.setattr(landmark_problem, "AT_ONCE", 1)
    torch.testing.assert_close(problem.project(common, local), whole)


@pytest.mark.parametrize("cameras", [1, 3])
@pytest.mark.parametrize("name", ["ibug", "mediapipe"])
@pytest.mark.parametrize("kind", HEADS)
def test_rows_are_those_of_automatic_differentiation(kind, name, cameras):
    problem, common, local = problem_of(kind, name, cameras)
    sigma = problem.sigma_px()
    point = LinearisationPoint.of(problem, common, local)
    rows, own = (landmark_rows(problem, point, sigma, shared) for shared in (True, False))
    torch.testing.assert_close(problem.project(common, local), slow_landmarks(problem, common, local))
    for frame in range(FRAMES):
        one = problem.select(torch.tensor([frame]))
        value, by_own, by_shared = slow_rows(one, common, local[frame], sigma[frame : frame + 1])
        assert rows.by_shape is not None
        found = joined(rows.by_motion[frame], rows.by_expr[frame]), joined(rows.by_camera[frame], rows.by_shape[frame])
        torch.testing.assert_close(rows.value[frame].flatten(), value, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(found[0], by_own, atol=1e-7, rtol=1e-7)
        torch.testing.assert_close(found[1], by_shared, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(own.by_expr, rows.by_expr)
    torch.testing.assert_close(own.by_motion, rows.by_motion)
    assert own.by_shape is None


@pytest.mark.parametrize("cameras", [1, 3])
@pytest.mark.parametrize("kind", HEADS)
def test_single_precision_equations_are_those_of_double(kind, cameras):
    """To some millionths of the diagonal's geometric mean."""
    problem, common, local = problem_of(kind, "mediapipe", cameras)
    exact = normal_equations(problem, common, local, problem.sigma_px(), local)
    single = single_precision(problem)
    rounded = normal_equations(single, common.float(), local.float(), single.sigma_px(), local.float())
    own, shared = (part.diagonal(dim1=-2, dim2=-1).sqrt() for part in (exact.frames, exact.shared))
    for found, right, size in (
        (rounded.frames, exact.frames, own[:, :, None] * own[:, None]),
        (rounded.coupling, exact.coupling, own[:, :, None] * shared),
        (rounded.shared, exact.shared, torch.outer(shared, shared)),
    ):
        assert ((found - right) / size).abs().max() < 2e-5
        assert right.abs().max() > 0
    assert torch.linalg.eigvalsh(rounded.frames).min() > 0


def single_precision(problem: LandmarkProblem) -> LandmarkProblem:
    head = map_tensors(problem.head, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
    given = None if problem.given is None else problem.given.to(torch.float32)
    return replace(
        problem, head=head, given=given, detected_px=problem.detected_px.float(), weight=problem.weight.float()
    )


def test_equations_have_the_same_bits_for_any_number_of_threads():
    problem, common, local = problem_of("flame-like", "ibug", 1)
    rows = torch.arange(FRAMES).repeat(20)
    problem, local = problem.select(rows), local[rows] + 0.01 * drawn(len(rows), local.shape[1])
    before, found = get_threads(), []
    try:
        for count in (1, 2, 3):
            set_threads(count)
            found.append(normal_equations(problem, common, local, problem.sigma_px(), local))
    finally:
        set_threads(before)
    names = ("frames", "coupling", "shared", "right_frames", "right_shared")
    for other in found[1:]:
        assert all(torch.equal(getattr(found[0], name), getattr(other, name)) for name in names)
    assert len(found) == 3


def test_a_problem_keeps_its_gathered_points_until_its_head_changes():
    problem, _, _ = problem_of("builtin", "ibug", 1)
    assert problem.select(torch.tensor([1])).points is problem.points
    moved = replace(problem.head, template=problem.head.template + 1)
    torch.testing.assert_close(
        replace(problem, head=moved).points.fixed.weights, problem.points.fixed.weights, atol=0, rtol=0
    )
    assert replace(problem, head=moved).points is not problem.points
