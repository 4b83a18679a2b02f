import pytest
import torch
from picture_costs import main, seconds_of

from vhap.util.threads import get_threads, set_threads


@pytest.fixture(autouse=True)
def _threads_stay():
    before = torch.get_num_threads(), get_threads()
    yield
    torch.set_num_threads(before[0])
    set_threads(before[1])


def test_the_table_has_a_time_for_each_work(capsys):
    main(["--size", "64", "--pictures", "2", "--repeats", "1"])
    rows = [line.split("|")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    times = {name.strip(): value.strip() for name, value in rows[1:]}
    assert len(times) == 5
    assert all(float(value) > 0 for value in times.values())


def test_the_least_time_counts():
    rounds = iter([0, 40_000, 0, 40_000])
    assert seconds_of(lambda: sum(range(50 * next(rounds))), 3) < 2e-3
