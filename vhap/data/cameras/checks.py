"""What camera files have to hold: finite numbers, rigid poses, lenses that exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vhap.util.errors import InputError

RIGID_TOLERANCE = 1e-3
"""Largest entry of R^T R - 1; files with four digits pass, scaled or sheared axes do not."""


@dataclass(frozen=True)
class Source:
    """Where a value stands, for messages: of which camera or picture, in which file."""

    of: str
    path: Any

    def error(self, expected: str, found: str) -> InputError:
        return InputError(
            f"expected {expected} for {self.of} in {self.path}, found {found}; correct or remake the file"
        )


def check_numbers(value: Any, shape: tuple[int, ...], name: str, source: Source) -> np.ndarray:
    """The value as float64 of that shape; InputError where it is something else or not finite."""
    expected = f"{name} of shape {shape}" if shape else f"a number {name}"
    try:
        numbers = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise source.error(expected, f"{str(value)[:60]!r}") from error
    if numbers.shape != shape:
        raise source.error(expected, f"shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise source.error(f"finite numbers in {name}", "NaN or infinity")
    return numbers


def check_pose(value: Any, name: str, source: Source) -> np.ndarray:
    """A rigid (4, 4) matrix, its rotation made orthonormal to the last digit. (3, 4) is completed."""
    if isinstance(value, list | np.ndarray) and len(value) == 3:
        value = [*value, [0, 0, 0, 1]]
    pose = check_numbers(value, (4, 4), name, source)
    if np.abs(pose[3] - [0, 0, 0, 1]).max() > RIGID_TOLERANCE:
        raise source.error(f"{name} with a last row of 0 0 0 1", " ".join(f"{entry:g}" for entry in pose[3]))
    rotation = pose[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > RIGID_TOLERANCE:
        raise source.error(
            f"a rotation in {name} (R^T R within {RIGID_TOLERANCE:g} of 1)", f"one that is {error:.3g} off"
        )
    if np.linalg.det(rotation) < 0:
        raise source.error(f"a rotation in {name}", "a mirroring (determinant -1)")
    left, _, right = np.linalg.svd(rotation)
    rigid = np.eye(4)
    rigid[:3, :3], rigid[:3, 3] = left @ right, pose[:3, 3]
    return rigid


def check_intrinsics(value: Any, name: str, source: Source) -> np.ndarray:
    """A (3, 3) camera matrix with positive focal lengths and no skew."""
    matrix = check_numbers(value, (3, 3), name, source)
    focal = matrix[[0, 1], [0, 1]]
    if (focal <= 0).any():
        raise source.error(f"positive focal lengths in {name}", f"{focal[0]:g} and {focal[1]:g}")
    zeros = np.abs(matrix[[0, 1, 2, 2], [1, 0, 0, 1]]).max()
    if zeros > 1e-6 * focal.max() or abs(matrix[2, 2] - 1) > 1e-6:
        raise source.error(
            f"{name} of the form fx 0 cx, 0 fy cy, 0 0 1 (no skew)",
            ", ".join(" ".join(f"{entry:g}" for entry in row) for row in matrix),
        )
    return np.array([[focal[0], 0, matrix[0, 2]], [0, focal[1], matrix[1, 2]], [0, 0, 1]])


def check_size(height: Any, width: Any, source: Source) -> tuple[int, int]:
    """(height, width), whole and positive."""
    sides = [check_numbers(side, (), name, source) for side, name in ((height, "height"), (width, "width"))]
    if any(side < 1 or side != int(side) for side in sides):
        raise source.error("a whole positive height and width", f"{sides[0]:g} and {sides[1]:g}")
    return int(sides[0]), int(sides[1])
