"""Asks a program as killed_commands.py to run commands that are killed or stopped, and compares what they leave."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RECORDS = (".made_from.jsonl",)
"""Lines are added; of equal ones, one counts."""


class Commands:
    """The program that runs commands, its root folder, and what undisturbed runs leave there."""

    def __init__(self, folder: Path, program: Path, names: Sequence[str]) -> None:
        self.root = folder / "root"
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(self.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "VHAP_CACHE": str(folder / "cache")},
        )  # fmt: skip
        self._undisturbed: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}
        assert self._answer() == list(names)

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

    def kill_and_complete(self, command: str, by_time: int, at_renames: int) -> None:
        """Kills a command at moments and at renames, in any order, then gives it once more: the files are those of an
        undisturbed run."""
        answer, expected = self.undisturbed(command)
        rng = random.Random(command)
        kills = [{"die_after": rng.uniform(0, answer["seconds"])} for _ in range(by_time)]
        kills += [{"die_at": rng.randint(1, answer["renames"])} for _ in range(at_renames)]
        rng.shuffle(kills)
        for kill in kills:
            assert self.ask(command=command, **kill)["status"] in (-9, 0)
        again = self.ask(command=command)
        assert again["status"] == 0, again["said"]
        assert differences(contents(self.root), expected) == [], kills

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


def differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
