"""Points of a surface in a picture: where they are, what the picture shows there, and vertex normals."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

from vhap.geometry.cameras import FAR_M, NEAR_M
from vhap.render.kernels.light import BAND_0, BAND_1, BAND_2, BAND_2_XX_YY, BAND_2_ZZ
from vhap.render.kernels.rasterize import EMPTY_KEY, FACE_BITS, cross2, relative
from vhap.render.types import BESIDE_PICTURE

wp.set_module_options({"enable_backward": False})

NEAR = wp.constant(NEAR_M)
FAR = wp.constant(FAR_M)
LEAST_LENGTH = wp.constant(1.0e-12)
BESIDE = wp.constant(BESIDE_PICTURE)


@wp.func
def camera_axes(cameras: wp.array(dtype=wp.vec4), picture: int):
    # A camera is four rows: fx, fy, cx, cy, and those of its 3 x 4 pose.
    x = cameras[4 * picture + 1]
    y = cameras[4 * picture + 2]
    z = cameras[4 * picture + 3]
    return wp.mat33(x[0], x[1], x[2], y[0], y[1], y[2], z[0], z[1], z[2])


@wp.func
def camera_shift(cameras: wp.array(dtype=wp.vec4), picture: int):
    return wp.vec3(cameras[4 * picture + 1][3], cameras[4 * picture + 2][3], cameras[4 * picture + 3][3])


@wp.func
def in_camera(cameras: wp.array(dtype=wp.vec4), picture: int, p: wp.vec3):
    return camera_axes(cameras, picture) * p + camera_shift(cameras, picture)


@wp.func
def near_depth(c: wp.vec3):
    return wp.max(-c[2], NEAR)


@wp.kernel
def skin_vertices(
    first: int,
    canonical: wp.array(dtype=wp.vec3),
    weights: wp.array(dtype=wp.float32),
    transforms: wp.array(dtype=wp.vec4),
    joints: int,
    count: int,
    translation: wp.array(dtype=wp.vec3),
    vertices: wp.array(dtype=wp.vec3),
):
    # Of several heads, one behind the other. transforms: three rows of each joint's 3 x 4 matrix.
    i = wp.tid() + first
    head = i // count
    v = i - head * count
    x = wp.vec4(canonical[i][0], canonical[i][1], canonical[i][2], 1.0)
    total = translation[head]
    for j in range(joints):
        w = weights[v * joints + j]
        if w != 0.0:
            row = 3 * (head * joints + j)
            moved = wp.vec3(wp.dot(transforms[row], x), wp.dot(transforms[row + 1], x), wp.dot(transforms[row + 2], x))
            total = total + moved * w
    vertices[i] = total


@wp.kernel
def blend_rotations(
    first: int,
    weights: wp.array(dtype=wp.float32),
    rotations: wp.array(dtype=wp.mat33),
    joints: int,
    count: int,
    turned: wp.array(dtype=wp.mat33),
):
    i = wp.tid() + first
    head = i // count
    v = i - head * count
    total = wp.mat33(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for j in range(joints):
        w = weights[v * joints + j]
        if w != 0.0:
            total = total + rotations[head * joints + j] * w
    turned[i] = total


@wp.kernel
def to_clip(
    first: int,
    vertices: wp.array(dtype=wp.vec3),
    count: int,
    heads: wp.array(dtype=wp.int32),
    cameras: wp.array(dtype=wp.vec4),
    height: float,
    width: float,
    clip: wp.array(dtype=wp.vec4),
):
    # Of several pictures, one behind the other, of the heads that they show.
    i = wp.tid() + first
    picture = i // count
    c = in_camera(cameras, picture, vertices[heads[picture] * count + i - picture * count])
    lens = cameras[4 * picture]
    depth = -c[2]
    clip[i] = wp.vec4(
        2.0 * (lens[0] * c[0] + lens[2] * depth) / width - depth,
        depth - 2.0 * (lens[3] * depth - lens[1] * c[1]) / height,
        (depth * (FAR + NEAR) - 2.0 * FAR * NEAR) / (FAR - NEAR),
        depth,
    )


@wp.kernel
def fan_normals(
    first: int,
    vertices: wp.array(dtype=wp.vec3),
    start: wp.array(dtype=wp.int32),
    neighbour: wp.array(dtype=wp.int32),
    after: wp.array(dtype=wp.int32),
    before: wp.array(dtype=wp.int32),
    count: int,
    units: wp.array(dtype=wp.vec3),
    lengths: wp.array(dtype=wp.float32),
):
    # Of several heads, one behind the other.
    i = wp.tid() + first
    behind = (i // count) * count
    v = i - behind
    centre = vertices[i]
    total = wp.vec3(0.0, 0.0, 0.0)
    for place in range(start[v], start[v + 1]):
        edge = vertices[behind + neighbour[place]] - centre
        total = total + wp.cross(edge, vertices[behind + after[place]] - vertices[behind + before[place]])
    # Every triangle is there twice.
    total = total * 0.5
    length = wp.max(wp.length(total), LEAST_LENGTH)
    units[i] = total / length
    lengths[i] = length


@wp.func
def face_at(keys: wp.array(dtype=wp.int64), row: int, column: int, height: int, width: int):
    # Of the pixel, or of the picture's edge in place of what lies beyond it; -1 where nothing is drawn.
    pixel = wp.clamp(row, 0, height - 1) * width + wp.clamp(column, 0, width - 1)
    face = wp.int32(-1)
    if keys[pixel] != EMPTY_KEY:
        face = int(keys[pixel] & FACE_BITS)
    return face


@wp.func
def is_clear(
    keys: wp.array(dtype=wp.int64),
    inside: wp.array(dtype=wp.bool),
    row: int,
    column: int,
    reach: int,
    height: int,
    width: int,
):
    # No pixel around is empty or outside the matte.
    for y in range(wp.max(row - reach, 0), wp.min(row + reach, height - 1) + 1):
        for x in range(wp.max(column - reach, 0), wp.min(column + reach, width - 1) + 1):
            pixel = y * width + x
            if keys[pixel] == EMPTY_KEY or not inside[pixel]:
                return False
    return True


@wp.func
def barycentrics_at(clip: wp.array(dtype=wp.vec4), corner: wp.vec3i, column: int, row: int, height: int, width: int):
    # Rows: the weights, then how they change by a pixel to the right and downwards.
    x = wp.float64(2 * column + 1 - width) / wp.float64(width)
    y = wp.float64(height - 2 * row - 1) / wp.float64(height)
    p0 = clip[corner[0]]
    p1 = clip[corner[1]]
    p2 = clip[corner[2]]
    q0 = relative(p0, x, y)
    q1 = relative(p1, x, y)
    q2 = relative(p2, x, y)
    e = wp.vec3d(cross2(q1, q2), cross2(q2, q0), cross2(q0, q1))
    inverse = wp.float64(1.0) / (e[0] + e[1] + e[2])
    b = e * inverse
    w0 = wp.float64(p0[3])
    w1 = wp.float64(p1[3])
    w2 = wp.float64(p2[3])
    ex = wp.vec3d(w2 * q1[1] - w1 * q2[1], w0 * q2[1] - w2 * q0[1], w1 * q0[1] - w0 * q1[1])
    ey = wp.vec3d(w1 * q2[0] - w2 * q1[0], w2 * q0[0] - w0 * q2[0], w0 * q1[0] - w1 * q0[0])
    bx = (ex - b * (ex[0] + ex[1] + ex[2])) * inverse * (wp.float64(2.0) / wp.float64(width))
    by = (ey - b * (ey[0] + ey[1] + ey[2])) * inverse * (wp.float64(-2.0) / wp.float64(height))
    return wp.mat33(
        wp.float32(b[0]), wp.float32(b[1]), wp.float32(b[2]),
        wp.float32(bx[0]), wp.float32(bx[1]), wp.float32(bx[2]),
        wp.float32(by[0]), wp.float32(by[1]), wp.float32(by[2]),
    )  # fmt: skip


@wp.func
def is_connected(
    keys: wp.array(dtype=wp.int64),
    clip: wp.array(dtype=wp.vec4),
    faces: wp.array(dtype=wp.vec3i),
    uv_faces: wp.array(dtype=wp.vec3i),
    uvs: wp.array(dtype=wp.vec2),
    row: int,
    column: int,
    height: int,
    width: int,
    limit: wp.vec2,
):
    # Texture coordinates of the pixels around span less than limit, both.
    low = wp.vec2(1.0e30, 1.0e30)
    high = wp.vec2(-1.0e30, -1.0e30)
    last = wp.int32(-1)
    for y in range(row - 1, row + 2):
        for x in range(column - 1, column + 2):
            face = face_at(keys, y, x, height, width)
            if face != last:
                last = face
                corner = uv_faces[face]
                low = wp.min(low, wp.min(wp.min(uvs[corner[0]], uvs[corner[1]]), uvs[corner[2]]))
                high = wp.max(high, wp.max(wp.max(uvs[corner[0]], uvs[corner[1]]), uvs[corner[2]]))
    # Pixels lie between their triangles' corners, which mostly answers.
    if high[0] - low[0] < limit[0] and high[1] - low[1] < limit[1]:
        return True
    low = wp.vec2(1.0e30, 1.0e30)
    high = wp.vec2(-1.0e30, -1.0e30)
    for y in range(row - 1, row + 2):
        for x in range(column - 1, column + 2):
            face = face_at(keys, y, x, height, width)
            corner = uv_faces[face]
            inside_y = wp.clamp(y, 0, height - 1)
            inside_x = wp.clamp(x, 0, width - 1)
            weights = barycentrics_at(clip, faces[face], inside_x, inside_y, height, width)
            uv = uvs[corner[0]] * weights[0, 0] + uvs[corner[1]] * weights[0, 1] + uvs[corner[2]] * weights[0, 2]
            low = wp.min(low, uv)
            high = wp.max(high, uv)
    return high[0] - low[0] < limit[0] and high[1] - low[1] < limit[1]


@wp.kernel
def find_visible(
    first: int,
    place: wp.array(dtype=wp.vec2),
    point_uv: wp.array(dtype=wp.vec2),
    keys: wp.array(dtype=wp.int64),
    inside: wp.array(dtype=wp.bool),
    clip: wp.array(dtype=wp.vec4),
    faces: wp.array(dtype=wp.vec3i),
    uv_faces: wp.array(dtype=wp.vec3i),
    uvs: wp.array(dtype=wp.vec2),
    height: int,
    width: int,
    reach: int,
    hidden: float,
    jump: float,
    visible: wp.array(dtype=wp.bool),
):
    i = wp.tid() + first
    p = place[i]
    visible[i] = False
    if p[0] > 0.0 and p[1] > 0.0 and p[0] < float(width) and p[1] < float(height):
        column = wp.min(int(p[0]), width - 1)
        row = wp.min(int(p[1]), height - 1)
        if is_clear(keys, inside, row, column, reach, height, width):
            face = face_at(keys, row, column, height, width)
            weights = barycentrics_at(clip, faces[face], column, row, height, width)
            corner = uv_faces[face]
            a = uvs[corner[0]]
            b = uvs[corner[1]]
            c = uvs[corner[2]]
            uv = a * weights[0, 0] + b * weights[0, 1] + c * weights[0, 2]
            by_x = a * weights[1, 0] + b * weights[1, 1] + c * weights[1, 2]
            by_y = a * weights[2, 0] + b * weights[2, 1] + c * weights[2, 2]
            here = uv + by_x * (p[0] - float(column) - 0.5) + by_y * (p[1] - float(row) - 0.5) - point_uv[i]
            if wp.abs(here[0]) < hidden and wp.abs(here[1]) < hidden:
                # A plane's values span what its slopes say.
                limit = wp.vec2(
                    2.0 * (wp.abs(by_x[0]) + wp.abs(by_y[0])) + jump, 2.0 * (wp.abs(by_x[1]) + wp.abs(by_y[1])) + jump
                )
                visible[i] = is_connected(keys, clip, faces, uv_faces, uvs, row, column, height, width, limit)


@wp.func
def sample(planes: wp.array(dtype=wp.float32), plane: int, p: wp.vec2, height: int, width: int):
    # Bilinear between pixel centres, those of the border beyond it.
    x = wp.clamp(p[0] - 0.5, 0.0, float(width - 1))
    y = wp.clamp(p[1] - 0.5, 0.0, float(height - 1))
    column = int(x)
    row = int(y)
    right = wp.min(column + 1, width - 1)
    below = wp.min(row + 1, height - 1)
    u = x - float(column)
    v = y - float(row)
    base = plane * height * width
    upper = planes[base + row * width + column] * (1.0 - u) + planes[base + row * width + right] * u
    lower = planes[base + below * width + column] * (1.0 - u) + planes[base + below * width + right] * u
    return upper * (1.0 - v) + lower * v


@wp.func
def shaded(n: wp.vec3, lights: wp.array(dtype=wp.float32)):
    total = lights[0] * BAND_0 + (lights[1] * n[1] + lights[2] * n[2] + lights[3] * n[0]) * BAND_1
    total += (lights[4] * n[0] * n[1] + lights[5] * n[1] * n[2] + lights[7] * n[0] * n[2]) * BAND_2
    total += lights[6] * (3.0 * n[2] * n[2] - 1.0) * BAND_2_ZZ
    total += lights[8] * (n[0] * n[0] - n[1] * n[1]) * BAND_2_XX_YY
    return total


@wp.kernel
def place_points(
    first: int,
    corners: wp.array(dtype=wp.vec3i),
    barycentrics: wp.array(dtype=wp.vec3),
    pictures: wp.array(dtype=wp.int32),
    heads: wp.array(dtype=wp.int32),
    vertices: wp.array(dtype=wp.vec3),
    units: wp.array(dtype=wp.vec3),
    count: int,
    cameras: wp.array(dtype=wp.vec4),
    surface: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    place: wp.array(dtype=wp.vec2),
    facing: wp.array(dtype=wp.float32),
):
    # Of several pictures and of the heads that they show.
    i = wp.tid() + first
    picture = pictures[i]
    behind = heads[picture] * count
    corner = corners[i]
    b = barycentrics[i]
    v0 = behind + corner[0]
    v1 = behind + corner[1]
    v2 = behind + corner[2]
    p = vertices[v0] * b[0] + vertices[v1] * b[1] + vertices[v2] * b[2]
    n = units[v0] * b[0] + units[v1] * b[1] + units[v2] * b[2]
    c = in_camera(cameras, picture, p)
    depth = near_depth(c)
    lens = cameras[4 * picture]
    surface[i] = p
    normals[i] = n
    place[i] = wp.vec2(lens[0] * c[0] / depth + lens[2], lens[3] - lens[1] * c[1] / depth)
    # Towards the camera, which is at the origin of its own axes.
    length = wp.max(wp.length(n), 1.0e-8) * wp.max(wp.length(c), 1.0e-8)
    facing[i] = -wp.dot(camera_axes(cameras, picture) * n, c) / length


@wp.kernel
def sample_points(
    first: int,
    place: wp.array(dtype=wp.vec2),
    planes: wp.array(dtype=wp.float32),
    height: int,
    width: int,
    marks_beside: bool,
    value: wp.array(dtype=wp.float32),
    slope: wp.array(dtype=wp.vec2),
):
    i = wp.tid() + first
    p = place[i]
    beside = p[0] < 0.0 or p[1] < 0.0 or p[0] > float(width) or p[1] > float(height)
    if beside and marks_beside:
        value[i] = BESIDE
        slope[i] = wp.vec2(0.0, 0.0)
    else:
        value[i] = sample(planes, 0, p, height, width)
        slope[i] = wp.vec2(sample(planes, 1, p, height, width), sample(planes, 2, p, height, width))


@wp.kernel
def shade_points(
    first: int,
    normals: wp.array(dtype=wp.vec3),
    lights: wp.array(dtype=wp.float32),
    shading: wp.array(dtype=wp.float32),
):
    i = wp.tid() + first
    n = normals[i]
    shading[i] = shaded(n / wp.max(wp.length(n), LEAST_LENGTH), lights)


@wp.kernel
def weigh_pixels(
    first: int,
    pixels: wp.array(dtype=wp.int64),
    keys: wp.array(dtype=wp.int64),
    clip: wp.array(dtype=wp.vec4),
    faces: wp.array(dtype=wp.vec3i),
    height: int,
    width: int,
    face_id: wp.array(dtype=wp.int64),
    barycentrics: wp.array(dtype=wp.vec3),
):
    # Of pixels on which something is drawn.
    i = wp.tid() + first
    pixel = int(pixels[i])
    row = pixel // width
    column = pixel - row * width
    face = face_at(keys, row, column, height, width)
    weights = barycentrics_at(clip, faces[face], column, row, height, width)
    face_id[i] = wp.int64(face)
    barycentrics[i] = wp.vec3(weights[0, 0], weights[0, 1], weights[0, 2])
