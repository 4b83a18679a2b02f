"""Modules of this package as processes of their own, wherever it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import vhap


def start_module(name: str, *arguments: str, **streams: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """`python -m NAME ARGUMENTS` with this package on its path. Ctrl-C in a terminal does not reach it: whoever starts
    it ends it. streams: stdin, stdout, stderr of subprocess.Popen."""
    path = os.pathsep.join([str(Path(vhap.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        start_new_session=True,
        **streams,  # pyright: ignore[reportArgumentType, reportCallIssue]
    )
