"""Vertex attributes at pixels, their screen slopes, and their gradient."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

from typing import Any

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def interpolate_forward(
    first: int,
    pixels: wp.array(dtype=wp.int64),
    face_id: wp.array(dtype=wp.int32),
    faces: wp.array(dtype=wp.vec3i),
    barycentrics: wp.array(dtype=wp.vec3),
    attributes: wp.array(dtype=Any),
    area: int,
    view_stride: int,
    out: wp.array(dtype=Any),
):
    n = wp.tid() + first
    pixel = int(pixels[n])
    corner = faces[face_id[pixel]]
    b = barycentrics[n]
    base = (pixel // area) * view_stride
    low = attributes[base + corner[0]] * b[0] + attributes[base + corner[1]] * b[1]
    out[n] = low + attributes[base + corner[2]] * b[2]


@wp.kernel
def interpolate_backward(
    first: int,
    grad_offset: int,
    pixels: wp.array(dtype=wp.int64),
    face_id: wp.array(dtype=wp.int32),
    faces: wp.array(dtype=wp.vec3i),
    barycentrics: wp.array(dtype=wp.vec3),
    attributes: wp.array(dtype=Any),
    area: int,
    view_stride: int,
    wants_attributes: bool,
    grad: wp.array(dtype=Any),
    grad_attributes: wp.array(dtype=Any),
    grad_barycentrics: wp.array(dtype=wp.vec3),
):
    n = wp.tid() + first
    pixel = int(pixels[n])
    corner = faces[face_id[pixel]]
    base = (pixel // area) * view_stride
    v0 = base + corner[0]
    v1 = base + corner[1]
    v2 = base + corner[2]
    g = grad[n]
    grad_barycentrics[n] = wp.vec3(wp.dot(g, attributes[v0]), wp.dot(g, attributes[v1]), wp.dot(g, attributes[v2]))
    if wants_attributes:
        b = barycentrics[n]
        wp.atomic_add(grad_attributes, grad_offset + v0, g * b[0])
        wp.atomic_add(grad_attributes, grad_offset + v1, g * b[1])
        wp.atomic_add(grad_attributes, grad_offset + v2, g * b[2])


@wp.kernel
def slopes_forward(
    first: int,
    pixels: wp.array(dtype=wp.int64),
    face_id: wp.array(dtype=wp.int32),
    faces: wp.array(dtype=wp.vec3i),
    slopes: wp.array(dtype=wp.vec2),
    attributes: wp.array(dtype=wp.float32),
    area: int,
    view_stride: int,
    channels: int,
    out: wp.array(dtype=wp.vec2),
):
    n = wp.tid() + first
    pixel = int(pixels[n])
    corner = faces[face_id[pixel]]
    base = (pixel // area) * view_stride
    s0 = slopes[3 * n]
    s1 = slopes[3 * n + 1]
    s2 = slopes[3 * n + 2]
    start0 = (base + corner[0]) * channels
    start1 = (base + corner[1]) * channels
    start2 = (base + corner[2]) * channels
    for c in range(channels):
        out[n * channels + c] = s0 * attributes[start0 + c] + s1 * attributes[start1 + c] + s2 * attributes[start2 + c]
