"""A motion of one head fitted by another: equations, bounds, gaze, offsets, and the motion found again."""

from dataclasses import replace

import pytest
import torch
from moved_head import moved_head

from vhap.evaluate.eyes_and_mouth import in_head_space, optical_axes
from vhap.fit.conversion import solver
from vhap.fit.conversion.convert import OVERLAP, WINDOW, Converted, Motion, _Fitting, _windows, convert
from vhap.fit.conversion.offsets import smooth_offset, teeth_behind_lips
from vhap.fit.conversion.problem import ConversionProblem, chosen_vertices
from vhap.fit.conversion.residuals import REGIONS, residuals_mm, table, warnings
from vhap.fit.params import as_vectors
from vhap.head.load import load_head
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.head.regions import complete_regions
from vhap.head.registration.correspondence import Correspondence
from vhap.head.teeth import add_teeth

COUNT = 6


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("builtin", n_shape=6, n_expr=24)


@pytest.fixture(scope="module")
def other(head) -> HeadModel:
    return moved_head(head)


@pytest.fixture(scope="module")
def match(head) -> Correspondence:
    """The exact one: each vertex is itself."""
    face_ids = torch.zeros(head.n_vertices, dtype=torch.long)
    corners = torch.zeros(head.n_vertices, dtype=torch.long)
    for corner in range(3):
        face_ids[head.faces[:, corner]] = torch.arange(len(head.faces))
        corners[head.faces[:, corner]] = corner
    barycentrics = torch.nn.functional.one_hot(corners, 3).float()
    return Correspondence(face_ids, barycentrics, torch.ones(head.n_vertices))


@pytest.fixture(scope="module")
def motion(head) -> Motion:
    generator = torch.Generator().manual_seed(2)

    def paths(width: int, size: float) -> torch.Tensor:
        steps = torch.linspace(0, 1, COUNT)[:, None]
        return (torch.rand(width, generator=generator) - 0.5) * 2 * size * torch.sin(3 * steps)

    expr = torch.zeros(COUNT, head.n_expr)
    for name, most in (("mouthSmile_L", 0.8), ("mouthSmile_R", 0.7), ("eyeBlink_L", 1.0), ("browInnerUp", 0.6)):
        expr[:, head.expr_names.index(name)] = torch.linspace(0, most, COUNT)
    jaw = torch.zeros(COUNT, 3)
    jaw[:, 0] = torch.linspace(0, 0.25, COUNT)
    params = HeadParams(
        shape=torch.tensor([0.5, -1, 0.7, 0.2, -0.3, 0.4]),
        expr=expr,
        rotation=paths(3, 0.3),
        translation=paths(3, 0.1),
        neck_pose=paths(3, 0.1),
        jaw_pose=jaw,
        eyes_pose=paths(6, 0.2),
    )
    return Motion(head, params, torch.arange(COUNT))


@pytest.fixture(scope="module")
def converted(motion, other, match) -> Converted:
    return convert(motion, other, match)


def problem_of(motion: Motion, other: HeadModel, match: Correspondence) -> tuple[ConversionProblem, _Fitting]:
    ids, weights = chosen_vertices(other, match)
    fitting = _Fitting(motion, other, match, ids, weights)
    source = motion.rows(slice(None))
    return fitting._problem(pose(motion.head, source), None, motion.timesteps, source.neck_pose), fitting


def test_derivatives_are_those_of_the_cost(motion, other, match):
    problem, fitting = problem_of(motion, other, match)
    start = fitting._placed(fitting._start(motion.rows(slice(None)), motion.params.shape), problem)
    names = ("rotation", "translation", "neck_pose", "jaw_pose", "expr", "shape")
    fit = solver._Fit(problem, start, names, True)
    shared, frames = as_vectors(start)
    frames = frames.clone()
    frames[:, 18:] = 0.3
    state = fit.at(shared, frames)
    equations = fit.equations(state)
    slope = -2 * (equations.system.right_frames - equations.motion.gradient)
    for column, step in ((0, 1e-3), (4, 1e-4), (7, 1e-3), (9, 1e-3), (20, 1e-2), (35, 1e-2)):
        costs = []
        for sign in (1, -1):
            moved = frames.clone()
            moved[2, column] += sign * step
            costs.append(fit.at(shared, moved).cost)
        assert float(slope[2, column]) == pytest.approx((costs[0] - costs[1]) / (2 * step), rel=2e-2, abs=2), column
    for column in (3, 6):
        costs = []
        for sign in (1, -1):
            moved = shared.clone()
            moved[column] += sign * 1e-2
            costs.append(fit.at(moved, frames).cost)
        assert float(-2 * equations.system.right_shared[column]) == pytest.approx(
            (costs[0] - costs[1]) / 2e-2, rel=2e-2, abs=2
        )


