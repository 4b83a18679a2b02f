"""Modules of this package as processes of their own, wherever it is installed, and what is said between them: values,
each as a length of 8 bytes and a pickle, since both ends are this program."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import vhap

LENGTH = struct.Struct("!Q")
CLOSING_S = 2.0


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


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Closes its pipes, and ends it where that is not enough."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue
    try:
        process.wait(CLOSING_S / 10)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait(CLOSING_S)


def own_output() -> IO[bytes]:
    """This process's output, for what is said to its parent alone: what libraries print goes to standard error from now
    on, so that it does not come in between."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def send(stream: IO[bytes], value: Any) -> None:
    """Its length, then its pickle."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """What `send` sent; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    data = stream.read(LENGTH.unpack(head)[0])
    return pickle.loads(data)
