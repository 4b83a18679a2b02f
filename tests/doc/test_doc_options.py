"""Options that README.md and doc/ speak of in their text: each is one that some command has."""

from __future__ import annotations

import fnmatch
import re
import typing
from pathlib import Path

import pytest

from vhap import cli
from vhap.config.legacy import ELSEWHERE, REMOVED
from vhap.config.translate import options_of

ROOT = Path(__file__).parents[2]
# doc/benchmarks.md speaks of options of bench/'s scripts, whose commands test_doc_commands.py parses.
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "doc").glob("*.md")) if page.name != "benchmarks.md")]
FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
OF_ALL_COMMANDS = {"help", "help_all", "version", "print_completion"}
OF_PIP = {"no_deps", "force_reinstall"}
# Of scripts of other trackers: two pages speak of what became of them.
EARLIER = {
    "migrating.md": {*REMOVED, *ELSEWHERE, "x.no_y", "no_x.y"},
    "monocular.md": {"w.blur_iter"},
}


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Options as they are typed, with underscores; switches also in their negative form."""
    found = OF_ALL_COMMANDS | OF_PIP
    for command in cli.COMMANDS:
        kind = cli.options_of(command)
        for part in typing.get_args(kind) or (kind,):
            for name, option in options_of(getattr(part, "__origin__", part)):
                group, dot, last = name.rpartition(".")
                found |= {name, f"{group}{dot}no_{last}"} if option.is_switch else {name}
    return found


def mentioned(page: Path) -> list[str]:
    """With underscores; <stage> and * stand for any word."""
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))
    words = [word for span in spans for word in re.findall(r"(?<![\w-])--([a-z](?:[\w.*<>-]*[\w*>])?)", span)]
    return [re.sub(r"<\w+>", "*", word.replace("-", "_")) for word in words]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_text_are_there(page: Path, names: set[str]) -> None:
    known = names | EARLIER.get(page.name, set())
    assert not {word for word in mentioned(page) if not fnmatch.filter(known, word)}


def test_pages_speak_of_options() -> None:
    words = [word for page in PAGES for word in mentioned(page)]
    assert len(words) > 100
    assert {"model.no_fix_offset", "pipeline.*.num_steps", "w.*", "help_all"} <= {*words}


def test_the_page_for_scripts_of_others_names_every_removed_option() -> None:
    text = (ROOT / "doc" / "migrating.md").read_text(encoding="utf-8")
    assert {name for name in REMOVED if name.startswith("pipeline.lmk_")} == {
        f"pipeline.{stage}.align_{what}_except"
        for stage in ("lmk_init_rigid", "lmk_init_all", "lmk_sequential_tracking", "lmk_global_tracking")
        for what in ("texture", "boundary")
    }
    for name in (*REMOVED, *ELSEWHERE):
        assert f"`{name.rpartition('.')[2]}`" in text or f"`--{name}`" in text, name
