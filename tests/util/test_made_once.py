"""What several threads ask for is made once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vhap.util.made_once import MadeOnce


def test_threads_wait_for_the_one_that_makes():
    made, go_on = [], threading.Event()

    def make(key):
        made.append(key)
        assert go_on.wait(10)
        return 2 * key

    values = MadeOnce(make, 3)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(values, 7) for _ in range(4)]
        go_on.set()
        assert [one.result() for one in asked] == [14] * 4
    assert made == [7]


def test_only_the_latest_are_kept():
    made = []
    values = MadeOnce(lambda key: made.append(key) or key, 2)
    assert [values(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]


def test_what_is_taken_is_not_kept():
    made = []
    values = MadeOnce(lambda key: made.append(key) or key, 2)
    assert [values(1), values.take(1), values.take(1)] == [1, 1, 1]
    assert made == [1, 1]


def test_what_failed_is_tried_again():
    tries = []

    def make(key):
        tries.append(key)
        if len(tries) == 1:
            raise ValueError("once")
        return key

    values = MadeOnce(make, 2)
    with pytest.raises(ValueError, match="once"):
        values(5)
    assert values(5) == 5
