import math

import pytest
import torch

from vhap.evaluate import metrics
from vhap.evaluate.window import Window
from vhap.geometry.rotations import axis_angle_to_matrix


def random_points(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_alignment_finds_a_similarity_from_frames_added_one_by_one(scale):
    source = random_points(0, 5, 200) * 0.1
    rotation = axis_angle_to_matrix(torch.tensor([0.4, -1.2, 0.7], dtype=torch.float64))
    shift = torch.tensor([3.0, -20.0, 1.0], dtype=torch.float64)
    target = scale * source @ rotation.T + shift
    sums = metrics.SimilaritySums.of(source[0], target[0])
    for before, after in zip(source[1:], target[1:]):
        sums = sums.add(before, after)
    found = sums.solve()
    assert found.scale == pytest.approx(scale, rel=1e-9)
    torch.testing.assert_close(found.rotation, rotation)
    assert metrics.vertex_distance_mm(found.apply(source), target).max() < 1e-8


def test_alignment_is_the_least_squares_one_and_never_a_reflection():
    source, target = random_points(1, 60), random_points(2, 60)
    found = metrics.SimilaritySums.of(source, target).solve()
    assert float(torch.linalg.det(found.rotation)) == pytest.approx(1)

    def error(similarity: metrics.Similarity) -> float:
        return float(((similarity.apply(source) - target) ** 2).sum())

    least = error(found)
    for axis in range(3):
        turn = torch.zeros(3, dtype=torch.float64)
        turn[axis] = 1e-3
        for sign in (-1, 1):
            turned = axis_angle_to_matrix(sign * turn) @ found.rotation
            shifted = found.translation + sign * turn
            assert error(metrics.Similarity(found.scale, turned, found.translation)) > least
            assert error(metrics.Similarity(found.scale, found.rotation, shifted)) > least
            assert error(metrics.Similarity(found.scale * (1 + sign * 1e-3), found.rotation, found.translation)) > least
    mirrored = source * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert float(torch.linalg.det(metrics.SimilaritySums.of(source, mirrored).solve().rotation)) == pytest.approx(1)


def test_psnr_is_of_all_counted_values_together():
    target = torch.zeros(4, 4, 3)
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:2] = True
    total = metrics.SquaredErrorSum()
    total.add(target + 0.1, target, mask)
    assert total.count == 24
    assert total.psnr_db() == pytest.approx(20, abs=1e-4)
    mask[1] = False
    total.add(target + 0.2, target, mask)
    assert total.psnr_db() == pytest.approx(-10 * math.log10((24 * 0.01 + 12 * 0.04) / 36), abs=1e-4)
    assert math.isnan(metrics.SquaredErrorSum().psnr_db())


def test_the_sum_of_squares_is_the_same_on_any_number_of_threads():
    # A seed for which torch differs by the number of threads.
    picture, target = torch.rand(2, 1, 301, 300, 3, generator=torch.Generator().manual_seed(2))
    before, sums = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 5):
            torch.set_num_threads(threads)
            sums.append(metrics.squared_error(picture, target, torch.ones(1, 301, 300, dtype=torch.bool))[0])
    finally:
        torch.set_num_threads(before)
    assert len(set(sums)) == 1
    squares = (picture.double() - target.double()).square()
    assert metrics.SquaredErrorSum.of(squares).total == sums[0]


def test_jitter_is_zero_for_linear_motion_and_known_for_a_parabola():
    start, velocity = random_points(3, 50), random_points(4, 50)
    time = torch.arange(6, dtype=torch.float64)[:, None, None]
    assert metrics.jitter_mm(start + 0.01 * time * velocity) < 1e-9
    bend = torch.tensor([0.0, 0.001, 0.0], dtype=torch.float64)
    assert metrics.jitter_mm(start + time**2 * bend) == pytest.approx(2.0)
    assert math.isnan(metrics.jitter_mm(start.expand(2, -1, -1)))