def test_the_motion_is_found_again(motion, other, converted):
    expr, jaw = converted.params.expr, converted.params.jaw_pose
    for name in ("mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "browInnerUp"):
        column = other.expr_names.index(name)
        assert (expr[:, column] - motion.params.expr[:, column]).abs().max() < 0.1, name
    assert (jaw - motion.params.jaw_pose).abs().max() < 0.02
    assert (converted.params.rotation - motion.params.rotation).abs().max() < 0.02


def test_the_surface_lies_on_the_source(motion, other, match, converted):
    found = residuals_mm(motion, other, converted.params.head(), converted.offset, match)
    assert set(found) == set(REGIONS)
    for name, values in found.items():
        assert values["median"] < 0.5, name
        assert values["matched"] == 1, name
    assert warnings(found, True) == []
    assert len(table(found)) == len(REGIONS) + 1
    bare = residuals_mm(motion, other, converted.params.head(), None, match)
    assert bare["face"]["median"] > found["face"]["median"]
    (line,) = warnings({"face": {"median": 9.0, "p95": 12.0, "matched": 1.0}}, False)
    assert "face 9.0 mm" in line
    assert "--no-offsets" in line


def test_the_eyes_look_where_the_source_looks(motion, other, converted):
    mine, theirs = converted.params.head(), motion.rows(slice(None))
    for row in range(COUNT):
        axes = []
        for model, params in ((other, mine), (motion.head, theirs)):
            moving = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
            one = replace(params, static_offset=None, **{name: getattr(params, name)[row] for name in moving})
            axis = optical_axes(model, in_head_space(pose(model, one), one))
            turns = replace(one, shape=one.shape)
            axes.append(axis @ _head_turn(turns).T)
        assert float((axes[0] - axes[1]).norm(dim=-1).max()) < 5e-3


def _head_turn(params: HeadParams) -> torch.Tensor:
    from vhap.head.model import joint_rotations

    rotations = joint_rotations(params)
    return rotations[0] @ rotations[1]


def test_named_expressions_stay_within_their_bounds(motion, other, match):
    beyond = replace(motion.params, expr=motion.params.expr * 1.6)
    found = convert(replace(motion, params=beyond), other, match).params.expr
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    assert float(found[:, other.expr_names.index("eyeBlink_L")].max()) == pytest.approx(1, abs=1e-3)


def test_a_source_with_moving_offsets_and_one_frame(motion, other, match):
    one = replace(
        motion.params,
        **{name: getattr(motion.params, name)[:1] for name in ("expr", "rotation", "translation", "neck_pose")},
        jaw_pose=motion.params.jaw_pose[:1],
        eyes_pose=motion.params.eyes_pose[:1],
        static_offset=torch.full((1, motion.head.n_vertices, 3), 0.001),
    )
    found = convert(Motion(motion.head, one, torch.arange(1)), other, match)
    assert found.params.expr.shape == (1, other.n_expr)
    assert torch.isfinite(found.offset).all()


def test_windows_keep_every_frame_once():
    for count in (1, WINDOW, WINDOW + 1, 3 * WINDOW + 5):
        kept = [frame for window, inner in _windows(count) for frame in list(range(count))[window][inner]]
        assert kept == list(range(count))
    assert all(window.stop - window.start <= WINDOW + 2 * OVERLAP for window, _ in _windows(5 * WINDOW))


def test_offsets_go_on_where_nothing_is_asked_and_bodies_stay_rigid(head):
    asked = torch.zeros(head.n_vertices, 3)
    weights = torch.ones(head.n_vertices)
    asked[:, 2] = 0.002
    weights[head.regions["scalp"]] = 0
    offset = smooth_offset(head, asked, weights)
    assert float((offset[:, 2] - 0.002).abs().median()) < 1e-4
    ball = offset[head.regions["left_eyeball"]]
    assert float((ball - asked[0]).abs().max()) < 1e-6


def test_eyeballs_take_the_size_that_is_asked(head):
    ids = head.regions["left_eyeball"]
    asked = torch.zeros(head.n_vertices, 3)
    noise = torch.randn(len(ids), 3, generator=torch.Generator().manual_seed(0))
    asked[ids] = 0.1 * (head.template[ids] - head.template[ids].mean(0)) + 0.0003 * noise
    ball = (head.template + smooth_offset(head, asked, torch.ones(head.n_vertices)))[ids]
    radius, before = ((points - points.mean(0)).norm(dim=-1) for points in (ball, head.template[ids]))
    assert float((radius / before).std()) < 1e-4
    assert float((radius / before).mean()) == pytest.approx(1.1, abs=0.005)


def test_teeth_move_back_behind_lips_that_lie_on_them():
    head = complete_regions(add_teeth(load_head("builtin", n_shape=6, n_expr=24)))
    offset = torch.zeros(head.n_vertices, 3)
    face = torch.ones(head.n_vertices, dtype=torch.bool)
    face[head.regions["teeth"]] = False
    offset[face, 2] = -0.01
    moved = teeth_behind_lips(head, offset, torch.zeros(head.n_shape))
    shift = moved[head.regions["teeth"]]
    assert float((shift - shift[:1]).abs().max()) == 0
    assert float(shift[0, 2]) < -0.005
    assert torch.equal(moved[face], offset[face])
