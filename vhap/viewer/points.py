"""Points of a .ply file: plain ones, or the centres of 3D Gaussians as their trainers write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.util.errors import InputError, shown
from vhap.util.files import read_bytes

END = b"end_header\n"
LONGEST_HEADER = 1 << 16
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
BAND_0 = 0.28209479177387814
"""Of the spherical harmonics in which trainers store colours: rgb = 0.5 + BAND_0 * f_dc."""
LEAST_OPACITY = 0.02
"""Of Gaussians that are shown."""
GREY = 120
REMEDY = "save it as ascii or binary PLY with x, y and z"


@dataclass(frozen=True)
class Points:
    """points (N, 3) finite, float32; colors (N, 3) uint8."""

    points: np.ndarray
    colors: np.ndarray


def read_points(path: Path) -> Points:
    """InputError where the file is damaged or has no points. Gaussians that nobody would see are left out."""
    table = _vertices(path)
    names = table.dtype.names or ()
    if not {"x", "y", "z"} <= {*names}:
        raise InputError(f"expected x, y and z of vertices in {path}, found {shown(list(names))}; {REMEDY}")
    points = np.stack([table[name] for name in "xyz"], -1).astype(np.float32)
    kept = np.isfinite(points).all(1)
    if "opacity" in names:
        kept &= 1 / (1 + np.exp(-table["opacity"].astype(np.float64))) >= LEAST_OPACITY
    if not kept.any():
        raise InputError(f"expected points in {path}, found none that can be seen; check the file")
    return Points(points[kept], _colors(table)[kept])


def _colors(table: np.ndarray) -> np.ndarray:
    names = table.dtype.names or ()
    if "f_dc_0" in names:
        values = np.stack([table[f"f_dc_{k}"] for k in range(3)], -1).astype(np.float64)
        return np.rint(np.clip(np.nan_to_num(0.5 + BAND_0 * values), 0, 1) * 255).astype(np.uint8)
    if {"red", "green", "blue"} <= {*names}:
        values = np.stack([table[name] for name in ("red", "green", "blue")], -1)
        return values if values.dtype == np.uint8 else np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return np.full((len(table), 3), GREY, np.uint8)


def _vertices(path: Path) -> np.ndarray:
    """(N,) records of the element `vertex`, which has to be the first one."""
    content = read_bytes(path, "a .ply file").replace(b"end_header\r\n", END, 1)
    end = content.find(END, 0, LONGEST_HEADER)
    lines = content[: max(end, 0)].decode("ascii", "replace").split("\n")
    words = [line.split() for line in lines if line.split()]
    if end < 0 or not words or words[0] != ["ply"]:
        raise InputError(f"expected a PLY file at {path}, found another; {REMEDY}")
    try:
        form = next(line[1] for line in words if line[0] == "format")
        elements = [index for index, line in enumerate(words) if line[0] == "element"]
        first = words[elements[0]]
        last = elements[1] if len(elements) > 1 else len(words)
        properties = [line for line in words[elements[0] : last] if line[0] == "property"]
        order = ORDERS.get(form, "<")
        kind = np.dtype([(line[2], order + TYPES[line[1]]) for line in properties])
        count = int(first[2])
        if first[1] != "vertex" or count < 1:
            raise ValueError("no vertices come first")
        body = content[end + len(END) :]
        if form == "ascii":
            rows = [tuple(line.split()) for line in body.decode("ascii").splitlines()[:count]]
            if len(rows) != count:
                raise ValueError(f"{len(rows)} of {count} vertices are there")
            return np.array(rows, dtype=kind)
        if form not in ORDERS:
            raise ValueError(f"the format {shown(form)} is not known")
        return np.frombuffer(body, kind, count)
    except (StopIteration, IndexError, KeyError, ValueError, OverflowError) as error:
        raise InputError(f"expected vertices in {path}, found them damaged ({shown(str(error))}); {REMEDY}") from error
