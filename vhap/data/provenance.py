"""What derived files (alpha maps, smaller copies, landmarks) were made from, so that stale ones are found.

A sequence folder's hidden file `.made_from.jsonl` has a line for each derived file that we wrote: the digest of its
content, the digest of the picture that it came from, and the options that mattered. A line is written before its file
takes its place and counts only for a file of that content. So the record is right whenever a process is killed, and a
file that a user put there or edited is not taken for ours. The user's cache folder keeps digests of files that have not
been touched since, which only saves time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from vhap.data.pictures import some_names
from vhap.util.errors import InputError
from vhap.util.files import atomic_path, make_folder, read_json, write_json
from vhap.util.paths import cache_folder
from vhap.util.threads import get_threads

RECORD = ".made_from.jsonl"
WHOLE_BYTES = 64 << 20
"""Larger files (videos, weights) are digested in `BLOCKS` evenly spaced blocks and by their size."""
BLOCKS = 64
SETTLED_S = 2.0
"""A file changed less than this ago may change again within one tick of the file system's clock."""

Stamp = tuple[int, int, int]
"""Size, modification time and change time (ns); the last one cannot be set by programs that copy."""


@dataclass(frozen=True)
class Origin:
    """source: as `Provenance.sources` gives it. options: what else decides what the derived file holds."""

    source: str
    options: Mapping[str, str] = field(default_factory=dict)


class Provenance:
    """The record of one sequence folder, read once. Threads may write files at the same time."""

    def __init__(self, sequence: Path) -> None:
        self.sequence = sequence
        self._lines: dict[tuple[str, str], Origin] | None = None
        self._digests: dict[str, tuple[Stamp, str]] | None = None
        self._lock = threading.Lock()

    def sources(self, pictures: Mapping[str, Path]) -> dict[str, str]:
        """Name -> path in the sequence folder and digest of the content, in one text."""
        found = self.digests(pictures.values())
        return {name: f"{self._relative(path)} {found[path]}" for name, path in pictures.items()}

    def digests(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Digest of each file's content; files that have not been touched are not read again."""
        known = self._cached_digests()
        stamps = {path: _stamp(path) for path in paths}
        keys = {path: self._relative(path) for path in stamps}
        new = [path for path, stamp in stamps.items() if known.get(keys[path], (None,))[0] != stamp]
        with ThreadPoolExecutor(min(8, get_threads())) as pool:
            made = dict(zip(new, pool.map(content_digest, new)))
        now = time.time_ns()
        settled = {path for path in new if 0 < now - max(stamps[path][1:]) > SETTLED_S * 1e9}
        known.update({keys[path]: (stamps[path], made[path]) for path in settled})
        if settled:
            self._save_digests(known)
        return {path: made[path] if path in made else known[keys[path]][1] for path in stamps}

    def write(self, target: Path, origin: Origin, write: Callable[[Path], None]) -> None:
        """Writes target by `write`, which gets a path with the same suffix, and its line before it takes its place."""
        with atomic_path(target) as temporary:
            write(temporary)
            self.remember(target, content_digest(temporary), origin)

    def remember(self, target: Path, digest: str, origin: Origin) -> None:
        """Adds the line of a file with content of this digest that is about to take its place at target."""
        name = self._relative(target)
        line = {"file": name, "digest": digest, "source": origin.source, "options": dict(origin.options)}
        with self._lock:
            if self._recorded().get((name, digest)) == origin:
                return
            # The line break before it keeps a line apart from one that a full disk or a kill has cut short.
            make_folder(self.sequence)
            with open(self.sequence / RECORD, "ab", buffering=0) as file:
                file.write(f"\n{json.dumps(line)}\n".encode())
            self._recorded()[name, digest] = origin

    def origins(self, files: Mapping[str, Path]) -> dict[str, Origin]:
        """By name, those of files that are ours as they stand."""
        lines = self._recorded()
        ours = {name for name, _ in lines}
        relative = {name: self._relative(path) for name, path in files.items()}
        digests = self.digests(path for name, path in files.items() if relative[name] in ours)
        keys = {name: (relative[name], digests.get(path, "")) for name, path in files.items()}
        return {name: lines[key] for name, key in keys.items() if key in lines}

    def stale(
        self,
        files: Mapping[str, Path],
        pictures: Mapping[str, Path],
        options: Mapping[str, Mapping[str, str]] | None = None,
    ) -> list[str]:
        """Names of files of ours that were not made from the pictures as they are now, or with other options.

        files, pictures: by the same names. options: of each name what has to agree; None: nothing has to.
        """
        origins = self.origins({name: path for name, path in files.items() if name in pictures})
        sources = self.sources({name: pictures[name] for name in origins})
        wanted = options or {}
        return [
            name
            for name, origin in origins.items()
            if is_changed(origin.source, sources[name])
            or any(origin.options.get(key) != value for key, value in wanted.get(name, {}).items())
        ]

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.sequence)).as_posix()

    def _recorded(self) -> dict[tuple[str, str], Origin]:
        """(file, digest) -> origin; a line cut short counts as none."""
        if self._lines is None:
            path = self.sequence / RECORD
            content = path.read_bytes().splitlines() if path.is_file() else []
            self._lines = dict(entry for line in content if (entry := _entry(line)) is not None)
        return self._lines

    def _cached_digests(self) -> dict[str, tuple[Stamp, str]]:
        if self._digests is None:
            try:
                content = read_json(_cache_file(self.sequence))
                self._digests = {
                    str(name): ((int(size), int(modified), int(changed)), str(digest))
                    for name, (size, modified, changed, digest) in content.items()
                }
            except (InputError, OSError, AttributeError, TypeError, ValueError, RecursionError):
                self._digests = {}
        return self._digests

    def _save_digests(self, known: Mapping[str, tuple[Stamp, str]]) -> None:
        # A cache that cannot be written, or a full disk: the digests are taken again the next time.
        with contextlib.suppress(InputError, OSError):
            write_json(_cache_file(self.sequence), {name: [*stamp, digest] for name, (stamp, digest) in known.items()})


