"""What a path is that somebody wants to look at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.data.pictures import some_names
from vhap.data.recording_kind import recording_kind
from vhap.data.results import RESULT_PATTERN, result_epochs
from vhap.data.run_order import runs_in
from vhap.util.errors import InputError
from vhap.util.files import read_json, read_npz
from vhap.viewer.export_files import TRANSFORMS, transforms_files

Kind = Literal["run", "export", "capture", "head"]
HEADS = ("builtin", "ict", "flame", "auto")
ICT_FILE = "vertex_indices.json"
MOST_SEARCHED = 500
"""Folders below a given one that are looked at, for a hint."""


@dataclass(frozen=True)
class Found:
    """path: a folder, a head's file, or a head's name. epoch: of a result that was given by its file, else None."""

    kind: Kind
    path: Path
    epoch: int | None = None


def what_is(path: Path) -> Found:
    """What a path is, by what lies there; names of heads are heads where there is no such path. InputError where it is
    nothing of it, or several things."""
    path = path.expanduser()
    name = str(path)
    if path.is_file():
        return _of_file(path)
    kinds = _kinds(path) if path.is_dir() else []
    if name in HEADS:
        if kinds:
            raise InputError(
                f"expected either a head or a folder, found that {name} is both; write ./{name} for the folder, or "
                "give the command from another one for the head"
            )
        return Found("head", path)
    if len(kinds) == 1:
        return Found(kinds[0], path)
    if kinds:
        raise InputError(
            f"expected one thing to look at in {path}, found {' and '.join(f'a {kind}' for kind in kinds)}; name the "
            "folder inside that counts"
        )
    raise InputError(f"expected {EXPECTED}, found {_found_instead(path)}")


EXPECTED = f"a run, an export, a capture, a head's file or a head ({', '.join(HEADS)})"


def _of_file(path: Path) -> Found:
    if match := RESULT_PATTERN.fullmatch(path.name):
        if (path.parent / "config.yml").is_file():
            return Found("run", path.parent, int(match.group(1)))
        raise InputError(f"expected the run's config.yml beside {path}, found none; give the run's folder")
    if path.suffix == ".pkl" or (path.suffix == ".npz" and "template" in read_npz(path, only=("template",))):
        return Found("head", path)
    hint = "vhap track --data.video FILE tracks a video" if path.suffix in (".mp4", ".mov") else "check the path"
    if path.suffix == ".ply":
        hint = "points are shown beside something else: --points FILE.ply"
    raise InputError(f"expected {EXPECTED}, found the file {path}; {hint}")


def _kinds(folder: Path) -> list[Kind]:
    found: list[Kind] = [kind for kind, holds in HOLDS.items() if holds(folder)]
    # An export has pictures too, and so has what else a capture may be taken for.
    return [kind for kind in found if kind != "capture"] if "export" in found else found


def _is_run(folder: Path) -> bool:
    folders = [folder, *runs_in(folder)]
    return any((child / "config.yml").is_file() and bool(result_epochs(child)) for child in folders)


def _is_export(folder: Path) -> bool:
    """A rig's transforms.json has no timesteps."""
    files = transforms_files(folder)
    if not files:
        return False
    if files[0].name != TRANSFORMS:
        return True
    content = read_json(files[0])
    frames = content.get("frames") if isinstance(content, dict) else None
    first = frames[0] if isinstance(frames, list) and frames else None
    return isinstance(first, dict) and "timestep_index" in first


def _is_capture(folder: Path) -> bool:
    try:
        recording_kind(folder)
    except InputError:
        return False
    return True


def _is_head(folder: Path) -> bool:
    return (folder / ICT_FILE).is_file()


HOLDS: dict[Kind, Callable[[Path], bool]] = {
    "run": _is_run,
    "export": _is_export,
    "capture": _is_capture,
    "head": _is_head,
}


def _found_instead(path: Path) -> str:
    if not path.is_dir():
        return f"nothing at {path}; check the path"
    inside = [(child, kinds[0]) for child in _folders_below(path) if (kinds := _kinds(child))]
    if not inside:
        return f"none of them in {path}; check the path"
    return f"none in {path} itself; give {some_names([f'{child} ({kind})' for child, kind in inside])}"


def _folders_below(path: Path) -> Iterator[Path]:
    """Children, then theirs; few of them."""
    children = sorted(child for child in path.iterdir() if child.is_dir())
    below = (grandchild for child in children for grandchild in sorted(child.iterdir()) if grandchild.is_dir())
    return itertools.islice(itertools.chain(children, below), MOST_SEARCHED)
