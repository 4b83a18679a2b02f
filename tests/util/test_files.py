from pathlib import Path

import numpy as np
import pytest

from vhap.util.errors import InputError, exits_cleanly
from vhap.util.files import atomic_path, make_folder, read_json, read_npz, write_json, write_npz


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
