"""Closed-form matting of a band on CPUs: its equations, and conjugate gradients in one launch.

Pixels of the band stand in blocks of 16 neighbours of a row, so that every sum is one of whole vectors. A block begins
with a pixel of the band; others in it have equations of zeros. Vectors that neighbours are read from lie in a picture
with a margin, where all is 0 outside the band.
"""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import sys

import warp as wp

from vhap.detect.kernels.options import use_widest_vectors

use_widest_vectors(sys.modules[__name__])

LANES = 16
MARGIN = 2
"""Windows of 3 x 3 tie a pixel to those two further on."""
ASIDE = 2 * MARGIN + LANES
"""Columns beside the picture's: the last block of a row does not reach into the next one."""
NEIGHBOURS = 25
VECTORS = NEIGHBOURS + 3
"""Of a block: what its pixels have to do with the 5 x 5 around each, the inverse diagonal, right side and guess."""

LIST_BLOCKS = """
int count = 0;
for (int row = 0; row < height; ++row) for (int column = 0; column < width; ++column)
    if (unknown.data[row * width + column]) {
        blocks.data[1 + count++] = row * width + column;
        column += 15;
    }
blocks.data[0] = count;
"""

TIE_BLOCK = """
typedef float vec __attribute__((ext_vector_type(16), aligned(4)));
typedef float half __attribute__((ext_vector_type(8), aligned(4)));
typedef double wide __attribute__((ext_vector_type(8), aligned(8)));
#define VEC(p) (*(vec*)(p))
#define WIDE(p) __builtin_convertvector(*(const half*)(p), wide)
const int first = blocks.data[1 + block], row = first / width, column = first % width;
// Around the block: rows from row - 2, columns from column - 2 on. Outside the picture nothing counts.
float colours[3][5][32], inside_here[5][32];
for (int r = 0; r < 5; ++r) for (int c = 0; c < 32; ++c) {
    const int from_row = row + r - 2, from_column = column + c - 2;
    const bool there = c < 20 && from_row >= 0 && from_row < height && from_column >= 0 && from_column < width;
    const int at = there ? from_row * width + from_column : 0;
    for (int k = 0; k < 3; ++k) colours[k][r][c] = there ? picture.data[3 * at + k] : 0.0f;
    inside_here[r][c] = there && inside.data[at] ? 1.0f : 0.0f;
}
// Means and inverse covariances of the windows with centres from row - 1 and column - 1 on.
float shape[9][3][24];
for (int r = 0; r < 3; ++r) for (int v = 0; v < 24; v += 8) {
    wide mean[3], covariance[6];
    for (int k = 0; k < 3; ++k) {
        mean[k] = 0.0;
        for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) mean[k] += WIDE(&colours[k][r + i][v + j]);
        mean[k] /= 9.0;
    }
    for (int n = 0; n < 6; ++n) covariance[n] = 0.0;
    for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) {
        const wide a = WIDE(&colours[0][r + i][v + j]) - mean[0], b = WIDE(&colours[1][r + i][v + j]) - mean[1];
        const wide c = WIDE(&colours[2][r + i][v + j]) - mean[2];
        covariance[0] += a * a; covariance[1] += a * b; covariance[2] += a * c;
        covariance[3] += b * b; covariance[4] += b * c; covariance[5] += c * c;
    }
    const double more = epsilon / 9.0;
    const wide aa = covariance[0] / 9.0 + more, ab = covariance[1] / 9.0, ac = covariance[2] / 9.0;
    const wide bb = covariance[3] / 9.0 + more, bc = covariance[4] / 9.0, cc = covariance[5] / 9.0 + more;
    const wide m0 = bb * cc - bc * bc, m1 = ac * bc - ab * cc, m2 = ab * bc - ac * bb;
    const wide share = 1.0 / (aa * m0 + ab * m1 + ac * m2);
    const wide found[9] = {mean[0], mean[1], mean[2], m0 * share, m1 * share, m2 * share,
        (aa * cc - ac * ac) * share, (ab * ac - aa * bc) * share, (aa * bb - ab * ab) * share};
    for (int n = 0; n < 9; ++n) *(half*)&shape[n][r][v] = __builtin_convertvector(found[n], half);
}
vec ties[25];
for (int n = 0; n < 25; ++n) ties[n] = 0.0f;
for (int r = 0; r < 3; ++r) {
    if (row + r - 1 < 1 || row + r - 1 > height - 2) continue;
    for (int c = 0; c < 3; ++c) {
        vec counts;
        for (int n = 0; n < 16; ++n) counts[n] = column + n + c - 1 >= 1 && column + n + c - 1 <= width - 2;
        const vec mean[3] = {VEC(&shape[0][r][c]), VEC(&shape[1][r][c]), VEC(&shape[2][r][c])};
        const vec x = VEC(&colours[0][2][2]) - mean[0], y = VEC(&colours[1][2][2]) - mean[1];
        const vec z = VEC(&colours[2][2][2]) - mean[2];
        const vec xy = VEC(&shape[4][r][c]), xz = VEC(&shape[5][r][c]), yz = VEC(&shape[7][r][c]);
        const vec u = VEC(&shape[3][r][c]) * x + xy * y + xz * z, v = xy * x + VEC(&shape[6][r][c]) * y + yz * z;
        const vec w = xz * x + yz * y + VEC(&shape[8][r][c]) * z;
        const vec ninth = counts / 9.0f;
        for (int i = 0; i < 3; ++i) for (int j = 0; j < 3; ++j) {
            const vec alike = (VEC(&colours[0][r + i][c + j]) - mean[0]) * u
                + (VEC(&colours[1][r + i][c + j]) - mean[1]) * v + (VEC(&colours[2][r + i][c + j]) - mean[2]) * w;
            ties[5 * (r + i) + c + j] -= (1.0f + alike) * ninth;
        }
        ties[12] += counts;
    }
}
vec here = 0.0f, trusted = 0.0f, guess = 0.0f, pull = 0.0f;
for (int n = 0; n < 16 && column + n < width; ++n) if (unknown.data[first + n]) {
    here[n] = 1.0f;
    trusted[n] = trust.data[first + n];
    guess[n] = expected.data[first + n];
}
float* own = system.data + block * 28 * 16;
for (int n = 0; n < 25; ++n) {
    pull -= ties[n] * VEC(&inside_here[n / 5][n % 5]);
    VEC(own + 16 * n) = here * ties[n];
}
const vec diagonal = here * ties[12] + trusted, least = 1e-6f;
VEC(own + 16 * 12) = diagonal;
VEC(own + 16 * 25) = here / __builtin_elementwise_max(diagonal, least);
VEC(own + 16 * 26) = here * pull + trusted * guess;
VEC(own + 16 * 27) = guess;
#undef VEC
#undef WIDE
"""

