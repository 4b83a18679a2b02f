"""Triangles to pixels in homogeneous coordinates, and barycentrics with their gradient."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import torch
import warp as wp

wp.set_module_options({"enable_backward": False})

EMPTY_KEY = wp.constant(wp.int64(torch.iinfo(torch.int64).max))
FACE_BITS = wp.constant(wp.int64(0xFFFFFFFF))


@wp.func
def homogeneous(p: wp.vec4):
    return wp.vec3d(wp.float64(p[0]), wp.float64(p[1]), wp.float64(p[3]))


@wp.func
def edge_line(a: wp.vec3d, b: wp.vec3d, index_a: int, index_b: int):
    # Both faces of an edge get the same number with opposite signs, also where the compiler fuses operations.
    if index_a < index_b:
        return wp.cross(a, b)
    return -wp.cross(b, a)


@wp.func
def inside(value: wp.float64, line: wp.vec3d):
    # Ties as if the pixel's centre were moved a little to the right and infinitely less downwards.
    if value != wp.float64(0.0):
        return value > wp.float64(0.0)
    if line[0] != wp.float64(0.0):
        return line[0] > wp.float64(0.0)
    return line[1] < wp.float64(0.0)


@wp.func
def pixel_bounds(low: wp.float64, high: wp.float64, size: int):
    # Pixel centres within [low, high] (pixels), clamped to the picture.
    first = wp.ceil(wp.clamp(low - wp.float64(0.500001), wp.float64(-1.0), wp.float64(size)))
    last = wp.floor(wp.clamp(high - wp.float64(0.499999), wp.float64(-1.0), wp.float64(size)))
    return wp.vec2i(wp.max(int(first), 0), wp.min(int(last), size - 1))


@wp.kernel
def draw_triangles(
    first: int,
    clip: wp.array(dtype=wp.vec4, ndim=2),
    faces: wp.array(dtype=wp.vec3i),
    face_count: int,
    height: int,
    width: int,
    keys: wp.array(dtype=wp.int64),
):
    index = wp.tid() + first
    view = index // face_count
    face = index - view * face_count
    corner = faces[face]
    p0 = clip[view, corner[0]]
    p1 = clip[view, corner[1]]
    p2 = clip[view, corner[2]]
    if p0[3] <= 0.0 and p1[3] <= 0.0 and p2[3] <= 0.0:
        return
    a = homogeneous(p0)
    b = homogeneous(p1)
    c = homogeneous(p2)
    determinant = wp.dot(a, wp.cross(b, c))
    if not determinant > wp.float64(0.0):
        return
    columns = wp.vec2i(0, width - 1)
    rows = wp.vec2i(0, height - 1)
    if wp.min(wp.min(p0[3], p1[3]), p2[3]) > 1.0e-6:
        half_w = wp.float64(0.5) * wp.float64(width)
        half_h = wp.float64(0.5) * wp.float64(height)
        x0 = a[0] / a[2]
        x1 = b[0] / b[2]
        x2 = c[0] / c[2]
        y0 = a[1] / a[2]
        y1 = b[1] / b[2]
        y2 = c[1] / c[2]
        one = wp.float64(1.0)
        columns = pixel_bounds(
            (wp.min(wp.min(x0, x1), x2) + one) * half_w, (wp.max(wp.max(x0, x1), x2) + one) * half_w, width
        )
        rows = pixel_bounds(
            (one - wp.max(wp.max(y0, y1), y2)) * half_h, (one - wp.min(wp.min(y0, y1), y2)) * half_h, height
        )
    if columns[0] > columns[1] or rows[0] > rows[1]:
        return
    line0 = edge_line(b, c, corner[1], corner[2])
    line1 = edge_line(c, a, corner[2], corner[0])
    line2 = edge_line(a, b, corner[0], corner[1])
    depth = (line0 * wp.float64(p0[2]) + line1 * wp.float64(p1[2]) + line2 * wp.float64(p2[2])) / determinant
    step_x = wp.float64(2.0) / wp.float64(width)
    step_y = wp.float64(2.0) / wp.float64(height)
    for row in range(rows[0], rows[1] + 1):
        y = wp.float64(1.0) - (wp.float64(row) + wp.float64(0.5)) * step_y
        row0 = line0[1] * y + line0[2]
        row1 = line1[1] * y + line1[2]
        row2 = line2[1] * y + line2[2]
        row_depth = depth[1] * y + depth[2]
        start = (view * height + row) * width
        for column in range(columns[0], columns[1] + 1):
            x = (wp.float64(column) + wp.float64(0.5)) * step_x - wp.float64(1.0)
            if (
                inside(line0[0] * x + row0, line0)
                and inside(line1[0] * x + row1, line1)
                and inside(line2[0] * x + row2, line2)
            ):
                z = depth[0] * x + row_depth
                if z >= wp.float64(-1.0) and z <= wp.float64(1.0):
                    quantised = wp.int64((z + wp.float64(1.0)) * wp.float64(536870912.0))
                    key = quantised * wp.int64(4294967296) + wp.int64(face)
                    wp.atomic_min(keys, start + column, key)


@wp.func
def pixel_centre(pixel: int, height: int, width: int):
    # View, then x right and y up in [-1, 1].
    line = pixel // width
    view = line // height
    row = line - view * height
    column = pixel - line * width
    x = wp.float64(2 * column + 1 - width) / wp.float64(width)
    y = wp.float64(height - 2 * row - 1) / wp.float64(height)
    return view, x, y


@wp.func
def relative(p: wp.vec4, x: wp.float64, y: wp.float64):
    # The vertex as seen from the pixel, times its depth.
    w = wp.float64(p[3])
    return wp.vec2d(wp.float64(p[0]) - x * w, wp.float64(p[1]) - y * w)


@wp.func
def cross2(a: wp.vec2d, b: wp.vec2d):
    return a[0] * b[1] - a[1] * b[0]


@wp.kernel
def find_barycentrics(
    first: int,
    pixels: wp.array(dtype=wp.int64),
    face_id: wp.array(dtype=wp.int32),
    clip: wp.array(dtype=wp.vec4, ndim=2),
    faces: wp.array(dtype=wp.vec3i),
    height: int,
    width: int,
    barycentrics: wp.array(dtype=wp.vec3),
    slopes: wp.array(dtype=wp.vec2),
):
    n = wp.tid() + first
    pixel = int(pixels[n])
    view, x, y = pixel_centre(pixel, height, width)
    corner = faces[face_id[pixel]]
    p0 = clip[view, corner[0]]
    p1 = clip[view, corner[1]]
    p2 = clip[view, corner[2]]
    q0 = relative(p0, x, y)
    q1 = relative(p1, x, y)
    q2 = relative(p2, x, y)
    e = wp.vec3d(cross2(q1, q2), cross2(q2, q0), cross2(q0, q1))
    inverse = wp.float64(1.0) / (e[0] + e[1] + e[2])
    b = e * inverse
    barycentrics[n] = wp.vec3(wp.float32(b[0]), wp.float32(b[1]), wp.float32(b[2]))
    w0 = wp.float64(p0[3])
    w1 = wp.float64(p1[3])
    w2 = wp.float64(p2[3])
    ex = wp.vec3d(w2 * q1[1] - w1 * q2[1], w0 * q2[1] - w2 * q0[1], w1 * q0[1] - w0 * q1[1])
    ey = wp.vec3d(w1 * q2[0] - w2 * q1[0], w2 * q0[0] - w0 * q2[0], w0 * q1[0] - w1 * q0[0])
    bx = (ex - b * (ex[0] + ex[1] + ex[2])) * inverse * (wp.float64(2.0) / wp.float64(width))
    by = (ey - b * (ey[0] + ey[1] + ey[2])) * inverse * (wp.float64(-2.0) / wp.float64(height))
    for k in range(3):
        slopes[3 * n + k] = wp.vec2(wp.float32(bx[k]), wp.float32(by[k]))


@wp.func
def add_vertex_gradient(target: wp.array(dtype=wp.float32), vertex: int, g: wp.vec2d, x: wp.float64, y: wp.float64):
    wp.atomic_add(target, 4 * vertex, wp.float32(g[0]))
    wp.atomic_add(target, 4 * vertex + 1, wp.float32(g[1]))
    wp.atomic_add(target, 4 * vertex + 3, wp.float32(-x * g[0] - y * g[1]))


@wp.kernel
def barycentrics_backward(
    first: int,
    pixels: wp.array(dtype=wp.int64),
    face_id: wp.array(dtype=wp.int32),
    clip: wp.array(dtype=wp.vec4, ndim=2),
    faces: wp.array(dtype=wp.vec3i),
    height: int,
    width: int,
    vertex_count: int,
    grad: wp.array(dtype=wp.vec3),
    grad_clip: wp.array(dtype=wp.float32),
):
    n = wp.tid() + first
    pixel = int(pixels[n])
    view, x, y = pixel_centre(pixel, height, width)
    corner = faces[face_id[pixel]]
    q0 = relative(clip[view, corner[0]], x, y)
    q1 = relative(clip[view, corner[1]], x, y)
    q2 = relative(clip[view, corner[2]], x, y)
    e = wp.vec3d(cross2(q1, q2), cross2(q2, q0), cross2(q0, q1))
    inverse = wp.float64(1.0) / (e[0] + e[1] + e[2])
    g = wp.vec3d(wp.float64(grad[n][0]), wp.float64(grad[n][1]), wp.float64(grad[n][2]))
    mean = wp.dot(g, e) * inverse
    h = (g - wp.vec3d(mean, mean, mean)) * inverse
    base = view * vertex_count
    g0 = wp.vec2d(h[2] * q1[1] - h[1] * q2[1], h[1] * q2[0] - h[2] * q1[0])
    g1 = wp.vec2d(h[0] * q2[1] - h[2] * q0[1], h[2] * q0[0] - h[0] * q2[0])
    g2 = wp.vec2d(h[1] * q0[1] - h[0] * q1[1], h[0] * q1[0] - h[1] * q0[0])
    add_vertex_gradient(grad_clip, base + corner[0], g0, x, y)
    add_vertex_gradient(grad_clip, base + corner[1], g1, x, y)
    add_vertex_gradient(grad_clip, base + corner[2], g2, x, y)


@wp.kernel
def read_faces(
    first: int,
    keys: wp.array(dtype=wp.int64),
    area: int,
    face_id: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
):
    # One view per thread: meant for the CPU.
    view = wp.tid() + first
    count = wp.int32(0)
    for pixel in range(view * area, (view + 1) * area):
        key = keys[pixel]
        if key == EMPTY_KEY:
            face_id[pixel] = -1
        else:
            face_id[pixel] = wp.int32(key & FACE_BITS)
            count += 1
    counts[view] = count


@wp.kernel
def list_pixels(
    first: int,
    face_id: wp.array(dtype=wp.int32),
    area: int,
    starts: wp.array(dtype=wp.int64),
    pixels: wp.array(dtype=wp.int64),
    views: wp.array(dtype=wp.int64),
):
    view = wp.tid() + first
    n = int(starts[view])
    for pixel in range(view * area, (view + 1) * area):
        if face_id[pixel] >= 0:
            pixels[n] = wp.int64(pixel)
            views[n] = wp.int64(view)
            n += 1
