import numpy as np
import pytest
from hard_films import CASES, OUTLIER_PX, add_outliers, first_frames, lose_detections, middle_frames


def points(frames: int) -> np.ndarray:
    found = np.full((frames, 478, 3), 100, np.float32)
    found[..., 2] = 1
    found[:, 0] = (-1, -1, 0)
    return found


@pytest.mark.parametrize(("count", "first", "middle"), [(60, range(20), range(20, 40)), (12, range(4), range(4, 8))])
def test_frames_left_out_are_twenty_or_a_third(count, first, middle):
    assert first_frames(count) == first
    assert middle_frames(count) == middle


def test_lost_detections_are_those_in_the_middle():
    found = points(60)
    lose_detections(found)
    seen = (found[..., 2] > 0).any(1)
    assert np.flatnonzero(~seen).tolist() == list(range(20, 40))


def test_a_tenth_of_the_points_moves_and_missing_ones_stay():
    before, found = points(60), points(60)
    add_outliers(found)
    steps = np.linalg.norm(found[..., :2] - before[..., :2], axis=-1)
    moved = steps > 0
    assert not moved[:, 0].any()
    assert 0.08 < moved.mean() < 0.12
    np.testing.assert_allclose(steps[moved], OUTLIER_PX, rtol=1e-3)


def test_cases_have_folders_of_their_own():
    slugs = [case.slug for case in CASES]
    assert len(set(slugs)) == len(slugs)
    assert all(slug.replace("_", "").isalnum() for slug in slugs)