DESCEND = """
typedef float vec __attribute__((ext_vector_type(16), aligned(4)));
typedef double wide __attribute__((ext_vector_type(16), aligned(8)));
#define VEC(p) (*(vec*)(p))
#define SUMMED(sum, product) sum += __builtin_convertvector(product, wide)
const int count = blocks.data[0], stride = width + 20;
// Of each block: x, residual and image; `along` is the picture with margins.
float* own = vectors.data;
float* along = picture.data;
#define PLACE(b) ((blocks.data[1 + (b)] / width + 2) * stride + blocks.data[1 + (b)] % width + 2)
#define ALL(b, n) (system.data + ((b) * 28 + (n)) * 16)
#define IMAGE(name, p, w) \\
    vec name = 0.0f; \\
    { vec more = 0.0f; \\
    _Pragma("unroll") for (int i = 0; i < 5; ++i) _Pragma("unroll") for (int j = 0; j < 5; ++j) { \\
        const vec value = VEC(w + 16 * (5 * i + j)) * VEC(p + (i - 2) * stride + j - 2); \\
        if ((5 * i + j) % 2) more += value; else name += value; } \\
    name += more; }
for (int b = 0; b < count; ++b) VEC(along + PLACE(b)) = VEC(ALL(b, 27));
for (int b = 0; b < count; ++b) {
    const float* p = along + PLACE(b);
    const float* w = ALL(b, 0);
    IMAGE(image, p, w)
    VEC(own + 48 * b) = VEC(ALL(b, 27));
    VEC(own + 48 * b + 16) = VEC(ALL(b, 26)) - image;
}
double size = 0.0, end = 0.0;
for (int step = 0; step <= most_steps; ++step) {
    wide sum = 0.0;
    for (int b = 0; b < count; ++b) {
        const vec residual = VEC(own + 48 * b + 16);
        SUMMED(sum, residual * (VEC(ALL(b, 25)) * residual));
    }
    double now = 0.0;
    for (int n = 0; n < 16; ++n) now += sum[n];
    if (step == 0) end = least_ratio * least_ratio * now;
    if (step == most_steps || now <= (end > 1e-12 ? end : 1e-12)) break;
    const float turn = step == 0 ? 0.0f : (float)(now / size);
    size = now;
    for (int b = 0; b < count; ++b) {
        float* p = along + PLACE(b);
        VEC(p) = VEC(ALL(b, 25)) * VEC(own + 48 * b + 16) + turn * VEC(p);
    }
    sum = 0.0;
    for (int b = 0; b < count; ++b) {
        const float* p = along + PLACE(b);
        const float* w = ALL(b, 0);
        IMAGE(image, p, w)
        VEC(own + 48 * b + 32) = image;
        SUMMED(sum, VEC(p) * image);
    }
    double across = 0.0;
    for (int n = 0; n < 16; ++n) across += sum[n];
    const float length = (float)(size / across);
    for (int b = 0; b < count; ++b) {
        VEC(own + 48 * b) += length * VEC(along + PLACE(b));
        VEC(own + 48 * b + 16) -= length * VEC(own + 48 * b + 32);
    }
}
for (int b = 0; b < count; ++b) for (int n = 0; n < 16; ++n) {
    const int first = blocks.data[1 + b];
    if (first % width + n < width && unknown.data[first + n]) {
        const float value = own[48 * b + n];
        alpha.data[first + n] = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
    }
}
#undef VEC
#undef SUMMED
#undef PLACE
#undef ALL
#undef IMAGE
"""


