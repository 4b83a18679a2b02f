"""Each operator against its definition, in plain numpy and loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from vhap.detect.networks.operators import OPERATORS

RANDOM = np.random.default_rng(0)


def ran(kind: str, *inputs: np.ndarray, **options: object) -> np.ndarray:
    return OPERATORS[kind]([torch.from_numpy(values) for values in inputs], options).numpy()


def drawn(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape)


def border(length: int, size: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Length of the output, and what stands before the first pixel, as TensorFlow defines them."""
    reach = (size - 1) * dilation + 1
    if padding == "valid":
        return math.ceil((length - reach + 1) / stride), 0
    count = math.ceil(length / stride)
    return count, max(0, (count - 1) * stride + reach - length) // 2


def windows(shape: tuple[int, ...], size: tuple[int, int], options: dict[str, int | str]):
    """Output row and column, and of every pixel that it sees: kernel row and column, picture row and column."""
    steps = (
        (options["StrideH"], options.get("DilationHFactor", 1)),
        (options["StrideW"], options.get("DilationWFactor", 1)),
    )
    ends = [border(shape[1 + axis], size[axis], *steps[axis], options["Padding"]) for axis in (0, 1)]
    for row, column in itertools.product(range(ends[0][0]), range(ends[1][0])):
        seen = []
        for i, j in itertools.product(range(size[0]), range(size[1])):
            y = row * steps[0][0] + i * steps[0][1] - ends[0][1]
            x = column * steps[1][0] + j * steps[1][1] - ends[1][1]
            if 0 <= y < shape[1] and 0 <= x < shape[2]:
                seen.append((i, j, y, x))
        yield row, column, seen


def window_options(padding: str, stride: tuple[int, int], dilation: tuple[int, int] = (1, 1), **more: int | str):
    return {
        "Padding": padding,
        "StrideH": stride[0],
        "StrideW": stride[1],
        "DilationHFactor": dilation[0],
        "DilationWFactor": dilation[1],
        "FusedActivationFunction": "none",
        **more,
    }


CASES = [
    *itertools.product(("same", "valid"), ((1, 1), (2, 2), (2, 1)), ((1, 1),), ((3, 3), (1, 1), (2, 3))),
    ("same", (1, 1), (2, 1), (3, 3)),
    ("valid", (1, 1), (1, 2), (3, 3)),
]


@pytest.mark.parametrize(("padding", "stride", "dilation", "size"), CASES)
def test_convolutions(padding: str, stride: tuple[int, int], dilation: tuple[int, int], size: tuple[int, int]) -> None:
    x, bias = drawn(2, 7, 6, 3), drawn(4)
    weight, depthwise, depth_bias = drawn(4, *size, 3), drawn(1, *size, 6), drawn(6)
    options = window_options(padding, stride, dilation)
    found = ran("CONV_2D", x, weight, bias, **options)
    found_depthwise = ran("DEPTHWISE_CONV_2D", x, depthwise, depth_bias, **options)
    expected, each = np.zeros_like(found) + bias, np.zeros_like(found_depthwise) + depth_bias
    count = 0
    for row, column, seen in windows(x.shape, size, options):
        count += 1
        for i, j, y, x_ in seen:
            expected[:, row, column] += x[:, y, x_] @ weight[:, i, j].T
            # Two outputs a channel, beside each other.
            each[:, row, column] += np.repeat(x[:, y, x_], 2, axis=-1) * depthwise[0, i, j]
    assert count == found.shape[1] * found.shape[2]
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(found_depthwise, each, atol=1e-10)


@pytest.mark.parametrize(("padding", "stride"), itertools.product(("same", "valid"), ((2, 2), (1, 1), (3, 2))))
def test_pools(padding: str, stride: tuple[int, int]) -> None:
    x = drawn(2, 7, 5, 3)
    options = window_options(padding, stride, FilterHeight=3, FilterWidth=2)
    largest, mean = ran("MAX_POOL_2D", x, **options), ran("AVERAGE_POOL_2D", x, **options)
    for row, column, seen in windows(x.shape, (3, 2), options):
        values = np.stack([x[:, y, x_] for _, _, y, x_ in seen])
        np.testing.assert_allclose(largest[:, row, column], values.max(0), atol=1e-12)
        np.testing.assert_allclose(mean[:, row, column], values.mean(0), atol=1e-12)
    whole = window_options("valid", (7, 5), FilterHeight=7, FilterWidth=5)
    np.testing.assert_allclose(ran("AVERAGE_POOL_2D", x, **whole), x.mean((1, 2), keepdims=True), atol=1e-12)


