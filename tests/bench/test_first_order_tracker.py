from dataclasses import replace
from pathlib import Path

import pytest
import torch
from error_curve import truth_of
from first_order_energy import Frames, Unknowns
from first_order_tracker import INITIALISATION, SEQUENTIAL, FirstOrderTracker, Schedule, energy_of, first_state

from vhap.api import make_synthetic_capture, open_capture
from vhap.data.results import load_result
from vhap.geometry.cameras import camera_from_focal
from vhap.head.builtin import load_builtin
from vhap.head.model import landmark_points, pose

HEAD = load_builtin()
SHORT = Schedule("short", batch=2, frame_steps=8, epochs=2, init_steps=30)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return make_synthetic_capture(
        tmp_path_factory.mktemp("films") / "film", frames=3, size=64, seed=1, landmark_source="face-alignment"
    )


@pytest.fixture(scope="module")
def capture(film):
    return open_capture(film, use_landmark=True, landmark_source="face-alignment")


def tracker(capture, schedule=SHORT, watch=lambda stage, vertices: True) -> FirstOrderTracker:
    return FirstOrderTracker(energy_of(HEAD, capture.landmark_set, 0), capture, schedule, watch)


def picture_error_px(run: FirstOrderTracker, film: Path) -> float:
    """Mean distance of all vertices to the true ones in the pictures."""
    truth = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
    assert truth.focal_length is not None
    exact = camera_from_focal(torch.from_numpy(truth.focal_length)[0], 64, 64).project(truth_of(film, HEAD).vertices)[0]
    found = camera_from_focal(run.state.shared["focal"][0], 64, 64).project(run.vertices())[0]
    return float((found - exact).norm(dim=-1).mean().detach())


@pytest.fixture(scope="module")
def finished(film, capture):
    """A run at its end, the names of the stages of its steps, and its error in the pictures before the first one."""
    stages = []

    def watch(stage, vertices):
        stages.append(stage)
        return True

    run = tracker(capture, watch=watch)
    before = picture_error_px(run, film)
    assert run.run()
    return run, stages, before


def test_loop_converges_on_a_tiny_film(film, finished):
    run, stages, before = finished
    assert picture_error_px(run, film) < min(0.25 * before, 1.5)
    # Five stages on the first two frames, two batches, two passes of two batches.
    assert len(stages) == 5 * 30 + 2 * 8 + 2 * 2
    assert list(dict.fromkeys(stages)) == [*(s.name for s in INITIALISATION), SEQUENTIAL.name, "rgb_global_tracking"]
    for value in run.state.shared.values():
        assert bool(value.isfinite().all())


def test_pictures_pull_a_shifted_head_back(finished):
    run = finished[0]
    energy, state = run.energy, run.state

    def photo(shift: float) -> float:
        params = state.rows([0])
        params = replace(params, translation=params.translation + torch.tensor([shift, 0, 0]))
        unknowns = Unknowns(params, state.shared["focal"], state.shared["lights"], state.shared["residual"])
        plain = replace(energy.exclusions((), ()), recolour=None)
        with torch.no_grad():
            return float(energy(unknowns, run._shown([0]), plain))

    here = photo(0.0)
    assert here < photo(0.004)
    assert here < photo(-0.004)


def test_a_step_moves_its_own_frames_and_groups_only(capture):
    run = tracker(capture)
    before = {name: [row.clone() for row in rows] for name, rows in run.state.frames.items()}
    shared = {name: value.clone() for name, value in run.state.shared.items()}
    run._descend(INITIALISATION[0], [0, 1], 2)
    for name, rows in run.state.frames.items():
        assert torch.equal(rows[2], before[name][2])
        assert torch.equal(rows[0], before[name][0]) == (name not in ("rotation", "translation"))
    moved = {name for name, value in run.state.shared.items() if not torch.equal(value, shared[name])}
    assert moved == {"focal"}


def test_frames_start_from_the_last_solved_one_and_stand_there_until_reached(capture):
    run = tracker(capture)
    run.state.reached = 2
    run.state.frames["translation"][1] += 1
    vertices = run.vertices()
    assert torch.equal(vertices[2], vertices[1])
    assert not torch.equal(vertices[1], vertices[0])
    run.state.start_from(1, [2])
    assert torch.equal(run.state.frames["translation"][2], torch.ones(3))


def test_watch_ends_the_run(capture):
    assert not tracker(capture, watch=lambda stage, vertices: stage == "lmk_init_rigid").run()


def test_neutral_head_on_its_own_points_costs_nothing_on_landmarks(capture):
    energy, state = energy_of(HEAD, "ibug", 0), first_state(HEAD, 1)
    camera = camera_from_focal(state.shared["focal"], 64, 64)
    points, _ = camera.project(landmark_points(HEAD, pose(HEAD, state.rows([0])), "ibug"))
    unknowns = Unknowns(state.rows([0]), state.shared["focal"], state.shared["lights"], state.shared["residual"])
    frames = Frames(torch.rand(1, 64, 64, 3), points, torch.ones(1, points.shape[1]))
    assert float(energy(unknowns, frames, None)) < 1e-4
    off = replace(frames, points_px=points + torch.tensor([0.64, 0.0]))
    # 0.02 of the picture's half width, at every point; nine of 70 count ten times; weight 10.
    assert float(energy(unknowns, off, None)) == pytest.approx(10 * 0.02 * (61 + 90) / 70, rel=1e-3)
