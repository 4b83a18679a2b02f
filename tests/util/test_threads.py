from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from vhap.util.threads import beside, get_threads, in_threads, one_torch_thread, set_threads, usable_cores


@pytest.fixture(params=[1, 3])
def count(request):
    used = get_threads()
    set_threads(request.param)
    yield request.param
    set_threads(used)


def test_results_come_in_the_order_of_the_items(count):
    def slow_first(item: int) -> int:
        time.sleep(0.02 / (1 + item))
        return item * item

    assert list(in_threads(slow_first, range(8))) == [item * item for item in range(8)]
    assert list(in_threads(slow_first, [])) == []


def test_the_first_item_can_be_made_before_the_others_begin(count):
    begun: list[int] = []

    def work(item: int) -> int:
        if item == 0:
            time.sleep(0.05)
        begun.append(item)
        return item

    assert list(in_threads(work, range(4), first_alone=True)) == [0, 1, 2, 3]
    assert begun[0] == 0


def test_work_beside_gives_its_result_or_its_error(count):
    with beside(lambda: 3) as found:
        assert found() == 3
    with pytest.raises(ZeroDivisionError), beside(lambda: 1 // 0) as found:
        found()


def test_an_error_reaches_the_caller(count):
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda item: 1 // (3 - item), range(5)))


def test_torch_has_one_thread_within_and_its_own_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_torch_thread():
            within = torch.get_num_threads()
        assert (within, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("text", "said"), [("3", "3"), ("", str(usable_cores()))])
def test_the_environment_says_how_many(text, said):
    assert asked(text) == said


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many", "9999", "\u0663"])
def test_a_wrong_number_is_bad_input(text):
    assert asked(text).startswith("expected a number of threads from 1 to 1024 for VHAP_THREADS, found")


def asked(text: str) -> str:
    """What a fresh process takes for the number of threads, or what it complains of."""
    program = (
        "from vhap.util import errors, threads\n"
        "try:\n    print(threads.get_threads())\n"
        "except errors.InputError as error:\n    print(ascii(str(error))[1:-1])"
    )
    environment = {**os.environ, "VHAP_THREADS": text}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
