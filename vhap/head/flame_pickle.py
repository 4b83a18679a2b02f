"""FLAME's pickles and the .npy files with a pickle inside, read without running code (`pickle_machine`)."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vhap.head.pickle_machine import RefusedName, Unreadable
from vhap.head.pickle_objects import number_array, plain_pickle
from vhap.head.pickle_values import array_of
from vhap.util.errors import InputError, shown
from vhap.util.files import read_bytes

SOURCE = "download the file again from flame.is.tue.mpg.de"
MAX_BYTES = 1 << 31
LARGEST = 1 << 32
"""FLAME's largest number is the root's parent, -1 as an unsigned integer of 32 bits."""


def read_pickle(path: str | Path) -> Any:
    """What a FLAME .pkl holds, as arrays, numbers, texts, lists and dictionaries.

    Arrays of numpy, chumpy, torch and (dense) of scipy come as numpy arrays in native byte order. InputError for a
    name that is not admitted, a damaged file or a missing one.
    """
    return _read(Path(path), plain_pickle)


def read_object_array(path: str | Path) -> Any:
    """The array of a .npy file, or the single object in one that holds a pickle."""
    return _read(Path(path), _npy)


def numbers_of(content: dict[Any, Any], name: str, path: Path) -> np.ndarray:
    """The array under a name, of finite numbers. InputError where it is missing or something else."""
    try:
        if name not in content:
            raise Unreadable("none")
        array = number_array(content[name])
        with np.errstate(invalid="ignore"):
            fits = not array.size or np.abs(array.astype(np.float64)).max() <= LARGEST
        if not fits:
            raise Unreadable("numbers that are not finite, or far too large")
    except Unreadable as error:
        raise InputError(f"expected numbers as {name} in {path}, found {error}; {SOURCE}") from error
    return array


def whole_numbers_of(content: dict[Any, Any], name: str, path: Path, most: int) -> np.ndarray:
    """As `numbers_of`: whole numbers from 0 to below `most`, as int64; floats without a fraction count."""
    array = numbers_of(content, name, path)
    if array.dtype.kind == "b":
        raise InputError(f"expected whole numbers as {name} in {path}, found truth values; {SOURCE}")
    if array.size and not (0 <= array.min() <= array.max() < most and (array == np.floor(array)).all()):
        raise InputError(
            f"expected whole numbers from 0 to {most - 1} as {name} in {path}, found {array.min()} to "
            f"{array.max()}; take the file that belongs to this model"
        )
    return array.astype(np.int64)


def _read(path: Path, read: Callable[[bytes], Any]) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable(f"a file of more than {MAX_BYTES >> 30} GB")
        return read(read_bytes(path, "a file"))
    except FileNotFoundError as error:
        raise InputError(f"expected a file at {path}, found none; get it from flame.is.tue.mpg.de") from error
    except RefusedName as error:
        raise InputError(
            f"expected only arrays in {path}, found the name {shown(str(error))}, which could run code; {SOURCE}"
        ) from error
    except (ValueError, ArithmeticError) as error:
        reason = str(error)[:200] if isinstance(error, Unreadable) else shown(f"{type(error).__name__}: {error}")
        raise InputError(f"expected one of FLAME's files at {path}, found {reason}; {SOURCE}") from error


def _npy(content: bytes) -> Any:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    # numpy's reader of a damaged header raises almost any exception.
    except Exception as error:
        raise Unreadable(f"no header of a .npy file ({type(error).__name__})") from error
    rest = content[file.tell() :]
    if not dtype.hasobject:
        if dtype.kind not in "biufSU" or not dtype.itemsize:
            raise Unreadable(f"an array of dtype {dtype}")
        return array_of(rest, dtype, shape, "F" if is_fortran else "C")
    value = plain_pickle(rest)
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise Unreadable(f"{type(value).__name__} in place of one object")
    return value.reshape(-1)[0] if value.dtype.kind == "O" else value
