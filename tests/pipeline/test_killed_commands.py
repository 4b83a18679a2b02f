"""Commands that are killed at any moment and given again, and commands that meet another one at work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Commands, contents, differences

PROGRAM = Path(__file__).with_name("killed_commands.py")
COMMANDS = (
    "preprocess", "preprocess through time", "preprocess a rig", "detect landmarks", "export", "export for INSTA",
    "export for Gaussian-Head-Avatar", "export for COLMAP", "export meshes", "combine", "evaluate", "report",
    "make a synthetic capture", "make a synthetic rig",
)  # fmt: skip
KILLS_BY_TIME, KILLS_AT_RENAMES = 3, 4


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Iterator[Commands]:
    made = Commands(tmp_path_factory.mktemp("commands"), PROGRAM, COMMANDS)
    yield made
    made.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_any_moment_and_given_again_leaves_the_same_files(commands, command):
    commands.kill_and_complete(command, KILLS_BY_TIME, KILLS_AT_RENAMES)


@pytest.mark.parametrize("command", COMMANDS)
def test_of_two_processes_one_works_and_the_other_says_so(commands, command):
    answer, expected = commands.undisturbed(command)
    first = commands.ask(command=command, stop_at=(answer["renames"] + 1) // 2)
    try:
        assert first["status"] is None, first["said"]
        second = commands.ask(command=command)
    finally:
        last = commands.ask(go_on=first["process"]) if first["status"] is None else first
    assert second["status"] == 2, second["said"]
    assert "expected no other vhap at work" in second["said"][-1]
    assert last["status"] == 0
    assert differences(contents(commands.root), expected) == []
