"""Pictures through time on CPUs, tile by tile: layers of a picture, and those of its neighbours added where motion
leads, trusted by how alike the colours are there."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import sys

import warp as wp

from vhap.detect.kernels.options import use_widest_vectors

use_widest_vectors(sys.modules[__name__])

TILE = 16
"""Side of a tile in px, and floats of a vector."""

MAKE_LAYERS = """
typedef float pixel __attribute__((ext_vector_type(4), aligned(16)));
const int across = (width + 15) / 16, top = tile / across * 16, left = tile % across * 16;
const int end_row = top + 16 < height ? top + 16 : height, end_column = left + 16 < width ? left + 16 : width;
const float most = wp::log(sure / (1.0f - sure)), least = wp::log((1.0f - sure) / sure);
float low = __builtin_inff(), high = -low;
for (int row = top; row < end_row; ++row) for (int column = left; column < end_column; ++column) {
    const int at = row * width + column;
    const float p = probability.data[at];
    const float odds = p >= sure ? most : p <= 1.0f - sure ? least : wp::log(p / (1.0f - p));
    low = odds < low ? odds : low;
    high = odds > high ? odds : high;
    const wp::uint8* c = picture.data + 3 * at;
    *(pixel*)(layers.data + 4 * at) = pixel{c[0] / 255.0f, c[1] / 255.0f, c[2] / 255.0f, odds};
}
same.data[tile] = low == high ? low : 0.0f;
"""

ADD_NEIGHBOUR = """
typedef float vec __attribute__((ext_vector_type(16), aligned(4)));
typedef int ints __attribute__((ext_vector_type(16), aligned(4)));
typedef float pixel __attribute__((ext_vector_type(4), aligned(16)));
typedef float step __attribute__((ext_vector_type(2), aligned(8)));
#define VEC(p) (*(vec*)(p))
const int across = (width + 15) / 16, pitch = 16 * across, top = tile / across * 16, left = tile % across * 16;
const int end_row = top + 16 < height ? top + 16 : height;
// From pixels to the flow's, whose centres are at half integers too.
const float down = (float)flow_height / height, aside = (float)flow_width / width;
#define FLOW_PLACE(at, scale, count, first, second, share) \\
    const float share##_from = ((at) + 0.5f) * scale - 0.5f > 0.0f ? ((at) + 0.5f) * scale - 0.5f : 0.0f; \\
    const int first = (int)share##_from < count - 1 ? (int)share##_from : count - 1; \\
    const int second = first + 1 < count ? first + 1 : first; \\
    const float share = share##_from - first;
const step* flows = (const step*)flow.data;
float* odds_here = odds.data + top * pitch + left;
float* weight_here = weights.data + top * pitch + left;
// Where all around has the same odds as all here, nothing changes.
const float all = same_here.data[tile];
if (all != 0.0f) {
    FLOW_PLACE(top, down, flow_height, v0, v1, v_share)
    FLOW_PLACE(left, aside, flow_width, u0, u1, u_share)
    const int right = left + 15 < width ? left + 15 : width - 1;
    FLOW_PLACE(end_row - 1, down, flow_height, v2, v3, w_share)
    FLOW_PLACE(right, aside, flow_width, u2, u3, t_share)
    (void)v1; (void)u1; (void)v_share; (void)u_share; (void)w_share; (void)t_share;
    step low = __builtin_inff(), high = -low;
    for (int v = v0; v <= v3; ++v) for (int u = u0; u <= u3; ++u) {
        low = __builtin_elementwise_min(low, flows[v * flow_width + u]);
        high = __builtin_elementwise_max(high, flows[v * flow_width + u]);
    }
#define CELL(place, count) (int)((place) < 0.0f ? 0.0f : (place) > (count) - 1 ? (count) - 1.0f : (place)) / 16
    const int first_column = CELL(left + low[0] / aside, width), last_column = CELL(right + 1 + high[0] / aside, width);
    const int first_row = CELL(top + low[1] / down, height), last_row = CELL(end_row + high[1] / down, height);
#undef CELL
    bool is_same = true;
    for (int r = first_row; r <= last_row; ++r) for (int c = first_column; c <= last_column; ++c)
        is_same = is_same && same_there.data[r * across + c] == all;
    if (is_same) {
        for (int r = 0; r < end_row - top; ++r) {
            VEC(odds_here + r * pitch) += all;
            VEC(weight_here + r * pitch) += 1.0f;
        }
        return;
    }
}
// Two pixels more on each side, mirrored at the border, whose own pixel is not repeated.
#define MIRRORED(name, at, count) \\
    int name = (at) < 0 ? -(at) : (at); \\
    name = name > count - 1 ? 2 * (count - 1) - name : name; \\
    name = name < 0 ? 0 : name;
