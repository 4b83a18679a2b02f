"""Mean colours near pixels of a matte's rim, by sums over rectangles."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def sum_rectangles(
    picture: wp.array(dtype=wp.vec3ub, ndim=2),
    alpha: wp.array(dtype=wp.uint8, ndim=2),
    weights: wp.array(dtype=wp.float32),
    row_of: wp.array(dtype=wp.int32),
    column_of: wp.array(dtype=wp.int32),
    sums: wp.array(dtype=wp.vec4d, ndim=2),
):
    # One thread a picture. row_of, column_of: what stands at each place of the padded picture. The fourth channel
    # counts weights.
    for column in range(column_of.shape[0] + 1):
        sums[0, column] = wp.vec4d()
    for row in range(row_of.shape[0]):
        source = row_of[row]
        total = wp.vec4d()
        sums[row + 1, 0] = total
        for column in range(column_of.shape[0]):
            place = column_of[column]
            weight = weights[int(alpha[source, place])]
            if weight > 0.0:
                colour = picture[source, place]
                total += wp.vec4d(
                    wp.float64(weight * wp.float32(colour[0])),
                    wp.float64(weight * wp.float32(colour[1])),
                    wp.float64(weight * wp.float32(colour[2])),
                    wp.float64(weight),
                )
            sums[row + 1, column + 1] = sums[row, column + 1] + total


@wp.kernel
def means_nearby(
    picture: wp.array(dtype=wp.vec3ub, ndim=2),
    rows: wp.array(dtype=wp.int64),
    columns: wp.array(dtype=wp.int64),
    sums: wp.array(dtype=wp.vec4d, ndim=2),
    margin: int,
    wide: int,
    close: int,
    trust: wp.float64,
    enough: wp.float64,
    means: wp.array(dtype=wp.vec3d),
):
    # First wide, then close by where that holds enough, at distances of `wide` and `close` pixels.
    n = wp.tid()
    row = int(rows[n])
    column = int(columns[n])
    own = picture[row, column]
    mean = wp.vec3d(wp.float64(own[0]), wp.float64(own[1]), wp.float64(own[2]))
    for k in range(2):
        reach = wide
        share = trust
        if k == 1:
            reach = close
            share = enough
        top = row + margin - reach
        left = column + margin - reach
        side = 2 * reach + 1
        total = sums[top + side, left + side] - sums[top + side, left] - sums[top, left + side] + sums[top, left]
        total = total / wp.float64(side * side)
        mean = (wp.vec3d(total[0], total[1], total[2]) + share * mean) / (total[3] + share)
    means[n] = mean / wp.float64(255.0)
