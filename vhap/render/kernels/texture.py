"""Mip chains and trilinear look-ups, and their gradient."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def overlap(coarse: int, fine: int, coarse_size: int, fine_size: int):
    # Share of a coarse texel that a fine one covers; both rows of texels span the same length.
    low = wp.max(coarse * fine_size, fine * coarse_size)
    high = wp.min((coarse + 1) * fine_size, (fine + 1) * coarse_size)
    return wp.float32(high - low) / wp.float32(fine_size)


@wp.kernel
def shrink(
    first: int,
    fine: wp.array(dtype=Any, ndim=3),
    coarse: wp.array(dtype=Any, ndim=3),
):
    height = coarse.shape[1]
    width = coarse.shape[2]
    fine_height = fine.shape[1]
    fine_width = fine.shape[2]
    index = wp.tid() + first
    view = index // height
    row = index - view * height
    if fine_height == 2 * height and fine_width == 2 * width:
        for column in range(width):
            upper = fine[view, 2 * row, 2 * column] + fine[view, 2 * row, 2 * column + 1]
            lower = fine[view, 2 * row + 1, 2 * column] + fine[view, 2 * row + 1, 2 * column + 1]
            coarse[view, row, column] = (upper + lower) * 0.25
    else:
        row_first = (row * fine_height) // height
        row_stop = ((row + 1) * fine_height + height - 1) // height
        for column in range(width):
            column_first = (column * fine_width) // width
            column_stop = ((column + 1) * fine_width + width - 1) // width
            total = fine[view, row_first, column_first] * 0.0
            for i in range(row_first, row_stop):
                share = overlap(row, i, height, fine_height)
                for j in range(column_first, column_stop):
                    total += fine[view, i, j] * (share * overlap(column, j, width, fine_width))
            coarse[view, row, column] = total


@wp.kernel
def grow(
    first: int,
    coarse: wp.array(dtype=Any, ndim=3),
    fine: wp.array(dtype=Any, ndim=3),
):
    # Adds the transpose of `shrink`, gathered by rows of the fine level so that parts never meet.
    height = coarse.shape[1]
    width = coarse.shape[2]
    fine_height = fine.shape[1]
    fine_width = fine.shape[2]
    index = wp.tid() + first
    view = index // fine_height
    row = index - view * fine_height
    if fine_height == 2 * height and fine_width == 2 * width:
        for column in range(width):
            value = coarse[view, row // 2, column] * 0.25
            fine[view, row, 2 * column] = fine[view, row, 2 * column] + value
            fine[view, row, 2 * column + 1] = fine[view, row, 2 * column + 1] + value
    else:
        row_first = (row * height) // fine_height
        row_stop = ((row + 1) * height + fine_height - 1) // fine_height
        for column in range(fine_width):
            column_first = (column * width) // fine_width
            column_stop = ((column + 1) * width + fine_width - 1) // fine_width
            total = fine[view, row, column]
            for i in range(row_first, row_stop):
                share = overlap(i, row, height, fine_height)
                for j in range(column_first, column_stop):
                    total += coarse[view, i, j] * (share * overlap(j, column, width, fine_width))
            fine[view, row, column] = total


@wp.func
def mip_level(slope_u: wp.vec2, slope_v: wp.vec2, height: int, width: int, top: int):
    # Logarithm of the longer axis of a pixel's footprint, in texels.
    s = slope_u * wp.float32(width)
    t = slope_v * wp.float32(height)
    a = s[0] * s[0] + t[0] * t[0]
    b = s[1] * s[1] + t[1] * t[1]
    c = s[0] * s[1] + t[0] * t[1]
    major = 0.5 * (a + b) + wp.sqrt(0.25 * (a - b) * (a - b) + c * c)
    if not major > 1.0:
        return 0.0
    return wp.min(0.5 * wp.log2(major), wp.float32(top))


@wp.func
def texel_position(coordinate: float, size: int):
    return wp.clamp(coordinate * wp.float32(size) - 0.5, 0.0, wp.float32(size - 1))


@wp.func
def corners(u: float, v: float, height: int, width: int):
    # The four texels around a point and the point's place between them.
    x = texel_position(u, width)
    y = texel_position(v, height)
    x0 = int(x)
    y0 = int(y)
    x1 = wp.min(x0 + 1, width - 1)
    upper = y0 * width
    lower = wp.min(y0 + 1, height - 1) * width
    return wp.vec4i(upper + x0, upper + x1, lower + x0, lower + x1), x - wp.float32(x0), y - wp.float32(y0)


@wp.func
def bilinear(texels: wp.array(dtype=Any), start: int, near: wp.vec4i, fx: float, fy: float):
    upper = texels[start + near[0]] * (1.0 - fx) + texels[start + near[1]] * fx
    lower = texels[start + near[2]] * (1.0 - fx) + texels[start + near[3]] * fx
    return upper * (1.0 - fy) + lower * fy


@wp.func
def slopes_between(texels: wp.array(dtype=Any), g: Any, start: int, near: wp.vec4i, fx: float, fy: float):
    # Derivatives of dot(g, bilinear) by the place in texels.
    a = wp.dot(g, texels[start + near[0]])
    b = wp.dot(g, texels[start + near[1]])
    c = wp.dot(g, texels[start + near[2]])
    d = wp.dot(g, texels[start + near[3]])
    return wp.vec2((b - a) * (1.0 - fy) + (d - c) * fy, (c - a) * (1.0 - fx) + (d - b) * fx)


@wp.kernel
def texture_forward(
    first: int,
    part: int,
    finest_used: wp.array(dtype=wp.int32),
    pixels: wp.array(dtype=wp.int64),
    uv: wp.array(dtype=wp.vec2),
    slopes: wp.array(dtype=wp.vec2),
    levels: wp.array(dtype=wp.vec3i),
    area: int,
    view_step: int,
    top: int,
    texture: wp.array(dtype=Any),
    texture_texels: int,
    chain: wp.array(dtype=Any),
    chain_texels: int,
    out: wp.array(dtype=Any),
):
    n = wp.tid() + first
    view = (int(pixels[n]) // area) * view_step
    u = uv[n][0]
    v = 1.0 - uv[n][1]
    level = wp.float32(0.0)
    if top > 0:
        level = mip_level(slopes[2 * n], slopes[2 * n + 1], levels[0][0], levels[0][1], top)
    finest = int(level)
    share = level - wp.float32(finest)
    size = levels[finest]
    near, fx, fy = corners(u, v, size[0], size[1])
    if finest == 0:
        colour = bilinear(texture, view * texture_texels, near, fx, fy)
    else:
        colour = bilinear(chain, view * chain_texels + size[2], near, fx, fy)
    if share > 0.0:
        size = levels[finest + 1]
        near, fx, fy = corners(u, v, size[0], size[1])
        coarser = bilinear(chain, view * chain_texels + size[2], near, fx, fy)
        colour = colour * (1.0 - share) + coarser * share
    out[n] = colour
    if part >= 0:
        wp.atomic_min(finest_used, part, finest)


@wp.kernel
def texture_backward(
    first: int,
    grad_offset: int,
    grad_levels: wp.array(dtype=wp.vec3i),
    grad_texels: int,
    pixels: wp.array(dtype=wp.int64),
    uv: wp.array(dtype=wp.vec2),
    slopes: wp.array(dtype=wp.vec2),
    levels: wp.array(dtype=wp.vec3i),
    area: int,
    view_step: int,
    top: int,
    texture: wp.array(dtype=Any),
    texture_texels: int,
    chain: wp.array(dtype=Any),
    chain_texels: int,
    wants_texture: bool,
    wants_uv: bool,
    grad: wp.array(dtype=Any),
    grad_chain: wp.array(dtype=Any),
    grad_uv: wp.array(dtype=wp.vec2),
):
    n = wp.tid() + first
    view = (int(pixels[n]) // area) * view_step
    u = uv[n][0]
    v = 1.0 - uv[n][1]
    level = wp.float32(0.0)
    if top > 0:
        level = mip_level(slopes[2 * n], slopes[2 * n + 1], levels[0][0], levels[0][1], top)
    finest = int(level)
    share = level - wp.float32(finest)
    total = wp.vec2(0.0, 0.0)
    g = grad[n]
    for k in range(2):
        weight = share
        if k == 0:
            weight = 1.0 - share
        if weight > 0.0:
            size = levels[finest + k]
            near, fx, fy = corners(u, v, size[0], size[1])
            if wants_uv:
                slope = wp.vec2(0.0, 0.0)
                if finest + k == 0:
                    slope = slopes_between(texture, g, view * texture_texels, near, fx, fy)
                else:
                    slope = slopes_between(chain, g, view * chain_texels + size[2], near, fx, fy)
                # Beyond the last texel's centre both texels are one and the slope is zero by itself; before the
                # first one's it is not.
                if u * wp.float32(size[1]) > 0.5:
                    total[0] += weight * wp.float32(size[1]) * slope[0]
                if v * wp.float32(size[0]) > 0.5:
                    total[1] += weight * wp.float32(size[0]) * slope[1]
            if wants_texture:
                target = grad_offset + view * grad_texels + grad_levels[finest + k][2]
                wp.atomic_add(grad_chain, target + near[0], g * (weight * (1.0 - fx) * (1.0 - fy)))
                wp.atomic_add(grad_chain, target + near[1], g * (weight * fx * (1.0 - fy)))
                wp.atomic_add(grad_chain, target + near[2], g * (weight * (1.0 - fx) * fy))
                wp.atomic_add(grad_chain, target + near[3], g * (weight * fx * fy))
    grad_uv[n] = wp.vec2(total[0], -total[1])
