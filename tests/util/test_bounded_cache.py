"""Values are made once, and the least recently used go first."""

from __future__ import annotations

import numpy as np

from vhap.util.bounded_cache import BoundedCache


def test_values_are_made_once_while_there_is_room():
    made: list[int] = []

    def make(key: int) -> np.ndarray:
        made.append(key)
        return np.full(10, key, np.uint8)

    cache = BoundedCache(make, max_bytes=30)
    assert [int(value[0]) for value in cache.get([3, 1, 3, 2])] == [3, 1, 3, 2]
    assert sorted(made) == [1, 2, 3]
    cache.get([1])
    assert len(made) == 3
    cache.get([4])
    assert cache.nbytes == 30
    assert set(cache.values) == {1, 2, 4}
    cache.get([3])
    assert made[-2:] == [4, 3]


def test_what_is_larger_than_all_room_is_made_and_not_kept():
    cache = BoundedCache(lambda key: np.zeros(100, np.uint8), max_bytes=30)
    assert len(cache.get([1])[0]) == 100
    assert (cache.nbytes, len(cache.values)) == (0, 0)
