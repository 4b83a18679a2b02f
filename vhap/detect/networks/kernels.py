"""A whole network as one Warp kernel for CPUs: a thread runs all steps of a program on one picture.

Networks for faces are small, so that starting hundreds of operators takes longer than their sums. Here a step is a row
of whole numbers (`Field`), tensors lie in one array of floats, and channels are padded to whole vectors of 16 floats.
What each step means stands in `operators.py` and `custom_operators.py`, which tests hold these against.
"""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import sys

import warp as wp

from vhap.detect.kernels.options import use_widest_vectors
from vhap.detect.networks.kernel_layout import BEGIN, END, FIELDS, Step

use_widest_vectors(sys.modules[__name__])


CONVOLUTION = (
    BEGIN
    + """
const float* w = weights.data + WEIGHT;
const float* bias = weights.data + BIAS;
const float* slope = weights.data + SLOPE;
const int depth = HEIGHT * WIDTH * SOURCE_CHANNELS, step = STRIDE_X * SOURCE_PITCH;
// A tile of T pixels of a row and N vectors of channels stays in registers.
#define TILE(T, N) { \\
    vec sum[T][N]; \\
    for (int t = 0; t < T; ++t) for (int n = 0; n < N; ++n) sum[t][n] = CONST_VEC(bias + o + 16 * n); \\
    const float* k = w + depth * o; \\
    for (int i = 0; i < HEIGHT; ++i) for (int j = 0; j < WIDTH; ++j) { \\
        const float* p = x + ((row * STRIDE_Y + i) * SOURCE_COLUMNS + column * STRIDE_X + j) * SOURCE_PITCH; \\
        for (int c = 0; c < SOURCE_CHANNELS; ++c, k += 16 * N) { \\
            vec part[N]; \\
            _Pragma("unroll") for (int n = 0; n < N; ++n) part[n] = CONST_VEC(k + 16 * n); \\
            _Pragma("unroll") for (int t = 0; t < T; ++t) { \\
                const float value = p[t * step + c]; \\
                _Pragma("unroll") for (int n = 0; n < N; ++n) sum[t][n] += value * part[n]; } } } \\
    _Pragma("unroll") for (int t = 0; t < T; ++t) _Pragma("unroll") for (int n = 0; n < N; ++n) \\
        FINISHED(sum[t][n], row * COLUMNS + column + t, o + 16 * n) }
#define TILES(N) for (int row = 0; row < ROWS; ++row) { \\
    int column = 0; \\
    for (; column + 8 <= COLUMNS; column += 8) TILE(8, N) \\
    for (; column + 4 <= COLUMNS; column += 4) TILE(4, N) \\
    for (; column < COLUMNS; ++column) TILE(1, N) }
int o = 0;
for (; o + 32 <= CHANNELS; o += 32) TILES(2)
for (; o < CHANNELS; o += 16) TILES(1)
#undef TILE
#undef TILES
"""
    + END
)

DEPTHWISE = (
    BEGIN
    + """
const float* w = weights.data + WEIGHT;
const float* bias = weights.data + BIAS;
const float* slope = weights.data + SLOPE;
const int line = SOURCE_COLUMNS * SOURCE_PITCH, across = STRIDE_X * SOURCE_PITCH;
for (int row = 0; row < ROWS; ++row) {
    const int top = row * STRIDE_Y - TOP;
    const int first_i = top < 0 ? -top : 0, end_i = top + HEIGHT > SOURCE_ROWS ? SOURCE_ROWS - top : HEIGHT;
    const bool whole = HEIGHT == 3 && WIDTH == 3 && first_i == 0 && end_i == 3;
    // Columns whose windows lie inside.
    const int first = whole ? (LEFT + STRIDE_X - 1) / STRIDE_X : COLUMNS;
    const int last = whole ? (SOURCE_COLUMNS - 3 + LEFT) / STRIDE_X : -1;
    for (int c = 0; c < CHANNELS; c += 16) {
        const vec base = CONST_VEC(bias + c);
        vec k[9];
        if (whole) _Pragma("unroll") for (int n = 0; n < 9; ++n) k[n] = CONST_VEC(w + n * CHANNELS + c);
        for (int column = 0; column < COLUMNS; ++column) {
            const float* p = x + top * line + column * across - LEFT * SOURCE_PITCH + c;
            vec sum = base;
            if (column >= first && column <= last) {
                vec more = CONST_VEC(p) * k[0];
                _Pragma("unroll") for (int i = 0; i < 3; ++i) _Pragma("unroll") for (int j = 0; j < 3; ++j) {
                    if (i == 0 && j == 0) continue;
                    const vec value = CONST_VEC(p + i * line + j * SOURCE_PITCH);
                    if ((3 * i + j) % 2) sum += value * k[3 * i + j]; else more += value * k[3 * i + j];
                }
                sum += more;
            } else {
                const int left = column * STRIDE_X - LEFT;
                const int first_j = left < 0 ? -left : 0;
                const int end_j = left + WIDTH > SOURCE_COLUMNS ? SOURCE_COLUMNS - left : WIDTH;
                for (int i = first_i; i < end_i; ++i) for (int j = first_j; j < end_j; ++j)
                    sum += CONST_VEC(p + i * line + j * SOURCE_PITCH) * CONST_VEC(w + (i * WIDTH + j) * CHANNELS + c);
            }
            FINISHED(sum, row * COLUMNS + column, c)
        }
    }
}
"""
    + END
)

