import math
import os
from dataclasses import replace

import pytest
import torch
from tracked_heads import builtin_head, exact_problem, landmarks_px, moving_params, problem_of, still_params

from vhap.evaluate.eyes_and_mouth import eyelid_gaps, gaze_error_deg, in_head_space, optical_axes
from vhap.fit.landmarks.first_guess import guess_from_landmarks, pose_from_landmarks
from vhap.fit.landmarks.solver import solve_landmarks
from vhap.fit.params import PER_FRAME, TrackParams, as_vectors, initial_params
from vhap.fit.residuals.landmark_problem import LandmarkPrior, LandmarkProblem
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.load import load_head
from vhap.head.model import HeadModel, landmark_head, landmark_points, pose
from vhap.render.shading import uniform_lights

SIZE = (480, 640)
ICT = os.environ.get("VHAP_ICT_FACEKIT")


def start_of(truth: TrackParams) -> TrackParams:
    """Close enough to converge: the right place, a mean face at rest, a focal length off by 10 %."""
    start = still_params(truth.n_timesteps, focal=float(truth.focal_length) * 1.1)
    return replace(start, rotation=truth.rotation + 0.1, translation=truth.translation - 0.01)


def mean_error_px(params: TrackParams, truth: TrackParams) -> float:
    return float((landmarks_px(params, SIZE) - landmarks_px(truth, SIZE)).norm(dim=-1).mean())


def turned_apart_deg(params: TrackParams, truth: TrackParams) -> torch.Tensor:
    """(B,) angle between the heads' orientations, root and neck together."""

    def facing(which: TrackParams) -> torch.Tensor:
        return axis_angle_to_matrix(which.rotation) @ axis_angle_to_matrix(which.neck_pose)

    trace = (facing(params).mT @ facing(truth)).diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos())


def random_double(*shape: int) -> torch.Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_projection_slopes_are_those_that_autograd_finds(behind):
    turn = axis_angle_to_matrix(torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64))
    T_camera_world = torch.eye(4, dtype=torch.float64)
    T_camera_world[:3, :3] = turn
    T_camera_world[2, 3] = 2.0 if behind else -2.0
    one = torch.ones((), dtype=torch.float64)
    camera = Camera(700 * one, 650 * one, 300 * one, 250 * one, T_camera_world, 480, 640)
    points = random_double(5, 3)
    slopes = camera.projection_derivatives(points)
    expected = torch.autograd.functional.jacobian(lambda x: camera.project(x)[0], points)
    index = torch.arange(5)
    torch.testing.assert_close(slopes, expected[index, :, index])


def test_pose_expression_and_focal_length_are_found_from_exact_points():
    truth = moving_params(6)
    problem = replace(exact_problem(truth, SIZE), prior=LandmarkPrior(pixel=0.0005))
    found = solve_landmarks(problem, start_of(truth), with_shared=True, iterations=40)
    assert mean_error_px(found, truth) < 0.25
    assert turned_apart_deg(found, truth).max() < 1.5
    assert float(found.focal_length) == pytest.approx(float(truth.focal_length), rel=0.03)
    assert (found.shape - truth.shape).square().mean() < 0.5 * truth.shape.square().mean()
    assert (found.expr - truth.expr).square().mean() < 0.5 * truth.expr.square().mean()


def test_own_unknowns_alone_leave_camera_and_identity_and_still_fit():
    """Activations as faces have them: none is negative."""
    truth = moving_params(4)
    truth = replace(truth, expr=truth.expr.abs())
    start = replace(start_of(truth), shape=truth.shape, focal_length=truth.focal_length)
    found = solve_landmarks(exact_problem(truth, SIZE), start, with_shared=False, iterations=20)
    assert torch.equal(found.shape, start.shape)
    assert torch.equal(found.focal_length, start.focal_length)
    assert mean_error_px(found, truth) < 0.5 < mean_error_px(start, truth)


def test_frames_solved_alone_do_not_depend_on_their_neighbours():
    truth = moving_params(3)
    problem, start = exact_problem(truth, SIZE), replace(start_of(truth), shape=truth.shape)
    together = solve_landmarks(problem, start, with_shared=False, iterations=4)
    rows = torch.tensor([1])
    alone = solve_landmarks(problem.select(rows), start.rows(rows), with_shared=False, iterations=4)
    assert mean_error_px(alone, truth.rows(rows)) == pytest.approx(
        mean_error_px(together.rows(rows), truth.rows(rows)), abs=0.05
    )


