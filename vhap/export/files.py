"""Where an export's files go: into its folder, or, to say beforehand what would be written, nowhere."""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vhap.util.errors import InputError
from vhap.util.files import write_bytes
from vhap.util.files_together import FilesTogether
from vhap.util.optional import import_or_explain

JPEG_QUALITY = 97


class TargetFiles:
    """The files of one folder, each whole or not there. Names are relative to it, with slashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._together: FilesTogether | None = None

    @contextlib.contextmanager
    def settling(self) -> Iterator[None]:
        """Files written within wait for their names until many of them are on the disk, at the latest until the end;
        where it ends badly, those that wait are gone."""
        together = self._together = FilesTogether()
        try:
            yield
            together.settle()
        finally:
            self._together = None
            together.discard()

    def has(self, *names: str) -> bool:
        """Whether all of these are there already, or wait for their names."""
        paths, together = [self.folder / name for name in names], self._together
        return all(path.is_file() or (together is not None and together.waits(path)) for path in paths)

    def write(self, name: str, content: bytes | memoryview) -> None:
        if self._together is None:
            write_bytes(self.folder / name, content)
        else:
            self._together.write(self.folder / name, content)

    def replace(self, name: str, content: bytes) -> None:
        """As `write`, but a file that holds the same is left alone."""
        path = self.folder / name
        with contextlib.suppress(OSError):
            if path.is_file() and path.read_bytes() == content:
                return
        self.write(name, content)


class CountedFiles(TargetFiles):
    """Counts what would be written, by folder, and writes nothing. frames: of which each written one stands for all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.counts: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.frames = 1
        self._lock = threading.Lock()

    def has(self, *names: str) -> bool:
        return False

    def write(self, name: str, content: bytes | memoryview) -> None:
        # Folders of single frames are shown as one.
        folder = re.sub(r"\d{4,}", "*", str(PurePosixPath(name).parent))
        with self._lock:
            self.counts[folder] += self.frames
            self.bytes[folder] += self.frames * len(content)

    def lines(self) -> list[str]:
        """One a folder, then all of them."""
        shown = [
            f"{'beside them' if folder == '.' else f'{folder}/'}: {self.counts[folder]} files, "
            f"{size_text(self.bytes[folder])}"
            for folder in sorted(self.counts, key=lambda folder: (folder == ".", folder))
        ]
        return [*shown, f"in all: {self.counts.total()} files, about {size_text(self.bytes.total())}"]


def size_text(count: int) -> str:
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}" if units[0] != "bytes" else f"{count} bytes"


def jpg(picture: np.ndarray) -> memoryview:
    """(H, W) or (H, W, 3) RGB uint8."""
    cv2 = import_or_explain("cv2")
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ValueError(f"could not encode a JPEG of {picture.shape}")
    return encoded.data


def npz(arrays: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def json_text(value: Any, indent: int | None = 4) -> bytes:
    """NaN and infinity are refused, since most readers cannot parse them."""
    return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()


def number_lines(values: np.ndarray) -> bytes:
    """One number a line."""
    return "".join(f"{value:.8f}\n" for value in np.asarray(values, np.float64).reshape(-1).tolist()).encode()


def require_finite(name: str, *arrays: np.ndarray) -> None:
    """InputError where a number that is to be written is none."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(f"expected finite numbers for {name}, found NaN or infinity; track again")
