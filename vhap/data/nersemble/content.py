"""Whether a file ends where its own format says: it catches what a server that lies about lengths hides."""

from __future__ import annotations

import csv
import json
import struct
from pathlib import Path

TAIL_BYTES = 4096


def find_damage(path: Path, suffix: str) -> str | None:
    """Why the file cannot be whole, or None. suffix: of the format, since unfinished files have another name."""
    check = {".mp4": _damage_of_mp4, ".jpg": _damage_of_jpeg, ".json": _damage_of_json, ".csv": _damage_of_csv}[suffix]
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
