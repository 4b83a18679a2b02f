"""Faulty inputs out of good ones: bytes, text, JSON, YAML, npz, npy and words of a command line, by a seeded choice."""

from __future__ import annotations

import io
import json
import random
import re
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

# PyYAML's parser and writer in C, where it has them, take a tenth of the time.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
NUMBERS = (0, -1, 1, 2, 0.5, -0.0, 1e300, -1e300, 1e-300, float("nan"), float("inf"), 2**31, 2**63, -(2**63), 10**400)
WORDS = (
    "", "0", "-1", "1e300", "nan", "NaN", "inf", "-inf", "null", "true", "1_000", "0x10", "../../x", "/etc/passwd",
    "a" * 5000, "x\n\x1b[31my", "\x00", "\u202e", "ü" * 300, "\ud800", "%s{0}", "~", "-", "--", ".", "1:2", "*a", "!!x",
    "1/0", "-5/3", "99999999999999999999999",
)  # fmt: skip
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
EXTREMES = (b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0" * 4, b"\xff" * 8, b"\0" * 7 + b"\x80")
TYPES = ("f2", "f4", "f8", ">f4", "i1", "i8", "u1", "u8", "?", "c8", "U3", "S4", "M8[s]", "V2", "O")


def mutated(kind: str, seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the seeds, changed in one way or in a few."""
    seed = rng.choice(seeds)
    if rng.random() < 0.01:
        return b"[]" if kind == "words" else b""
    change = CHANGES[kind]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        seed = change(seed, rng.choice(seeds), rng)
    return seed


def changed_bytes(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    content = bytearray(seed)
    at = rng.randrange(len(content) + 1)
    # Headers are where formats say what they hold.
    at = min(at, rng.randrange(1, 200)) if rng.random() < 0.3 else at
    length = rng.choice((1, 2, 4, 8, 16, 100, 1000))
    way = rng.randrange(9)
    if way == 0 and content:
        content[at % len(content)] ^= 1 << rng.randrange(8)
    elif way == 1 and content:
        content[at % len(content)] = rng.randrange(256)
    elif way == 2:
        del content[at:]
    elif way == 3:
        del content[at : at + length]
    elif way == 4:
        content[at:at] = rng.randbytes(length)
    elif way == 5:
        content[at:at] = content[max(0, at - length) : at] * rng.choice((1, 2, 30))
    elif way == 6:
        start = rng.randrange(len(other) + 1)
        content[at : at + length] = other[start : start + length]
    elif way == 7:
        extreme = rng.choice(EXTREMES)
        content[at : at + len(extreme)] = extreme
    else:
        content[at : at + length] = bytes(length)
    return bytes(content)


def changed_text(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return changed_bytes(seed, other, rng)
    if rng.random() < 0.6:
        found = list(NUMBER.finditer(seed))
        if found:
            match = rng.choice(found)
            return seed[: match.start()] + _as_text(_odd_value(rng, flat=True)) + seed[match.end() :]
    lines = seed.split(b"\n")
    at = rng.randrange(len(lines))
    way = rng.randrange(5)
    if way == 0:
        del lines[at]
    elif way == 1:
        lines[at:at] = [lines[at]] * rng.choice((1, 2, 50))
    elif way == 2:
        lines[at] = rng.choice(other.split(b"\n"))
    elif way == 3:
        words = lines[at].split(b" ")
        place = rng.randrange(len(words))
        words[place : place + 1] = rng.choice(([], [_as_text(rng.choice(WORDS))], [words[place]] * 2))
        lines[at] = b" ".join(words)
    else:
        start, end = sorted((at, rng.randrange(len(lines))))
        lines[start], lines[end] = lines[end], lines[start]
    return b"\n".join(lines)


def changed_json(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    return _changed_tree(seed, other, rng, json.loads, _json_bytes)


def changed_yaml(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    return _changed_tree(seed, other, rng, lambda text: yaml.load(text, Loader=LOADER), _yaml_bytes)


def _yaml_bytes(value: Any) -> bytes:
    try:
        return yaml.dump(value, Dumper=DUMPER).encode()
    # Lone surrogates, which PyYAML's own writer passes on.
    except UnicodeError:
        return yaml.safe_dump(value).encode(errors="replace")


def _json_bytes(value: Any) -> bytes:
    # Lone surrogates are written as escapes, which JSON allows.
    return json.dumps(value).encode()


def _changed_tree(
    seed: bytes, other: bytes, rng: random.Random, read: Callable[[bytes], Any], write: Callable[[Any], bytes]
) -> bytes:
    if rng.random() < 0.25:
        return changed_text(seed, other, rng)
    try:
        return write(_changed_value(read(seed), rng))
    # A seed that was broken by an earlier change.
    except Exception:
        return changed_text(seed, other, rng)


def _changed_value(root: Any, rng: random.Random) -> Any:
    """A tree of dictionaries and lists with one of its nodes changed."""
    places: list[tuple[Any, Any]] = []
    _collect(root, places)
    if not places or rng.random() < 0.03:
        return _odd_value(rng)
    parent, key = rng.choice(places)
    way = rng.randrange(7)
    if way == 0:
        del parent[key]
    elif way == 1 and isinstance(parent, dict):
        parent[rng.choice(WORDS)] = parent.pop(key)
    elif way == 2 and isinstance(parent, list):
        parent[key:key] = [parent[key]] * rng.choice((1, 3, 200))
    elif way == 3:
        parent[key] = rng.choice(([parent[key]], {"a": parent[key]}, {"0": parent[key]}, [[[parent[key]]]]))
    elif way == 4:
        source, name = rng.choice(places)
        parent[key] = source[name] if source is not parent[key] else None
    else:
        parent[key] = _odd_value(rng)
    return root


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        places.append((value, key))
        _collect(value[key], places)


def _odd_value(rng: random.Random, flat: bool = False) -> Any:
    if flat or rng.random() < 0.75:
        return rng.choice(rng.choice((NUMBERS, WORDS, (None, True, False))))
    nested: Any = 1
    for _ in range(rng.choice((0, 3, 900))):
        nested = [nested]
    return rng.choice(([], {}, [1, 2, 3], [None], {"a": 1}, nested, [0.0] * 1000))


def _as_text(value: Any) -> bytes:
    return str(value).encode(errors="surrogatepass") if not isinstance(value, int) or value < 2**64 else b"9" * 400


def changed_npz(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:
        return changed_bytes(seed, other, rng)
    try:
        with np.load(io.BytesIO(seed), allow_pickle=True) as file:
            arrays = {name: file[name] for name in file.files}
        name = rng.choice(sorted(arrays))
        way = rng.randrange(12)
        if way == 0:
            del arrays[name]
        elif way == 1:
            arrays[rng.choice((*WORDS[:12], "x"))] = arrays.pop(name)
        elif way == 2:
            arrays[name] = arrays[rng.choice(sorted(arrays))]
        else:
            arrays[name] = _changed_array(arrays[name], rng)
        file = io.BytesIO()
        (np.savez_compressed if rng.random() < 0.1 else np.savez)(file, **arrays)
        return file.getvalue()
    except Exception:
        return changed_bytes(seed, other, rng)


def changed_npy(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return changed_bytes(seed, other, rng)
    try:
        file = io.BytesIO()
        np.save(file, _changed_array(np.load(io.BytesIO(seed)), rng))
        return file.getvalue()
    except Exception:
        return changed_bytes(seed, other, rng)


def _changed_array(array: np.ndarray, rng: random.Random) -> np.ndarray:
    way = rng.randrange(11)
    with np.errstate(all="ignore"):
        if way == 0:
            return array.astype(rng.choice(TYPES))
        if way == 1:
            return np.asfortranarray(array)
        if way == 2:
            return array.reshape(rng.choice(((-1,), (1, *array.shape), (*array.shape, 1))))
        if way == 3:
            return array[rng.choice((slice(0), slice(1), slice(None, -1), slice(None, None, 2), 0, None))]
        if way == 4:
            return np.concatenate([array, array], rng.randrange(max(1, array.ndim)))
        if way == 5:
            return array.T
        if way == 6:
            return np.full_like(array, rng.choice((0, -1, 1, 1e30, np.nan, np.inf)))
        if way == 7:
            return np.array(rng.choice(({"a": 1}, [1, "b", None], [[1], [2, 3]])), object)
        if way == 8:
            return np.array(rng.choice((*WORDS[:14], 0, 1.5, True)))
        changed = array.copy()
        flat = changed.reshape(-1)
        for _ in range(rng.choice((1, 1, 5))):
            value = rng.choice(NUMBERS) if array.dtype.kind in "fc" else rng.choice((0, -1, 1, 2, 99, 2**31))
            flat[rng.randrange(len(flat))] = rng.choice(WORDS[:14]) if array.dtype.kind in "US" else value
        return changed


def changed_zip(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    """An archive with one of its members changed, renamed, doubled or gone, so that its sums are right."""
    if rng.random() < 0.3:
        return changed_bytes(seed, other, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(seed)) as archive:
            members = [(name, archive.read(name)) for name in archive.namelist()]
        at = rng.randrange(len(members))
        name, content = members[at]
        way = rng.randrange(8)
        if way == 0:
            del members[at]
        elif way == 1:
            members[at] = (rng.choice((*WORDS, name.replace(".", "/."), name.upper(), name + "/")), content)
        elif way == 2:
            members.append((name, content))
        elif way == 3:
            members[at] = (name, rng.choice(members)[1])
        else:
            members[at] = (name, (changed_npy if name.endswith(".npy") else changed_text)(content, content, rng))
        file = io.BytesIO()
        with (
            warnings.catch_warnings(),
            zipfile.ZipFile(file, "w", rng.choice((0, 0, 0, zipfile.ZIP_DEFLATED))) as archive,
        ):
            warnings.simplefilter("ignore")
            for name, content in members:
                archive.writestr(name, content)
        return file.getvalue()
    except Exception:
        return changed_bytes(seed, other, rng)


def changed_words(seed: bytes, other: bytes, rng: random.Random) -> bytes:
    """A JSON list of words, some of which become others."""
    words, foreign = json.loads(seed), json.loads(other)
    at = rng.randrange(len(words))
    way = rng.randrange(6)
    if way == 0:
        del words[at]
    elif way == 1:
        words.insert(at, words[at])
    elif way == 2:
        words.insert(at, rng.choice(foreign))
    elif way == 3:
        words[at] = words[at][: rng.randrange(len(words[at]) + 1)]
    else:
        words[at] = str(rng.choice((*WORDS, *map(str, NUMBERS[:-1]), "9" * 400)))
    return json.dumps(words or [""]).encode()


CHANGES: dict[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "bytes": changed_bytes,
    "text": changed_text,
    "json": changed_json,
    "yaml": changed_yaml,
    "npz": changed_npz,
    "npy": changed_npy,
    "zip": changed_zip,
    "words": changed_words,
}
