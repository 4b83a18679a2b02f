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

BLOCK_BYTES = 1 << 16
SLOWEST_BYTES_S = 1000
TEMPORARY = (408, 416, 425, 429)
LONGEST_WAIT_S = 60.0
CONTENT_RANGE = re.compile(r"bytes\s+(\d+)-(\d+)/(\d+)")


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

    def blocks(self) -> Iterator[bytes]:
        """The bytes as they come. Raises TransferError where they end early, stall or trickle."""
        left = self.stop - self.start if self.stop is not None else None
        since, gained = time.monotonic(), 0
        while left is None or left > 0:
            with _network_errors():
                block = self.response.read1(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left))
            if not block:
                if left is None:
                    return
                raise TransferError(f"connection cut {left} bytes before the end")
            left = left - len(block) if left is not None else None
            gained += len(block)
            # A timeout of the socket alone would let one byte a minute pass for ever.
            if (passed := time.monotonic() - since) > self.timeout_s:
                if gained < SLOWEST_BYTES_S * passed and left != 0:
                    raise TransferError(f"connection stalled at {gained / passed:.0f} bytes a second")
                since, gained = time.monotonic(), 0
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
    range is asked for from byte 0 as well: a reply to it tells the size twice, and both are compared.
    """
    headers = {
        "Accept-Encoding": "identity",
        "Range": f"bytes={start}-{'' if stop is None else stop - 1}",
        "User-Agent": "vhap",
    }
    if validator is not None:
        headers["If-Range"] = validator
    with _network_errors():
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    with response:
        first, end, version = _described(response)
        yield Reply(response, version, first, end, timeout_s)


def _described(response: http.client.HTTPResponse) -> tuple[int, int | None, Version]:
    """First byte, end, and version out of a reply's headers. Raises TransferError where they contradict each other."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        raise TransferError(f"server sends the file encoded ({headers['Content-Encoding']})", is_final=True)
    etag = headers.get("ETag")
    validator = etag if etag and etag.startswith('"') else headers.get("Last-Modified")
    told = headers.get("Content-Length")
    if told is not None and not told.isdecimal():
        raise TransferError(f"server tells a length of {told!r}")
    length = int(told) if told is not None else None
    is_chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    if response.status == 206:
        match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if match is None:
            raise TransferError(f"server tells no range but {headers.get('Content-Range')!r}")
        start, stop, size = int(match[1]), int(match[2]) + 1, int(match[3])
        if not start < stop <= size or length not in (None, stop - start):
            raise TransferError(f"server contradicts itself: {length} bytes as {match[0]!r}")
        return start, stop, Version(size, validator)
    if response.status != 200:
        raise TransferError(f"server answers {response.status}", status=response.status)
    if length is None and not is_chunked:
        raise TransferError("server does not tell the file's length, so that its end cannot be known", is_final=True)
    size = None if is_chunked else length
    return 0, size, Version(size, validator)


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """Whatever goes wrong between here and the server becomes a TransferError; errors of the disk stay outside."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        is_final = 400 <= error.code < 500 and error.code not in TEMPORARY
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        wait_s = min(float(wait), LONGEST_WAIT_S) if wait.isdecimal() else 0.0
        reason = f"server answers {error.code} ({error.reason})" if error.reason else f"server answers {error.code}"
        raise TransferError(" ".join(reason.split())[:120], is_final, error.code, wait_s) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", None) or error
        if isinstance(cause, TimeoutError):
            raise TransferError("connection timed out") from error
        said = " ".join(str(cause).split())[:120] or type(cause).__name__
        raise TransferError(f"connection failed ({said})") from error