def test_one_point_in_ten_may_lie_anywhere():
    truth = moving_params(4)
    exact = exact_problem(truth, SIZE)
    random = torch.Generator().manual_seed(1)
    wrong = torch.rand(exact.weight.shape, generator=random) < 0.1
    noise = 60 * torch.randn(exact.detected_px.shape, generator=random)
    spoilt = replace(exact, detected_px=exact.detected_px + noise * wrong[..., None])
    clean = guess_from_landmarks(exact, still_params(4), 4)
    found = guess_from_landmarks(spoilt, still_params(4), 4)
    assert found.found.all()
    assert mean_error_px(clean.params, truth) < 1.0
    assert mean_error_px(found.params, truth) < 2.5
    assert turned_apart_deg(found.params, truth).max() < 5


def test_frames_without_weight_stay_finite_and_lie_between_their_neighbours():
    truth = moving_params(6)
    problem = exact_problem(truth, SIZE)
    problem.weight[[0, 2, 3]] = 0
    problem.detected_px[[0, 2, 3]] = 0
    guess = guess_from_landmarks(problem, still_params(6), 6)
    assert guess.found[:, 0].tolist() == [False, True, False, False, True, True]
    for name in PER_FRAME:
        value = getattr(guess.params, name)
        assert value.isfinite().all()
        torch.testing.assert_close(value[0], value[1])
        torch.testing.assert_close(value[2], value[1] + (value[4] - value[1]) / 3, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(value[3], value[1] + (value[4] - value[1]) * 2 / 3, atol=1e-5, rtol=1e-4)


def test_solver_leaves_a_frame_without_weight_where_it_was():
    truth = moving_params(3)
    problem, start = exact_problem(truth, SIZE), start_of(truth)
    problem.weight[1] = 0
    found = solve_landmarks(problem, start, with_shared=True)
    torch.testing.assert_close(found.rotation[1], start.rotation[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.translation[1], start.translation[1], atol=1e-4, rtol=0)
    assert all(getattr(found, name).isfinite().all() for name in (*PER_FRAME, "shape", "focal_length"))


def test_known_camera_counts_whatever_the_focal_length_starts_from():
    truth = moving_params(3)
    given = camera_from_focal(truth.focal_length[0], *SIZE).expand(1)
    problem = exact_problem(truth, SIZE, given)
    start = replace(still_params(3), focal_length=torch.tensor([9.0]))
    guess = guess_from_landmarks(problem, start, 3)
    assert mean_error_px(replace(guess.params, focal_length=truth.focal_length), truth) < 1
    posed, true = (pose(builtin_head(), params.head()) for params in (guess.params, truth))
    assert (posed.mean(1) - true.mean(1)).norm(dim=-1).max() < 0.02


def test_pnp_alone_places_a_mean_face_exactly():
    truth = replace(moving_params(4), shape=torch.zeros(24), expr=torch.zeros(4, 24), jaw_pose=torch.zeros(4, 3))
    found, known = pose_from_landmarks(exact_problem(truth, SIZE), still_params(4))
    assert known.all()
    torch.testing.assert_close(found.rotation, truth.rotation, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.translation, truth.translation, atol=1e-3, rtol=0)


@pytest.fixture(
    scope="module",
    params=["builtin", pytest.param("ict", marks=pytest.mark.skipif(not ICT, reason="VHAP_ICT_FACEKIT is not set"))],
)
def head_with_eyes(request) -> HeadModel:
    return load_head(request.param)


def eyes_at_work(head: HeadModel) -> TrackParams:
    """A person whose lids close in frame 1 and to a half in frame 2, and whose eyes turn by 15 degrees after that."""
    still = initial_params(head, 6, 1, uniform_lights())
    expr, eyes = still.expr.clone(), still.eyes_pose.clone()
    blinks = [index for index, name in enumerate(head.expr_names) if name.startswith("eyeBlink")]
    expr[1, blinks], expr[2, blinks] = 1.0, 0.5
    for frame, (axis, sign) in enumerate([(1, 1), (1, -1), (0, -1)], 3):
        eyes[frame, [axis, axis + 3]] = sign * math.radians(15)
    turn = torch.stack([torch.zeros(6), torch.linspace(-0.2, 0.2, 6), torch.zeros(6)], -1)
    shape = 0.7 * torch.randn(head.n_shape, generator=torch.Generator().manual_seed(0))
    return replace(still, shape=shape, expr=expr, eyes_pose=eyes, rotation=turn, focal_length=torch.tensor([2.0]))


def eyes_of(head: HeadModel, params: TrackParams) -> tuple[torch.Tensor, torch.Tensor]:
    """Lid gaps (B, 2) in eye widths and optical axes (B, 2, 3)."""
    vertices = in_head_space(pose(head, params.head()), params.head())
    axes = torch.stack([optical_axes(head, frame) for frame in vertices])
    return eyelid_gaps(landmark_points(head, vertices, "ibug")), axes


def test_landmarks_close_the_lids_and_turn_the_eyes(head_with_eyes):
    head, truth = head_with_eyes, eyes_at_work(head_with_eyes)
    pixels = landmarks_px(truth, SIZE, head)
    unrelated = 2 * torch.arange(6)
    problem = replace(problem_of(head, pixels, SIZE), timesteps=unrelated)
    start = replace(initial_params(head, 6, 1, uniform_lights()), focal_length=torch.tensor([2.0]))
    found = guess_from_landmarks(problem, start, 6).params
    (gaps, axes), (true_gaps, true_axes) = eyes_of(head, found), eyes_of(head, truth)
    assert true_gaps[1].max() < 0.03 < 0.25 < true_gaps[0].min()
    assert (gaps - true_gaps).abs().max() < 0.03
    assert gaze_error_deg(axes, true_axes)[3:].max() < 2


def rig_of(count: int, focal: float) -> Camera:
    """Cameras on an arc of 80 degrees about the head, looking at it from 1 m."""
    angles = torch.linspace(-0.7, 0.7, count)
    turns = axis_angle_to_matrix(torch.stack([0 * angles, angles, 0 * angles], -1)).mT
    T_camera_world = torch.eye(4).repeat(count, 1, 1)
    T_camera_world[:, :3, :3], T_camera_world[:, 2, 3] = turns, -1.0
    return replace(camera_from_focal(torch.tensor(focal), *SIZE).expand(count), T_camera_world=T_camera_world)


def test_several_cameras_place_the_head_in_their_world():
    truth, cameras = moving_params(5), rig_of(4, 1.8)
    head = landmark_head(builtin_head(), "ibug")
    blank = torch.zeros(5, 4, 70, 2)
    problem = LandmarkProblem(head, "ibug", blank, torch.ones(5, 4, 70), torch.arange(5), SIZE, cameras)
    problem = replace(problem, detected_px=problem.project(*as_vectors(truth)))
    noise = 0.7 * torch.randn(blank.shape, generator=torch.Generator().manual_seed(0))
    problem = replace(problem, detected_px=problem.detected_px + noise)
    problem.detected_px[:, 2] += 40
    problem.weight[1, 0] = 0
    guess = guess_from_landmarks(problem, still_params(5), 5)
    assert not guess.found[1, 0]
    assert not guess.found[:, 2].all(), "a camera whose points lie elsewhere is left out"
    face = builtin_head().regions["face"]
    found, right = (pose(builtin_head(), params.head())[:, face] for params in (guess.params, truth))
    assert 1000 * (found - right).norm(dim=-1).mean() < 2


def test_unit_of_a_rig_is_found_with_the_person():
    """Cameras told 4 % too near: the person shows how far they are where the size of the head alone does not."""
    truth, cameras = moving_params(6), rig_of(4, 1.8)
    head = landmark_head(builtin_head(), "ibug")
    blank = LandmarkProblem(
        head, "ibug", torch.zeros(6, 4, 70, 2), torch.ones(6, 4, 70), torch.arange(6), SIZE, cameras
    )
    seen = replace(blank, detected_px=blank.project(*as_vectors(truth)))
    near = replace(seen, given=cameras.scaled(torch.tensor(1 / 1.04)))
    free = replace(near, unknown_unit=True)
    known, held, found = (
        guess_from_landmarks(problem, still_params(6), 6).params
        for problem in (free.near_shape(truth.shape, fixed=True), near, free)
    )
    assert float(known.rig_scale) == pytest.approx(1.04, abs=0.002)
    assert float(held.rig_scale) == 1
    assert 1 < float(found.rig_scale) < 1.05
    left = [problem.residuals_px(params).norm(dim=-1).mean() for problem, params in ((near, held), (free, found))]
    assert float(left[1]) < 0.8 * float(left[0]), left
