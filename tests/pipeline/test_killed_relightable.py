"""Each command of a relightable avatar's preparation, killed at any moment and given again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Commands

PROGRAM = Path(__file__).with_name("killed_relightable.py")
COMMANDS = (
    "crop_and_matting", "keypoint_detector", "iris", "optimize", "optimize changed pictures", "demo_reconstruct",
    "demo_reconstruct of a run", "extract_albedo", "extract_albedo of a run", "extract_albedo of changed pictures",
    "extract_albedo by a network", "preprocess_relightable", "export hravatar", "export imavatar",
)  # fmt: skip
KILLS_BY_TIME, KILLS_AT_RENAMES = 2, 3


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Iterator[Commands]:
    made = Commands(tmp_path_factory.mktemp("relightable"), PROGRAM, COMMANDS)
    yield made
    made.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_step_killed_at_any_moment_and_given_again_leaves_the_same_files(commands, command):
    commands.kill_and_complete(command, KILLS_BY_TIME, KILLS_AT_RENAMES)
