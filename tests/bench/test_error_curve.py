import math
import time

import pytest
import torch
from error_curve import Curve, FilmTruth, Recorder, Sample, Stopwatch, csv_of

from vhap.geometry.rotations import axis_angle_to_matrix


def curve(*errors: float, name: str = "a") -> Curve:
    return Curve(name, [Sample(k + 1.0, 2.0 * (k + 1), "s", error, 2 * error) for k, error in enumerate(errors)])


@pytest.fixture
def truth() -> FilmTruth:
    random = torch.Generator().manual_seed(0)
    return FilmTruth(torch.rand(3, 50, 3, generator=random), torch.arange(10))


def test_one_similarity_is_no_error(truth):
    turn = axis_angle_to_matrix(torch.tensor([0.3, -0.2, 0.5]))
    moved = 1.7 * truth.vertices @ turn.T + torch.tensor([1.0, 2.0, 3.0])
    assert max(truth.errors_mm(moved)) < 1e-2


def test_error_is_a_mean_distance_in_mm(truth):
    moved = truth.vertices.clone()
    moved[:, :10, 0] += 0.001
    face, head = truth.errors_mm(moved)
    assert 0.6 < face < 1.0
    assert 0.1 < head < 0.4


def test_what_is_not_finite_has_no_error(truth):
    broken = truth.vertices.clone()
    broken[1, 2] = torch.nan
    face, head = truth.errors_mm(broken)
    assert math.isnan(face)
    assert math.isnan(head)


def test_stopwatch_stands_still():
    watch = Stopwatch()
    with watch.standing_still():
        stop = time.process_time() + 0.05
        while time.process_time() < stop:
            pass
    wall, processor = watch.read()
    assert wall < 0.04
    assert processor < 0.04
    time.sleep(0.02)
    assert watch.read()[0] >= wall + 0.02


def test_an_accuracy_is_reached_where_it_stays():
    found = curve(5, 2, 4, 3, 1)
    assert found.from_then_within("face_mm", 3) == found.samples[3]
    assert found.from_then_within("head_mm", 2) == found.samples[4]
    assert found.from_then_within("face_mm", 0.5) is None
    assert curve(1, math.nan, 1).from_then_within("face_mm", 1).seconds == 3


def test_recorder_cuts_at_its_bound_and_measures_there(truth):
    recorder = Recorder(truth, Curve("a"), bound_s=0.05)
    recorder.start()
    assert recorder.after_step("s", lambda: truth.vertices)
    assert recorder.curve.samples == []
    time.sleep(0.06)
    assert not recorder.after_step("s", lambda: truth.vertices)
    assert not recorder.curve.finished
    assert [sample.stage for sample in recorder.curve.samples] == ["s"]


def test_recorder_measures_ever_more_seldom_and_does_not_count_it(truth):
    recorder = Recorder(truth, Curve("a"))
    recorder.start()

    def slow() -> torch.Tensor:
        time.sleep(0.1)
        return truth.vertices

    recorder.add("s", slow)
    recorder.add("t", slow)
    first, second = recorder.curve.samples
    assert second.seconds - first.seconds < 0.09


def test_csv_has_a_line_for_each_sample():
    lines = csv_of([curve(1, 2, name="x, y"), curve(3, name="z")]).splitlines()
    assert lines[0] == "run,stage,seconds,processor_seconds,face_mm,head_mm"
    assert lines[2] == '"x, y",s,2.000,4.000,2.0000,4.0000'
    assert len(lines) == 4
