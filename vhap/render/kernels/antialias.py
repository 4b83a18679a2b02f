"""Silhouettes between pixel centres, blending across them, and its gradient."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

from vhap.render.kernels.rasterize import cross2, pixel_centre, relative

wp.set_module_options({"enable_backward": False})

MAX_STEPS = wp.constant(24)
"""Triangles followed between two neighbouring pixels."""
RIGHT, DOWN, LEFT, UP = (wp.constant(k) for k in range(4))
LEFT_IT, REACHED, CROSSED = (wp.constant(k) for k in range(3))
"""What following a line found: nothing, the other pixel's triangle, a silhouette."""


@wp.func
def along(p: wp.vec4, x: wp.float64, y: wp.float64, direction: int, height: int, width: int):
    # Place of a vertex in pixels: along the direction from the pixel's centre, and to the left of it.
    w = wp.float64(p[3])
    q = relative(p, x, y) / w
    right = q[0] * wp.float64(0.5) * wp.float64(width)
    up = q[1] * wp.float64(0.5) * wp.float64(height)
    if direction == RIGHT:
        return wp.vec2(wp.float32(right), wp.float32(up))
    if direction == LEFT:
        return wp.vec2(wp.float32(-right), wp.float32(-up))
    if direction == UP:
        return wp.vec2(wp.float32(up), wp.float32(-right))
    return wp.vec2(wp.float32(-up), wp.float32(right))


@wp.func
def crossing(a: wp.vec2, b: wp.vec2):
    return a[0] - a[1] * (b[0] - a[0]) / (b[1] - a[1])


@wp.func
def depth_at(p0: wp.vec4, p1: wp.vec4, p2: wp.vec4, x: wp.float64, y: wp.float64):
    q0 = relative(p0, x, y)
    q1 = relative(p1, x, y)
    q2 = relative(p2, x, y)
    e0 = cross2(q1, q2)
    e1 = cross2(q2, q0)
    e2 = cross2(q0, q1)
    z = e0 * wp.float64(p0[2]) + e1 * wp.float64(p1[2]) + e2 * wp.float64(p2[2])
    return z / (e0 * wp.float64(p0[3]) + e1 * wp.float64(p1[3]) + e2 * wp.float64(p2[3]))


@wp.func
def follow(
    start: int,
    goal: int,
    view: int,
    x: wp.float64,
    y: wp.float64,
    direction: int,
    clip: wp.array(dtype=wp.vec4, ndim=2),
    faces: wp.array(dtype=wp.vec3i),
    neighbour: wp.array(dtype=wp.vec3i),
    height: int,
    width: int,
):
    # From the pixel's centre (x, y) in triangle `start` one pixel ahead. Every front-facing triangle on the line has
    # one edge that the line leaves by: from a vertex on its right to one on its left.
    face = start
    outcome = wp.int32(LEFT_IT)
    vertices = wp.vec2i(0, 0)
    distance = wp.float32(0.0)
    going = wp.bool(True)
    step = wp.int32(0)
    while going and step < MAX_STEPS:
        step += 1
        going = False
        corner = faces[face]
        p0 = clip[view, corner[0]]
        p1 = clip[view, corner[1]]
        p2 = clip[view, corner[2]]
        if p0[3] > 1.0e-6 and p1[3] > 1.0e-6 and p2[3] > 1.0e-6:
            a = along(p0, x, y, direction, height, width)
            b = along(p1, x, y, direction, height, width)
            c = along(p2, x, y, direction, height, width)
            if face != start and (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) <= 0.0:
                outcome = wp.int32(CROSSED)
            else:
                edge = wp.int32(-1)
                s = wp.float32(0.0)
                if a[1] < 0.0 and b[1] >= 0.0:
                    edge = 0
                    vertices = wp.vec2i(corner[0], corner[1])
                    s = crossing(a, b)
                elif b[1] < 0.0 and c[1] >= 0.0:
                    edge = 1
                    vertices = wp.vec2i(corner[1], corner[2])
                    s = crossing(b, c)
                elif c[1] < 0.0 and a[1] >= 0.0:
                    edge = 2
                    vertices = wp.vec2i(corner[2], corner[0])
                    s = crossing(c, a)
                if edge >= 0 and s <= 1.0:
                    distance = wp.max(s, 0.0)
                    face = neighbour[face][edge]
                    if face == -1:
                        outcome = wp.int32(CROSSED)
                    elif face == goal:
                        outcome = wp.int32(REACHED)
                    else:
                        going = wp.bool(True)
    return outcome, vertices, distance


