"""A polynomial of a pixel's colour, between tables that decode and encode it: one pass over a picture.

What the polynomial gives is counted in steps of the encoding table.
"""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

DECODE_STEPS = 2048
"""Steps of the float picture's decoding table, interpolated; a uint8 picture has one row a value."""
ENCODE_STEPS = 16383
"""Steps of the encoding tables. The steepest part of sRGB crosses a fifth of an 8-bit level in one."""

LAST_DECODE = wp.constant(float(DECODE_STEPS))
# One past the end, so that interpolation at 1 has an upper neighbour.
DECODE_ROWS = wp.constant(DECODE_STEPS + 2)
LAST_ENCODE = wp.constant(ENCODE_STEPS)

# The order in which `mix` reads the weights of products of several channels; it stops at the last one in use.
PRODUCTS = (
    *("rg", "rb", "gb", "rgb"),
    *("rrg", "rgg", "rrb", "rbb", "ggb", "gbb"),
    *("rrgb", "rggb", "rgbb"),
    *("rrrg", "rrrb", "rggg", "gggb", "rbbb", "gbbb", "rrgg", "rrbb", "ggbb"),
)


@wp.func
def mix(red: wp.vec4, green: wp.vec4, blue: wp.vec4, weights: wp.array(dtype=wp.vec4), count: int):
    """Each argument: what a channel's own powers give to the three results, and the channel's decoded value."""
    r = red[3]
    g = green[3]
    b = blue[3]
    with_rg = weights[0] + b * weights[3]
    with_rb = weights[1]
    with_gb = weights[2]
    if count > 4:
        with_rg += r * weights[4] + g * weights[5]
        with_rb += r * weights[6] + b * weights[7]
        with_gb += g * weights[8] + b * weights[9]
    if count > 10:
        with_rg += b * (r * weights[10] + g * weights[11] + b * weights[12])
    if count > 13:
        with_rg += r * (r * weights[13] + g * weights[19]) + (g * g) * weights[15]
        with_rb += r * (r * weights[14] + b * weights[20]) + (b * b) * weights[17]
        with_gb += g * (g * weights[16] + b * weights[21]) + (b * b) * weights[18]
    return red + green + blue + (r * g) * with_rg + (r * b) * with_rb + (g * b) * with_gb


@wp.func
def clip(value: float):
    """To [0, 1]; NaN becomes 0, also in versions of Warp whose clamp keeps it."""
    if value >= 1.0:
        return 1.0
    if value > 0.0:
        return value
    return 0.0


@wp.func
def decode(value: float, channel: int, rows: wp.array(dtype=wp.vec4)):
    place = clip(value) * LAST_DECODE
    step = int(place)
    k = channel * DECODE_ROWS + step
    return rows[k] + (place - float(step)) * (rows[k + 1] - rows[k])


@wp.func
def encode(place: float, table: wp.array(dtype=float)):
    inside = wp.clamp(place, 0.0, float(LAST_ENCODE))
    k = int(inside)
    return table[k] + (inside - float(k)) * (table[k + 1] - table[k])


@wp.func
def encode_uint8(place: float, table: wp.array(dtype=wp.uint8)):
    return table[wp.clamp(int(place + 0.5), 0, LAST_ENCODE)]


@wp.kernel
def correct_uint8(
    first: int,
    count: int,
    picture: wp.array(dtype=wp.vec3ub),
    rows: wp.array(dtype=wp.vec4),
    weights: wp.array(dtype=wp.vec4),
    table: wp.array(dtype=wp.uint8),
    result: wp.array(dtype=wp.vec3ub),
):
    i = wp.tid() + first
    p = picture[i]
    y = mix(rows[int(p[0])], rows[256 + int(p[1])], rows[512 + int(p[2])], weights, count)
    result[i] = wp.vec3ub(encode_uint8(y[0], table), encode_uint8(y[1], table), encode_uint8(y[2], table))


@wp.kernel
def correct_float(
    first: int,
    count: int,
    picture: wp.array(dtype=wp.vec3),
    rows: wp.array(dtype=wp.vec4),
    weights: wp.array(dtype=wp.vec4),
    table: wp.array(dtype=float),
    result: wp.array(dtype=wp.vec3),
):
    i = wp.tid() + first
    p = picture[i]
    y = mix(decode(p[0], 0, rows), decode(p[1], 1, rows), decode(p[2], 2, rows), weights, count)
    result[i] = wp.vec3(encode(y[0], table), encode(y[1], table), encode(y[2], table))