def test_landmark_error_is_relative_to_the_eyes_and_ignores_what_was_not_detected():
    detected = torch.rand(2, 70, 2, generator=torch.Generator().manual_seed(0)) * 100
    detected[:, 36], detected[:, 45] = torch.tensor([20.0, 50.0]), torch.tensor([70.0, 50.0])
    width = metrics.eye_width_px(detected, torch.ones(2, 70), "ibug")
    assert width.tolist() == [50, 50]
    model = detected + torch.tensor([3.0, 4.0])
    model[:, 10] = 1e6
    confidence = torch.ones(2, 70)
    confidence[:, 10] = 0
    error = metrics.landmark_nme_percent(model, detected, confidence, width)
    torch.testing.assert_close(error, torch.tensor([10.0, 10.0]))
    confidence[1] = 0
    assert torch.isnan(metrics.landmark_nme_percent(model, detected, confidence, width)).tolist() == [
        False,
        True,
    ]


def test_landmark_error_is_unknown_without_the_corners_of_the_eyes():
    """Points that were not found lie anywhere, also on each other."""
    detected, confidence = torch.zeros(70, 2), torch.ones(70)
    confidence[[36, 45]] = 0
    width = metrics.eye_width_px(detected, confidence, "ibug")
    assert torch.isnan(metrics.landmark_nme_percent(detected + 1, detected, confidence, width))


def test_distribution_equals_the_sorted_values():
    values = torch.rand(10_001, generator=torch.Generator().manual_seed(0)) * 20
    distribution = metrics.Distribution()
    for part in values.split(1000):
        distribution.add(part)
    ordered = values.sort().values
    assert distribution.mean() == pytest.approx(float(values.double().mean()), rel=1e-6)
    assert distribution.quantile(0.5) == pytest.approx(float(ordered[5000]), abs=2 * metrics.Distribution.BIN_MM)
    assert distribution.quantile(0.95) == pytest.approx(float(ordered[9500]), abs=2 * metrics.Distribution.BIN_MM)
    distribution.add(torch.full((20_000,), 1e9))
    assert distribution.quantile(0.95) == pytest.approx(100, abs=0.01)


def test_head_window_leaves_out_what_lies_below_the_chin_of_a_tilted_head():
    head = torch.tensor([[10.0, 10.0], [50.0, 10.0], [10.0, 60.0], [50.0, 60.0]])
    chin = torch.tensor([[30.0, 40.0], [30.0, 20.0]])
    upright = metrics.head_window(head, torch.tensor([0.0, -2.0]), chin, Window(0, 0, 80, 80))
    assert upright.nonzero().amin(0).tolist() == [10, 10]
    assert upright.nonzero().amax(0).tolist() == [39, 49]
    lying = metrics.head_window(head, torch.tensor([1.0, 0.0]), chin, Window(0, 0, 80, 80))
    assert lying.nonzero().amin(0).tolist() == [10, 30]
    assert lying.nonzero().amax(0).tolist() == [59, 49]
    part = metrics.head_window(head, torch.tensor([1.0, 0.0]), chin, Window(5, 7, 40, 60))
    assert torch.equal(part, lying[5:45, 7:67])


def test_silhouette_iou_counts_inside_the_window_only():
    mask, matte, window = (torch.zeros(10, 10, dtype=torch.bool) for _ in range(3))
    mask[:, :6], matte[:, 3:], window[:5] = True, True, True
    both, either = metrics.silhouette_overlap(mask, matte, window)
    assert (both, either) == (15, 50)
    assert metrics.silhouette_iou(both, either) == pytest.approx(0.3)
    assert math.isnan(metrics.silhouette_iou(0, 0))


def test_focal_error_has_no_sign():
    assert metrics.focal_error_percent(1.8, 2.0) == pytest.approx(10)
    assert metrics.focal_error_percent(2.2, 2.0) == pytest.approx(10)
