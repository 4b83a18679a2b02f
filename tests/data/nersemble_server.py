"""A small dataset behind an HTTP server of this process that misbehaves as told."""

from __future__ import annotations

import contextlib
import http.server
import random
import re
import struct
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

DRIPS = 400
"""Bytes of a reply that comes byte by byte, 20 s in all."""
TABLE = """ID,wears_glasses,BACKGROUND,EXP-1-head,EXP-3-cheeks+nose,EMO-1-shout+laugh
17,,x,x,x,
18,x,x,x,,m
33,,x,,,x
240,,x,,x,o
"""


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def mp4(count: int, seed: int = 0) -> bytes:
    """A file of `count` bytes with the outer structure of an mp4, else noise."""
    head, tail = box(b"ftyp", b"isom"), box(b"moov", bytes(32))
    noise = random.Random(seed).randbytes(count - len(head) - len(tail) - 8)
    return head + box(b"mdat", noise) + tail


def jpeg(seed: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + random.Random(seed).randbytes(500) + b"\xff\xd9"


@dataclass
class Server:
    """files: path -> content. faults: path -> what goes wrong in its next requests, in order.

    always: path -> what goes wrong in every one. asked: (path, first byte asked for, status) of every request.
    """

    files: dict[str, bytes]
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    always: dict[str, str] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    has_validators: bool = True
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    sent: int = 0
    """Bytes of contents, in replies whose sending was begun."""

    def starts(self, path: str) -> list[int]:
        return [start for name, start, _ in self.asked if name == path]


class Handler(http.server.BaseHTTPRequestHandler):
    dataset: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        dataset, path = self.dataset, self.path.removeprefix("/data/")
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        self.start, self.end = (int(match[1]), match[2]) if match else (0, "")
        fault = dataset.faults[path].pop(0) if dataset.faults[path] else dataset.always.get(path, "")
        content = dataset.files.get(path)
        self.etag = dataset.etags.get(path, '"1"')
        if self.headers.get("If-Range", self.etag) != self.etag and fault != "ignores If-Range":
            self.start = 0
        if content is None or fault.isdecimal():
            self.reply(int(fault or 404), b"", {})
        elif fault == "whole":
            self.start = 0
            self.reply(200, content, {"Content-Length": str(len(content))})
        elif fault.startswith("cut "):
            self.ranged(content, upto=int(fault[4:]))
        elif fault.startswith("stall "):
            self.ranged(content, upto=int(fault[6:]), then_wait=True)
        elif fault == "trickle":
            self.ranged(content, step=1)
        elif fault == "says too much":
            self.reply(200, content, {"Content-Length": str(len(content) + 10)})
        elif fault == "says too little":
            self.start = 0
            self.reply(200, content, {"Content-Length": str(len(content) - 1000)})
        elif fault == "contradicts itself":
            total = f"bytes 0-{len(content) - 1}/{len(content)}"
            self.reply(206, content, {"Content-Range": total, "Content-Length": str(len(content) - 1000)})
        elif fault == "says another total":
            last = len(content) - 1001
            headers = {"Content-Range": f"bytes 0-{last}/{len(content) - 1000}"}
            self.reply(206, content[: last + 1], {**headers, "Content-Length": str(last + 1)})
        elif fault == "sends another range":
            size, start = len(content), self.start + 7
            headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}", "Content-Length": str(size - start)}
            self.reply(206, content[start:], headers)
        elif fault == "piece":
            self.end = str(self.start + 49_999)
            self.ranged(content)
        elif fault == "no length":
            self.reply(200, content, {})
        elif fault == "nonsense length":
            self.reply(200, content, {"Content-Length": "-5"})
        elif fault in ("chunks", "chunks cut"):
            body = b"%x\r\n%b\r\n" % (len(content), content)
            ending = b"0\r\n\r\n" if fault == "chunks" else b""
            self.reply(200, (body if ending else body[:-500]) + ending, {"Transfer-Encoding": "chunked"})
        elif fault == "page":
            page = b"<html><body>Please log in</body></html>"
            self.reply(200, page, {"Content-Length": str(len(page))})
        elif fault == "garbage":
            self.note(0)
            self.wfile.write(b"!!!\r\n\r\n")
        elif fault.startswith("drips "):
            self.drip(fault.removeprefix("drips "), content)
        elif fault.startswith("shouts"):
            self.shout(fault.removeprefix("shouts").strip())
        elif fault == "says endless":
            self.reply(206, content, {"Content-Range": f"bytes 0-{10**15 - 1}/{10**15}"})
        elif fault == "redirects to ftp":
            self.reply(302, b"", {"Location": "ftp://127.0.0.1/x.mp4", "Content-Length": "0"})
        elif fault == "redirects for ever":
            self.reply(302, b"", {"Location": self.path, "Content-Length": "0"})
        elif fault == "encoded":
            self.reply(200, content, {"Content-Length": str(len(content)), "Content-Encoding": "gzip"})
        else:
            self.ranged(content)

    def drip(self, where: str, content: bytes) -> None:
        """A reply that goes on, byte by byte, at a place where no length bounds it."""
        self.note(200)
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        begun = {
            "status": b"HTTP/1.1 200 ",
            "header": b"HTTP/1.1 200 OK\r\nX: ",
            "chunk": chunked + b"5; ",
            "trailer": chunked + b"5\r\nabcde\r\n0\r\nX: ",
            "redirect": b"HTTP/1.1 302 Found\r\nLocation: /data/a\r\nContent-Length: 100000\r\n\r\n",
        }[where]
        with contextlib.suppress(ConnectionError):
            self.wfile.write(begun)
            for _ in range(DRIPS):
                if self.dataset.over.wait(0.05):
                    return
                self.wfile.write(b"a")

    def shout(self, where: str) -> None:
        """A reply with escape sequences, and without measure, where messages repeat what it says."""
        self.note(500)
        loud = b"\x1b[31m\x07" + b"A" * 30_000
        reply = {
            "": b"HTTP/1.1 500 %b\r\n\r\n" % loud,
            "length": b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % loud,
            "range": b"HTTP/1.1 206 OK\r\nContent-Range: %b\r\n\r\n" % loud,
            "encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\n\r\n" % loud,
            "garbage": loud + b"\r\n\r\n",
        }[where]
        self.wfile.write(reply)

    def ranged(self, content: bytes, upto: int | None = None, then_wait: bool = False, step: int = 1 << 15) -> None:
        """As a good server does it, but maybe only the first `upto` bytes of what is due."""
        size = len(content)
        stop = min(int(self.end) + 1, size) if self.end else size
        if self.start >= size:
            self.reply(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        due = content[self.start : stop]
        headers = {"Content-Range": f"bytes {self.start}-{stop - 1}/{size}", "Content-Length": str(len(due))}
        self.reply(206, due[:upto], headers, step)
        if then_wait:
            self.dataset.over.wait(30)

    def reply(self, status: int, body: bytes, headers: dict[str, str], step: int = 1 << 15) -> None:
        self.note(status)
        self.dataset.sent += len(body)
        self.send_response(status)
        if self.dataset.has_validators:
            headers = {"ETag": self.etag, **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                self.wfile.flush()
                if self.dataset.over.wait(0.05 if step == 1 else 0):
                    return

    def note(self, status: int) -> None:
        self.dataset.asked.append((self.path.removeprefix("/data/"), self.start, status))


@contextlib.contextmanager
def serving(files: dict[str, bytes]):
    dataset = Server(files)
    handler = type("DatasetHandler", (Handler,), {"dataset": dataset})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    dataset.url = f"http://127.0.0.1:{server.server_port}/data"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield dataset
    finally:
        dataset.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def small_dataset(video_bytes: int = 50_000) -> dict[str, bytes]:
    """All files of TABLE's participants."""
    from vhap.data.nersemble.catalogue import list_files, read_catalogue, select

    catalogue = read_catalogue(TABLE)
    files: dict[str, bytes] = {}
    for seed, path in enumerate(list_files(catalogue, select(catalogue, "all", "all", "all", ["all"]))):
        contents = {
            ".mp4": lambda seed=seed: mp4(video_bytes + seed, seed),
            ".jpg": lambda seed=seed: jpeg(seed),
            ".json": lambda seed=seed: b'{"seed": %d}' % seed,
            ".csv": lambda path=path: TABLE.encode() if "sequences" in path else b"ID,age\n17,30\n",
        }
        files[path] = contents[Path(path).suffix]()
    return files
