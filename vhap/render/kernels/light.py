"""Unit normals with spherical-harmonic shading, and their gradient."""

# Warp compiles these functions from their source; to a type checker they are not Python.
# pyright: basic, reportInvalidTypeForm=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportAssignmentType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import warp as wp

from vhap.render import shading

wp.set_module_options({"enable_backward": False})

# sh_basis is a polynomial of the normal; these are its factors.
BAND_0 = wp.constant(shading.BAND_0)
BAND_1 = wp.constant(shading.BAND_1)
BAND_2 = wp.constant(shading.BAND_2)
BAND_2_ZZ = wp.constant(shading.BAND_2_ZZ)
BAND_2_XX_YY = wp.constant(shading.BAND_2_XX_YY)


@wp.kernel
def light_forward(
    first: int,
    normals: wp.array(dtype=wp.vec3),
    lights: wp.array(dtype=wp.vec3),
    unit: wp.array(dtype=wp.vec3),
    shade: wp.array(dtype=wp.vec3),
):
    i = wp.tid() + first
    n = normals[i] / wp.max(wp.length(normals[i]), 1.0e-12)
    total = lights[0] * BAND_0 + (lights[1] * n[1] + lights[2] * n[2] + lights[3] * n[0]) * BAND_1
    total += (lights[4] * (n[0] * n[1]) + lights[5] * (n[1] * n[2]) + lights[7] * (n[0] * n[2])) * BAND_2
    total += lights[6] * ((3.0 * n[2] * n[2] - 1.0) * BAND_2_ZZ)
    total += lights[8] * ((n[0] * n[0] - n[1] * n[1]) * BAND_2_XX_YY)
    unit[i] = n
    shade[i] = total


@wp.kernel
def light_backward(
    first: int,
    part: int,
    spread: int,
    normals: wp.array(dtype=wp.vec3),
    lights: wp.array(dtype=wp.vec3),
    grad_unit: wp.array(dtype=wp.vec3),
    grad_shade: wp.array(dtype=wp.vec3),
    wants_lights: bool,
    grad_normals: wp.array(dtype=wp.vec3),
    grad_lights: wp.array(dtype=wp.vec3),
):
    i = wp.tid() + first
    length = wp.max(wp.length(normals[i]), 1.0e-12)
    n = normals[i] / length
    g = grad_shade[i]
    if wants_lights:
        slot = 9 * (part + i % spread)
        wp.atomic_add(grad_lights, slot, g * BAND_0)
        wp.atomic_add(grad_lights, slot + 1, g * (n[1] * BAND_1))
        wp.atomic_add(grad_lights, slot + 2, g * (n[2] * BAND_1))
        wp.atomic_add(grad_lights, slot + 3, g * (n[0] * BAND_1))
        wp.atomic_add(grad_lights, slot + 4, g * (n[0] * n[1] * BAND_2))
        wp.atomic_add(grad_lights, slot + 5, g * (n[1] * n[2] * BAND_2))
        wp.atomic_add(grad_lights, slot + 6, g * ((3.0 * n[2] * n[2] - 1.0) * BAND_2_ZZ))
        wp.atomic_add(grad_lights, slot + 7, g * (n[0] * n[2] * BAND_2))
        wp.atomic_add(grad_lights, slot + 8, g * ((n[0] * n[0] - n[1] * n[1]) * BAND_2_XX_YY))
    h1 = wp.dot(lights[1], g) * BAND_1
    h2 = wp.dot(lights[2], g) * BAND_1
    h3 = wp.dot(lights[3], g) * BAND_1
    h4 = wp.dot(lights[4], g) * BAND_2
    h5 = wp.dot(lights[5], g) * BAND_2
    h6 = wp.dot(lights[6], g) * (6.0 * BAND_2_ZZ)
    h7 = wp.dot(lights[7], g) * BAND_2
    h8 = wp.dot(lights[8], g) * (2.0 * BAND_2_XX_YY)
    total = grad_unit[i] + wp.vec3(
        h3 + h4 * n[1] + h7 * n[2] + h8 * n[0],
        h1 + h4 * n[0] + h5 * n[2] - h8 * n[1],
        h2 + h5 * n[1] + h6 * n[2] + h7 * n[0],
    )
    grad_normals[i] = (total - n * wp.dot(n, total)) / length
