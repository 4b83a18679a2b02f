"""What a user sees of an error: one line and status 2, unless the program is at fault."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from vhap.util.errors import LONGEST_LINE, InputError, as_one_line, exits_cleanly, shown
from vhap.util.paths import PACKAGE


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("expected a,\n found b"), "expected a, found b"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/b.png"), "errno 28) at /a/b.png; free some space"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/a"), "choose a folder that may be read and written"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)), "choose shorter names"),
        (OSError(errno.EXDEV, os.strerror(errno.EXDEV)), "check the path and the disk"),
        (MemoryError(), "expected enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "n_downsample_rgb"),
    ],
)
def test_refusals_are_one_line_and_status_2(error: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    @exits_cleanly
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert said.startswith("error: expected")
    assert words in said


def test_a_missing_library_or_package_is_one_line(tmp_path) -> None:
    packages = {
        "cv2": "raise ImportError('libGL.so.1: cannot open shared object file', name='cv2')",
        "msgspec": "import warp_",
    }
    said = []
    for package, body in packages.items():
        folder = tmp_path / package
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text(body)
        program = f"from vhap.util.errors import exits_cleanly\nexits_cleanly(lambda: __import__({package!r}))()"
        path = os.pathsep.join([str(folder), str(PACKAGE.parent)])
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        said.append(done.stderr)
    assert "the system library libGL, which cv2 needs" in said[0]
    assert "opencv-python-headless" in said[0]
    assert said[1] == "error: expected the package warp_, found none; pip install warp_\n"


@pytest.mark.parametrize(
    "error",
    [
        *(RuntimeError("a fault of ours"), KeyError("x"), ValueError("y")),
        *(ImportError("cannot import name 'x' from 'vhap.util'"), ModuleNotFoundError("no vhap.x", name="vhap.x")),
    ],
)
def test_faults_of_the_program_keep_their_traceback(error: Exception) -> None:
    @exits_cleanly
    def main() -> None:
        raise error

    with pytest.raises(type(error)):
        main()


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    @exits_cleanly
    def main() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert "give the same command again" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = (
        "from vhap.util.errors import exits_cleanly\n"
        "@exits_cleanly\n"
        "def main():\n"
        "    for k in range(100000): print('line', k)\n"
        "main()"
    )
    done = subprocess.run(f'{sys.executable} -c "{program}" | head -1', shell=True, capture_output=True, text=True)
    assert done.stdout == "line 0\n"
    assert done.stderr == ""


def test_names_that_are_not_utf8_are_printed() -> None:
    program = (
        "import os\n"
        "from vhap.util.errors import exits_cleanly\n"
        "exits_cleanly(lambda: print(os.fsdecode(b'caf\\xe9')))()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "caf\\udce9\n")


def test_values_are_shortened_and_harmless() -> None:
    for value in ("a" * 10_000, ["a" * 1000] * 1000, {"k" * 500: [1] * 1000}, 10**400, np.zeros((50, 50))):
        assert len(shown(value)) <= 2 * 80
        assert "\n" not in shown(value)
    assert shown(np.float64(0.5)) == "0.5"
    assert shown([np.int64(3), np.float32(0.5), np.str_("a")]) == "[3, 0.5, 'a']"
    assert "\x1b" not in shown("\x1b[2J\u202e")
    assert as_one_line("a\x1b[2Jb\x00\n c") == "a\\x1b[2Jb\\x00 c"
    assert len(as_one_line("word " * 10_000)) <= LONGEST_LINE
