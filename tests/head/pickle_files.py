"""Pickles of arrays in every way in which they have been written, and mutations of them."""

from __future__ import annotations

import contextlib
import io
import itertools
import pickle
import pickletools
import random
import sys
import types
from typing import Any

import numpy as np
import torch
from flame_files import Python2Pickler
from scipy.sparse import csc_matrix


def array_pickles() -> dict[str, tuple[bytes, np.ndarray]]:
    """Way of writing -> the pickle of {"a": array} and the array."""
    transposed = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 2, 0)
    arrays = {
        "float64": np.linspace(0, 1, 6).reshape(2, 3),
        "float16": np.arange(3, dtype=np.float16),
        "big endian": np.arange(5, dtype=">i4"),
        "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "transposed": transposed,
        "no axes": np.array(7, np.uint8),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 3)),
        "text": np.array(["a", "bc"]),
        "bytes": np.array([b"a", b"bc"]),
        "every other": np.arange(10)[::2],
        "matrix": np.asmatrix(np.eye(2)),
    }
    found = {}
    for name, array in arrays.items():
        for protocol in range(6):
            found[f"{name}, protocol {protocol}"] = pickle.dumps({"a": array}, protocol), np.asarray(array)
    # Of the other version of numpy: names that are lines, without a length in front, may be put in place of each other.
    modern = int(np.__version__.split(".")[0]) >= 2
    here, there = (b"numpy._core", b"numpy.core") if modern else (b"numpy.core", b"numpy._core")
    for name, (content, array) in list(found.items()):
        if here in content and name.endswith(("0", "1", "2")):
            found[f"{name}, other numpy"] = content.replace(here, there), array
    return found


def python2_pickle(content: Any) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(content)
    return file.getvalue()


def named_instance(module: str, name: str, state: dict[str, Any], protocol: int) -> bytes:
    """The pickle of an object of a class that cannot be imported here."""
    parts = module.split(".")
    made = {".".join(parts[: n + 1]): types.ModuleType(".".join(parts[: n + 1])) for n in range(len(parts))}
    kind = type(name, (), {"__module__": module})
    setattr(made[module], name, kind)
    before = {part: sys.modules.get(part) for part in made}
    sys.modules.update(made)
    try:
        instance = kind()
        instance.__dict__.update(state)
        return pickle.dumps({"a": instance}, protocol)
    finally:
        for part, was in before.items():
            if was is None:
                del sys.modules[part]
            else:
                sys.modules[part] = was


def seeds() -> list[bytes]:
    """Small pickles that together use every opcode and name that is read."""
    found = [content for content, _ in array_pickles().values()]
    regressor = csc_matrix(np.eye(3)[:2])
    state = {"x": np.arange(4.0), "_cache": {"r": None}, "dirty": {1, 2}}
    for protocol in range(6):
        found.append(
            pickle.dumps([torch.arange(6.0).reshape(2, 3), {"set": {1}, "none": None, "long": 2**70}], protocol)
        )
        found.append(pickle.dumps({"a": np.array([[1], "b"], object), "s": np.float32(3)}, protocol))
        found.append(pickle.dumps({"a": regressor, "b": bytearray(b"c"), "t": (True, 1.5, frozenset("a"))}, protocol))
        found.append(named_instance("chumpy.ch", "Ch", state, protocol))
    found.append(python2_pickle({"a": np.eye(3), "b": b"text", "c": [1, -1, 2.5]}))
    return found


def mutation(seed: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A pickle that was changed in some bytes or in some whole opcodes, which stay readable one by one."""
    change = _changed_bytes if rng.random() < 0.4 else _changed_opcodes
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        seed = change(seed, rng.choice(others), rng)
    return seed


def _changed_bytes(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    content = bytearray(seed)
    at = rng.randrange(len(content) + 1)
    kind = rng.randrange(5)
    if kind == 0 and content:
        content[at % len(content)] = rng.randrange(256)
    elif kind == 1:
        del content[at : at + rng.randrange(1, 12)]
    elif kind == 2:
        start = rng.randrange(len(other))
        content[at:at] = other[start : start + rng.randrange(1, 60)]
    elif kind == 3:
        content[at:at] = content[max(0, at - 30) : at] * rng.choice((1, 2, 50))
    else:
        content[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0"))
    return bytes(content)


def _changed_opcodes(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    parts, foreign = opcodes(seed), opcodes(other)
    at, start = rng.randrange(len(parts)), rng.randrange(len(foreign))
    kind = rng.randrange(5)
    if kind == 0:
        del parts[at]
    elif kind == 1:
        parts[at:at] = parts[max(0, at - rng.randrange(1, 12)) : at] * rng.choice((1, 2, 40))
    elif kind == 2:
        parts[at:at] = foreign[start : start + rng.randrange(1, 12)]
    elif kind == 3:
        parts[at] = foreign[start]
    else:
        same = [index for index, part in enumerate(parts) if part[:1] == parts[at][:1]]
        swapped = rng.choice(same)
        parts[at], parts[swapped] = parts[swapped], parts[at]
    return b"".join(parts)


def opcodes(content: bytes) -> list[bytes]:
    """Each opcode with its argument; what is no pickle in one part, as well as what follows where it breaks off."""
    bounds = [0]
    with contextlib.suppress(Exception):
        for _, _, position in pickletools.genops(content):
            bounds.append(position)
    bounds.append(len(content))
    return [content[start:end] for start, end in itertools.pairwise(bounds) if end > start] or [b"."]
