"""Submission archives: zips that are whole or not there at all, and that go on where a run was stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import sys
import weakref
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TypeVar

from vhap.util.errors import InputError, shown
from vhap.util.files import MOST_INFLATED_BYTES, UNFINISHED, atomic_path
from vhap.util.lock import LOCK_FILE, folder_lock
from vhap.util.log import get_logger

UNFINISHED_SUFFIX = ".unfinished"
MAX_BYTES_READ = 1 << 20
DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    zlib.error,
    struct.error,
)
"""What the zip library raises of damaged, encrypted and unknown members; NotImplementedError is a RuntimeError."""
Writer = TypeVar("Writer", bound="SubmissionDataWriter")


class _Unfinished:
    """The files of an archive that is being written, in the folder `OUT.zip.unfinished` beside it."""

    def __init__(self, zip_path: Path, names: Sequence[str]) -> None:
        self.zip_path, self.names = zip_path, names
        self.folder = zip_path.with_name(zip_path.name + UNFINISHED_SUFFIX)
        self.is_open, self.has_failed = True, False
        self._process = os.getpid()
        if zip_path.is_dir():
            raise InputError(f"expected a file (or a place for one) at {zip_path}, found a folder; name a zip")
        self._lock = folder_lock(self.folder)
        self._lock.__enter__()
        try:
            self._require_own_files()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise

    def _require_own_files(self) -> None:
        allowed = set(self.names)
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_dir() or path.name == LOCK_FILE or UNFINISHED.fullmatch(path.name) or name in allowed:
                continue
            raise InputError(
                f"expected files of this benchmark alone in {self.folder}, found {shown(name)}; remove that folder, or "
                "name another zip"
            )

    def present(self) -> list[str]:
        return [name for name in self.names if (self.folder / name).is_file()]

    def release(self) -> None:
        if self.is_open:
            self.is_open = False
            self._lock.__exit__(None, None, None)

    def pack(self) -> None:
        """Stored, not compressed: videos and meshes hardly shrink."""
        names = self.present()
        if not names:
            raise InputError(f"expected files for {self.zip_path}, found none added; add some before closing")
        with (
            atomic_path(self.zip_path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive,
        ):
            for name in names:
                archive.write(self.folder / name, name)
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pack_dropped(self) -> None:
        """For code that never closes its writer; what failed stays unfinished. A forked process packs nothing."""
        if not self.is_open or self._process != os.getpid():
            return
        if self.has_failed or getattr(sys, "last_value", None) is not None or not self.present():
            self.release()
            return
        if self.zip_path.is_file() and _names_in(self.zip_path) - set(self.present()):
            get_logger().warning(
                "%s was not closed, and holds less than the archive of that name, which stays: see %s",
                self.zip_path, self.folder,
            )  # fmt: skip
            self.release()
            return
        self.pack()


class SubmissionDataWriter:
    """Writes a submission. Files are kept in `OUT.zip.unfinished` until `close`, which makes OUT.zip of them.

    The same writer begun again on that folder keeps what it holds. A block that ends with an error leaves the folder,
    and an earlier OUT.zip as it was.
    """

    def __init__(self, zip_path: str | Path, names: Sequence[str]) -> None:
        """names: all that the archive may hold."""
        self._unfinished = _Unfinished(Path(zip_path), names)
        self._dropped = weakref.finalize(self, self._unfinished.pack_dropped)

    def __enter__(self: Writer) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._unfinished.release()

    def keep_packed(self) -> None:
        """Takes over what the archive that is to be replaced holds, where nothing else was written in its place.

        InputError where that archive is damaged, or holds files that are none of this submission's.
        """
        zip_path = self._unfinished.zip_path
        if not zip_path.is_file():
            return
        with SubmissionDataReader(zip_path) as reader:
            if foreign := sorted(set(reader.list_files()) - set(self._unfinished.names)):
                raise InputError(
                    f"expected a submission to this benchmark at {zip_path}, found {shown(foreign[0])} in it; name "
                    "another zip, or remove it"
                )
            for name in reader.list_files():
                target = self.path_of(name)
                if not target.is_file():
                    with atomic_path(target) as temporary:
                        reader.extract(name, temporary)

    def close(self) -> None:
        """Makes the archive; a second call does nothing. InputError where no file was added."""
        if self._unfinished.is_open:
            self._unfinished.pack()

    def path_of(self, name: str) -> Path:
        """Where a file of the archive is written."""
        if not self._unfinished.is_open:
            raise InputError(f"expected an open {self._unfinished.zip_path}, found it closed; open a writer again")
        return self._unfinished.folder / name

    @contextlib.contextmanager
    def _noting_failure(self):
        """An archive whose last addition failed is not finished by itself when the writer is dropped."""
        self._unfinished.has_failed = True
        yield
        self._unfinished.has_failed = False


class SubmissionDataReader:
    """Reads a submission. InputError where it is missing, is no zip, or holds names that leave its folder."""

    def __init__(self, zip_path: str | Path) -> None:
        self._zip_path = Path(zip_path)
        if not self._zip_path.is_file():
            found = "a folder" if self._zip_path.is_dir() else "nothing"
            raise InputError(f"expected a zip at {self._zip_path}, found {found}; check the path")
        try:
            self._zip = zipfile.ZipFile(self._zip_path)
        except DAMAGE as error:
            raise self._damaged(error) from error
        self._dropped = weakref.finalize(self, self._zip.close)
        # Not by is_dir, which fails at a name without letters.
        self._names = [name for name in self._zip.namelist() if not name.endswith("/")]
        for name in self._names:
            if not _is_safe(name) or self._names.count(name) > 1:
                self.close()
                raise InputError(
                    f"expected distinct paths below the archive in {self._zip_path}, found {shown(name)}; pack it again"
                )

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._zip.close()

    def list_files(self) -> list[str]:
        return list(self._names)

    def extract(self, name: str, target: Path) -> None:
        """InputError where the archive lacks it, or where it is damaged."""
        if name not in self._names:
            raise InputError(f"expected {name} in {self._zip_path}, found no such file; check the names")
        member = self._zip.getinfo(name)
        if member.file_size > max(MOST_INFLATED_BYTES, member.compress_size):
            raise InputError(
                f"expected files of their packed size in {self._zip_path}, found {name} growing from "
                f"{member.compress_size} to {member.file_size} bytes; pack it again"
            )
        try:
            with self._zip.open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, MAX_BYTES_READ)
        except DAMAGE as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        reason = shown(f"{type(error).__name__}: {error}")
        return InputError(f"expected a whole zip at {self._zip_path}, found damage ({reason}); pack it again")


def _names_in(zip_path: Path) -> set[str]:
    """None of a damaged archive."""
    try:
        with zipfile.ZipFile(zip_path) as archive:
            return set(archive.namelist())
    except DAMAGE:
        return set()


def _is_safe(name: str) -> bool:
    path = PurePosixPath(name)
    has_drive = "\\" in name or ":" in name
    return bool(name) and not path.is_absolute() and ".." not in path.parts and not has_drive and name.isprintable()
