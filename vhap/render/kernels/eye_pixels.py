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


@wp.func
def chart_cell(outward: wp.vec3, reach: float, size: int):
    # The cell of a chart in which a direction lies, and the part of it that lies before each way.
    place = chart_place(outward, reach, float(size - 1) / (2.0 * reach), size)
    column = int(place[0])
    row = int(place[1])
    return row * size + column, place[0] - float(column), place[1] - float(row)


@wp.func
def radius_at(radius: wp.array(dtype=wp.float32), near: int, x: float, y: float, size: int):
    upper = (1.0 - x) * radius[near] + x * radius[near + 1]
    return (1.0 - y) * upper + y * ((1.0 - x) * radius[near + size] + x * radius[near + size + 1])


@wp.func
def detail_at(detail: wp.array(dtype=wp.vec3), near: int, x: float, y: float, size: int):
    upper = detail[near] * (1.0 - x) + detail[near + 1] * x
    return upper * (1.0 - y) + (detail[near + size] * (1.0 - x) + detail[near + size + 1] * x) * y


@wp.func
def brightness(gain: wp.vec3, across: wp.vec2):
    return 1.0 + gain[0] + gain[1] * across[0] + gain[2] * across[1]


@wp.func
def axis_cosine(outward: wp.vec3, axis: wp.vec3):
    return wp.clamp(wp.dot(outward, axis), LEAST_COSINE - 1.0, 1.0 - LEAST_COSINE)


@wp.func
def profile_at(profile: wp.array(dtype=wp.vec3), angle: float, angle_step: float):
    # The albedo at an angle, and its change from one knot to the next.
    knot = wp.clamp(angle / angle_step, 0.0, float(profile.shape[0] - 1) - 1.0e-4)
    cell = int(knot)
    rise = profile[cell + 1] - profile[cell]
    return profile[cell] + rise * (knot - float(cell)), rise


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
    axis: wp.array(dtype=wp.vec3),
    mean_radius: wp.array(dtype=wp.float32),
    radius: wp.array(dtype=wp.float32),
    detail: wp.array(dtype=wp.vec3),
    size: int,
    reach: float,
    profile: wp.array(dtype=wp.vec3),
    angle_step: float,
    value: wp.array(dtype=wp.vec3),
    factor: wp.array(dtype=wp.vec3),
    angle: wp.array(dtype=wp.float32),
    valid: wp.array(dtype=wp.bool),
    position: wp.array(dtype=wp.vec3),
    length: wp.array(dtype=wp.float32),
):
    # turn: of every eye of every frame. Everything is done in the axes of the turned eye, in which the surface rests
    # and the rays turn. position, length: where the ray meets the eye, and how far along it.
    i = wp.tid() + first
    e = int(eye[i])
    chart = e * size * size
    turned = wp.transpose(turn[2 * int(frame[i]) + e])
    o = turned * origin[i]
    d = turned * ray[i]
    along = wp.dot(d, o)
    beyond = wp.dot(o, o) - along * along
    r = mean_radius[e]
    inside = wp.float32(0.0)
    way = wp.float32(0.0)
    for _ in range(INTERSECTION_ROUNDS):
        inside = r * r - beyond
        way = -along - wp.sqrt(wp.max(inside, 0.0))
        near, x, y = chart_cell(wp.normalize(o + d * way), reach, size)
        r = radius_at(radius, chart + near, x, y, size)
    p = o + d * way
    position[i] = p
    length[i] = way
    valid[i] = inside > 0.0 and p[2] > 0.0
    outward = wp.normalize(p)
    theta = wp.acos(axis_cosine(outward, axis[e]))
    angle[i] = theta
    albedo, _rise = profile_at(profile, theta, angle_step)
    last_near, last_x, last_y = chart_cell(outward, reach, size)
    lit = shading[i] * brightness(gain[view[i]], across[i])
    factor[i] = wp.cw_mul(lit, detail_at(detail, chart + last_near, last_x, last_y, size))
    value[i] = wp.cw_mul(factor[i], albedo) - colour[i]


@wp.kernel
def eye_slopes(
    first: int,
    frame: wp.array(dtype=wp.int64),
    eye: wp.array(dtype=wp.int64),
    ray: wp.array(dtype=wp.vec3),
    origin: wp.array(dtype=wp.vec3),
    turn: wp.array(dtype=wp.mat33),
    by_turn: wp.array(dtype=wp.mat33),
    axis: wp.array(dtype=wp.vec3),
    radius: wp.array(dtype=wp.float32),
    detail: wp.array(dtype=wp.vec3),
    size: int,
    reach: float,
    profile: wp.array(dtype=wp.vec3),
    angle_step: float,
    factor: wp.array(dtype=wp.vec3),
    angle: wp.array(dtype=wp.float32),
    position: wp.array(dtype=wp.vec3),
    length: wp.array(dtype=wp.float32),
    by_gaze: wp.array(dtype=wp.vec3),
):
    # by_turn: derivatives of turn by pitch and yaw. The rest is as `eye_differences` found it.
    i = wp.tid() + first
    e = int(eye[i])
    which = 2 * int(frame[i]) + e
    cells = float(size - 1) / (2.0 * reach)
    distance = wp.length(position[i])
    outward = position[i] / distance
    cell, x, y = chart_cell(outward, reach, size)
    near = e * size * size + cell
    far = near + size
    by_x = ((1.0 - y) * (radius[near + 1] - radius[near]) + y * (radius[far + 1] - radius[far])) * cells
    by_y = ((1.0 - x) * (radius[far] - radius[near]) + x * (radius[far + 1] - radius[near + 1])) * cells
    normal = outward - chart_slope(outward, distance, by_x, by_y)
    # A point that stays on the surface as it is moved slides along its ray.
    d = wp.transpose(turn[which]) * ray[i]
    facing = wp.min(wp.dot(normal, d), -LEAST_FACING)
    still = origin[i] + ray[i] * length[i]
    cosine = axis_cosine(outward, axis[e])
    sine = wp.max(wp.sqrt(1.0 - cosine * cosine), LEAST_SINE)
    by_position = (outward * cosine - axis[e]) / (sine * distance)
    albedo, rise = profile_at(profile, angle[i], angle_step)
    painted = detail_at(detail, near, x, y, size)
    lit = wp.cw_div(factor[i], painted)
    detail_x = (detail[near + 1] - detail[near]) * (1.0 - y) + (detail[far + 1] - detail[far]) * y
    detail_y = (detail[far] - detail[near]) * (1.0 - x) + (detail[far + 1] - detail[near + 1]) * x
    for k in range(2):
        moved = wp.transpose(by_turn[2 * which + k]) * still
        moved = moved - d * (wp.dot(moved, normal) / facing)
        by_angle = rise * (wp.dot(by_position, moved) / angle_step)
        by_detail = wp.vec3(0.0, 0.0, 0.0)
        for c in range(3):
            by_detail[c] = wp.dot(chart_slope(outward, distance, detail_x[c] * cells, detail_y[c] * cells), moved)
        by_gaze[2 * i + k] = wp.cw_mul(lit, wp.cw_mul(painted, by_angle) + wp.cw_mul(albedo, by_detail))
