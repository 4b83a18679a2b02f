"""Ends a request whose time is over, whatever the server sends meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.request
from typing import Any


class Watchdog:
    """Shuts down the connections of a request at a deadline that can be moved.

    A socket's own timeout starts anew with every byte: a server that sends one a second would hold a header, or the
    line before a chunk, for days.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._condition = threading.Condition()
        self._deadline = time.monotonic() + seconds
        self._is_closed = False
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._watch, daemon=True).start()

    def allow(self, seconds: float) -> None:
        """From now on."""
        # The thread wakes at the old deadline and finds the later one.
        self._deadline = time.monotonic() + seconds

    def connect(self, address: Any, timeout: Any = None, source_address: Any = None, **options: Any) -> socket.socket:
        """As socket.create_connection, under watch."""
        made = socket.create_connection(address, timeout, source_address, **options)
        with self._condition:
            # A duplicate: TLS takes the descriptor away from the first one.
            self._sockets.append(made.dup())
            if self.is_over:
                self._shut_down()
        return made

    def close(self) -> None:
        """Ends the watch; the connections are left to whoever reads from them."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
            for watched in self._sockets:
                watched.close()
            self._sockets = []

    def _watch(self) -> None:
        with self._condition:
            while not self._is_closed and (left := self._deadline - time.monotonic()) > 0:
                self._condition.wait(left)
            if not self._is_closed:
                self.is_over = True
                self._shut_down()

    def _shut_down(self) -> None:
        for watched in self._sockets:
            with contextlib.suppress(OSError):
                watched.shutdown(socket.SHUT_RDWR)


def watched_opener(watchdog: Watchdog) -> urllib.request.OpenerDirector:
    """Opens http and https, and nothing else a redirect may lead to, by connections under watch."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(watchdog),
        _Https(watchdog),
        _Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watchdog: Watchdog) -> None:
        super().__init__()
        self._watchdog = watchdog

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_connections(http.client.HTTPConnection, self._watchdog), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watchdog: Watchdog) -> None:
        super().__init__()
        self._watchdog = watchdog

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_connections(http.client.HTTPSConnection, self._watchdog), req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Does not read what stands beside a redirect, which may have no end."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _connections(kind: type[http.client.HTTPConnection], watchdog: Watchdog) -> Any:
    def make(host: str, **options: Any) -> http.client.HTTPConnection:
        connection = kind(host, **options)
        # Between this and TLS nothing else can be put without writing `connect` anew.
        connection._create_connection = watchdog.connect  # pyright: ignore[reportAttributeAccessIssue]
        return connection

    return make
