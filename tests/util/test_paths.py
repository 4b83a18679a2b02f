"""Names that come out of files stay below their folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vhap.util.errors import InputError
from vhap.util.paths import inside


@pytest.mark.parametrize("name", ["a.png", "./a/b.png", "a b/c\u202fd.png", "a..b/..c", "cam_1", "a\\b.png"])
def test_names_below(name: str) -> None:
    assert inside(Path("folder"), name, "file.json") == Path("folder") / name


@pytest.mark.parametrize(
    "name",
    [
        *("..", "../a", "a/..", "a/../../b", "a\\..\\..\\b", "/etc/passwd", "//host/share", "\\a", "C:\\a", "C:a"),
        *("", "a\0b", "a\nb", "a\x1b[2J", "a\x7f", None, 3, ["a"], {"a": 1}, "../" * 100_000),
    ],
)
def test_names_elsewhere(name: object) -> None:
    with pytest.raises(InputError, match=r"expected names of files below folder in file\.json, found ") as refused:
        inside(Path("folder"), name, "file.json")
    assert len(str(refused.value)) < 500
    assert str(refused.value).isprintable()
