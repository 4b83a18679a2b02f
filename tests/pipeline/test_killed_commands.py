"""Commands that are killed at any moment and given again, and commands that meet another one at work."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("killed_commands.py")
COMMANDS = (
    "preprocess", "preprocess a rig", "detect landmarks", "export", "export meshes", "combine", "evaluate", "report",
    "make a synthetic capture", "make a synthetic rig",
)  # fmt: skip
KILLS_BY_TIME, KILLS_AT_RENAMES = 3, 4
RECORDS = (".made_from.jsonl",)
"""Lines are added; of equal ones, one counts."""


class Commands:
    """The program that runs commands, its root folder, and what undisturbed runs leave there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "VHAP_CACHE": str(folder / "cache")},
        )  # fmt: skip
        self._undisturbed: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}
        assert tuple(self._answer()) == COMMANDS

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def undisturbed(self, command: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The answer of an undisturbed run and the files after it. Leaves the inputs alone there."""
        if command not in self._undisturbed:
            self.ask(reset=True)
            answer = self.ask(command=command)
            assert answer["status"] == 0, answer["said"]
            self._undisturbed[command] = answer, contents(self.root)
        self.ask(reset=True)
        return self._undisturbed[command]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def contents(root: Path) -> dict[str, str]:
    """Path -> digest of every file; of records the lines count, not how often they stand there."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name in RECORDS:
                content = b"\n".join(sorted(set(content.splitlines())))
            found[path.relative_to(root).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> Iterator[Commands]:
    made = Commands(tmp_path_factory.mktemp("commands"))
    yield made
    made.close()


def differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_killed_at_any_moment_and_given_again_leaves_the_same_files(commands, command):
    answer, expected = commands.undisturbed(command)
    rng = random.Random(command)
    kills = [{"die_after": rng.uniform(0, answer["seconds"])} for _ in range(KILLS_BY_TIME)]
    kills += [{"die_at": rng.randint(1, answer["renames"])} for _ in range(KILLS_AT_RENAMES)]
    rng.shuffle(kills)
    for kill in kills:
        assert commands.ask(command=command, **kill)["status"] in (-9, 0)
    again = commands.ask(command=command)
    assert again["status"] == 0, again["said"]
    assert differences(contents(commands.root), expected) == [], kills


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
