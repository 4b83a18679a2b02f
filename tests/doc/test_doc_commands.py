"""Commands in README.md and doc/: each exists, and takes the options that it is given there."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import tyro

from vhap import cli
from vhap.config.ranges import check_ranges

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = {"RUN_FOLDER": "output", "...": "other"}


class Parsed(BaseException):
    """A command has its options; nothing that catches errors may catch it."""


def commands(page: Path) -> Iterator[list[str]]:
    for _, language, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("shell", "bash", "sh"):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.replace("; ", " ; "), comments=True)
                while ";" in words:
                    yield words[: words.index(";")]
                    words = words[words.index(";") + 1 :]
                # What is written into a file is no option.
                words = words[: words.index(">")] if ">" in words else words
                if words:
                    yield words


def found(kind: str) -> list[Any]:
    """Commands of one kind (vhap, bench, make), without variables before them and without their first word."""
    cases = []
    for page in PAGES:
        for words in commands(page):
            while re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            is_script = words[0] == "python" and len(words) > 1 and words[1].startswith(f"{kind}/")
            if is_script or words[0] == kind:
                cases.append(pytest.param(words[1:], id=f"{page.name}: {' '.join(words)}"))
    return cases


@pytest.fixture
def only_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = tyro.cli

    def stop(*given: Any, **options: Any) -> NoReturn:
        config = parse(*given, **options)
        check_ranges(config)
        raise Parsed(type(config).__name__)

    monkeypatch.setattr(tyro, "cli", stop)


@pytest.mark.usefixtures("only_parsing")
@pytest.mark.parametrize("words", found("vhap"))
def test_options_are_those_of_the_command(words: list[str]) -> None:
    if words[0].startswith("vhap/"):
        assert (ROOT / words[0]).is_file()
        words = [Path(words[0]).stem.replace("_", "-"), *words[1:]]
    words = [PLACEHOLDERS.get(word, word) for word in words]
    if words[0].startswith("--"):
        assert words[0] in ("--help", "--version", "--print-completion")
        return
    with pytest.raises(Parsed):
        cli.main(words)


@pytest.mark.usefixtures("only_parsing")
def test_an_option_that_does_not_exist_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["track", "--data.root_folder", "x", "--data.sequence", "s", "--model.heat", "flame"])
    assert "heat" in capsys.readouterr().err


@pytest.mark.usefixtures("only_parsing")
@pytest.mark.parametrize("words", found("bench"))
def test_options_are_those_of_the_benchmark(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ROOT / words[0]).is_file()
    if not any(word.startswith("--") for word in words):
        # benchmark_submission.py takes words by their place and parses no options.
        return
    words = [PLACEHOLDERS.get(word, word) for word in words]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.syspath_prepend(ROOT / "bench")
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")


@pytest.mark.parametrize("words", found("make"))
def test_targets_are_those_of_the_makefile(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets)
