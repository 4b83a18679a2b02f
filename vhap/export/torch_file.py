"""Dictionaries of numpy arrays as torch.save writes them, for readers as old as PyTorch 1.12 with numpy 1.

Written out by hand: the pickle inside names numpy.core, which both numpy 1 and numpy 2 know, where numpy 2's own
pickles name numpy._core, which numpy 1 cannot load. It holds nothing but dictionaries, text, whole numbers and arrays.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

Content: TypeAlias = "str | int | np.ndarray | Mapping[str, Content]"

ROOT = "archive"
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
"""Of the archive's members: equal content gives equal bytes."""


def torch_file(content: Mapping[str, Content]) -> bytes:
    """The bytes of a file that torch.load reads. Arrays are little-endian, of float32, float64, int32 or int64."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("data.pkl", pickled(content)), ("version", b"3\n")):
            archive.writestr(zipfile.ZipInfo(f"{ROOT}/{name}", TIMESTAMP), data)
    return stream.getvalue()


def pickled(content: Content) -> bytes:
    """Protocol 2, as torch.save has it."""
    return pickle.PROTO + b"\x02" + _value(content) + pickle.STOP


def _value(value: Content) -> bytes:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return pickle.BININT + struct.pack("<i", value)
    if isinstance(value, np.ndarray):
        return _array(value)
    entries = b"".join(_text(key) + _value(entry) for key, entry in value.items())
    return pickle.EMPTY_DICT + pickle.MARK + entries + pickle.SETITEMS


def _array(array: np.ndarray) -> bytes:
    """As numpy.ndarray.__reduce__ has it: an empty array, then its state."""
    if array.dtype.name not in ("float32", "float64", "int32", "int64"):
        raise ValueError(f"expected an array of 32 or 64 bits, found {array.dtype}")
    kind = _text(f"{array.dtype.kind}{array.dtype.itemsize}")
    dtype = _global("numpy", "dtype") + _tuple(kind, pickle.NEWFALSE, pickle.NEWTRUE) + pickle.REDUCE
    none, minus_one = pickle.NONE, _value(-1)
    dtype += _tuple(_value(3), _text("<"), none, none, none, minus_one, minus_one, _value(0)) + pickle.BUILD
    empty = _tuple(_global("numpy", "ndarray"), _tuple(_value(0)), _bytes(b"b"))
    shape = _tuple(*(_value(side) for side in array.shape))
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    state = _tuple(_value(1), shape, dtype, pickle.NEWFALSE, _bytes(data))
    return _global("numpy.core.multiarray", "_reconstruct") + empty + pickle.REDUCE + state + pickle.BUILD


def _tuple(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    data = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(data)) + data


def _bytes(data: bytes) -> bytes:
    """Protocol 2 has no bytes: Python 3 writes them as text to be encoded."""
    return _global("_codecs", "encode") + _tuple(_text(data.decode("latin1")), _text("latin1")) + pickle.REDUCE
