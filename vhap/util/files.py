"""Files appear whole or not at all: written beside their place under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vhap.util.errors import InputError


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yields a temporary path in the target's folder (same suffix); renamed onto target when the block succeeds."""
    target = Path(target)
    make_folder(target.parent)
    handle, name = tempfile.mkstemp(prefix=".tmp_", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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


def write_text(target: str | Path, text: str) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: str | Path, value: Any) -> None:
    """JSON with an indent of 4; NaN and infinity are refused, since most readers cannot parse them."""
    write_text(target, json.dumps(value, indent=4, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"expected a JSON file at {path}, found nothing; check the path") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected JSON in {path}, found something else ({error}); restore or remake it") from error


def write_npz(target: str | Path, arrays: dict[str, Any]) -> None:
    with atomic_path(target) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an npz; never runs code (allow_pickle off)."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise InputError(f"expected an npz file at {path}, found nothing; check the path") from error
    except (ValueError, OSError, EOFError, KeyError) as error:
        raise InputError(f"expected a readable npz at {path}, found {error}; restore or remake it") from error
    except Exception as error:
        if type(error).__name__ == "BadZipFile":
            raise InputError(f"expected a readable npz at {path}, found a damaged one; remake it") from error
        raise


def file_hash(path: str | Path) -> str:
    """First 16 hex digits of the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]
