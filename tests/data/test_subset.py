import pytest

from vhap.data.subset import select_cameras, select_timesteps
from vhap.util.errors import InputError


@pytest.mark.parametrize(
    ("subset", "count", "expected"),
    [
        (None, 3, [0, 1, 2]),
        ("", 3, [0, 1, 2]),
        ("ti3", 10, [3]),
        ("ti3tj9", 10, [3, 4, 5, 6, 7, 8, 9]),
        ("tn20", 50, list(range(0, 40, 2))),
        ("tn20", 7, list(range(7))),
        ("ts5", 12, [0, 5, 10]),
        ("ti2tj8_ts3", 10, [2, 5, 8]),
        ("ci0_ts5", 12, [0, 5, 10]),
    ],
)
def test_timesteps(subset, count, expected):
    assert select_timesteps(subset, count) == expected


def test_cameras():
    assert select_cameras("cn4", 16) == [0, 4, 8, 12]
    assert select_cameras("ci1cj3_ts2", 16) == [1, 2, 3]


@pytest.mark.parametrize("subset", ["x3", "ti", "tj4", "ti3cj4", "ts0", "tn0", "ti10", "ti5tj3", "ti3__ts2", "ti-1"])
def test_malformed(subset):
    with pytest.raises(InputError, match="subset"):
        select_timesteps(subset, 10)