MAX_POOL = (
    BEGIN
    + """
for (int row = 0; row < ROWS; ++row) for (int column = 0; column < COLUMNS; ++column)
    for (int c = 0; c < CHANNELS; c += 16) {
        vec most = -__builtin_inff();
        for (int i = 0; i < HEIGHT; ++i) for (int j = 0; j < WIDTH; ++j) {
            const int from_row = row * STRIDE_Y - TOP + i, from_column = column * STRIDE_X - LEFT + j;
            if (from_row >= 0 && from_row < SOURCE_ROWS && from_column >= 0 && from_column < SOURCE_COLUMNS)
                most = __builtin_elementwise_max(
                    most, CONST_VEC(x + (from_row * SOURCE_COLUMNS + from_column) * SOURCE_PITCH + c));
        }
        VEC(y + (row * COLUMNS + column) * CHANNELS + c) = most;
    }
"""
    + END
)

BORDER = (
    BEGIN
    + """
// Here a pixel of the target has as many floats as the source's, or more that are 0.
const int first = TOP, end = TOP + SOURCE_ROWS, line = COLUMNS * CHANNELS, source_line = SOURCE_COLUMNS * SOURCE_PITCH;
for (int row = 0; row < ROWS; ++row) {
    float* q = y + row * line;
    for (int n = 0; n < line; ++n) q[n] = 0.0f;
    if (row < first || row >= end) continue;
    const float* p = x + (row - first) * source_line;
    q += LEFT * CHANNELS;
    if (CHANNELS == SOURCE_PITCH) for (int n = 0; n < source_line; ++n) q[n] = p[n];
    else for (int column = 0; column < SOURCE_COLUMNS; ++column) for (int c = 0; c < SOURCE_PITCH; ++c)
        q[column * CHANNELS + c] = p[column * SOURCE_PITCH + c];
}
"""
    + END
)

SUM = (
    BEGIN
    + """
const float* slope = weights.data + SLOPE;
for (int pixel = 0; pixel < ROWS * COLUMNS; ++pixel) for (int c = 0; c < CHANNELS; c += 16) {
    vec value = 0.0f;
    if (c < SOURCE_PITCH) value = CONST_VEC(x + pixel * SOURCE_PITCH + c);
    FINISHED(value, pixel, c)
}
"""
    + END
)

