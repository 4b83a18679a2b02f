"""Whether exports belong together in a union: told by the values in their files, not by labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.pictures import picture_size
from vhap.export.transforms import PATH_KEYS, read_transforms
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.files import read_npz
from vhap.util.log import get_logger
from vhap.util.paths import inside
from vhap.util.progress import progress

CANONICAL = "canonical_flame_param.npz"
UNKNOWN_HEAD = "unknown"
TOGETHER = "track-person"
"""The command that gives several sequences one identity, one offset and one focal length."""
SCALE_TOLERANCE = 0.05
"""Sequences of one unknown unit are solved each for itself; more than this share apart, units differ."""
FOCAL_TOLERANCE = 0.001
SHAPE_TOLERANCE = 1e-4
OFFSET_TOLERANCE_M = 1e-6
LEADING = 10
"""Shape coefficients by which identities are compared: later ones hold more noise than identity in every track."""
ONE_PERSON_STD, OTHER_PERSON_STD = 1.1, 1.5
"""Root mean square differences of the leading shape coefficients, in standard deviations of the head model.

Tracks of ten frames by landmarks alone, the worst case: 0.2 to 1.1 between two halves of a clip, 0.5 to 2.8 between
clips of two persons (four of each). Two draws from a normal distribution are 1.4 apart. So a large difference proves
two persons, a small one proves nothing.
"""

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class ExportedSequence:
    """An export: its folder, the content of its transforms.json, the arrays of its first frame's head and of its
    canonical head."""

    folder: Path
    content: dict[str, Any]
    first_head: Arrays
    canonical: Arrays

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def head_model(self) -> str:
        return str(self.content.get("head_model", UNKNOWN_HEAD))

    @property
    def scale(self) -> float:
        """Units of its world in a metre, as far as the head's size tells."""
        return float(self.content.get("scale", 1))

    @property
    def head_keys(self) -> set[str]:
        """Which of the keys that name files its frames have."""
        return {key for frame in self.content["frames"] for key in PATH_KEYS if key in frame}

    @cached_property
    def cameras(self) -> dict[int, dict[str, Any]]:
        """Camera index -> its first frame."""
        return {frame["camera_index"]: frame for frame in reversed(self.content["frames"])}

    def array(self, name: str) -> np.ndarray | None:
        """Of the head's identity, flat in double precision; None where its files hold none."""
        value = self.first_head.get(name, self.canonical.get(name))
        return None if value is None else np.asarray(value, np.float64).reshape(-1)


def read_sequence(folder: Path) -> ExportedSequence:
    """Reads an export's transforms.json and head parameters, and checks that the files its frames name are there."""
    if not folder.is_dir():
        raise InputError(f"expected an export at {folder}, found no folder; check --src_folders")
    path = folder / "transforms.json"
    content = read_transforms(path)
    named = [frame[key] for frame in content["frames"] for key in PATH_KEYS if key in frame]
    missing = [name for name in dict.fromkeys(named) if not inside(folder, name, path).is_file()]
    if missing:
        raise InputError(
            f"expected all {len(named)} files that transforms.json names in {folder}, found {len(missing)} missing "
            f"(first: {missing[0]}); export again"
        )
    require_stated_sizes(folder, content["frames"])
    heads = list(dict.fromkeys(f["flame_param_path"] for f in content["frames"] if "flame_param_path" in f))
    first: Arrays = {}
    for name in progress(heads, f"reading {folder.name}"):
        head = read_head(folder / name)
        first = first or head
        require_equal_shapes(first, head, folder / heads[0], folder / name)
    return ExportedSequence(folder, content, first, read_head(folder / CANONICAL))


def require_stated_sizes(folder: Path, frames: list[dict[str, Any]]) -> None:
    """InputError where the first picture of a camera has another size than its frame says."""
    for frame in {frame["camera_index"]: frame for frame in reversed(frames)}.values():
        height, width = picture_size(folder / frame["file_path"])
        if (height, width) != (frame["h"], frame["w"]):
            raise InputError(
                f"expected a picture of {frame['w']}x{frame['h']} at {folder / frame['file_path']}, as transforms.json "
                f"says, found {width}x{height}; export again"
            )


def read_head(path: Path) -> Arrays:
    """The arrays of a head's parameters; InputError where one holds no numbers, or some that are not finite."""
    arrays = {name: value for name, value in read_npz(path).items() if name != "head_model"}
    odd = [name for name, value in arrays.items() if value.dtype.kind not in "fiu" or not np.isfinite(value).all()]
    if odd:
        raise InputError(f"expected finite numbers in {path}, found others in {', '.join(odd)}; export again")
    return arrays


def require_equal_shapes(first: Arrays, other: Arrays, first_path: Path, path: Path) -> None:
    """InputError where two heads have other arrays, or arrays of other lengths: trainers stack them over time."""
    for name in (*first, *(name for name in other if name not in first)):
        said = [f"one of {arrays[name].shape}" if name in arrays else "none" for arrays in (first, other)]
        if said[0] != said[1]:
            raise InputError(
                f"expected arrays {name} alike, found {said[0]} in {first_path} and {said[1]} in {path}; track all "
                f"sequences together with `{command(TOGETHER)}`, or with one head and equal --model.n_shape, "
                "--model.n_expr, --model.add_teeth, --model.use_static_offset and --model.use_dynamic_offset"
            )


