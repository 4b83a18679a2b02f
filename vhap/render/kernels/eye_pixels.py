"""What a pixel of an eyeball should show, and how that changes as the eye turns."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

INTERSECTION_ROUNDS = wp.constant(4)
LEAST_SINE = wp.constant(1.0e-3)
LEAST_FACING = wp.constant(0.05)
LEAST_COSINE = wp.constant(1.0e-7)
BEHIND = wp.constant(1.0e-2)
"""Directions nearer to the back of the eye than that lie at the rim of a stereographic chart."""


@wp.func
def chart_place(outward: wp.vec3, reach: float, cells: float, size: int):
    # Column and row in a chart of a direction, with the parts of cells.
    spot = wp.vec2(outward[0], outward[1]) / wp.max(1.0 + outward[2], BEHIND)
    last = float(size - 1) - 1.0e-3
    return wp.vec2(wp.clamp((spot[0] + reach) * cells, 0.0, last), wp.clamp((spot[1] + reach) * cells, 0.0, last))


@wp.func
def chart_slope(outward: wp.vec3, distance: float, by_x: float, by_y: float):
    # By the position in space, of what changes by by_x and by_y along the chart's axes.
    forward = 1.0 + outward[2]
    spot = wp.vec2(outward[0], outward[1]) / wp.max(forward, BEHIND)
    sideways = wp.vec3(by_x, by_y, -(by_x * spot[0] + by_y * spot[1])) / forward
    return (sideways - outward * wp.dot(sideways, outward)) / distance


@wp.kernel
def eye_differences(
    first: int,
    view: wp.array(dtype=wp.int64),
    frame: wp.array(dtype=wp.int64),
    eye: wp.array(dtype=wp.int64),
    colour: wp.array(dtype=wp.vec3),
    shading: wp.array(dtype=wp.vec3),
    ray: wp.array(dtype=wp.vec3),
    origin: wp.array(dtype=wp.vec3),
    across: wp.array(dtype=wp.vec2),
    gain: wp.array(dtype=wp.vec3),
    turn: wp.array(dtype=wp.mat33),
    by_turn: wp.array(dtype=wp.mat33),
    slopes: bool,
    axis: wp.array(dtype=wp.vec3),
    mean_radius: wp.array(dtype=wp.float32),
    radius: wp.array(dtype=wp.float32),
    detail: wp.array(dtype=wp.vec3),
    size: int,
    reach: float,
    profile: wp.array(dtype=wp.vec3),
    angle_step: float,
    value: wp.array(dtype=wp.vec3),
    by_gaze: wp.array(dtype=wp.vec3),
    unlit: wp.array(dtype=wp.vec3),
    factor: wp.array(dtype=wp.vec3),
    angle: wp.array(dtype=wp.float32),
    valid: wp.array(dtype=wp.bool),
):
    # turn: of every eye of every frame; by_turn: its derivatives by pitch and yaw. Everything is done in the axes of
    # the turned eye, in which the surface rests and the rays turn.
    i = wp.tid() + first
    e = int(eye[i])
    which = 2 * int(frame[i]) + e
    cells = float(size - 1) / (2.0 * reach)
    turned = wp.transpose(turn[which])
    o = turned * origin[i]
    d = turned * ray[i]
    along = wp.dot(d, o)
    beyond = wp.dot(o, o) - along * along
    r = mean_radius[e]
    inside = wp.float32(0.0)
    way = wp.float32(0.0)
    near = wp.int32(0)
    x = wp.float32(0.0)
    y = wp.float32(0.0)
    p = wp.vec3(0.0, 0.0, 0.0)
    for _ in range(INTERSECTION_ROUNDS):
        inside = r * r - beyond
        way = -along - wp.sqrt(wp.max(inside, 0.0))
        p = o + d * way
        place = chart_place(wp.normalize(p), reach, cells, size)
        column = int(place[0])
        row = int(place[1])
        x = place[0] - float(column)
        y = place[1] - float(row)
        near = (e * size + row) * size + column
        upper = (1.0 - x) * radius[near] + x * radius[near + 1]
        r = (1.0 - y) * upper + y * ((1.0 - x) * radius[near + size] + x * radius[near + size + 1])
    valid[i] = inside > 0.0 and p[2] > 0.0
    distance = wp.length(p)
    outward = p / distance
    cosine = wp.clamp(wp.dot(outward, axis[e]), LEAST_COSINE - 1.0, 1.0 - LEAST_COSINE)
    theta = wp.acos(cosine)
    angle[i] = theta
    knots = profile.shape[0]
    knot = wp.clamp(theta / angle_step, 0.0, float(knots - 1) - 1.0e-4)
    cell = int(knot)
    rise = profile[cell + 1] - profile[cell]
    albedo = profile[cell] + rise * (knot - float(cell))
    upper_detail = detail[near] * (1.0 - x) + detail[near + 1] * x
    lower_detail = detail[near + size] * (1.0 - x) + detail[near + size + 1] * x
    painted = upper_detail * (1.0 - y) + lower_detail * y
    g = gain[view[i]]
    lit = shading[i] * (1.0 + g[0] + g[1] * across[i][0] + g[2] * across[i][1])
    factor[i] = wp.cw_mul(lit, painted)
    value[i] = wp.cw_mul(wp.cw_mul(lit, painted), albedo) - colour[i]
    if slopes:
        unlit[i] = wp.cw_mul(wp.cw_mul(shading[i], painted), albedo)
        by_x = (
            (1.0 - y) * (radius[near + 1] - radius[near]) + y * (radius[near + size + 1] - radius[near + size])
        ) * cells
        by_y = (
            (1.0 - x) * (radius[near + size] - radius[near]) + x * (radius[near + size + 1] - radius[near + 1])
        ) * cells
        normal = outward - chart_slope(outward, distance, by_x, by_y)
        # A point that stays on the surface as it is moved slides along its ray.
        facing = wp.min(wp.dot(normal, d), -LEAST_FACING)
        still = origin[i] + ray[i] * way
        sine = wp.max(wp.sqrt(1.0 - cosine * cosine), LEAST_SINE)
        by_position = (outward * cosine - axis[e]) / (sine * distance)
        detail_x = (detail[near + 1] - detail[near]) * (1.0 - y) + (detail[near + size + 1] - detail[near + size]) * y
        detail_y = (detail[near + size] - detail[near]) * (1.0 - x) + (detail[near + size + 1] - detail[near + 1]) * x
        for k in range(2):
            moved = wp.transpose(by_turn[2 * which + k]) * still
            moved = moved - d * (wp.dot(moved, normal) / facing)
            by_angle = rise * (wp.dot(by_position, moved) / angle_step)
            by_detail = wp.vec3(0.0, 0.0, 0.0)
            for c in range(3):
                slope = chart_slope(outward, distance, detail_x[c] * cells, detail_y[c] * cells)
                by_detail[c] = wp.dot(slope, moved)
            by_gaze[2 * i + k] = wp.cw_mul(lit, wp.cw_mul(painted, by_angle) + wp.cw_mul(albedo, by_detail))
