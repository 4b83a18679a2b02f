"""Least bytes and operations of every rendering kernel, by the sizes of what it works on.

Bytes: each element that is needed once in and once out, with caches that never miss, 4 bytes a number, 8 a pixel's
index. A sum that grows in memory (gradients of vertices and texels) is read and written. Operations: additions and
multiplications of the formulas in vhap/render/reference.py, a division, root or comparison counted as one. Both are
lower bounds, so a kernel's time over the floor that follows from them says what could be gained at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CHANNELS = 3
"""Of what is interpolated (normals), of textures and of pictures."""
UV = 2
LISTED = 8 + 4
"""Bytes of a listed pixel's index and of its triangle's number."""
EDGES = 6
"""From a vertex of a closed mesh, on average."""
RING = 12
"""Vertices that a point's normal depends on: a triangle's corners and their neighbours."""
JOINTS, SHAPES = 5, 64
"""Of what moves surface points."""


@dataclass(frozen=True)
class Sizes:
    """views B; vertices V and triangles F of the mesh; uvs U; pixels B H W of all pictures; covered N of them; texels
    of the texture, chain those of its coarser levels; crossings of silhouettes; points of the surface in a picture."""

    views: int
    vertices: int
    triangles: int
    uvs: int
    pixels: int
    covered: int
    texels: int
    chain: int
    crossings: int
    points: int

    @property
    def clip(self) -> int:
        """Bytes of all clip positions."""
        return 16 * self.views * self.vertices

    @property
    def touched(self) -> int:
        """Texels that trilinear look-up reads: eight a pixel, those that exist at most."""
        return min(8 * self.covered, self.texels + self.chain)


@dataclass(frozen=True)
class Cost:
    """operation: that of `point_operations.every_operation` which launches the kernel; backward: for its gradient."""

    operation: str
    backward: bool
    moved: Callable[[Sizes], float]
    operations: Callable[[Sizes], float]


COSTS = {
    # Three edge functions and a depth plane a triangle and view, their values at each pixel that is drawn.
    "draw_triangles": Cost(
        "rasterize",
        False,
        lambda s: s.clip + 12 * s.triangles + 16 * s.covered,
        lambda s: 50 * s.views * s.triangles + 11 * s.covered,
    ),
    "read_faces": Cost("rasterize", False, lambda s: 12 * s.pixels, lambda s: 2 * s.pixels),
    "list_pixels": Cost("rasterize", False, lambda s: 4 * s.pixels + 16 * s.covered, lambda s: s.pixels),
    "find_barycentrics": Cost(
        "rasterize",
        False,
        lambda s: s.clip + 12 * s.triangles + (LISTED + 12 + 24) * s.covered,
        lambda s: 60 * s.covered,
    ),
    "barycentrics_backward": Cost(
        "rasterize",
        True,
        lambda s: 3 * s.clip + 12 * s.triangles + (LISTED + 12) * s.covered,
        lambda s: 80 * s.covered,
    ),
    "interpolate_forward": Cost(
        "interpolate",
        False,
        lambda s: 4 * CHANNELS * s.views * s.vertices + 12 * s.triangles + (LISTED + 12 + 4 * CHANNELS) * s.covered,
        lambda s: 5 * CHANNELS * s.covered,
    ),
    "interpolate_backward": Cost(
        "interpolate",
        True,
        lambda s: 12 * CHANNELS * s.views * s.vertices + 12 * s.triangles + (LISTED + 24 + 4 * CHANNELS) * s.covered,
        lambda s: 11 * CHANNELS * s.covered,
    ),
    "slopes_forward": Cost(
        "attribute_derivatives",
        False,
        lambda s: 4 * UV * s.uvs + 12 * s.triangles + (LISTED + 24 + 8 * UV) * s.covered,
        lambda s: 10 * UV * s.covered,
    ),
    # Each level is read once to make the next coarser one, of a quarter of its texels.
    "shrink": Cost(
        "texture",
        False,
        lambda s: 4 * CHANNELS * (s.texels + 2 * s.chain),
        lambda s: CHANNELS * (s.texels + s.chain),
    ),
    "texture_forward": Cost(
        "texture",
        False,
        lambda s: 4 * CHANNELS * s.touched + (8 + 8 + 16 + 4 * CHANNELS) * s.covered,
        lambda s: (14 * CHANNELS + 30) * s.covered,
    ),
    "texture_backward": Cost(
        "texture",
        True,
        lambda s: 12 * CHANNELS * s.touched + (8 + 8 + 16 + 8 + 4 * CHANNELS) * s.covered,
        lambda s: (32 * CHANNELS + 30) * s.covered,
    ),
    "grow": Cost(
        "texture",
        True,
        lambda s: 4 * CHANNELS * (2 * s.texels + 3 * s.chain),
        lambda s: 2 * CHANNELS * (s.texels + s.chain),
    ),
    # A root, nine harmonics and three sums of nine.
    "light_forward": Cost("light", False, lambda s: 36 * s.covered, lambda s: (9 + 22 + 54) * s.covered),
    "light_backward": Cost("light", True, lambda s: 48 * s.covered, lambda s: (25 + 22 + 54 + 54) * s.covered),
    # Four neighbours a pixel are compared; only crossings touch triangles and positions.
    "find_silhouettes": Cost(
        "antialias", False, lambda s: LISTED * s.covered + (20 + 32) * s.crossings, lambda s: 4 * s.covered
    ),
    "blend": Cost(
        "antialias",
        False,
        lambda s: (20 + 12 * CHANNELS) * s.crossings,
        lambda s: (4 * CHANNELS + 2) * s.crossings,
    ),
    "blend_backward": Cost(
        "antialias",
        True,
        lambda s: (20 + 20 * CHANNELS + 3 * 32) * s.crossings,
        lambda s: (8 * CHANNELS + 40) * s.crossings,
    ),
    # Vertices and what is known of points are read once, wherever several points share them.
    "skin_vertices": Cost(
        "skin_vertices", False, lambda s: (24 + 4 * JOINTS) * s.vertices, lambda s: (24 + 3) * s.vertices
    ),
    "blend_rotations": Cost(
        "blend_rotations", False, lambda s: (36 + 4 * JOINTS) * s.vertices, lambda s: 9 * s.vertices
    ),
    "to_clip": Cost("to_clip", False, lambda s: (12 + 16) * s.vertices, lambda s: 32 * s.vertices),
    "fan_normals": Cost(
        "fan_normals",
        False,
        lambda s: (12 + 12 * EDGES + 16) * s.vertices,
        lambda s: (18 * EDGES + 10) * s.vertices,
    ),
    "place_points": Cost(
        "place_points", False, lambda s: 24 * s.vertices + (24 + 36) * s.points, lambda s: 80 * s.points
    ),
    # Of each point's pixel: 25 around it, nine triangles' texture coordinates, one set of barycentrics.
    "find_visible": Cost(
        "find_visible", False, lambda s: s.clip / s.views + (25 * 9 + 17) * s.points, lambda s: 200 * s.points
    ),
    "weigh_pixels": Cost(
        "weigh_pixels", False, lambda s: s.clip / s.views + (16 + 20) * s.points, lambda s: 60 * s.points
    ),
    "sample_points": Cost("sample_points", False, lambda s: (8 + 48 + 12) * s.points, lambda s: 3 * 9 * s.points),
    "shade_points": Cost("shade_points", False, lambda s: (12 + 4) * s.points, lambda s: 45 * s.points),
    "point_gradients": Cost("point_gradients", False, lambda s: (36 + 68) * s.points, lambda s: 130 * s.points),
    "spread_over_vertices": Cost(
        "spread_over_vertices",
        False,
        lambda s: (28 + 12 * EDGES) * s.vertices + (48 + 16 * RING) * s.points,
        lambda s: (3 * EDGES * 18 + 60) * s.points,
    ),
    # Mostly one joint moves a vertex.
    "gather_joints": Cost(
        "gather_joints",
        False,
        lambda s: (48 + 4 * JOINTS) * s.vertices + (28 * RING + 48 * JOINTS) * s.points,
        lambda s: (24 + 15 + 3) * RING * s.points,
    ),
    "through_blend_shapes": Cost(
        "through_blend_shapes",
        False,
        lambda s: 12 * SHAPES * s.vertices + (16 * RING + 4 * SHAPES) * s.points,
        lambda s: 6 * SHAPES * RING * s.points,
    ),
    # Four looks into a chart of radii, one into one of colours.
    "eye_differences": Cost(
        "eye_differences", False, lambda s: (24 + 56 + 4 * 16 + 48 + 45) * s.points, lambda s: 240 * s.points
    ),
    "eye_slopes": Cost(
        "eye_differences", False, lambda s: (16 + 56 + 16 + 48 + 40) * s.points, lambda s: 260 * s.points
    ),
}
"""Kernel -> its cost. tests/bench/test_kernels.py holds that no kernel of vhap/render/kernels is missing."""
