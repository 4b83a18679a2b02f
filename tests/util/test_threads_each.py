"""Work on items whose number is not known, by all cores."""

import threading

import pytest

from vhap.util import threads


@pytest.fixture(params=[1, 3])
def count(request, monkeypatch):
    monkeypatch.setattr(threads, "_threads", request.param)
    return request.param


def test_every_item_is_worked_on_and_few_wait(count):
    lock, drawn, done, most = threading.Lock(), 0, [], 0

    def items():
        nonlocal drawn, most
        for item in range(40):
            drawn += 1
            with lock:
                most = max(most, drawn - len(done))
            yield item

    def work(item):
        with lock:
            done.append(item)

    threads.each_in_threads(work, items())
    assert sorted(done) == list(range(40))
    assert most <= 2 * count + 1


def test_what_work_raises_ends_it_when_no_thread_works_any_more(count):
    working = []

    def work(item):
        working.append(item)
        if item == 5:
            raise ValueError("five")
        working.remove(item)

    with pytest.raises(ValueError, match="five"):
        threads.each_in_threads(work, iter(range(1000)))
    assert working == [5]


def test_what_the_items_raise_is_raised_after_those_before_it(count):
    done = []

    def items():
        yield from range(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.each_in_threads(done.append, items())
    assert set(done) <= set(range(4))
