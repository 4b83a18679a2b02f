"""The server of a page, which only this machine can reach."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
from types import ModuleType
from typing import TYPE_CHECKING

from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

if TYPE_CHECKING:
    from viser import ViserServer

HOST = "127.0.0.1"
INSTALL, LEAST_VISER = 'pip install "vhap[viewer]"', (1, 1, 1)
PORTS_TRIED = 100


def require_viser() -> ModuleType:
    """viser; InputError with the line that installs it, where it is missing or older than the page's parts."""
    viser = import_or_explain("viser", INSTALL)
    numbers = [int(number) for number in re.findall(r"\d+", viser.__version__)[: len(LEAST_VISER)]]
    if tuple(numbers) < LEAST_VISER:
        least = ".".join(map(str, LEAST_VISER))
        raise InputError(f"expected viser {least} or later, found {viser.__version__}; {INSTALL}")
    return viser


def start_server(title: str, port: int, ports_tried: int = 1) -> ViserServer:
    """A running server with an empty page; `stop()` ends it.

    port: the first one that is tried, out of `ports_tried` in a row; `get_port()` is the one taken. InputError where
    none of them is free, or viser is not installed.
    """
    viser = require_viser()
    port = _free_port(port, ports_tried)
    # Its box of addresses comes even where it is asked to be silent.
    with contextlib.redirect_stdout(io.StringIO()):
        server = viser.ViserServer(host=HOST, port=port, label=title, verbose=False)
    server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
    # Beside the scene, not over it.
    server.gui.main_panel.dock_right()
    return server


def address(server: ViserServer) -> str:
    return f"http://{server.get_host()}:{server.get_port()}"


def _free_port(first: int, tried: int) -> int:
    # Asked for one that cannot be had, viser would wait for ever.
    for port in range(first, min(first + tried, 65_536)):
        with socket.socket() as attempt:
            if os.name == "posix":
                # As the server does: connections of one that has just ended still wait on its port.
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((HOST, port))
                return port
            except OSError:
                continue
    found = "it taken" if tried == 1 else "none"
    wanted = f"a free port at --port {first}" if tried == 1 else f"a free port from --port {first} on"
    raise InputError(f"expected {wanted}, found {found}; choose another one, or end what uses it")
