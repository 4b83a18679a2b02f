"""Files appear whole or not at all: written beside their place under a temporary name, synced, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from vhap.util.errors import InputError, shown

ARRAY_KINDS = "biufU"
"""Kinds of numpy arrays that files of ours hold: truth values, whole and real numbers, text."""

UNFINISHED = re.compile(r"\.tmp_[a-z0-9_]{8}(\.\w+)?")
"""Names that `atomic_path` gives, by tempfile's alphabet."""

MOST_DIGITS = 308
"""Of whole numbers in JSON; double precision ends there."""

MOST_INFLATED_BYTES = 1 << 32
"""Of one compressed array: zeros grow a thousandfold, and a small file must not fill the memory."""


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder (same suffix); when the block succeeds its bytes are on the disk
    and it takes the target's name. What a kill leaves is removed by `remove_unfinished`."""
    target = Path(target)
    make_folder(target.parent)
    temporary, handle = held_file(target)
    try:
        yield temporary
        make_readable(temporary)
        sync_file(temporary)
        os.replace(temporary, target)
    finally:
        drop_temporary(temporary, handle)


def make_readable(temporary: Path) -> None:
    """To whom the user's other new files are."""
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o666 & ~mask)


def sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def drop_temporary(temporary: Path, handle: int | None) -> None:
    if handle is not None:
        os.close(handle)
    temporary.unlink(missing_ok=True)


def held_file(target: Path) -> tuple[Path, int | None]:
    """A new file beside the target, locked by the handle as long as it is written; None where there are no locks."""
    while True:
        handle, name = tempfile.mkstemp(prefix=".tmp_", suffix=target.suffix, dir=target.parent)
        if not _lock(handle, wait=True):
            os.close(handle)
            return Path(name), None
        if os.fstat(handle).st_nlink:
            return Path(name), handle
        # Another process took it for a leftover before it was locked.
        os.close(handle)


def remove_unfinished(folder: str | Path, with_folders: bool = True) -> None:
    """Removes temporary files whose process has ended, from a folder and, with_folders, from those below it.

    Where the file system or the machine (Windows) has no locks, nothing is known of them, and they stay.
    """
    for place, folders, names in os.walk(folder):
        for name in names:
            if UNFINISHED.fullmatch(name):
                with contextlib.suppress(OSError):
                    _remove_unless_held(Path(place, name))
        if not with_folders:
            folders.clear()


def _remove_unless_held(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        if _lock(handle, wait=False):
            path.unlink()
    finally:
        os.close(handle)


def _lock(handle: int, wait: bool) -> bool:
    """Whether the open file is locked for this process now; the lock goes with the handle."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True


def make_folder(path: str | Path) -> Path:
    """Makes a folder and its parents; an InputError where a file stands in its place or the right is missing."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(
            f"expected a folder (or a place for one) at {path}, found {type(error).__name__}: {error.strerror}; "
            "remove what stands there or choose another folder"
        ) from error
    return path


def read_bytes(path: str | Path, what: str) -> bytes:
    """A whole file. what: "a JSON file", for the message where there is none."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"expected {what} at {path}, found nothing; check the path") from error
    except ValueError as error:
        raise InputError(
            f"expected {what} at {shown(str(path))}, found no name of a file ({error}); correct it"
        ) from error


def write_bytes(target: str | Path, content: bytes | memoryview) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: str | Path, text: str) -> None:
    write_bytes(target, text.encode("utf-8"))


def write_json(target: str | Path, value: Any) -> None:
    """JSON with an indent of 4; NaN and infinity are refused, since most readers cannot parse them."""
    write_text(target, json.dumps(value, indent=4, allow_nan=False) + "\n")


def read_json(path: str | Path, kind: Any = None) -> Any:
    """JSON whose numbers are finite, whose objects name each key once, and whose text has an encoding.

    kind: a type that the content has to be of, as msgspec checks it (TypedDicts and Annotated included); keys that it
    does not name are kept. InputError where the file is missing, is not JSON, or is not of that type.
    """
    content = read_bytes(path, "a JSON file")
    try:
        text = content.decode(json.detect_encoding(content))
        value = json.loads(
            text,
            parse_constant=_finite_number,
            parse_float=_finite_number,
            parse_int=_real_number,
            object_pairs_hook=_distinct_keys,
        )
        if "\\u" in text:
            # Half of a pair of surrogates can be written as an escape, but never be printed or saved.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"expected JSON in {path}, found something else ({error}); restore or remake it") from error
    if kind is not None:
        _require_kind(value, kind, path)
    return value


def _require_kind(value: Any, kind: Any, path: str | Path) -> None:
    import msgspec

    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(
            f"expected other content in {path}, found what does not fit: {shown(str(error))}; restore or remake it"
        ) from error


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {shown(text)} is not finite")
    return number


def _real_number(text: str) -> int:
    """A whole number that a floating-point one can stand for."""
    number = int(text)
    if len(text) > MOST_DIGITS:
        raise ValueError(f"the number {shown(text)} is too large")
    return number


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {shown(next(n for n in names if names.count(n) > 1))} stands twice in one object")
    return found


def write_npz(target: str | Path, arrays: dict[str, Any]) -> None:
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_npz(
    path: str | Path, only: Container[str] | None = None, remedy: str = "restore or remake it"
) -> dict[str, np.ndarray]:
    """The arrays of an npz, or those of these names. No code is run, and no memory taken beyond what the file holds."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected an npz file at {path}, found nothing; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            named = {_array_name(member): member for member in archive.infolist()}
            return {
                name: _read_member(archive, member) for name, member in named.items() if only is None or name in only
            }
    except (MemoryError, PermissionError):
        raise
    # A damaged archive raises almost any exception; all of them mean the same here.
    except Exception as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise InputError(f"expected a readable npz at {path}, found {reason}; {remedy}") from error


def _array_name(member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename} is no array")
    return member.filename.removesuffix(".npy")


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.file_size > max(MOST_INFLATED_BYTES, member.compress_size):
        raise ValueError(f"{member.filename} grows from {member.compress_size} to {member.file_size} bytes")
    with archive.open(member) as file:
        return read_array(file, member.file_size)


def read_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an npy stream of `size` bytes. ValueError where it holds objects, or not what its header says."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read_header(file)
    header = file.tell()
    if dtype.kind not in ARRAY_KINDS or dtype.hasobject:
        raise ValueError(f"an array of {dtype}, which is not read here")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != size - header:
        raise ValueError(f"{size - header} bytes in place of an array {shape} of {dtype}")
    content = file.read(size - header)
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), order="C")


def read_npy(path: str | Path) -> np.ndarray:
    """The array of an npy file; InputError where it is missing or damaged. No code is run."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected an npy file at {path}, found nothing; check the path")
    try:
        with open(path, "rb") as file:
            return read_array(file, path.stat().st_size)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise InputError(f"expected a readable npy at {path}, found {reason}; restore or remake it") from error


def map_npy(path: str | Path) -> np.ndarray:
    """As `read_npy`, read from the disk where it is used: of a file that is larger than the memory."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"expected an npy file at {path}, found nothing; check the path")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in ARRAY_KINDS:
            raise ValueError("no array of numbers or text")
    except (MemoryError, PermissionError):
        raise
    # numpy's reader of a damaged header raises almost any exception.
    except Exception as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise InputError(f"expected a readable npy at {path}, found {reason}; restore or remake it") from error
    return array


def file_hash(path: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
