"""The beginning of a file that is not whole yet, and the note beside it by which it can be continued."""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.http import LARGEST_BYTES, TransferError, Version, is_validator
from vhap.util.files import make_folder

MARK_EVERY_BYTES = 1 << 16
LONGEST_NOTE = 1 << 22
BLOCK_BYTES = 1 << 20
NOTHING = Version(None, None)


class Part:
    """`<name>.part`, and `<name>.part.json`: a line of JSON says of which version on the server it is, each further
    line how far the file reached and the CRC-32 of everything up to there.

    Neither is believed: what power cuts, other programs or another version left is found by these sums and thrown away.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")
        self.version, self._marks = self._read_note()
        self._crc = 0
        self._is_proven = False

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def keep_usable(self) -> int:
        """Bytes that the rest can be added to; whatever cannot be continued is thrown away."""
        # Without a validator nobody can tell whether the rest belongs to this beginning.
        if self.version.validator is None or self.version.size is None or self.size() > self.version.size:
            self.discard()
        elif not self._is_proven:
            self._keep_proven()
        return self.size()

    def start(self, version: Version) -> None:
        """Empty, for this version. The order matters: no beginning may ever stand beside another version's note."""
        make_folder(self.path.parent)
        self.discard()
        # A note cut short by a kill is not believed, so it need not be written atomically.
        self._write_note(version)
        self.version, self._is_proven = version, True

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[bytes], None]]:
        """Yields what appends a block to the file."""
        reached = marked = self.size()
        with open(self.path, "ab", buffering=0) as file, open(self.note, "a", encoding="utf-8") as note:

            def mark() -> None:
                nonlocal marked
                note.write(f"{reached} {self._crc}\n")
                note.flush()
                marked = reached

            def append(block: bytes) -> None:
                nonlocal reached
                _write_all(file.write, block)
                self._crc, reached = zlib.crc32(block, self._crc), reached + len(block)
                if reached - marked >= MARK_EVERY_BYTES:
                    mark()

            try:
                yield append
            finally:
                if reached > marked:
                    mark()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.version, self._marks, self._crc, self._is_proven = NOTHING, [], 0, False

    def finish(self) -> None:
        """Renames; raises TransferError, and throws away what came, where the content is not whole."""
        if damage := find_damage(self.path, self.target.suffix):
            self.discard()
            raise TransferError(f"{self.target.suffix[1:]} from the server is damaged: {damage}")
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.target)
        self.note.unlink(missing_ok=True)

    def _keep_proven(self) -> None:
        """Cuts the file to where the last sum of its note is right."""
        crc = proven = 0
        if self.path.is_file():
            with open(self.path, "rb") as file:
                for reached, expected in self._marks:
                    if _crc_of(file, reached - proven, crc) != expected:
                        break
                    crc, proven = expected, reached
        if not proven:
            self.discard()
            return
        os.truncate(self.path, proven)
        # Anew, since the last line may lack its end.
        self._write_note(self.version, f"{proven} {crc}\n")
        self._crc, self._is_proven = crc, True

    def _write_note(self, version: Version, marks: str = "") -> None:
        self.note.write_text(f"{json.dumps(asdict(version))}\n{marks}", encoding="utf-8")

    def _read_note(self) -> tuple[Version, list[tuple[int, int]]]:
        """The version, and pairs of a size and a sum; nothing where the note has another form."""
        try:
            with open(self.note, encoding="utf-8") as file:
                first, *lines = file.read(LONGEST_NOTE + 1).split("\n")
            note = json.loads(first)
            size, validator = note["size"], note["validator"]
            # The last line is empty, or was cut short.
            marks = [(int(reached), int(crc)) for reached, crc in (line.split(" ") for line in lines[:-1])]
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return NOTHING, []
        is_sound = type(size) is int and 0 < size <= LARGEST_BYTES and is_validator(validator)
        rises = all(before[0] < after[0] for before, after in zip([(0, 0), *marks], marks))
        return (Version(size, validator), marks) if is_sound and rises else (NOTHING, [])


def _write_all(write: Callable[[memoryview], int | None], block: bytes) -> None:
    """An unbuffered file may take less than it is given."""
    left = memoryview(block)
    while left:
        left = left[write(left) or 0 :]


def _crc_of(file: IO[bytes], count: int, crc: int) -> int | None:
    """CRC-32 of the next `count` bytes, begun with `crc`; None where there are fewer."""
    while count > 0:
        block = file.read(min(BLOCK_BYTES, count))
        if not block:
            return None
        crc, count = zlib.crc32(block, crc), count - len(block)
    return crc
