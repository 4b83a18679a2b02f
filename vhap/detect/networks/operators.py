"""The operators of MediaPipe's networks, one small function each: tensors and options in, a tensor out.

Tensors have the file format's layout, batch x height x width x channels, contiguous. torch's own order of axes is a
permutation of the same memory (its `channels_last`), so that nothing is copied between the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vhap.detect.networks.custom_operators import (
    landmarks_to_transform_matrix,
    transform_landmarks,
    transform_tensor_bilinear,
)

Inputs = Sequence[Tensor]
Options = Mapping[str, Any]
Apply = Callable[[Inputs, Options], Tensor]


def conv_2d(inputs: Inputs, options: Options) -> Tensor:
    """x (B, H, W, C), weight (O, h, w, C), bias (O,)."""
    x, weight, bias = inputs
    if weight.shape[1:3] == (1, 1) and options["StrideH"] == options["StrideW"] == 1:
        # A matrix product, and quicker as one: several times for small pictures.
        return _activated(F.linear(x, weight[:, 0, 0], bias), options)
    return _convolved(x, weight.permute(0, 3, 1, 2), bias, options)


def depthwise_conv_2d(inputs: Inputs, options: Options) -> Tensor:
    """x (B, H, W, C), weight (1, h, w, C * multiplier), bias (C * multiplier,)."""
    x, weight, bias = inputs
    return _convolved(x, weight.permute(3, 0, 1, 2), bias, options, groups=x.shape[3])


def transpose_conv_bias(inputs: Inputs, options: Options) -> Tensor:
    """x (B, H, W, C), weight (O, h, w, C), bias (O,): every pixel adds its multiple of the kernel to the output."""
    x, weight, bias = inputs
    stride = options["StrideH"], options["StrideW"]
    full = F.conv_transpose2d(x.permute(0, 3, 1, 2), weight.permute(3, 0, 1, 2), bias, stride).permute(0, 2, 3, 1)
    if options["Padding"] == "valid":
        return full
    for axis in (1, 2):
        spare = max(0, weight.shape[axis] - (x.shape[axis] - 1) % stride[axis - 1] - 1)
        full = full.narrow(axis, spare // 2, full.shape[axis] - spare)
    return full


def transpose_conv(inputs: Inputs, options: Options) -> Tensor:
    """x (B, H, W, C), weight (O, h, w, C), bias (O,) or none; of the full result the middle of the declared shape."""
    x, weight, *bias = inputs
    stride = options["StrideH"], options["StrideW"]
    found = F.conv_transpose2d(x.permute(0, 3, 1, 2), weight.permute(3, 0, 1, 2), *bias, stride=stride)
    for axis, length in ((2, options["shape"][1]), (3, options["shape"][2])):
        found = found.narrow(axis, (found.shape[axis] - length) // 2, length)
    return _activated(found.permute(0, 2, 3, 1).contiguous(), options)


def max_pool_2d(inputs: Inputs, options: Options) -> Tensor:
    size, stride = _window(options)
    x = _padded(inputs[0], size, options, -math.inf)
    return _activated(F.max_pool2d(x.permute(0, 3, 1, 2), size, stride).permute(0, 2, 3, 1), options)


def average_pool_2d(inputs: Inputs, options: Options) -> Tensor:
    """The mean of what lies inside the picture."""
    (x,), (size, stride) = inputs, _window(options)
    if size == x.shape[1:3]:
        return _activated(x.mean((1, 2), keepdim=True), options)
    padded, inside = _padded(x, size, options), _padded(torch.ones_like(x[:1, :, :, :1]), size, options)
    total = F.avg_pool2d(padded.permute(0, 3, 1, 2), size, stride)
    return _activated((total / F.avg_pool2d(inside.permute(0, 3, 1, 2), size, stride)).permute(0, 2, 3, 1), options)


def mean(inputs: Inputs, options: Options) -> Tensor:
    return inputs[0].mean(tuple(options["axes"]), keepdim=bool(options["KeepDims"]))


def sum_over(inputs: Inputs, options: Options) -> Tensor:
    return inputs[0].sum(tuple(options["axes"]), keepdim=bool(options["KeepDims"]))


def softmax(inputs: Inputs, options: Options) -> Tensor:
    return (inputs[0] * options["Beta"]).softmax(-1)


def add(inputs: Inputs, options: Options) -> Tensor:
    return _activated(inputs[0] + inputs[1], options)


def mul(inputs: Inputs, options: Options) -> Tensor:
    return _activated(inputs[0] * inputs[1], options)


def relu(inputs: Inputs, options: Options) -> Tensor:
    return inputs[0].relu()


def prelu(inputs: Inputs, options: Options) -> Tensor:
    """Slopes (1, 1, C), one a channel."""
    return F.prelu(inputs[0].permute(0, 3, 1, 2), inputs[1].flatten()).permute(0, 2, 3, 1)


def hard_swish(inputs: Inputs, options: Options) -> Tensor:
    return F.hardswish(inputs[0])


def logistic(inputs: Inputs, options: Options) -> Tensor:
    return inputs[0].sigmoid()


def pad(inputs: Inputs, options: Options) -> Tensor:
    """Zeros before and after each axis; the batch gets none."""
    before_after = options["paddings"]
    return F.pad(inputs[0], [amount for axis in reversed(before_after[1:]) for amount in axis])


def concatenation(inputs: Inputs, options: Options) -> Tensor:
    return _activated(torch.cat(list(inputs), options["Axis"]), options)


def reshape(inputs: Inputs, options: Options) -> Tensor:
    """Whole pictures stay together; the first axis may have several rows of each."""
    return inputs[0].reshape(-1, *options["shape"][1:])


def transpose(inputs: Inputs, options: Options) -> Tensor:
    """The axes in another order; the first one stays, which has the pictures."""
    if options["order"][0] != 0:
        raise ValueError(f"TRANSPOSE of axes {options['order']}")
    return inputs[0].permute(options["order"]).contiguous()


def strided_slice(inputs: Inputs, options: Options) -> Tensor:
    """Parts of all axes but the batch, which is whole. Masks: bit i set where axis i is open at that end."""
    parts = [slice(None)]
    for axis, (begin, end, step) in enumerate(zip(*(options[name] for name in ("begin", "end", "strides")))):
        first = None if options["BeginMask"] >> axis & 1 else begin
        last = None if options["EndMask"] >> axis & 1 else end
        if axis:
            parts.append(slice(first, last, step))
    return inputs[0][tuple(parts)]


def resize_bilinear(inputs: Inputs, options: Options) -> Tensor:
    """Pixel centres at half integers, or corner pixels on corner pixels; no network here uses the third way."""
    aligned = bool(options["AlignCorners"])
    if not aligned and not options["HalfPixelCenters"]:
        raise ValueError("RESIZE_BILINEAR without half_pixel_centers")
    x = inputs[0].permute(0, 3, 1, 2)
    return F.interpolate(x, options["size"], mode="bilinear", align_corners=aligned).permute(0, 2, 3, 1)


def resize_nearest_neighbor(inputs: Inputs, options: Options) -> Tensor:
    """The pixel that a position rounded down falls into; no network here uses the other ways."""
    if options["AlignCorners"] or options["HalfPixelCenters"]:
        raise ValueError("RESIZE_NEAREST_NEIGHBOR with align_corners or half_pixel_centers")
    return F.interpolate(inputs[0].permute(0, 3, 1, 2), options["size"]).permute(0, 2, 3, 1)


def depth_to_space(inputs: Inputs, options: Options) -> Tensor:
    """Channels to a square of pixels, the square's position first among them."""
    (x,), side = inputs, options["BlockSize"]
    _, height, width, channels = x.shape
    parts = x.reshape(-1, height, width, side, side, channels // side**2)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, height * side, width * side, channels // side**2)


OPERATORS: dict[str, Apply] = {
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool_2d,
    "CONCATENATION": concatenation,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEPTH_TO_SPACE": depth_to_space,
    "HARD_SWISH": hard_swish,
    "LOGISTIC": logistic,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
    "MUL": mul,
    "PAD": pad,
    "PRELU": prelu,
    "RELU": relu,
    "RESHAPE": reshape,
    "RESIZE_BILINEAR": resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
    "SOFTMAX": softmax,
    "STRIDED_SLICE": strided_slice,
    "SUM": sum_over,
    "TRANSPOSE": transpose,
    "TRANSPOSE_CONV": transpose_conv,
    "Convolution2DTransposeBias v1": transpose_conv_bias,
    "Landmarks2TransformMatrix v2": landmarks_to_transform_matrix,
    "TransformLandmarks v2": transform_landmarks,
    "TransformTensorBilinear v2": transform_tensor_bilinear,
}


def _convolved(x: Tensor, weight: Tensor, bias: Tensor, options: Options, groups: int = 1) -> Tensor:
    """x: (B, H, W, C), weight: (O, C / groups, h, w)."""
    stride = options["StrideH"], options["StrideW"]
    dilation = options["DilationHFactor"], options["DilationWFactor"]
    (top, bottom), (left, right) = amounts = borders(x.shape, (weight.shape[2], weight.shape[3]), options)
    within = (top, left) if top == bottom and left == right else (0, 0)
    if within != (top, left) or within != (bottom, right):
        x = _bordered(x, amounts)
    found = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, within, dilation, groups)
    return _activated(found.permute(0, 2, 3, 1), options)