def check_alike(sequences: Sequence[ExportedSequence]) -> None:
    """All sequences have one head model, one unit, one form, and one size of each camera's pictures."""
    first = sequences[0]
    for sequence in sequences[1:]:
        if sequence.head_model != first.head_model and UNKNOWN_HEAD not in (sequence.head_model, first.head_model):
            raise InputError(
                f"expected one head model, {first.head_model} as in {first.name}, found {sequence.head_model} "
                f"in {sequence.name}; track all sequences with one head, as `{command(TOGETHER)}` does"
            )
        if abs(math.log(sequence.scale / first.scale)) > SCALE_TOLERANCE:
            raise InputError(
                f"expected one unit, {first.scale:.4g} in a metre as in {first.name}, found "
                f"{sequence.scale:.4g} in {sequence.name}; export all with --world tracked, in metres"
            )
        if sequence.head_keys != first.head_keys:
            odd = ", ".join(sorted(sequence.head_keys ^ first.head_keys))
            raise InputError(
                f"expected exports of one flame_mode, found {odd} only in one of {first.name} and "
                f"{sequence.name}; export them alike"
            )
        require_equal_shapes(first.first_head, sequence.first_head, first.folder, sequence.folder)
        both = first.canonical.keys() & sequence.canonical.keys()
        ours, theirs = ({name: arrays[name] for name in both} for arrays in (first.canonical, sequence.canonical))
        require_equal_shapes(ours, theirs, first.folder / CANONICAL, sequence.folder / CANONICAL)
    require_equal_sizes(sequences)


def require_equal_sizes(sequences: Sequence[ExportedSequence]) -> None:
    """InputError where a camera's pictures have several sizes."""
    seen: dict[int, tuple[tuple[int, int], str]] = {}
    for sequence in sequences:
        for frame in sequence.content["frames"]:
            size = frame["w"], frame["h"]
            first, name = seen.setdefault(frame["camera_index"], (size, sequence.name))
            if size != first:
                raise InputError(
                    f"expected pictures of one size from camera {frame['camera_index']}, {first[0]}x{first[1]} as in "
                    f"{name}, found {size[0]}x{size[1]} in {sequence.name}; export all at one size (--scale_factor, "
                    "--data.n_downsample_rgb)"
                )


def shape_difference(first: ExportedSequence, other: ExportedSequence) -> float:
    """Root mean square difference of the leading shape coefficients; 0 where the files hold none."""
    shapes = first.array("shape"), other.array("shape")
    if shapes[0] is None or shapes[1] is None:
        return 0.0
    return float(np.sqrt(np.mean((shapes[0] - shapes[1])[:LEADING] ** 2))) if len(shapes[0]) else 0.0


def require_one_person(sequences: Sequence[ExportedSequence]) -> None:
    """InputError where shapes are those of two persons. For sequences whose names do not say whose they are."""
    for number, sequence in enumerate(sequences):
        for earlier in sequences[:number]:
            if (found := shape_difference(earlier, sequence)) > OTHER_PERSON_STD:
                raise InputError(
                    f"expected one person in sources whose names do not say a subject, found shapes of {earlier.name} "
                    f"and {sequence.name} that differ by {found:.2f} standard deviations (at most about "
                    f"{ONE_PERSON_STD} for one person); combine one person at a time, or name the folders SUBJECT_..."
                )


def warn_of_differences(sequences: Sequence[ExportedSequence]) -> None:
    """Names sequences whose identity, offset or focal length differs from the first one's; trainers take the identity
    of the first for all."""
    first, others = sequences[0], sequences[1:]
    shapes = [
        f"{other.name} {shape_difference(first, other):.2f}"
        for other in others
        if _largest_difference(first, other, "shape") > SHAPE_TOLERANCE
    ]
    offsets = [
        f"{other.name} {1000 * found:.3g}"
        for other in others
        if (found := _largest_difference(first, other, "static_offset")) > OFFSET_TOLERANCE_M
    ]
    again = (
        f"track all together with `{command(TOGETHER)}`, or these with --model.flame_params_path NPZ "
        f"--model.fix_shape, NPZ the result that {first.name} is of"
    )
    if shapes:
        get_logger().warning(
            "shapes differ from that of %s, which trainers take for all: %s (root mean square of the first %d "
            "coefficients in standard deviations; above %.1f or so they are of two persons); %s",
            first.name, ", ".join(shapes), LEADING, ONE_PERSON_STD, again,
        )  # fmt: skip
    if offsets:
        get_logger().warning(
            "static offsets differ from that of %s, which trainers take for all: %s (largest, mm); %s",
            first.name, ", ".join(offsets), again,
        )  # fmt: skip
    if focal := focal_differences(sequences):
        get_logger().warning(
            "focal lengths differ: %s; where one camera filmed all, track all together with `%s`, or with one "
            "--data.fx", ", ".join(focal), command(TOGETHER),
        )  # fmt: skip


def focal_differences(sequences: Sequence[ExportedSequence]) -> list[str]:
    """A text for each sequence in which a camera's focal length is not that of the first sequence with this camera."""
    known: dict[int, tuple[float, float, str]] = {}
    texts = []
    for sequence in sequences:
        for index, frame in sorted(sequence.cameras.items()):
            fl_x, fl_y, name = known.setdefault(index, (frame["fl_x"], frame["fl_y"], sequence.name))
            if max(abs(frame["fl_x"] / fl_x - 1), abs(frame["fl_y"] / fl_y - 1)) > FOCAL_TOLERANCE:
                texts.append(f"{frame['fl_x']:.1f} px in {sequence.name}, {fl_x:.1f} px in {name} (camera {index})")
                break
    return texts


def _largest_difference(first: ExportedSequence, other: ExportedSequence, name: str) -> float:
    """Of a head's array, by absolute value; 0 where the files hold none."""
    arrays = first.array(name), other.array(name)
    if arrays[0] is None or arrays[1] is None or not len(arrays[0]):
        return 0.0
    return float(np.abs(arrays[0] - arrays[1]).max())