@wp.func
def is_steep(edge: wp.vec2, direction: int):
    # Steep edges move coverage along rows, flat ones along columns: each edge counts once.
    if direction % 2 == RIGHT:
        return wp.abs(edge[1]) >= wp.abs(edge[0])
    return wp.abs(edge[1]) > wp.abs(edge[0])


@wp.func
def ahead(pixel: int, direction: int, width: int):
    if direction == RIGHT:
        return pixel + 1
    if direction == LEFT:
        return pixel - 1
    if direction == UP:
        return pixel - width
    return pixel + width


@wp.func
def search(
    here: int,
    direction: int,
    face_id: wp.array(dtype=wp.int32),
    clip: wp.array(dtype=wp.vec4, ndim=2),
    faces: wp.array(dtype=wp.vec3i),
    neighbour: wp.array(dtype=wp.vec3i),
    height: int,
    width: int,
):
    # Between a covered pixel and the next: from the nearer surface first, then from the other. Returns as a hit the
    # pixel whose surface ends, the way to the other pixel and the edge's vertices.
    there = ahead(here, direction, width)
    way = wp.int32(direction)
    tries = wp.int32(1)
    view, x, y = pixel_centre(here, height, width)
    if face_id[there] >= 0:
        tries = 2
        _, x2, y2 = pixel_centre(there, height, width)
        f = faces[face_id[here]]
        g = faces[face_id[there]]
        z = depth_at(clip[view, f[0]], clip[view, f[1]], clip[view, f[2]], x, y)
        z2 = depth_at(clip[view, g[0]], clip[view, g[1]], clip[view, g[2]], x2, y2)
        if z2 < z:
            way = (direction + 2) % 4
    outcome = wp.int32(LEFT_IT)
    hit = wp.vec4i(0, 0, 0, 0)
    distance = wp.float32(0.0)
    while outcome == LEFT_IT and tries > 0:
        owner = here
        if way != direction:
            owner = there
        other = ahead(owner, way, width)
        _, cx, cy = pixel_centre(owner, height, width)
        outcome, vertices, distance = follow(
            face_id[owner], face_id[other], view, cx, cy, way, clip, faces, neighbour, height, width
        )
        hit = wp.vec4i(owner, way, vertices[0], vertices[1])
        way = (way + 2) % 4
        tries -= 1
    if outcome == CROSSED:
        a = along(clip[view, hit[2]], x, y, direction, height, width)
        b = along(clip[view, hit[3]], x, y, direction, height, width)
        if not is_steep(b - a, direction):
            outcome = wp.int32(LEFT_IT)
    return outcome, hit, distance