def _window(options: Options) -> tuple[tuple[int, int], tuple[int, int]]:
    return (options["FilterHeight"], options["FilterWidth"]), (options["StrideH"], options["StrideW"])


def borders(shape: Sequence[int], size: tuple[int, int], options: Options) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows above and below, columns on the left and right, that "same" means for a tensor (B, H, W, C): the odd one
    below and on the right."""
    if options["Padding"] == "valid":
        return (0, 0), (0, 0)
    return (
        _spare(shape[1], size[0], options["StrideH"], options.get("DilationHFactor", 1)),
        _spare(shape[2], size[1], options["StrideW"], options.get("DilationWFactor", 1)),
    )


def _spare(length: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = (size - 1) * dilation + 1
    spare = max(0, (-(-length // stride) - 1) * stride + reach - length)
    return spare // 2, spare - spare // 2


def _bordered(x: Tensor, amounts: tuple[tuple[int, int], tuple[int, int]], value: float = 0.0) -> Tensor:
    rows, columns = amounts
    return F.pad(x, (0, 0, *columns, *rows), value=value)


def _padded(x: Tensor, size: tuple[int, int], options: Options, value: float = 0.0) -> Tensor:
    amounts = borders(x.shape, size, options)
    return _bordered(x, amounts, value) if amounts != ((0, 0), (0, 0)) else x


def _activated(x: Tensor, options: Options) -> Tensor:
    """x: an operator's own result, which may be overwritten."""
    kind = options.get("FusedActivationFunction", "none")
    if kind == "none":
        return x
    return x.relu_() if kind == "relu" else x.clamp_(0, 6)
