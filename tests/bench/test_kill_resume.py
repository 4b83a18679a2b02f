import subprocess
import sys

import numpy as np
import pytest
from kill_resume import differences, kill_moments, run_with_kills


def test_moments_leave_time_to_start_and_never_ask_for_more_than_the_work():
    moments = np.array(kill_moments(20, 3.0, 50.0, np.random.default_rng(0)))
    assert len(moments) == 20
    assert moments.min() > 3
    assert 25 < (moments - 3).sum() < 50


def test_moments_follow_the_seed():
    first, same, other = (kill_moments(5, 1.0, 10.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == same != other


def test_killed_as_often_as_asked_then_left_alone(tmp_path):
    log = tmp_path / "log"
    program = f"import time; time.sleep(2); open({str(log)!r}, 'a').write('end')"
    assert run_with_kills([sys.executable, "-c", program], [0.5, 1.0]) == 2
    assert log.read_text() == "end"


def test_a_run_that_ends_before_its_kill_is_not_repeated(tmp_path):
    log = tmp_path / "log"
    program = f"open({str(log)!r}, 'a').write('end')"
    assert run_with_kills([sys.executable, "-c", program], [30.0, 30.0]) == 0
    assert log.read_text() == "end"


def test_a_failing_command_is_told():
    with pytest.raises(subprocess.CalledProcessError):
        run_with_kills([sys.executable, "-c", "raise SystemExit(3)"], [30.0])


def test_differences_see_bits_types_and_missing_arrays():
    same = np.array([0.0, np.nan], np.float32)
    first = {"equal": same, "sign": same, "type": same, "only_here": same}
    second = {"equal": same.copy(), "sign": np.array([-0.0, np.nan], np.float32), "type": same.astype(np.float64)}
    assert differences(first, second) == ["only_here", "sign", "type"]
