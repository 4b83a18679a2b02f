"""Alpha of a small picture at a larger size on CPUs, tile by tile: linear functions of the colour, and their values."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import sys

import warp as wp

from vhap.detect.kernels.options import use_widest_vectors

use_widest_vectors(sys.modules[__name__])

SMALL_TILE, TILE = 16, 32
"""Sides of tiles of the small and of the large picture, px."""
RADIUS = 2
"""Of the windows, px of the small picture."""

FIND = """
typedef float vec __attribute__((ext_vector_type(16), aligned(4)));
#define VEC(p) (*(const vec*)(p))
// Mirrored at the border, whose own pixel is repeated.
#define MIRRORED(name, at, count) \\
    int name = (at) < 0 ? -1 - (at) : (at); \\
    name = name > count - 1 ? 2 * count - 1 - name : name; \\
    name = name < 0 ? 0 : name > count - 1 ? count - 1 : name;
const int across = (width + 15) / 16, top = tile / across * 16, left = tile % across * 16;
const int rows = top + 16 < height ? 16 : height - top, columns = left + 16 < width ? 16 : width - left;
float values[4][20][20];
float low = __builtin_inff(), high = -low;
for (int r = 0; r < rows + 4; ++r) {
    MIRRORED(row, top + r - 2, height)
    for (int c = 0; c < 20; ++c) {
        MIRRORED(column, left + c - 2, width)
        const int at = row * width + column;
        const float value = alpha.data[at];
        for (int k = 0; k < 3; ++k) values[k][r][c] = seen.data[3 * at + k];
        values[3][r][c] = value;
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
}
float* out = functions.data + 4 * (top * width + left);
if (low == high) {
    for (int r = 0; r < rows; ++r) for (int c = 0; c < columns; ++c) for (int k = 0; k < 4; ++k)
        out[4 * (r * width + c) + k] = k == 3 ? low : 0.0f;
    return;
}
for (int r = 0; r < rows; ++r) {
    vec sum[4], across_all[9];
    for (int k = 0; k < 4; ++k) sum[k] = 0.0f;
    for (int n = 0; n < 9; ++n) across_all[n] = 0.0f;
    for (int i = 0; i < 5; ++i) for (int j = 0; j < 5; ++j) {
        const vec x = VEC(&values[0][r + i][j]), y = VEC(&values[1][r + i][j]), z = VEC(&values[2][r + i][j]);
        const vec a = VEC(&values[3][r + i][j]);
        sum[0] += x; sum[1] += y; sum[2] += z; sum[3] += a;
        across_all[0] += x * x; across_all[1] += x * y; across_all[2] += x * z;
        across_all[3] += y * y; across_all[4] += y * z; across_all[5] += z * z;
        across_all[6] += x * a; across_all[7] += y * a; across_all[8] += z * a;
    }
    const vec x = sum[0] / 25.0f, y = sum[1] / 25.0f, z = sum[2] / 25.0f, a = sum[3] / 25.0f;
    const vec xx = across_all[0] / 25.0f - x * x + epsilon, xy = across_all[1] / 25.0f - x * y;
    const vec xz = across_all[2] / 25.0f - x * z, yy = across_all[3] / 25.0f - y * y + epsilon;
    const vec yz = across_all[4] / 25.0f - y * z, zz = across_all[5] / 25.0f - z * z + epsilon;
    const vec xa = across_all[6] / 25.0f - x * a, ya = across_all[7] / 25.0f - y * a;
    const vec za = across_all[8] / 25.0f - z * a;
    // The inverse of the symmetric 3 x 3, by its minors.
    const vec m0 = yy * zz - yz * yz, m1 = yz * xz - xy * zz, m2 = xy * yz - xz * yy;
    const vec m4 = xx * zz - xz * xz, m5 = xz * xy - xx * yz, m8 = xx * yy - xy * xy;
    const vec determinant = m0 * xx + m1 * xy + m2 * xz;
    const vec u = (m0 * xa + m1 * ya + m2 * za) / determinant, v = (m1 * xa + m4 * ya + m5 * za) / determinant;
    const vec w = (m2 * xa + m5 * ya + m8 * za) / determinant;
    const vec found[4] = {u, v, w, a - u * x - v * y - w * z};
    for (int c = 0; c < columns; ++c) for (int k = 0; k < 4; ++k) out[4 * (r * width + c) + k] = found[k][c];
}
#undef VEC
#undef MIRRORED
"""

APPLY = """
typedef float pixel __attribute__((ext_vector_type(4), aligned(16)));
#define MIRRORED(name, at, count) \\
    int name = (at) < 0 ? -1 - (at) : (at); \\
    name = name > count - 1 ? 2 * count - 1 - name : name; \\
    name = name < 0 ? 0 : name > count - 1 ? count - 1 : name;
#define SMALL_PLACE(at, scale, count, first, share) \\
    float share = ((at) + 0.5f) * scale - 0.5f; \\
    share = share > 0.0f ? share : 0.0f; share = share < count - 1 ? share : count - 1; \\
    const int first = (int)share; \\
    share -= first;
const int tiles = (width + 31) / 32, top = tile / tiles * 32, left = tile % tiles * 32;
const int end_row = top + 32 < height ? top + 32 : height, end_column = left + 32 < width ? left + 32 : width;
const float down = (float)small_height / height, aside = (float)small_width / width;
SMALL_PLACE(top, down, small_height, first_row, unused_0)
SMALL_PLACE(end_row - 1, down, small_height, last_row, unused_1)
SMALL_PLACE(left, aside, small_width, first_column, unused_2)
SMALL_PLACE(end_column - 1, aside, small_width, last_column, unused_3)
(void)unused_0; (void)unused_1; (void)unused_2; (void)unused_3;
const int rows = last_row - first_row + 2, columns = last_column - first_column + 2;
#define INSIDE(at, count) ((at) < 0 ? 0 : (at) > count - 1 ? count - 1 : (at))
float lowest = __builtin_inff(), highest = -lowest;
for (int row = INSIDE(first_row - 5, small_height); row <= INSIDE(last_row + 6, small_height); ++row)
    for (int column = INSIDE(first_column - 5, small_width); column <= INSIDE(last_column + 6, small_width); ++column) {
        const float value = alpha.data[row * small_width + column];
        lowest = value < lowest ? value : lowest;
        highest = value > highest ? value : highest;
    }
if (highest - lowest < constant) {
    const wp::uint8 all = (wp::uint8)(255.0f * highest + 0.5f);
    for (int row = top; row < end_row; ++row) for (int column = left; column < end_column; ++column)
        found.data[row * width + column] = all;
    return;
}
// A pixel lies in many windows: the mean of their functions counts. Beside it, the least and most of alpha nearby.
pixel means[34][34], bounds[34][34];
{
    pixel sums[38][34], extremes[36][34];
    for (int r = 0; r < rows + 4; ++r) {
        MIRRORED(row, first_row + r - 2, small_height)
        for (int c = 0; c < columns; ++c) {
            pixel sum = 0.0f;
            for (int n = -2; n < 3; ++n) {
                MIRRORED(column, first_column + c + n, small_width)
                sum += ((const pixel*)functions.data)[row * small_width + column];
            }
            sums[r][c] = sum;
        }
    }
    for (int r = 0; r < rows; ++r) for (int c = 0; c < columns; ++c)
        means[r][c] = (sums[r][c] + sums[r + 1][c] + sums[r + 2][c] + sums[r + 3][c] + sums[r + 4][c]) / 25.0f;
    for (int r = 0; r < rows + 2; ++r) {
        const int row = INSIDE(first_row + r - 1, small_height);
        for (int c = 0; c < columns; ++c) {
            float low = __builtin_inff(), high = -low;
            for (int n = -1; n < 2; ++n) {
                const float value = alpha.data[row * small_width + INSIDE(first_column + c + n, small_width)];
                low = value < low ? value : low;
                high = value > high ? value : high;
            }
            extremes[r][c] = pixel{low, -high, 0.0f, 0.0f};
        }
    }
    for (int r = 0; r < rows; ++r) for (int c = 0; c < columns; ++c)
        bounds[r][c] = __builtin_elementwise_min(
            extremes[r][c], __builtin_elementwise_min(extremes[r + 1][c], extremes[r + 2][c]));
}
for (int row = top; row < end_row; ++row) {
    SMALL_PLACE(row, down, small_height, above, row_share)
    const int r = above - first_row;
    pixel line[34], line_bounds[34];
    for (int c = 0; c < columns; ++c) {
        line[c] = means[r][c] + row_share * (means[r + 1][c] - means[r][c]);
        line_bounds[c] = bounds[r][c] + row_share * (bounds[r + 1][c] - bounds[r][c]);
    }
    for (int column = left; column < end_column; ++column) {
        SMALL_PLACE(column, aside, small_width, before, share)
        const int c = before - first_column, at = row * width + column;
        const pixel function = line[c] + share * (line[c + 1] - line[c]);
        const pixel bound = line_bounds[c] + share * (line_bounds[c + 1] - line_bounds[c]);
        const wp::uint8* p = picture.data + 3 * at;
        float value = function[3] + (function[0] * p[0] + function[1] * p[1] + function[2] * p[2]) * (1.0f / 255.0f);
        value = value > bound[0] ? value : bound[0];
        value = value < -bound[1] ? value : -bound[1];
        value = value > 0.0f ? value < 1.0f ? value : 1.0f : 0.0f;
        found.data[at] = (wp::uint8)(255.0f * value + 0.5f);
    }
}
#undef MIRRORED
#undef SMALL_PLACE
#undef INSIDE
"""


@wp.func_native(FIND)
def _find(
    tile: int,
    seen: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
    height: int,
    width: int,
    epsilon: float,
    functions: wp.array(dtype=float),
): ...


@wp.func_native(APPLY)
def _apply(
    tile: int,
    functions: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
    small_height: int,
    small_width: int,
    picture: wp.array(dtype=wp.uint8),
    height: int,
    width: int,
    constant: float,
    found: wp.array(dtype=wp.uint8),
): ...


@wp.kernel
def find_functions(
    seen: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
    height: int,
    width: int,
    epsilon: float,
    functions: wp.array(dtype=float),
):
    """One thread a small tile: of the window around each pixel three slopes and an offset."""
    _find(wp.tid(), seen, alpha, height, width, epsilon, functions)


@wp.kernel
def apply_functions(
    functions: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
    small_height: int,
    small_width: int,
    picture: wp.array(dtype=wp.uint8),
    height: int,
    width: int,
    constant: float,
    found: wp.array(dtype=wp.uint8),
):
    """One thread a tile of the picture, no smaller than that of alpha. Where alpha differs by less than constant,
    colours have no say."""
    _apply(wp.tid(), functions, alpha, small_height, small_width, picture, height, width, constant, found)
