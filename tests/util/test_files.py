import resource
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from msgspec import Meta
from typing_extensions import TypedDict

from vhap.util.errors import InputError, exits_cleanly
from vhap.util.files import (
    atomic_path,
    make_folder,
    read_json,
    read_npy,
    read_npz,
    remove_unfinished,
    write_bytes,
    write_json,
    write_npz,
)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail_half_way() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_npz_with_code_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, data=np.array([{"x": 1}], dtype=object))
    with pytest.raises(InputError, match=r"a\.npz"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 damaged"])
def test_damaged_npz_is_an_input_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_npz(path)


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}


def test_npz_round_trip(tmp_path: Path) -> None:
    write_npz(tmp_path / "deep" / "a.npz", {"x": np.arange(3)})
    assert read_npz(tmp_path / "deep" / "a.npz")["x"].tolist() == [0, 1, 2]


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="remove what stands there"):
        make_folder(tmp_path / "file" / "below")


def test_input_errors_become_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    @exits_cleanly
    def main() -> None:
        raise InputError("expected a,\n  found b")

    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: expected a, found b\n"


def npy_header(shape: str, descr: str = "<f4") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    "member",
    [
        npy_header("(1000000000000,)"),
        npy_header("(4611686018427387904, 4)") + bytes(16),
        npy_header("(-1,)") + bytes(4),
        npy_header("(2,)") + bytes(12),
        npy_header("(2,)", "|O") + bytes(16),
        npy_header("(2,)", "<M8[s]") + bytes(16),
        npy_header("(2,)", "|V8") + bytes(16),
        b"\x93NUMPY\x09\x00",
        b"no array",
    ],
)
def test_arrays_that_are_not_what_their_header_says_are_refused_without_taking_memory(
    tmp_path: Path, member: bytes
) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", member)
    with pytest.raises(InputError, match=r"readable npz at .*a\.npz"):
        read_npz(tmp_path / "a.npz")
    (tmp_path / "a.npy").write_bytes(member)
    with pytest.raises(InputError, match=r"readable npy at .*a\.npy"):
        read_npy(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3).T, np.float64(3), np.array(["a", "bc"]), np.zeros((0, 3))]
)
def test_arrays_of_any_layout_come_back(tmp_path: Path, array: np.ndarray) -> None:
    write_npz(
        tmp_path / "a.npz", {"x": array, "big": np.asarray(array).astype(np.asarray(array).dtype.newbyteorder(">"))}
    )
    np.savez_compressed(tmp_path / "b.npz", x=array)
    found = read_npz(tmp_path / "a.npz")
    for value in (*found.values(), read_npz(tmp_path / "b.npz")["x"]):
        np.testing.assert_array_equal(value, array)
        assert value.flags.writeable
        assert value.dtype.isnative
    assert read_npz(tmp_path / "a.npz", only=("x",)).keys() == {"x"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "found something else"),
        ('{"a": NaN}', "not finite"),
        ('{"a": -Infinity}', "not finite"),
        ('{"a": 1e999}', "not finite"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ("9" * 5000, "found something else"),
        ('{"a": -' + "9" * 400 + "}", "too large"),
        ('{"a": "\\ud800"}', "surrogates"),
        ('{"\\udfff": 1}', "surrogates"),
        ('{"a": "\x00"}', "found something else"),
    ],
)
def test_json_that_readers_would_take_in_different_ways_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_json(tmp_path / "a.json")


def test_json_is_held_to_a_type(tmp_path: Path) -> None:
    class Record(TypedDict):
        video: str
        bytes: Annotated[int, Meta(ge=0)]

    write_json(tmp_path / "a.json", {"video": "v", "bytes": 3, "more": 1})
    assert read_json(tmp_path / "a.json", Record) == {"video": "v", "bytes": 3, "more": 1}
    for wrong in ({"video": "v"}, {"video": 1, "bytes": 3}, {"video": "v", "bytes": -1}, [], "x"):
        write_json(tmp_path / "a.json", wrong)
        with pytest.raises(InputError, match=r"a\.json"):
            read_json(tmp_path / "a.json", Record)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    resource_limit = (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
        with pytest.raises(OSError, match="File too large"):
            write_bytes(target, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


WRITE = (
    "import sys, time; from pathlib import Path; from vhap.util.files import atomic_path\n"
    "with atomic_path(sys.argv[1]) as temporary:\n"
    "    temporary.write_text('half'); print(temporary, flush=True); time.sleep(60)"
)


def test_what_a_kill_leaves_is_removed_and_what_is_being_written_stays(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "result.json"
    own = target.parent / ".tmp_notes.json"
    with subprocess.Popen([sys.executable, "-c", WRITE, str(target)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        own.write_text("a user's")
        remove_unfinished(tmp_path)
        assert left.exists(), "its process is at work"
        other.kill()
    remove_unfinished(tmp_path, with_folders=False)
    assert left.exists(), "it lies in a folder below"
    with atomic_path(target) as temporary:
        temporary.write_text("{}")
        remove_unfinished(tmp_path)
        assert temporary.exists(), "this process is at work"
    assert sorted(path.name for path in target.parent.iterdir()) == [own.name, target.name]