float apart[20][36], odds_there[16][16], moved_x[20][20], moved_y[20][20];
int rows[20], columns[20], before[20], after[20];
float shares[20];
for (int c = 0; c < 20; ++c) {
    MIRRORED(column, left + c - 2, width)
    FLOW_PLACE(column, aside, flow_width, u0, u1, u_share)
    columns[c] = column; before[c] = 2 * u0; after[c] = 2 * u1; shares[c] = u_share;
}
const float wider = 1.0f / aside, higher = 1.0f / down;
// Between two rows of the flow, then between two of its columns.
for (int r = 0; r < 20; ++r) {
    MIRRORED(row, top + r - 2, height)
    FLOW_PLACE(row, down, flow_height, v0, v1, v_share)
    rows[r] = row;
    const float *above = flow.data + 2 * v0 * flow_width, *below = flow.data + 2 * v1 * flow_width;
    for (int c = 0; c < 20; ++c) {
        const float *p = above + before[c], *q = above + after[c];
        const float *lower_p = below + before[c], *lower_q = below + after[c];
        const float x0 = p[0] + v_share * (lower_p[0] - p[0]), x1 = q[0] + v_share * (lower_q[0] - q[0]);
        const float y0 = p[1] + v_share * (lower_p[1] - p[1]), y1 = q[1] + v_share * (lower_q[1] - q[1]);
        moved_x[r][c] = columns[c] + (x0 + shares[c] * (x1 - x0)) * wider;
        moved_y[r][c] = row + (y0 + shares[c] * (y1 - y0)) * higher;
    }
}
for (int r = 0; r < 20; ++r) for (int c = 0; c < 20; ++c) {
    float x = moved_x[r][c], y = moved_y[r][c];
    x = x > 0.0f ? x : 0.0f; x = x < width - 1 ? x : width - 1;
    y = y > 0.0f ? y : 0.0f; y = y < height - 1 ? y : height - 1;
    const int x0 = (int)x, y0 = (int)y, right = x0 + 1 < width, lower = y0 + 1 < height ? width : 0;
    const pixel* p = (const pixel*)there.data + y0 * width + x0;
    const pixel upper = p[0] + (x - x0) * (p[right] - p[0]);
    const pixel under = p[lower] + (x - x0) * (p[lower + right] - p[lower]);
    const pixel found = upper + (y - y0) * (under - upper);
    const pixel difference = found - ((const pixel*)here.data)[rows[r] * width + columns[c]];
    const pixel squares = difference * difference;
    apart[r][c] = squares[0] + squares[1] + squares[2];
    if (r >= 2 && r < 18 && c >= 2 && c < 18) odds_there[r - 2][c - 2] = found[3];
}
for (int r = 0; r < 20; ++r) for (int c = 20; c < 36; ++c) apart[r][c] = 0.0f;
for (int r = 0; r < end_row - top; ++r) {
    float sums[32];
    for (int c = 0; c < 32; c += 16) {
        vec sum = VEC(&apart[r][c]);
        for (int n = 1; n < 5; ++n) sum += VEC(&apart[r + n][c]);
        VEC(sums + c) = sum;
    }
    vec sum = VEC(sums);
    for (int n = 1; n < 5; ++n) sum += VEC(sums + n);
    // exp(by_colour * mean) = 2 ** (whole + share), by the series of the share.
    const vec least = -80.0f;
    const vec power = __builtin_elementwise_max(sum * (by_colour * 1.44269504f / 25.0f), least);
    const vec whole = __builtin_elementwise_floor(power), t = (power - whole) * 0.69314718f;
    vec trust = 1.0f + t * (1.0f + t * (0.5f + t * (0.166666667f + t * (0.0416666667f
        + t * (0.00833333333f + t * (0.00138888889f + t * 0.000198412698f))))));
    const ints exponent = (__builtin_convertvector(whole, ints) + 127) << 23;
    trust *= *(const vec*)&exponent;
    VEC(odds_here + r * pitch) += trust * VEC(&odds_there[r][0]);
    VEC(weight_here + r * pitch) += trust;
}
#undef VEC
#undef FLOW_PLACE
#undef MIRRORED
"""


@wp.func_native(MAKE_LAYERS)
def _make_layers(
    tile: int,
    picture: wp.array(dtype=wp.uint8),
    probability: wp.array(dtype=float),
    height: int,
    width: int,
    sure: float,
    layers: wp.array(dtype=float),
    same: wp.array(dtype=float),
): ...


@wp.func_native(ADD_NEIGHBOUR)
def _add_neighbour(
    tile: int,
    here: wp.array(dtype=float),
    there: wp.array(dtype=float),
    same_here: wp.array(dtype=float),
    same_there: wp.array(dtype=float),
    flow: wp.array(dtype=float),
    height: int,
    width: int,
    flow_height: int,
    flow_width: int,
    by_colour: float,
    odds: wp.array(dtype=float),
    weights: wp.array(dtype=float),
): ...


@wp.kernel
def make_layers(
    picture: wp.array(dtype=wp.uint8),
    probability: wp.array(dtype=float),
    height: int,
    width: int,
    sure: float,
    layers: wp.array(dtype=float),
    same: wp.array(dtype=float),
):
    """One thread a tile: colours in [0, 1] and log odds, 4 floats a pixel; and the log odds that all of the tile has, 0
    for none. Probabilities are cut at sure and 1 minus this."""
    _make_layers(wp.tid(), picture, probability, height, width, sure, layers, same)


@wp.kernel
def add_neighbour(
    here: wp.array(dtype=float),
    there: wp.array(dtype=float),
    same_here: wp.array(dtype=float),
    same_there: wp.array(dtype=float),
    flow: wp.array(dtype=float),
    height: int,
    width: int,
    flow_height: int,
    flow_width: int,
    by_colour: float,
    odds: wp.array(dtype=float),
    weights: wp.array(dtype=float),
):
    """One thread a tile. flow: (flow_height, flow_width, 2) px of its own size, from here to there.

    by_colour: of a squared difference of colours, the log of the trust. odds, weights: grow, rows have whole tiles.
    """
    _add_neighbour(
        wp.tid(),
        here,
        there,
        same_here,
        same_there,
        flow,
        height,
        width,
        flow_height,
        flow_width,
        by_colour,
        odds,
        weights,
    )