@wp.kernel
def find_silhouettes(
    first: int,
    part: int,
    base: int,
    pixels: wp.array(dtype=wp.int64),
    face_id: wp.array(dtype=wp.int32),
    clip: wp.array(dtype=wp.vec4, ndim=2),
    faces: wp.array(dtype=wp.vec3i),
    neighbour: wp.array(dtype=wp.vec3i),
    height: int,
    width: int,
    counts: wp.array(dtype=wp.int32),
    hits: wp.array(dtype=wp.vec4i),
    distances: wp.array(dtype=wp.float32),
):
    pixel = int(pixels[wp.tid() + first])
    face = face_id[pixel]
    row = (pixel // width) % height
    column = pixel % width
    near = neighbour[face]
    for direction in range(4):
        exists = wp.bool(column + 1 < width)
        if direction == LEFT:
            exists = column > 0
        elif direction == UP:
            exists = row > 0
        elif direction == DOWN:
            exists = row + 1 < height
        if exists:
            other = face_id[ahead(pixel, direction, width)]
            # A pair of two covered pixels is looked at once, from its left or upper pixel.
            mine = wp.bool(direction <= DOWN or other < 0)
            if mine and other != face and (other < 0 or (other != near[0] and other != near[1] and other != near[2])):
                outcome, hit, distance = search(pixel, direction, face_id, clip, faces, neighbour, height, width)
                if outcome == CROSSED:
                    slot = base + wp.atomic_add(counts, part, 1)
                    hits[slot] = hit
                    distances[slot] = distance


@wp.kernel
def blend(
    first: int,
    hits: wp.array(dtype=wp.vec4i),
    distances: wp.array(dtype=wp.float32),
    width: int,
    channels: int,
    pictures: wp.array(dtype=wp.float32),
    out: wp.array(dtype=wp.float32),
):
    n = wp.tid() + first
    target = hits[n][0]
    source = ahead(target, hits[n][1], width)
    weight = 0.5 - distances[n]
    if weight < 0.0:
        weight = -weight
        target = source
        source = hits[n][0]
    for c in range(channels):
        difference = pictures[source * channels + c] - pictures[target * channels + c]
        wp.atomic_add(out, target * channels + c, weight * difference)


@wp.func
def add_place_gradient(
    target: wp.array(dtype=wp.float32),
    vertex: int,
    p: wp.vec4,
    grad: wp.vec2,
    direction: int,
    height: int,
    width: int,
):
    right = grad[0]
    up = grad[1]
    if direction == LEFT:
        right = -grad[0]
        up = -grad[1]
    elif direction == UP:
        right = -grad[1]
        up = grad[0]
    elif direction == DOWN:
        right = grad[1]
        up = -grad[0]
    gx = right * 0.5 * wp.float32(width) / p[3]
    gy = up * 0.5 * wp.float32(height) / p[3]
    wp.atomic_add(target, 4 * vertex, gx)
    wp.atomic_add(target, 4 * vertex + 1, gy)
    wp.atomic_add(target, 4 * vertex + 3, -(gx * p[0] + gy * p[1]) / p[3])


@wp.kernel
def blend_backward(
    first: int,
    hits: wp.array(dtype=wp.vec4i),
    distances: wp.array(dtype=wp.float32),
    height: int,
    width: int,
    channels: int,
    vertex_count: int,
    clip: wp.array(dtype=wp.vec4, ndim=2),
    pictures: wp.array(dtype=wp.float32),
    grad: wp.array(dtype=wp.float32),
    grad_pictures: wp.array(dtype=wp.float32),
    wants_clip: bool,
    grad_clip: wp.array(dtype=wp.float32),
):
    n = wp.tid() + first
    hit = hits[n]
    target = hit[0]
    source = ahead(target, hit[1], width)
    weight = 0.5 - distances[n]
    sign = wp.float32(-1.0)
    if weight < 0.0:
        weight = -weight
        sign = wp.float32(1.0)
        target = source
        source = hit[0]
    total = wp.float32(0.0)
    for c in range(channels):
        g = grad[target * channels + c]
        total += g * (pictures[source * channels + c] - pictures[target * channels + c])
        wp.atomic_add(grad_pictures, source * channels + c, weight * g)
        wp.atomic_add(grad_pictures, target * channels + c, -weight * g)
    if wants_clip:
        total = total * sign
        view, x, y = pixel_centre(hit[0], height, width)
        pa = clip[view, hit[2]]
        pb = clip[view, hit[3]]
        a = along(pa, x, y, hit[1], height, width)
        b = along(pb, x, y, hit[1], height, width)
        share = -a[1] / (b[1] - a[1])
        slope = (b[0] - a[0]) / (b[1] - a[1])
        grad_a = wp.vec2(1.0, -slope) * (total * (1.0 - share))
        grad_b = wp.vec2(1.0, -slope) * (total * share)
        base = view * vertex_count
        add_place_gradient(grad_clip, base + hit[2], pa, grad_a, hit[1], height, width)
        add_place_gradient(grad_clip, base + hit[3], pb, grad_b, hit[1], height, width)
