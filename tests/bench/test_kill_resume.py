import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
from kill_resume import differences, kill_moments, run_with_kills


def some_moments(seed: int) -> list[float]:
    return list(islice(kill_moments(50.0, np.random.default_rng(seed)), 40))


def test_moments_fill_the_time_of_a_run():
    moments = np.array(some_moments(0))
    assert moments.min() >= 0
    assert moments.max() <= 50
    assert set((moments // 10).astype(int)) == {0, 1, 2, 3, 4}


def test_moments_follow_the_seed():
    assert some_moments(1) == some_moments(1) != some_moments(2)


def test_killed_as_often_as_asked_then_left_alone(tmp_path):
    log = tmp_path / "log"
    program = f"import time; time.sleep(2); open({str(log)!r}, 'a').write('end')"
    assert run_with_kills([sys.executable, "-c", program], iter([0.5, 1.0]), 2) == 2
    assert log.read_text() == "end"


def test_a_run_that_ends_before_its_kill_is_not_repeated(tmp_path):
    log = tmp_path / "log"
    program = f"open({str(log)!r}, 'a').write('end')"
    assert run_with_kills([sys.executable, "-c", program], iter([30.0]), 2) == 0
    assert log.read_text() == "end"


def test_a_failing_command_is_told():
    with pytest.raises(subprocess.CalledProcessError):
        run_with_kills([sys.executable, "-c", "raise SystemExit(3)"], iter([30.0]), 1)


def test_differences_see_bits_types_and_missing_arrays():
    same = np.array([0.0, np.nan], np.float32)
    first = {"equal": same, "sign": same, "type": same, "only_here": same}
    second = {"equal": same.copy(), "sign": np.array([-0.0, np.nan], np.float32), "type": same.astype(np.float64)}
    assert differences(first, second) == ["only_here", "sign", "type"]