CROP_MATRIX = (
    BEGIN
    + """
// x: points, three floats each. Constants: cosine and sine of the target angle, scales, size, the two points of the
// line, count of points, and the points.
const float* k = weights.data + WEIGHT;
const float* left = x + 3 * (int)k[6]; const float* right = x + 3 * (int)k[7];
const float dx = right[0] - left[0], dy = right[1] - left[1], length = wp::sqrt(dx * dx + dy * dy);
const float along = length > 0.0f ? dx / length : 1.0f, across = length > 0.0f ? dy / length : 0.0f;
const float cosine = along * k[0] + across * k[1], sine = across * k[0] - along * k[1];
float low_x = __builtin_inff(), low_y = low_x, high_x = -low_x, high_y = -low_x;
for (int n = 0; n < (int)k[8]; ++n) {
    const float* p = x + 3 * (int)k[9 + n];
    const float u = p[0] * cosine + p[1] * sine, v = p[1] * cosine - p[0] * sine;
    low_x = u < low_x ? u : low_x; high_x = u > high_x ? u : high_x;
    low_y = v < low_y ? v : low_y; high_y = v > high_y ? v : high_y;
}
const float u = (low_x + high_x) / 2, v = (low_y + high_y) / 2;
const float scale_x = k[2] * (high_x - low_x) / k[4], scale_y = k[3] * (high_y - low_y) / k[5];
for (int n = 0; n < 16; ++n) y[n] = n % 5 == 0 ? 1.0f : 0.0f;
y[0] = cosine * scale_x; y[1] = -sine * scale_y; y[4] = sine * scale_x; y[5] = cosine * scale_y;
y[3] = cosine * u - sine * v - (y[0] * k[4] + y[1] * k[5]) / 2;
y[7] = sine * u + cosine * v - (y[4] * k[4] + y[5] * k[5]) / 2;
"""
    + END
)

CROP = (
    BEGIN
    + """
const int last_x = SOURCE_COLUMNS - 1, last_y = SOURCE_ROWS - 1;
for (int row = 0; row < ROWS; ++row) for (int column = 0; column < COLUMNS; ++column) {
    const float u = column + 0.5f, v = row + 0.5f;
    const float px = rest[0] * u + rest[1] * v + rest[3] - 0.5f, py = rest[4] * u + rest[5] * v + rest[7] - 0.5f;
    float* q = y + (row * COLUMNS + column) * CHANNELS;
    const bool inside = px >= 0.0f && py >= 0.0f && px <= last_x && py <= last_y;
    const int x0 = inside ? (int)px : 0, y0 = inside ? (int)py : 0;
    const int x1 = x0 < last_x ? x0 + 1 : last_x, y1 = y0 < last_y ? y0 + 1 : last_y;
    const float along = px - x0, down = py - y0;
    for (int c = 0; c < CHANNELS; c += 16) {
        vec value = 0.0f;
        if (inside) {
            const float* p = x + c;
            const float* above = p + y0 * SOURCE_COLUMNS * SOURCE_PITCH;
            const float* below = p + y1 * SOURCE_COLUMNS * SOURCE_PITCH;
            const vec a = CONST_VEC(above + x0 * SOURCE_PITCH), b = CONST_VEC(above + x1 * SOURCE_PITCH);
            const vec d = CONST_VEC(below + x0 * SOURCE_PITCH), e = CONST_VEC(below + x1 * SOURCE_PITCH);
            const vec upper = a + along * (b - a), lower = d + along * (e - d);
            value = upper + down * (lower - upper);
        }
        VEC(q + c) = value;
    }
}
"""
    + END
)

MOVE_POINTS = (
    BEGIN
    + """
// x: points, two floats each; rest: the matrix.
for (int n = 0; n < CHANNELS / 2; ++n) {
    const float u = x[2 * n], v = x[2 * n + 1];
    y[2 * n] = rest[0] * u + rest[1] * v + rest[3];
    y[2 * n + 1] = rest[4] * u + rest[5] * v + rest[7];
}
"""
    + END
)

RESIZE = (
    BEGIN
    + """
// Pixel centres at half integers; what lies beyond the outermost ones is as they are.
const float down = (float)SOURCE_ROWS / ROWS, along = (float)SOURCE_COLUMNS / COLUMNS;
for (int row = 0; row < ROWS; ++row) {
    const float v = (row + 0.5f) * down - 0.5f, py = v > 0.0f ? v : 0.0f;
    const int y0 = (int)py, y1 = y0 + 1 < SOURCE_ROWS ? y0 + 1 : y0;
    for (int column = 0; column < COLUMNS; ++column) {
        const float u = (column + 0.5f) * along - 0.5f, px = u > 0.0f ? u : 0.0f;
        const int x0 = (int)px, x1 = x0 + 1 < SOURCE_COLUMNS ? x0 + 1 : x0;
        const float *above = x + y0 * SOURCE_COLUMNS * SOURCE_PITCH, *below = x + y1 * SOURCE_COLUMNS * SOURCE_PITCH;
        for (int c = 0; c < CHANNELS; c += 16) {
            const vec a = CONST_VEC(above + x0 * SOURCE_PITCH + c), b = CONST_VEC(above + x1 * SOURCE_PITCH + c);
            const vec d = CONST_VEC(below + x0 * SOURCE_PITCH + c), e = CONST_VEC(below + x1 * SOURCE_PITCH + c);
            const vec upper = a + (px - x0) * (b - a), lower = d + (px - x0) * (e - d);
            VEC(y + (row * COLUMNS + column) * CHANNELS + c) = upper + (py - y0) * (lower - upper);
        }
    }
}
"""
    + END
)

