"""Native chatter is left out of stderr, and nothing else is, whatever happens meanwhile."""

import os
import subprocess
import sys
import threading
import time

import pytest

from vhap.util.quiet_stderr import stderr_without


def test_only_lines_with_the_text_are_left_out(capfd):
    with stderr_without("greeting", "of no concern"):
        os.write(2, b"a greeting of native code\nsomething is wrong\nthis is of no concern\nthis is\n")
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == "something is wrong\nthis is\nafter\n"


def test_an_error_comes_through_with_what_was_said_before(capfd):
    def start() -> None:
        with stderr_without("greeting"):
            os.write(2, b"greeting\nthe reason\n")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        start()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_threads_do_not_lose_stderr_to_each_other(capfd):
    barrier = threading.Barrier(8)

    def start(number: int) -> None:
        barrier.wait()
        with stderr_without("greeting"):
            os.write(2, b"greeting\n")
            time.sleep(0.01)
            os.write(2, b"line %d\n" % number)

    threads = [threading.Thread(target=start, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after\n")
    assert sorted(capfd.readouterr().err.splitlines()) == ["after", *(f"line {number}" for number in range(8))]


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/null"])
def test_without_a_stderr_nothing_is_held_back(closing):
    code = "from vhap.util.quiet_stderr import stderr_without\nwith stderr_without('x'): print('done')"
    done = subprocess.run(f'{sys.executable} -c "{code}" {closing}', shell=True, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")
