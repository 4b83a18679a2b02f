"""FLAME's pickles, read without running code: only the few names they need are admitted, all others are refused.

A pickle names the functions it wants called; an unrestricted one can call any. The PyPI chumpy that FLAME's files
name does not import on current Python, so it is stood in for as well.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from scipy.sparse import csc_matrix
from torch._utils import _rebuild_tensor_v2

from vhap.util.errors import InputError


class ChumpyArray:
    """Stands in for `chumpy.ch.Ch`: the array is in the state, under `x`."""

    x: np.ndarray

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.x, dtype)


class SparseColumns:
    """Stands in for scipy's `csc_matrix`, whose module has had two names and whose state has changed."""

    matrix: csc_matrix

    def __setstate__(self, state: dict[str, Any]) -> None:
        shape = state.get("_shape", state.get("shape"))
        self.matrix = csc_matrix((state["data"], state["indices"], state["indptr"]), shape=shape)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.matrix.toarray(), dtype)


def _load_storage(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


_MULTIARRAY: Any = importlib.import_module("numpy.core.multiarray")

ADMITTED: dict[tuple[str, str], Any] = {
    ("chumpy.ch", "Ch"): ChumpyArray,
    ("scipy.sparse.csc", "csc_matrix"): SparseColumns,
    ("scipy.sparse._csc", "csc_matrix"): SparseColumns,
    ("numpy.core.multiarray", "_reconstruct"): _MULTIARRAY._reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _MULTIARRAY._reconstruct,
    ("numpy.core.multiarray", "scalar"): _MULTIARRAY.scalar,
    ("numpy._core.multiarray", "scalar"): _MULTIARRAY.scalar,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch.storage", "_load_from_bytes"): _load_storage,
}


class _Reader(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise InputError(
                f"expected only arrays in {self.path}, found the name {module}.{name}, which could run code; "
                "download the file again from flame.is.tue.mpg.de"
            )
        return ADMITTED[module, name]


def read_pickle(path: str | Path) -> Any:
    """What a FLAME .pkl holds. InputError for a name that is not admitted, a damaged file or a missing one."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _Reader(file, path).load()
    except FileNotFoundError as error:
        raise InputError(f"expected a file at {path}, found none; get it from flame.is.tue.mpg.de") from error
    except InputError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def read_object_array(path: str | Path) -> Any:
    """The single object in a .npy file that numpy would unpickle without restriction."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = read(file)
            if not dtype.hasobject:
                file.seek(0)
                return np.load(file, allow_pickle=False)
            return _Reader(file, path).load().item()
    except InputError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    """A damaged pickle raises almost any exception, so all of them mean the same here."""
    return InputError(
        f"expected one of FLAME's files at {path}, found something unreadable ({type(error).__name__}: {error}); "
        "download it again from flame.is.tue.mpg.de"
    )
