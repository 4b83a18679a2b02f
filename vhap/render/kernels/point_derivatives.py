"""How a picture's residuals at points of a surface move with camera, light, vertices, joints and blend shapes."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

from vhap.render.blocks import BLOCK
from vhap.render.kernels.light import BAND_0, BAND_1, BAND_2, BAND_2_XX_YY, BAND_2_ZZ
from vhap.render.kernels.surface_points import LEAST_LENGTH, camera_axes, camera_shift, in_camera, near_depth

wp.set_module_options({"enable_backward": False})

JOINTS = 5
"""Of every head."""
block = wp.types.vector(BLOCK, wp.float32)
of_joints = wp.types.vector(JOINTS, wp.float32)
joint_rows = wp.types.matrix((JOINTS, 4), wp.float32)


@wp.func
def slope_by_point(cameras: wp.array(dtype=wp.vec4), picture: int, p: wp.vec3, slope: wp.vec2):
    # Of slope . projected pixel, by the world point, with the depth held where projecting clamps it.
    c = in_camera(cameras, picture, p)
    depth = near_depth(c)
    fx = cameras[4 * picture][0] * slope[0] / depth
    fy = cameras[4 * picture][1] * slope[1] / depth
    along = wp.float32(0.0)
    if -c[2] == depth:
        along = (fx * c[0] - fy * c[1]) / depth
    return wp.transpose(camera_axes(cameras, picture)) * wp.vec3(fx, -fy, along)


@wp.func
def per_length(by_unit: wp.vec3, length: float):
    # A normal that has no direction does not turn either.
    if length > LEAST_LENGTH:
        return by_unit / length
    return wp.vec3(0.0, 0.0, 0.0)


@wp.kernel
def point_gradients(
    first: int,
    cameras: wp.array(dtype=wp.vec4),
    pictures: wp.array(dtype=wp.int32),
    lights: wp.array(dtype=wp.float32),
    surface: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    slope: wp.array(dtype=wp.vec2),
    albedo: wp.array(dtype=wp.float32),
    sign: float,
    by_point: wp.array(dtype=wp.vec3),
    by_normal: wp.array(dtype=wp.vec3),
    by_camera: wp.array(dtype=wp.vec2),
    by_light: wp.array(dtype=wp.float32),
):
    i = wp.tid() + first
    s = slope[i] * sign
    p = surface[i]
    picture = pictures[i]
    lens = cameras[4 * picture]
    g = slope_by_point(cameras, picture, p, s)
    c = in_camera(cameras, picture, p)
    depth = near_depth(c)
    by_focal = s[0] * lens[0] * c[0] / depth - s[1] * lens[1] * c[1] / depth
    by_point[i] = g
    # The camera's centre is -R^T t, and moves with the scale.
    by_camera[i] = wp.vec2(by_focal, wp.dot(camera_axes(cameras, picture) * g, camera_shift(cameras, picture)))
    length = wp.max(wp.length(normals[i]), LEAST_LENGTH)
    n = normals[i] / length
    a = albedo[i]
    by_light[9 * i] = a * BAND_0
    by_light[9 * i + 1] = a * n[1] * BAND_1
    by_light[9 * i + 2] = a * n[2] * BAND_1
    by_light[9 * i + 3] = a * n[0] * BAND_1
    by_light[9 * i + 4] = a * n[0] * n[1] * BAND_2
    by_light[9 * i + 5] = a * n[1] * n[2] * BAND_2
    by_light[9 * i + 6] = a * (3.0 * n[2] * n[2] - 1.0) * BAND_2_ZZ
    by_light[9 * i + 7] = a * n[0] * n[2] * BAND_2
    by_light[9 * i + 8] = a * (n[0] * n[0] - n[1] * n[1]) * BAND_2_XX_YY
    second = wp.vec3(
        (lights[4] * n[1] + lights[7] * n[2] + 2.0 * (BAND_2_XX_YY / BAND_2) * lights[8] * n[0]) * BAND_2,
        (lights[4] * n[0] + lights[5] * n[2] - 2.0 * (BAND_2_XX_YY / BAND_2) * lights[8] * n[1]) * BAND_2,
        (lights[5] * n[1] + lights[7] * n[0]) * BAND_2 + 6.0 * BAND_2_ZZ * lights[6] * n[2],
    )
    by_unit = (wp.vec3(lights[3], lights[1], lights[2]) * BAND_1 + second) * a
    by_normal[i] = per_length(by_unit - n * wp.dot(n, by_unit), length)


@wp.func
def add_entry(
    vertex: wp.array(dtype=wp.int32), gradient: wp.array(dtype=wp.vec3), begin: int, end: int, v: int, g: wp.vec3
):
    # Adds to a vertex that is listed from begin to end, or lists it; returns the new end.
    place = end - 1
    # The last ones first: triangles around a vertex mostly follow each other.
    while place >= begin:
        if vertex[place] == v:
            break
        place = place - 1
    if place >= begin:
        gradient[place] = gradient[place] + g
        return end
    vertex[end] = v
    gradient[end] = g
    return end + 1


@wp.kernel
def spread_over_vertices(
    first: int,
    corners: wp.array(dtype=wp.vec3i),
    barycentrics: wp.array(dtype=wp.vec3),
    pictures: wp.array(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
    by_point: wp.array(dtype=wp.vec3),
    by_normal: wp.array(dtype=wp.vec3),
    moves_normals: bool,
    vertices: wp.array(dtype=wp.vec3),
    units: wp.array(dtype=wp.vec3),
    lengths: wp.array(dtype=wp.float32),
    start: wp.array(dtype=wp.int32),
    neighbour: wp.array(dtype=wp.int32),
    after: wp.array(dtype=wp.int32),
    before: wp.array(dtype=wp.int32),
    count: int,
    begins: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
    vertex: wp.array(dtype=wp.int32),
    gradient: wp.array(dtype=wp.vec3),
):
    # Vertices are listed by their numbers in each head.
    i = wp.tid() + first
    corner = corners[i]
    share = barycentrics[i]
    behind = heads[pictures[i]] * count
    begin = begins[i]
    end = begin + 3
    for k in range(3):
        vertex[begin + k] = corner[k]
        gradient[begin + k] = by_point[i] * share[k]
    if moves_normals:
        for k in range(3):
            v = corner[k]
            unit = units[behind + v]
            by_unit = by_normal[i] * share[k]
            by_sum = per_length(by_unit - unit * wp.dot(unit, by_unit), lengths[behind + v])
            around = wp.vec3(0.0, 0.0, 0.0)
            for place in range(start[v], start[v + 1]):
                edge = vertices[behind + after[place]] - vertices[behind + before[place]]
                by_neighbour = wp.cross(edge, by_sum)
                end = add_entry(vertex, gradient, begin, end, neighbour[place], by_neighbour)
                around = around + by_neighbour
            gradient[begin + k] = gradient[begin + k] - around
    counts[i] = end - begin


@wp.kernel
def gather_joints(
    first: int,
    begins: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
    vertex: wp.array(dtype=wp.int32),
    gradient: wp.array(dtype=wp.vec3),
    pictures: wp.array(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
    count: int,
    canonical: wp.array(dtype=wp.vec3),
    weights: wp.array(dtype=of_joints),
    turned: wp.array(dtype=wp.mat33),
    by_joints: wp.array(dtype=wp.vec4),
):
    # gradient comes back by canonical vertices. by_joints: of every joint's 3 x 4 transform, then of the translation.
    i = wp.tid() + first
    behind = heads[pictures[i]] * count
    rows0 = joint_rows()
    rows1 = joint_rows()
    rows2 = joint_rows()
    total = wp.vec3(0.0, 0.0, 0.0)
    for place in range(begins[i], begins[i] + counts[i]):
        v = vertex[place]
        g = gradient[place]
        x = canonical[behind + v]
        row = wp.vec4(x[0], x[1], x[2], 1.0)
        rows0 = rows0 + wp.outer(weights[v] * g[0], row)
        rows1 = rows1 + wp.outer(weights[v] * g[1], row)
        rows2 = rows2 + wp.outer(weights[v] * g[2], row)
        total = total + g
        gradient[place] = wp.transpose(turned[behind + v]) * g
    slot = i * (3 * JOINTS + 1)
    for j in range(JOINTS):
        by_joints[slot + 3 * j] = rows0[j]
        by_joints[slot + 3 * j + 1] = rows1[j]
        by_joints[slot + 3 * j + 2] = rows2[j]
    by_joints[slot + 3 * JOINTS] = wp.vec4(total[0], total[1], total[2], 0.0)


@wp.kernel
def through_blend_shapes(
    first: int,
    begins: wp.array(dtype=wp.int32),
    counts: wp.array(dtype=wp.int32),
    vertex: wp.array(dtype=wp.int32),
    gradient: wp.array(dtype=wp.vec3),
    basis: wp.array(dtype=block),
    blocks: int,
    out_first: int,
    out_blocks: int,
    out: wp.array(dtype=block),
):
    # One point and BLOCK blend shapes a thread.
    index = wp.tid() + first
    i = index // blocks
    column = index - i * blocks
    total = block()
    for place in range(begins[i], begins[i] + counts[i]):
        g = gradient[place]
        row = 3 * (vertex[place] * blocks + column)
        total = total + basis[row] * g[0] + basis[row + 1] * g[1] + basis[row + 2] * g[2]
    out[i * out_blocks + out_first + column] = total
