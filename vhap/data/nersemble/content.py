"""Whether a file ends where its own format says: it catches what a server that lies about lengths hides."""

from __future__ import annotations

import csv
import errno
import json
import struct
import zipfile
from pathlib import Path

TAIL_BYTES = 4096
LONGEST_HEADER_LINE = 4096


def find_damage(path: Path, suffix: str) -> str | None:
    """Why the file cannot be whole, or None. suffix: of the format, since unfinished files have another name."""
    check = CHECKS[suffix]
    if path.stat().st_size == 0:
        return "it is empty"
    return check(path)


def _damage_of_mp4(path: Path) -> str | None:
    """ISO 14496-12: boxes follow each other to the end, each with its size in front (0: the rest, 1: 64 bits)."""
    size, offset, kinds = path.stat().st_size, 0, set()
    with open(path, "rb") as file:
        while offset < size:
            file.seek(offset)
            head = file.read(16)
            if len(head) < 8:
                return "it ends within a box"
            (length,) = struct.unpack(">I", head[:4])
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack(">Q", head[8:])
            elif length == 0:
                length = size - offset
            if offset == 0 and head[4:8] != b"ftyp":
                return "it is no mp4"
            if length < 8 or offset + length > size:
                return "it ends within a box"
            kinds.add(head[4:8])
            offset += length
    return None if {b"moov", b"mdat"} <= kinds else "it lacks its index or its pictures"


def _damage_of_jpeg(path: Path) -> str | None:
    with open(path, "rb") as file:
        if file.read(3) != b"\xff\xd8\xff":
            return "it is no JPEG"
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return None if b"\xff\xd9" in file.read() else "its end is missing"


def _damage_of_json(path: Path) -> str | None:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return "it is no whole JSON"
    return None


def _damage_of_csv(path: Path) -> str | None:
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if row]
    except (ValueError, csv.Error):
        return "it is no CSV"
    if not rows or rows[0][0].lstrip().startswith("<"):
        return "it is no CSV"
    return None if all(len(row) == len(rows[0]) for row in rows) else "its rows differ in length"


def _damage_of_png(path: Path) -> str | None:
    with open(path, "rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return "it is no PNG"
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return None if b"IEND\xaeB`\x82" in file.read() else "its end is missing"


def _damage_of_npz(path: Path) -> str | None:
    """Its index stands at the end; every array has a checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    # A damaged archive raises almost any exception; a wrong offset looks like an error of the system.
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        return f"it is no whole npz ({type(error).__name__})"
    return None if damaged is None else "an array in it is damaged"


def _damage_of_pcd(path: Path) -> str | None:
    """Its header says how many points of how many bytes follow."""
    header: dict[str, list[str]] = {}
    size = path.stat().st_size
    with open(path, "rb") as file:
        for line in iter(lambda: file.readline(LONGEST_HEADER_LINE), b""):
            if line.startswith(b"#"):
                continue
            word, *values = line.decode("ascii", errors="replace").split() or [""]
            header[word] = values
            if word == "DATA" or file.tell() > TAIL_BYTES:
                break
        try:
            (kind,), width, height = header["DATA"], header.get("WIDTH", []), header.get("HEIGHT", ["1"])
            points = int(header["POINTS"][0]) if header.get("POINTS") else int(width[0]) * int(height[0])
            sizes = [int(value) for value in header["SIZE"]]
            counts = [int(value) for value in header.get("COUNT", ["1"] * len(sizes))]
            expected = points * sum(a * b for a, b in zip(sizes, counts, strict=True))
        except (LookupError, ValueError):
            return "it is no pcd"
        if expected < 0:
            return "it is no pcd"
        if kind == "ascii":
            found, expected = sum(bool(line.strip()) for line in file), points
        elif kind == "binary":
            found = size - file.tell()
        elif kind == "binary_compressed" and len(head := file.read(8)) == 8:
            (expected, inflated), wanted = struct.unpack("<II", head), expected
            if inflated != wanted:
                return "its sizes contradict each other"
            found = size - file.tell()
        else:
            return "it is no pcd"
    return None if found >= expected else f"it holds {found} of {expected} {'lines' if kind == 'ascii' else 'bytes'}"


CHECKS = {
    ".mp4": _damage_of_mp4,
    ".jpg": _damage_of_jpeg,
    ".json": _damage_of_json,
    ".csv": _damage_of_csv,
    ".png": _damage_of_png,
    ".npz": _damage_of_npz,
    ".pcd": _damage_of_pcd,
}