@wp.func_native(LIST_BLOCKS)
def _list_blocks(unknown: wp.array(dtype=wp.uint8), height: int, width: int, blocks: wp.array(dtype=int)): ...


@wp.func_native(TIE_BLOCK)
def _tie_block(
    block: int,
    picture: wp.array(dtype=float),
    inside: wp.array(dtype=wp.uint8),
    unknown: wp.array(dtype=wp.uint8),
    expected: wp.array(dtype=float),
    trust: wp.array(dtype=float),
    height: int,
    width: int,
    epsilon: float,
    blocks: wp.array(dtype=int),
    system: wp.array(dtype=float),
): ...


@wp.func_native(DESCEND)
def _descend(
    unknown: wp.array(dtype=wp.uint8),
    width: int,
    most_steps: int,
    least_ratio: float,
    blocks: wp.array(dtype=int),
    system: wp.array(dtype=float),
    vectors: wp.array(dtype=float),
    picture: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
): ...


@wp.kernel
def list_blocks(unknown: wp.array(dtype=wp.uint8), height: int, width: int, blocks: wp.array(dtype=int)):
    """blocks: their number, and the pixel that each begins with."""
    _list_blocks(unknown, height, width, blocks)


@wp.kernel
def tie_blocks(
    picture: wp.array(dtype=float),
    inside: wp.array(dtype=wp.uint8),
    unknown: wp.array(dtype=wp.uint8),
    expected: wp.array(dtype=float),
    trust: wp.array(dtype=float),
    height: int,
    width: int,
    epsilon: float,
    blocks: wp.array(dtype=int),
    system: wp.array(dtype=float),
):
    """The equations of a block, VECTORS of LANES floats."""
    _tie_block(wp.tid(), picture, inside, unknown, expected, trust, height, width, epsilon, blocks, system)


@wp.kernel
def descend(
    unknown: wp.array(dtype=wp.uint8),
    width: int,
    most_steps: int,
    least_ratio: float,
    blocks: wp.array(dtype=int),
    system: wp.array(dtype=float),
    vectors: wp.array(dtype=float),
    picture: wp.array(dtype=float),
    alpha: wp.array(dtype=float),
):
    """Conjugate gradients in one piece. vectors: three a block. picture: zeros, with room for margins."""
    _descend(unknown, width, most_steps, least_ratio, blocks, system, vectors, picture, alpha)