def require_current(
    sequence: Path, files: Mapping[str, Path], pictures: Mapping[str, Path], kind: str, remedy: str
) -> None:
    """InputError where files of ours were made from other pictures than those there are now under the same names."""
    if stale := Provenance(sequence).stale(files, pictures):
        folder = files[stale[0]].parent
        raise InputError(
            f"expected {kind} in {folder} of the pictures as they are now, found {len(stale)} of {len(files)} that "
            f"were made of others ({some_names(stale)}); {remedy}"
        )


def is_changed(recorded: str, found: str) -> bool:
    """Whether a recorded source is provably not the one found: both are of one folder, and their content differs.

    A recording of which only smaller copies are left cannot be compared with what was made from its full size.
    """
    (old_path, _, old_digest), (path, _, digest) = (text.rpartition(" ") for text in (recorded, found))
    return old_path.split("/")[0] == path.split("/")[0] and old_digest != digest


def content_digest(path: Path) -> str:
    """32 hex digits of a file's size and content; of a large file, of evenly spaced parts of it."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open(path, "rb") as file:
        if size <= WHOLE_BYTES:
            digest.update(file.read())
        else:
            block = WHOLE_BYTES // BLOCKS
            for index in range(BLOCKS):
                file.seek(index * (size - block) // (BLOCKS - 1))
                digest.update(file.read(block))
    return digest.hexdigest()


def _cache_file(sequence: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(sequence.resolve()), digest_size=16).hexdigest()
    return cache_folder() / "digests" / f"{name}.json"


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _entry(line: bytes) -> tuple[tuple[str, str], Origin] | None:
    try:
        value = json.loads(line)
        options = {str(key): str(option) for key, option in value["options"].items()}
        return (str(value["file"]), str(value["digest"])), Origin(str(value["source"]), options)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
