"""Point clouds in .pcd files (Point Cloud Data 0.7): ascii, binary and binary_compressed."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.util.errors import InputError, shown
from vhap.util.files import read_bytes

POINT, NORMAL, COLOUR = ("x", "y", "z"), ("normal_x", "normal_y", "normal_z"), ("rgb", "rgba")
SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}
KINDS = {"F": "f", "I": "i", "U": "u"}
LONGEST_HEADER, MOST_FIELDS, MOST_COUNT = 1 << 16, 1000, 1 << 20
MOST_GROWTH = 88
"""LZF: three bytes stand for at most 264."""


@dataclass(frozen=True)
class Field:
    """A column of the points. count: numbers of it in one point."""

    name: str
    dtype: np.dtype
    count: int

    @property
    def size(self) -> int:
        return self.dtype.itemsize * self.count


@dataclass(frozen=True)
class Header:
    fields: tuple[Field, ...]
    n_points: int
    encoding: str
    end: int

    @property
    def point_size(self) -> int:
        return sum(field.size for field in self.fields)


class Damaged(Exception):
    """What was expected and what was found."""


def read_pcd(path: str | Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """points (N, 3) in the file's unit, colors (N, 3) in [0, 1], normals (N, 3), all float32.

    As Open3D has it: colours or normals that the file lacks are an empty (0, 3), fields that are none of the three are
    skipped, and the NaN of a point that was not measured stays. rgb and rgba are 32 bits 0xAARRGGBB, whose alpha is not
    used. A compressed file is unpacked by a Python loop over its runs. InputError where the file is missing,
    damaged, or longer or shorter than its header says.
    """
    path = Path(path)
    content = read_bytes(path, "a point cloud")
    try:
        header = _read_header(content)
        body = memoryview(content)[header.end :]
        read = {"ascii": _ascii_columns, "binary": _binary_columns, "binary_compressed": _compressed_columns}
        columns = read[header.encoding](header, body)
    except Damaged as error:
        raise InputError(f"expected a point cloud (.pcd) at {path}, found {error}; download it again") from error
    colour = next((columns[name] for name in COLOUR if name in columns), None)
    return _joined(columns, POINT), _unpacked(colour), _joined(columns, NORMAL)


def decompress_lzf(packed: bytes | memoryview, size: int) -> bytes:
    """The bytes of an LZF stream. ValueError where it is damaged or holds other than `size` bytes.

    A control byte below 32 begins a run of that many bytes and one. Others point back: 3 bits of length less 2 (7: the
    next byte adds to it), then 13 bits of distance less 1. A run may reach into what it writes itself.
    """
    if size > MOST_GROWTH * len(packed):
        raise ValueError(f"{len(packed)} compressed bytes for {size}")
    packed = bytes(packed)
    out, at, end = bytearray(), 0, len(packed)
    try:
        while at < end:
            control = packed[at]
            at += 1
            if control < 32:
                stop = at + control + 1
                out += packed[at:stop]
                at = stop
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            distance = ((control & 31) << 8) + packed[at] + 1
            at, length, start = at + 1, length + 2, len(out) - distance
            if start < 0:
                raise ValueError("a reference to before the first byte")
            if distance >= length:
                out += out[start : start + length]
            else:
                out += (bytes(out[start:]) * (length // distance + 1))[:length]
            if len(out) > size:
                break
    except IndexError as error:
        raise ValueError("an end within a reference") from error
    if at > end or len(out) != size:
        raise ValueError(f"{len(out)} unpacked bytes where {size} were promised")
    return bytes(out)


def _read_header(content: bytes) -> Header:
    """Damaged where an entry is missing, stands twice or does not fit the others."""
    entries: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in entries:
        end = content.find(b"\n", at, LONGEST_HEADER)
        if end < 0:
            raise Damaged("no line DATA that ends its header")
        words = content[at:end].decode("ascii", "replace").split()
        at = end + 1
        if not words or words[0].startswith("#"):
            continue
        if words[0] in entries:
            raise Damaged(f"the header's {shown(words[0])} twice")
        entries[words[0]] = words[1:]
    for name in ("FIELDS", "SIZE", "TYPE"):
        if not entries.get(name):
            raise Damaged(f"no {name} in its header")
    encoding = " ".join(entries["DATA"])
    if encoding not in ("ascii", "binary", "binary_compressed"):
        raise Damaged(f"DATA {shown(encoding)} in its header")
    return Header(_fields(entries), _count_points(entries), encoding, at)


def _fields(entries: dict[str, list[str]]) -> tuple[Field, ...]:
    names, types = entries["FIELDS"], entries["TYPE"]
    sizes = _whole_numbers(entries, "SIZE")
    counts = _whole_numbers(entries, "COUNT") if "COUNT" in entries else [1] * len(names)
    if not len(names) == len(sizes) == len(types) == len(counts) <= MOST_FIELDS:
        raise Damaged(f"{len(names)} FIELDS, {len(sizes)} SIZE, {len(types)} TYPE and {len(counts)} COUNT")
    fields = []
    for name, size, kind, count in zip(names, sizes, types, counts):
        if size not in SIZES.get(kind, ()) or not 1 <= count <= MOST_COUNT:
            raise Damaged(f"the field {shown(name)} of TYPE {shown(kind)}, SIZE {size} and COUNT {count}")
        if name in (*POINT, *NORMAL, *COLOUR) and (names.count(name) > 1 or count != 1):
            raise Damaged(f"more than one {name} in each point")
        if name in COLOUR and size != 4:
            raise Damaged(f"a colour {name} of SIZE {size}, not 4")
        fields.append(Field(name, np.dtype(f"<{KINDS[kind]}{size}"), count))
    if not set(POINT) <= set(names):
        raise Damaged(f"the fields {shown(names)} without x, y and z")
    return tuple(fields)


def _count_points(entries: dict[str, list[str]]) -> int:
    """POINTS, which is WIDTH times HEIGHT; one of the two may be missing."""
    sides = [_whole_numbers(entries, name) for name in ("WIDTH", "HEIGHT") if name in entries]
    named = _whole_numbers(entries, "POINTS") if "POINTS" in entries else None
    if any(len(numbers) != 1 for numbers in (*sides, *([] if named is None else [named]))):
        raise Damaged("other than one number as WIDTH, HEIGHT or POINTS in its header")
    product = math.prod(side[0] for side in sides) if len(sides) == 2 else None
    if named is None and product is None:
        raise Damaged("no POINTS in its header")
    if named is not None and product is not None and named[0] != product:
        raise Damaged(f"POINTS {named[0]}, but WIDTH times HEIGHT {product}")
    return named[0] if named is not None else product or 0


def _whole_numbers(entries: dict[str, list[str]], name: str) -> list[int]:
    words = entries[name]
    if any(not (word.isascii() and word.isdigit()) or len(word) > 12 for word in words):
        raise Damaged(f"{name} {shown(' '.join(words))} in its header")
    return [int(word) for word in words]


def _ascii_columns(header: Header, body: memoryview) -> dict[str, np.ndarray]:
    """Columns by name, of the fields that are used."""
    rows = [words for line in bytes(body).splitlines() if (words := line.split())]
    width = sum(field.count for field in header.fields)
    if len(rows) != header.n_points:
        raise Damaged(f"{len(rows)} lines for {header.n_points} points")
    if any(len(words) != width for words in rows):
        line, words = next((index, words) for index, words in enumerate(rows) if len(words) != width)
        raise Damaged(f"{len(words)} numbers for {width} in point {line}")
    columns, at = {}, 0
    for field in header.fields:
        if field.name in (*POINT, *NORMAL, *COLOUR):
            columns[field.name] = _parsed([words[at] for words in rows], field)
        at += field.count
    return columns


def _parsed(words: list[bytes], field: Field) -> np.ndarray:
    try:
        if field.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return np.array([float(word) for word in words], np.float64).astype(field.dtype)
        values = [int(word) for word in words]
        if field.name not in COLOUR:
            return np.array(values, field.dtype)
        # The top bit of a colour, of its alpha, makes it negative for some writers, and not for others.
        if any(not -(1 << 31) <= value < 1 << 32 for value in values):
            raise ValueError("beyond 32 bits")
        return np.array([value & 0xFFFFFFFF for value in values], "<u4")
    except (ValueError, OverflowError) as error:
        raise Damaged(f"a {field.name} that is no number of its TYPE ({shown(str(error))})") from error


def _binary_columns(header: Header, body: memoryview) -> dict[str, np.ndarray]:
    _require_size(len(body), header)
    names = [str(index) for index in range(len(header.fields))]
    record = np.dtype([(name, field.dtype, (field.count,)) for name, field in zip(names, header.fields)])
    points = np.frombuffer(body, record, header.n_points)
    return {field.name: points[name][:, 0] for name, field in zip(names, header.fields)}


def _compressed_columns(header: Header, body: memoryview) -> dict[str, np.ndarray]:
    if len(body) < 8:
        raise Damaged("an end before the sizes of its compressed data")
    packed, size = struct.unpack("<II", body[:8])
    if packed != len(body) - 8:
        raise Damaged(f"{len(body) - 8} compressed bytes where {packed} were promised")
    _require_size(size, header)
    try:
        content = decompress_lzf(body[8:], size)
    except ValueError as error:
        raise Damaged(f"damaged LZF data ({error})") from error
    columns, at = {}, 0
    for field in header.fields:
        columns[field.name] = np.frombuffer(content, field.dtype, header.n_points * field.count, at)
        at += header.n_points * field.size
    return columns


def _require_size(found: int, header: Header) -> None:
    if found != header.n_points * header.point_size:
        raise Damaged(f"{found} bytes for {header.n_points} points of {header.point_size}")


def _joined(columns: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray:
    """(N, 3) float32, or (0, 3) where one of the columns is missing."""
    if any(name not in columns for name in names):
        return np.zeros((0, 3), np.float32)
    with np.errstate(over="ignore"):
        return np.stack([columns[name].astype(np.float32) for name in names], axis=1)


def _unpacked(colour: np.ndarray | None) -> np.ndarray:
    """(N, 3) float32 in [0, 1] of 32 bits 0xAARRGGBB, whatever the type that they are stored as."""
    if colour is None:
        return np.zeros((0, 3), np.float32)
    bits = np.ascontiguousarray(colour).view("<u4")
    return np.stack([(bits >> shift & 255) / 255 for shift in (16, 8, 0)], axis=1).astype(np.float32)
