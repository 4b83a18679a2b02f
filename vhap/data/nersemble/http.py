"""One request for the rest of a file: what the server says of it, and its bytes. Never believed without a check."""

from __future__ import annotations

import contextlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from vhap.data.nersemble.watchdog import Watchdog, watched_opener
from vhap.util.errors import as_one_line

BLOCK_BYTES = 1 << 16
SLOWEST_BYTES_S = 1000
TEMPORARY = (408, 416, 425, 429)
LONGEST_WAIT_S = 60.0
A_DAY_S = 86400.0
LARGEST_BYTES = 1 << 32
"""Of a file: the dataset's videos have 9 MB. A reply without an end must end."""
LONGEST_PHRASE = 120
"""Characters of what a server says, in a message."""
VALIDATOR = re.compile(r"[!-~ ]{1,256}")
LENGTH = re.compile(r"[0-9]{1,18}")
CONTENT_RANGE = re.compile(r"bytes[ \t]+([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class TransferError(Exception):
    """Why a file did not come.

    is_final: trying again would not help. status: the HTTP status that says so, if one. wait_s: as the server wishes.
    brought_data: the attempt was cut, but had brought something new.
    """

    def __init__(self, reason: str, is_final: bool = False, status: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.status = status
        self.wait_s = wait_s
        self.brought_data = False


@dataclass(frozen=True)
class Version:
    """What tells one version of a file on the server from another.

    size: bytes, None where the server does not tell. validator: its strong ETag, else its Last-Modified, else None.
    """

    size: int | None
    validator: str | None


@dataclass(frozen=True)
class Reply:
    """start, stop: the bytes of the file that follow; stop is None where their number is not told (chunks)."""

    response: http.client.HTTPResponse
    version: Version
    start: int
    stop: int | None
    timeout_s: float
    watchdog: Watchdog

    def blocks(self) -> Iterator[bytes]:
        """The bytes as they come. Raises TransferError where they end early, stall or trickle."""
        left = self.stop - self.start if self.stop is not None else None
        since, gained, total = time.monotonic(), 0, 0
        while left is None or left > 0:
            # The line before a chunk counts as well.
            self.watchdog.allow(self.timeout_s)
            with _network_errors():
                block = self.response.read1(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left))
            if not block:
                if left is None and not self.watchdog.is_over:
                    return
                raise TransferError(f"connection cut {left} bytes before the end")
            left = left - len(block) if left is not None else None
            gained, total = gained + len(block), total + len(block)
            if total > LARGEST_BYTES:
                raise TransferError(f"server sends more than {LARGEST_BYTES} bytes", is_final=True)
            # One block in time is not enough: one byte in each would pass for ever.
            if (passed := time.monotonic() - since) > self.timeout_s:
                if gained < SLOWEST_BYTES_S * passed and left != 0:
                    raise TransferError(f"connection stalled at {gained / passed:.0f} bytes a second")
                since, gained = time.monotonic(), 0
            # A slow disk is not the server's fault.
            self.watchdog.allow(A_DAY_S)
            yield block


def join_url(base: str, path: str) -> str:
    """A relative path of the dataset as an address; `+` stays as it is, as the official kit sends it."""
    return f"{base}/{quote(path, safe='/+')}"


@contextlib.contextmanager
def request(
    url: str, timeout_s: float, start: int = 0, stop: int | None = None, validator: str | None = None
) -> Iterator[Reply]:
    """Asks for the bytes [start, stop) of a file (to its end where stop is None).

    validator: of the version whose beginning is there already; another version is then sent from its beginning. The
    range is asked for from byte 0 as well: a reply to it tells the size twice, and both are compared. At most timeout_s
    pass from connecting to the last header, redirects included.
    """
    headers = {
        "Accept-Encoding": "identity",
        "Range": f"bytes={start}-{'' if stop is None else stop - 1}",
        "User-Agent": "vhap",
    }
    if validator is not None:
        headers["If-Range"] = validator
    watchdog = Watchdog(timeout_s)
    try:
        with _network_errors():
            response = watched_opener(watchdog).open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
        with response:
            first, end, version = _described(response)
            yield Reply(response, version, first, end, timeout_s, watchdog)
    except TransferError as error:
        if watchdog.is_over:
            raise TransferError(f"connection stalled: no progress of a reply within {timeout_s:g} s") from error
        raise
    finally:
        watchdog.close()


def _described(response: http.client.HTTPResponse) -> tuple[int, int | None, Version]:
    """First byte, end, and version out of a reply's headers. Raises TransferError where they contradict each other."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        raise TransferError(f"server sends the file encoded ({_phrase(headers['Content-Encoding'])})", is_final=True)
    etag = headers.get("ETag")
    validator = etag if etag and etag.startswith('"') else headers.get("Last-Modified")
    if not is_validator(validator):
        validator = None
    told = headers.get("Content-Length")
    if told is not None and not LENGTH.fullmatch(told):
        raise TransferError(f"server tells a length of {_phrase(told)}")
    length = int(told) if told is not None else None
    is_chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    if response.status == 206:
        match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if match is None:
            raise TransferError(f"server tells no range but {_phrase(str(headers.get('Content-Range')))}")
        start, stop, size = int(match[1]), int(match[2]) + 1, int(match[3])
        if not start < stop <= size or length not in (None, stop - start):
            raise TransferError(f"server contradicts itself: {length} bytes as {match[0]!r}")
        _require_plausible(size)
        return start, stop, Version(size, validator)
    if response.status != 200:
        raise TransferError(f"server answers {response.status}", status=response.status)
    if length is None and not is_chunked:
        raise TransferError("server does not tell the file's length, so that its end cannot be known", is_final=True)
    size = None if is_chunked else length
    _require_plausible(size)
    return 0, size, Version(size, validator)


def is_validator(text: object) -> bool:
    """Whether this can be sent back to a server: plain characters, not many."""
    return isinstance(text, str) and VALIDATOR.fullmatch(text) is not None


def _require_plausible(size: int | None) -> None:
    if size is not None and size > LARGEST_BYTES:
        raise TransferError(f"server tells a size of {size} bytes, more than any file has", is_final=True)


def _phrase(text: str) -> str:
    """What a server says, for a message."""
    return as_one_line(text)[:LONGEST_PHRASE]


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """Whatever goes wrong between here and the server becomes a TransferError; errors of the disk stay outside."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        is_final = 400 <= error.code < 500 and error.code not in TEMPORARY
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        wait_s = min(float(wait), LONGEST_WAIT_S) if LENGTH.fullmatch(wait) else 0.0
        said = f" ({_phrase(str(error.reason))})" if error.reason else ""
        raise TransferError(f"server answers {error.code}{said}", is_final, error.code, wait_s) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", None) or error
        if isinstance(cause, TimeoutError):
            raise TransferError("connection timed out") from error
        said = _phrase(str(cause)) or type(cause).__name__
        raise TransferError(f"connection failed ({said})") from error