MEAN = (
    BEGIN
    + """
// Row by row first, so that no sum grows long.
for (int c = 0; c < CHANNELS; c += 16) {
    vec total = 0.0f;
    for (int row = 0; row < SOURCE_ROWS; ++row) {
        const float* p = x + row * SOURCE_COLUMNS * SOURCE_PITCH + c;
        vec sum = 0.0f;
        for (int column = 0; column < SOURCE_COLUMNS; ++column) sum += CONST_VEC(p + column * SOURCE_PITCH);
        total += sum;
    }
    VEC(y + c) = total / (float)(SOURCE_ROWS * SOURCE_COLUMNS);
}
"""
    + END
)

SCALE = (
    BEGIN
    + """
// rest: a factor for each channel.
for (int pixel = 0; pixel < ROWS * COLUMNS; ++pixel) for (int c = 0; c < CHANNELS; c += 16)
    VEC(y + pixel * CHANNELS + c) = CONST_VEC(x + pixel * SOURCE_PITCH + c) * CONST_VEC(rest + c);
"""
    + END
)

LOGISTIC = (
    BEGIN
    + """
for (int n = 0; n < ROWS * COLUMNS * CHANNELS; ++n) y[n] = 1.0f / (1.0f + wp::exp(-x[n]));
"""
    + END
)

SPREAD = (
    BEGIN
    + """
// Channels of the source are those of HEIGHT x WIDTH pixels of the target; pixels of the target have as many floats.
const int count = SOURCE_CHANNELS / (HEIGHT * WIDTH);
for (int row = 0; row < ROWS; ++row) for (int column = 0; column < COLUMNS; ++column) {
    const int part = row % HEIGHT * WIDTH + column % WIDTH;
    const float* p = x + (row / HEIGHT * SOURCE_COLUMNS + column / WIDTH) * SOURCE_PITCH + part * count;
    float* q = y + (row * COLUMNS + column) * CHANNELS;
    for (int c = 0; c < CHANNELS; ++c) q[c] = c < count ? p[c] : 0.0f;
}
"""
    + END
)


@wp.func_native(CONVOLUTION)
def convolution(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(DEPTHWISE)
def depthwise(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(MAX_POOL)
def max_pool(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(BORDER)
def border(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(SUM)
def sum_up(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(CROP_MATRIX)
def crop_matrix(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(CROP)
def crop(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(MOVE_POINTS)
def move_points(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(RESIZE)
def resize(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(MEAN)
def mean(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(SCALE)
def scale(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(LOGISTIC)
def logistic(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.func_native(SPREAD)
def spread(
    program: wp.array(dtype=int), at: int, weights: wp.array(dtype=float), memory: wp.array(dtype=float), start: int
): ...


@wp.kernel
def run_program(
    program: wp.array(dtype=int),
    count: int,
    weights: wp.array(dtype=float),
    memory: wp.array(dtype=float),
    floats: int,
):
    """count: steps of the program. memory: floats of all pictures, so many of each."""
    start = wp.tid() * floats
    for step in range(count):
        at = step * wp.static(FIELDS)
        kind = program[at]
        if kind == wp.static(int(Step.CONVOLUTION)):
            convolution(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.DEPTHWISE)):
            depthwise(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.MAX_POOL)):
            max_pool(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.BORDER)):
            border(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.SUM)):
            sum_up(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.CROP_MATRIX)):
            crop_matrix(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.CROP)):
            crop(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.MOVE_POINTS)):
            move_points(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.RESIZE)):
            resize(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.MEAN)):
            mean(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.SCALE)):
            scale(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.LOGISTIC)):
            logistic(program, at, weights, memory, start)
        elif kind == wp.static(int(Step.SPREAD)):
            spread(program, at, weights, memory, start)
