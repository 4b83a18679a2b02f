"""What camera files have to hold: finite numbers, rigid poses, lenses that exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vhap.util.errors import InputError, shown

RIGID_TOLERANCE = 1e-3
"""Largest entry of R^T R - 1; files with four digits pass, scaled or sheared axes do not."""

FARTHEST = 1e7
"""Millimetres of ten kilometres: of the units that calibrations have, none puts a camera farther away."""
SHORTEST_FOCAL, LONGEST_FOCAL = 0.1, 100.0
"""In longer sides of the picture: angles of view of 157 and 0.6 degrees."""
MOST_STRETCHED = 2.5
"""Of fy and fx; pictures may be resized by other factors along x and y."""
SAME_SHARE, OTHER_SIZE = 0.03, (0.26, 0.9)
"""Principal points at this share of width and height alike are in the middle of smaller or larger pictures."""
MOST_BENT = 2.0
"""Of a corner's distance from the middle; 0.5 on wide lenses."""


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
        found = np.asarray(value)
        # Text and truth values would become numbers.
        numbers = found.astype(np.float64) if found.dtype.kind in "fiu" else None
    except (TypeError, ValueError, OverflowError) as error:
        raise source.error(expected, shown(value)) from error
    if numbers is None:
        raise source.error(expected, shown(value))
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
        found = " ".join(f"{entry:g}" for entry in pose[3])
        is_transposed = np.abs(pose[:, 3] - [0, 0, 0, 1]).max() <= RIGID_TOLERANCE
        look = ", which looks like rows and columns exchanged" if is_transposed else ""
        raise source.error(f"{name} with a last row of 0 0 0 1", f"{found}{look}")
    rotation = pose[:3, :3]
    error = np.abs(rotation.T @ rotation - np.eye(3)).max()
    if error > RIGID_TOLERANCE:
        raise source.error(
            f"a rotation in {name} (R^T R within {RIGID_TOLERANCE:g} of 1)",
            f"one that is {error:.3g} off{_scale(rotation)}",
        )
    if np.abs(pose[:3, 3]).max() > FARTHEST:
        raise source.error(f"a position in {name} within {FARTHEST:g}", f"{np.abs(pose[:3, 3]).max():.3g}")
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


def _scale(rotation: np.ndarray) -> str:
    """Words for a rotation times a factor."""
    sizes = np.linalg.norm(rotation, axis=0)
    is_scaled = np.abs(sizes - sizes.mean()).max() <= RIGID_TOLERANCE * sizes.mean()
    return f", which looks like a rotation times {sizes.mean():.4g}; divide it by that" if is_scaled else ""


def check_lens(matrix: np.ndarray, distortion: np.ndarray, size: tuple[int, int], source: Source) -> None:
    """InputError where a camera matrix (3, 3) and k1, k2, p1, p2, k3 cannot belong to pictures of size (height, width).

    Cropped pictures may have their principal point anywhere in them. Refused are one outside, or in the middle of
    pictures half or twice as large, angles of view that no camera of a head has, and lenses that bend beyond reason.
    """
    height, width = size
    focal, centre = matrix[[0, 1], [0, 1]] / max(size), matrix[:2, 2] / [width, height]
    pictures = f"pictures of {width}x{height}"
    lens = f"fx {matrix[0, 0]:g}, fy {matrix[1, 1]:g}, cx {matrix[0, 2]:g}, cy {matrix[1, 2]:g}"
    if focal.min() < SHORTEST_FOCAL or focal.max() > LONGEST_FOCAL:
        look = "millimetres or shares of the picture" if focal.max() < SHORTEST_FOCAL else "another unit"
        raise source.error(f"focal lengths in pixels of {pictures}", f"{lens}, which look like {look}")
    if max(focal) > MOST_STRETCHED * min(focal):
        raise source.error("an fx and an fy that belong to one lens", lens)
    is_middle = abs(centre[0] - centre[1]) < SAME_SHARE
    if (centre < 0).any() or (centre > 1).any() or (is_middle and not OTHER_SIZE[0] < centre.mean() < OTHER_SIZE[1]):
        other = "x".join(f"{2 * entry:.0f}" for entry in matrix[:2, 2])
        look = f", which look like those of pictures of {other}" if is_middle else ""
        raise source.error(f"a principal point within {pictures}", f"{lens}{look}")
    moved = _corner_shift(matrix, distortion, size)
    if moved > MOST_BENT:
        numbers = " ".join(f"{value:g}" for value in distortion)
        raise source.error(
            "distortion k1 k2 p1 p2 k3 as OpenCV counts it", f"{numbers}, which moves corners by {moved:.0%}"
        )


def _corner_shift(matrix: np.ndarray, distortion: np.ndarray, size: tuple[int, int]) -> float:
    """Largest shift of the picture's corners, as a share of their distance from the principal point."""
    corners = (np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) * size[::-1] - matrix[:2, 2]) / matrix[[0, 1], [0, 1]]
    squared = (corners**2).sum(1)
    k1, k2, p1, p2, k3 = distortion
    radial = np.abs(k1 * squared + k2 * squared**2 + k3 * squared**3).max()
    return float(max(radial, 3 * (abs(p1) + abs(p2)) * np.sqrt(squared.max())))


def check_size(height: Any, width: Any, source: Source) -> tuple[int, int]:
    """(height, width), whole and positive."""
    sides = [check_numbers(side, (), name, source) for side, name in ((height, "height"), (width, "width"))]
    if any(side < 1 or side != int(side) for side in sides):
        raise source.error("a whole positive height and width", f"{sides[0]:g} and {sides[1]:g}")
    return int(sides[0]), int(sides[1])