@pytest.mark.parametrize(
    ("padding", "stride", "size"), [("same", 2, 2), ("same", 2, 3), ("valid", 2, 3), ("same", 1, 3)]
)
def test_transposed_convolution(padding: str, stride: int, size: int) -> None:
    x, weight, bias = drawn(2, 4, 5, 3), drawn(2, size, size, 3), drawn(2)
    found = ran("Convolution2DTransposeBias v1", x, weight, bias, Padding=padding, StrideH=stride, StrideW=stride)
    full = np.zeros((2, stride * 3 + size, stride * 4 + size, 2)) + bias
    for row, column, i, j in itertools.product(range(4), range(5), range(size), range(size)):
        full[:, row * stride + i, column * stride + j] += x[:, row, column] @ weight[:, i, j].T
    if padding == "same":
        spare = [max(0, size - (length - 1) % stride - 1) for length in (4, 5)]
        rows, columns = (slice(part // 2, full.shape[axis + 1] - part + part // 2) for axis, part in enumerate(spare))
        full = full[:, rows, columns]
    np.testing.assert_allclose(found, full, atol=1e-10)
    options = {"Padding": padding, "StrideH": stride, "StrideW": stride, "shape": (1, *full.shape[1:])}
    np.testing.assert_allclose(ran("TRANSPOSE_CONV", x, weight, bias, **options), full, atol=1e-10)
    np.testing.assert_allclose(ran("TRANSPOSE_CONV", x, weight, **options), full - bias, atol=1e-10)


def test_what_works_on_single_values() -> None:
    x, other, slopes = drawn(2, 3, 4, 5), drawn(1, 1, 1, 5), drawn(1, 1, 5)
    np.testing.assert_allclose(ran("RELU", x), np.maximum(x, 0))
    np.testing.assert_allclose(ran("PRELU", x, slopes), np.where(x > 0, x, slopes * x))
    np.testing.assert_allclose(ran("HARD_SWISH", 3 * x), 3 * x * np.clip(3 * x + 3, 0, 6) / 6)
    np.testing.assert_allclose(ran("LOGISTIC", x), 1 / (1 + np.exp(-x)))
    shares = np.exp(0.5 * x) / np.exp(0.5 * x).sum(-1, keepdims=True)
    np.testing.assert_allclose(ran("SOFTMAX", x, Beta=0.5), shares)
    np.testing.assert_allclose(ran("ADD", x, other, FusedActivationFunction="relu"), np.maximum(x + other, 0))
    np.testing.assert_allclose(ran("MUL", 4 * x, other, FusedActivationFunction="relu6"), np.clip(4 * x * other, 0, 6))
    assert (x < 0).any(), "no operator writes over what it was given"


def test_what_moves_values() -> None:
    x = drawn(2, 4, 6, 8)
    amounts = [[0, 0], [1, 2], [0, 3], [2, 1]]
    np.testing.assert_array_equal(ran("PAD", x, paddings=amounts), np.pad(x, amounts))
    joined = ran("CONCATENATION", x, x[:, :, :2], Axis=2, FusedActivationFunction="none")
    np.testing.assert_array_equal(joined, np.concatenate([x, x[:, :, :2]], 2))
    np.testing.assert_array_equal(ran("RESHAPE", x, shape=(1, 24, 8)), x.reshape(2, 24, 8))
    windows = ran("TRANSPOSE", ran("RESHAPE", x, shape=(2, 2, 3, 16)), order=[0, 2, 1, 3])
    for picture, alone in zip(windows.reshape(2, -1, 3, 2, 16), x):
        np.testing.assert_array_equal(picture, alone.reshape(-1, 2, 3, 16).transpose(0, 2, 1, 3))
    with pytest.raises(ValueError, match="TRANSPOSE of axes"):
        ran("TRANSPOSE", x, order=[1, 0, 2, 3])
    np.testing.assert_allclose(ran("SUM", x, axes=[2], KeepDims=True), x.sum(2, keepdims=True), atol=1e-12)
    np.testing.assert_allclose(ran("MEAN", x, axes=[1, 2], KeepDims=True), x.mean((1, 2), keepdims=True), atol=1e-12)
    parts = {
        "begin": [0, 1, 3, 2],
        "end": [1, 4, 6, 8],
        "strides": [1, 2, 1, 3],
        "BeginMask": 0b0100,
        "EndMask": 0b1000,
    }
    np.testing.assert_array_equal(ran("STRIDED_SLICE", x, **parts), x[:, 1:4:2, :6, 2::3])


def test_depth_to_space() -> None:
    x = drawn(2, 3, 4, 12)
    found = ran("DEPTH_TO_SPACE", x, BlockSize=2)
    assert found.shape == (2, 6, 8, 3)
    for row, column, channel in itertools.product(range(6), range(8), range(3)):
        place = (row % 2) * 2 + column % 2
        np.testing.assert_array_equal(found[:, row, column, channel], x[:, row // 2, column // 2, place * 3 + channel])


@pytest.mark.parametrize("aligned", [False, True])
def test_resize(aligned: bool) -> None:
    x = drawn(2, 3, 4, 2)
    found = ran("RESIZE_BILINEAR", x, size=[5, 8], AlignCorners=aligned, HalfPixelCenters=not aligned)

    def weights(count: int, length: int) -> np.ndarray:
        """(count, length) shares of the pixels in a line."""
        places = (
            np.arange(count) * (length - 1) / (count - 1)
            if aligned
            else (np.arange(count) + 0.5) * length / count - 0.5
        )
        places = places.clip(0, length - 1)
        return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(length)))

    np.testing.assert_allclose(found, np.einsum("ri,cj,bijk->brck", weights(5, 3), weights(8, 4), x), atol=1e-12)
    with pytest.raises(ValueError, match="half_pixel_centers"):
        ran("RESIZE_BILINEAR", x, size=[5, 8], AlignCorners=False, HalfPixelCenters=False)


def test_resize_to_nearest() -> None:
    x = drawn(2, 3, 4, 2)
    found = ran("RESIZE_NEAREST_NEIGHBOR", x, size=[5, 8], AlignCorners=False, HalfPixelCenters=False)
    np.testing.assert_array_equal(found, x[:, np.arange(5) * 3 // 5][:, :, np.arange(8) * 4 // 8])
    with pytest.raises(ValueError, match="half_pixel_centers"):
        ran("RESIZE_NEAREST_NEIGHBOR", x, size=[5, 8], AlignCorners=False, HalfPixelCenters=True)


SUBSET = [0, 1, 3, 4]
MATRIX_OPTIONS = {
    "left_rotation_idx": 1,
    "right_rotation_idx": 3,
    "target_rotation_radians": 0.3,
    "subset_idxs": SUBSET,
    "output_width": 8,
    "output_height": 6,
    "scale_x": 1.5,
    "scale_y": 1.2,
}


def test_matrix_of_a_crop_around_points() -> None:
    points = 10 * drawn(3, 5, 3)
    found = ran("Landmarks2TransformMatrix v2", points, **MATRIX_OPTIONS)
    for matrix, each in zip(found, points[..., :2]):
        # What MediaPipe does, step by step: turned upright, boxed, and back.
        across = each[3] - each[1]
        angle = 0.3 - math.atan2(across[1], across[0])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        upright = each[SUBSET] @ turn.T
        low, high = upright.min(0), upright.max(0)
        corners = np.array([[0, 0], [8, 0], [8, 6], [0, 6]])
        in_box = (corners / [8, 6] - 0.5) * (high - low) * [1.5, 1.2] + (low + high) / 2
        np.testing.assert_allclose(corners @ matrix[:2, :2].T + matrix[:2, 3], in_box @ turn, atol=1e-9)
        np.testing.assert_array_equal(matrix[2:], np.eye(4)[2:])
        assert not matrix[:2, 2].any()


def test_crop_of_features() -> None:
    features, matrix = drawn(2, 5, 6, 3), np.tile(np.eye(4), (2, 1, 1))
    matrix[0, :2, :2], matrix[0, :2, 3] = [[0.7, -0.4], [0.3, 0.8]], [1.4, -0.2]
    matrix[1, :2, :2], matrix[1, :2, 3] = [[0.5, 0], [0, 0.5]], [0.25, 0.25]
    found = ran("TransformTensorBilinear v2", features, matrix, output_height=5, output_width=4)
    outside = 0
    for picture, row, column in itertools.product(range(2), range(5), range(4)):
        place = matrix[picture, :2, :2] @ [column + 0.5, row + 0.5] + matrix[picture, :2, 3] - 0.5
        expected = np.zeros(3)
        if 0 <= place[0] <= 5 and 0 <= place[1] <= 4:
            for y, x in itertools.product(range(5), range(6)):
                share = max(0, 1 - abs(place[0] - x)) * max(0, 1 - abs(place[1] - y))
                expected += share * features[picture, y, x]
        else:
            outside += 1
        np.testing.assert_allclose(found[picture, row, column], expected, atol=1e-12)
    assert 0 < outside < 20


@pytest.mark.parametrize("dimensions", [2, 3])
def test_points_of_a_crop_in_the_picture(dimensions: int) -> None:
    points, matrix = drawn(2, 7, dimensions), drawn(2, 4, 4)
    found = ran("TransformLandmarks v2", points, matrix)
    for index in range(2):
        flat = np.column_stack([points[index, :, :2], np.zeros(7), np.ones(7)])
        np.testing.assert_allclose(found[index, :, :2], (flat @ matrix[index].T)[:, :2], atol=1e-12)
        np.testing.assert_array_equal(found[index, :, 2:], points[index, :, 2:])
