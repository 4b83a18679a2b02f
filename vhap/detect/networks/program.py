"""A network's graph as a program of `kernels.py`: what runs on a CPU in one piece, and what is left for torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vhap.detect.networks.kernel_layout import LANES
from vhap.detect.networks.operators import borders
from vhap.detect.networks.program_places import Draft, Program, Shape, placed, whole
from vhap.detect.networks.tflite_file import Graph, Operator


def program_of(graph: Graph) -> Program | None:
    """None where hardly anything of the graph can run so: convolutions after something that cannot."""
    writer = _Writer(graph)
    left = [operator for operator in graph.operators if not writer.add(operator)]
    if any(operator.kind.endswith("CONV_2D") for operator in left) or not writer.drafts:
        return None
    return writer.program(left)


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.drafts: list[Draft] = []
        self.weights: list[np.ndarray] = []
        self.size = 0
        self.shapes: dict[int, Shape] = {graph.inputs[0]: _as_shape(graph.shapes[graph.inputs[0]])}
        self.flat: dict[int, int] = {}
        """Tensors of another shape with the same floats -> the tensor that a step makes."""
        self.uses = Counter(number for operator in graph.operators for number in operator.inputs)
        self.uses.update(graph.outputs)
        self.made_by: dict[int, Draft] = {}
        self._slopes: dict[tuple[int, str], int] = {}

    def add(self, operator: Operator) -> bool:
        """Whether it became a step, or a part of one."""
        sources = [number for number in operator.inputs if number not in self.graph.constants]
        adders: Mapping[str, Callable[[Operator], bool]] = {
            "CONV_2D": self._convolution,
            "DEPTHWISE_CONV_2D": self._depthwise,
            "MAX_POOL_2D": self._max_pool,
            "PAD": self._pad,
            "AVERAGE_POOL_2D": self._mean,
            "MEAN": self._mean,
            "MUL": self._multiply,
            "ADD": self._sum,
            "PRELU": self._prelu,
            "RELU": self._relu,
            "HARD_SWISH": self._hard_swish,
            "LOGISTIC": self._logistic,
            "Convolution2DTransposeBias v1": self._transposed,
            "RESHAPE": self._reshape,
            "RESIZE_BILINEAR": self._resize,
            "Landmarks2TransformMatrix v2": self._crop_matrix,
            "TransformTensorBilinear v2": self._crop,
            "TransformLandmarks v2": self._move_points,
        }
        add = adders.get(operator.kind)
        # Pixels of the input are not whole vectors.
        if self.graph.inputs[0] in sources and operator.kind not in ("CONV_2D", "PAD"):
            return False
        known = all(number in self.shapes or number in self.flat for number in sources)
        return add is not None and known and add(operator)

    def _convolution(self, operator: Operator) -> bool:
        source, weight, bias = operator.inputs
        options = operator.options
        values = self.graph.constants[weight]
        dilated = options["DilationHFactor"] != 1 or options["DilationWFactor"] != 1
        if source in self.flat or dilated or options["FusedActivationFunction"] not in ("none", "relu"):
            return False
        count, height, width, channels = values.shape
        amounts = borders((1, *self.shapes[source]), (height, width), options)
        if any(amount for axis in amounts for amount in axis):
            source = self._bordered(source, amounts)
        rows, columns, _ = self.shapes[source]
        shape = _as_shape(self.graph.shapes[operator.output])
        padded = np.zeros((height * width * channels, whole(count)), np.float32)
        padded[:, :count] = values.reshape(count, -1).T
        fields = {
            "HEIGHT": height, "WIDTH": width, "STRIDE_Y": options["StrideH"], "STRIDE_X": options["StrideW"],
            "WEIGHT": self._constant(_in_tiles(padded)),
            **self._finish(self.graph.constants[bias], count, options),
        }  # fmt: skip
        if (height, width, options["StrideH"], options["StrideW"]) == (1, 1, 1, 1):
            # All pixels in one row.
            fields |= {"ROWS": 1, "COLUMNS": shape[0] * shape[1], "SOURCE_COLUMNS": rows * columns}
        self._step("CONVOLUTION", source, operator.output, shape, fields)
        return True

    def _depthwise(self, operator: Operator) -> bool:
        source, weight, bias = operator.inputs
        options, values = operator.options, self.graph.constants[weight]
        dilated = options["DilationHFactor"] != 1 or options["DilationWFactor"] != 1
        activation = options["FusedActivationFunction"]
        if source in self.flat or dilated or activation not in ("none", "relu"):
            return False
        _, height, width, count = values.shape
        if count != self.shapes[source][2]:
            return False
        (top, _), (left, _) = borders((1, *self.shapes[source]), (height, width), options)
        padded = np.zeros((height * width, whole(count)), np.float32)
        padded[:, :count] = values.reshape(-1, count)
        fields = {
            "HEIGHT": height, "WIDTH": width, "STRIDE_Y": options["StrideH"], "STRIDE_X": options["StrideW"],
            "TOP": top, "LEFT": left, "WEIGHT": self._constant(padded.ravel()),
            **self._finish(self.graph.constants[bias], count, options),
        }  # fmt: skip
        self._step("DEPTHWISE", source, operator.output, _as_shape(self.graph.shapes[operator.output]), fields)
        return True

    def _max_pool(self, operator: Operator) -> bool:
        (source,), options = operator.inputs, operator.options
        if source in self.flat or options["FusedActivationFunction"] != "none":
            return False
        size = options["FilterHeight"], options["FilterWidth"]
        (top, _), (left, _) = borders((1, *self.shapes[source]), size, options)
        fields = {
            "HEIGHT": size[0], "WIDTH": size[1], "STRIDE_Y": options["StrideH"], "STRIDE_X": options["StrideW"],
            "TOP": top, "LEFT": left,
        }  # fmt: skip
        self._step("MAX_POOL", source, operator.output, _as_shape(self.graph.shapes[operator.output]), fields)
        return True

    def _mean(self, operator: Operator) -> bool:
        """Of all pixels."""
        (source,), options = operator.inputs, operator.options
        shape = _as_shape(self.graph.shapes[operator.output])
        if source in self.flat or shape != (1, 1, self.shapes[source][2]):
            return False
        if options.get("FusedActivationFunction", "none") != "none" or not options.get("KeepDims", True):
            return False
        self._step("MEAN", source, operator.output, shape, {})
        return True

    def _logistic(self, operator: Operator) -> bool:
        """Of a single pixel; where there are more torch's is quicker."""
        (source,) = operator.inputs
        if source in self.flat or self.shapes[source][:2] != (1, 1):
            return False
        self._step("LOGISTIC", source, operator.output, self.shapes[source], {})
        return True

    def _transposed(self, operator: Operator) -> bool:
        """Of kernels that do not overlap: a convolution whose channels are spread over pixels."""
        source, weight, bias = operator.inputs
        options, values = operator.options, self.graph.constants[weight]
        count, height, width, channels = values.shape
        if source in self.flat or (height, width) != (options["StrideH"], options["StrideW"]):
            return False
        rows, columns, _ = self.shapes[source]
        shape, number = (height * rows, width * columns, count), self._unnamed()
        if _as_shape(self.graph.shapes[operator.output]) != shape:
            return False
        weights = np.zeros((channels, whole(height * width * count)), np.float32)
        weights[:, : height * width * count] = values.transpose(3, 1, 2, 0).reshape(channels, -1)
        biases = np.tile(self.graph.constants[bias].ravel(), height * width)
        fields = {
            "HEIGHT": 1, "WIDTH": 1, "STRIDE_Y": 1, "STRIDE_X": 1, "WEIGHT": self._constant(_in_tiles(weights)),
            **self._finish(biases, len(biases), {"FusedActivationFunction": "none"}),
        }  # fmt: skip
        self._step("CONVOLUTION", source, number, (rows, columns, len(biases)), fields)
        self._step("SPREAD", number, operator.output, shape, {"HEIGHT": height, "WIDTH": width})
        return True

    def _pad(self, operator: Operator) -> bool:
        (source,), paddings = operator.inputs, operator.options["paddings"]
        if source in self.flat or len(paddings) != 4 or paddings[3][0] != 0:
            return False
        shape = _as_shape(self.graph.shapes[operator.output])
        fields = {"TOP": paddings[1][0], "LEFT": paddings[2][0]}
        self._step("BORDER", source, operator.output, shape, fields)
        return True

    def _resize(self, operator: Operator) -> bool:
        (source,), options = operator.inputs, operator.options
        if source in self.flat or options["AlignCorners"] or not options["HalfPixelCenters"]:
            return False
        self._step("RESIZE", source, operator.output, _as_shape(self.graph.shapes[operator.output]), {})
        return True

    def _bordered(self, source: int, amounts: tuple[tuple[int, int], tuple[int, int]]) -> int:
        """The tensor with zeros around it."""
        (top, bottom), (left, right) = amounts
        rows, columns, channels = self.shapes[source]
        number = self._unnamed()
        shape = (rows + top + bottom, columns + left + right, channels)
        self._step("BORDER", source, number, shape, {"TOP": top, "LEFT": left})
        return number

    def _sum(self, operator: Operator) -> bool:
        first, second = operator.inputs
        same = first in self.shapes and self.shapes[first] == self.shapes.get(second)
        if not same or operator.options["FusedActivationFunction"] not in ("none", "relu"):
            return False
        slope = {"SLOPE": self._slope(self.shapes[first][2], operator.options["FusedActivationFunction"])}
        for made, other in ((second, first), (first, second)):
            draft = self.made_by.get(made)
            if draft is not None and self._may_grow(draft) and draft.rest is None:
                draft.rest = other
                self._renamed(draft, operator.output, slope)
                return True
        self._step("SUM", first, operator.output, self.shapes[first], slope)
        self.drafts[-1].rest = second
        return True

    def _prelu(self, operator: Operator) -> bool:
        source, slope = operator.inputs
        values = self.graph.constants[slope].ravel()
        if source in self.flat or len(values) != self.shapes[source][2]:
            return False
        return self._activated(operator, {"SLOPE": self._constant(_filled(values))})

    def _relu(self, operator: Operator) -> bool:
        (source,) = operator.inputs
        return source not in self.flat and self._activated(
            operator, {"SLOPE": self._slope(self.shapes[source][2], "relu")}
        )

    def _activated(self, operator: Operator, slope: dict[str, int]) -> bool:
        source = operator.inputs[0]
        draft = self.made_by.get(source)
        if draft is not None and self._may_grow(draft):
            self._renamed(draft, operator.output, slope)
        else:
            self._step("SUM", source, operator.output, self.shapes[source], slope)
        return True

    def _hard_swish(self, operator: Operator) -> bool:
        (source,) = operator.inputs
        if source in self.flat:
            return False
        return self._activated(operator, {"SLOPE": self._slope(self.shapes[source][2], "none"), "SWISH": 1})

    def _reshape(self, operator: Operator) -> bool:
        """Of a single pixel, whose channels are one row of floats."""
        (source,) = operator.inputs
        made = self.flat.get(source, source)
        if self.shapes[made][:2] != (1, 1):
            return False
        self.flat[operator.output] = made
        return True

    def _multiply(self, operator: Operator) -> bool:
        """By constants, or all pixels by one."""
        first, second = operator.inputs
        if second in self.graph.constants:
            return self._scale(operator)
        factor = self.shapes.get(second, (0, 0, 0))
        if first not in self.shapes or factor != (1, 1, self.shapes[first][2]):
            return False
        if operator.options["FusedActivationFunction"] != "none":
            return False
        self._step("SCALE", first, operator.output, self.shapes[first], {})
        self.drafts[-1].rest = second
        return True

    def _scale(self, operator: Operator) -> bool:
        """A row of floats by constants: a convolution of one pixel."""
        source, factor = operator.inputs
        made = self.flat.get(source, source)
        if factor not in self.graph.constants or self.shapes.get(made, (0, 0, 0))[:2] != (1, 1):
            return False
        count, values = self.shapes[made][2], self.graph.constants[factor].ravel()
        if len(values) not in (1, count) or operator.options["FusedActivationFunction"] != "none":
            return False
        fields = {
            "HEIGHT": 1, "WIDTH": 1, "STRIDE_Y": 1, "STRIDE_X": 1,
            "WEIGHT": self._constant(_filled(np.broadcast_to(values, count))),
            **self._finish(np.zeros(count, np.float32), count, operator.options),
        }  # fmt: skip
        self.flat[operator.output] = self._unnamed()
        self._step("DEPTHWISE", made, self.flat[operator.output], (1, 1, count), fields)
        return True

    def _move_points(self, operator: Operator) -> bool:
        points, matrix = operator.inputs
        if points not in self.flat or self.graph.shapes[points][-1] != 2 or matrix not in self.flat:
            return False
        made = self.flat[points]
        self.flat[operator.output] = self._unnamed()
        self._step("MOVE_POINTS", made, self.flat[operator.output], self.shapes[made], {})
        self.drafts[-1].rest = self.flat[matrix]
        return True

    def _unnamed(self) -> int:
        """A tensor that no operator names."""
        return -1 - len(self.drafts)

    def _crop_matrix(self, operator: Operator) -> bool:
        (source,), options = operator.inputs, operator.options
        if self.graph.shapes[source][1:][-1] != 3 or source not in self.flat:
            return False
        angle = options["target_rotation_radians"]
        values = [
            math.cos(angle), math.sin(angle), options["scale_x"], options["scale_y"], options["output_width"],
            options["output_height"], options["left_rotation_idx"], options["right_rotation_idx"],
            len(options["subset_idxs"]), *options["subset_idxs"],
        ]  # fmt: skip
        fields = {"WEIGHT": self._constant(np.array(values, np.float32))}
        self._step("CROP_MATRIX", self.flat[source], operator.output, (1, 1, 16), fields)
        return True

    def _crop(self, operator: Operator) -> bool:
        source, matrix = operator.inputs
        if source in self.flat or matrix not in self.made_by:
            return False
        self._step("CROP", source, operator.output, _as_shape(self.graph.shapes[operator.output]), {})
        self.drafts[-1].rest = matrix
        return True

    def _may_grow(self, draft: Draft) -> bool:
        """Whether what follows a step may be a part of it: nothing else reads what it makes, and it does nothing to
        negative values yet."""
        grows = draft.kind in ("CONVOLUTION", "DEPTHWISE", "SUM")
        if not grows or self.uses[draft.target] != 1 or "SWISH" in draft.fields:
            return False
        return draft.fields["SLOPE"] == self._slope(draft.shape[2], "none")

    def _renamed(self, draft: Draft, output: int, fields: dict[str, int]) -> None:
        """The step makes another tensor, and after all that is there by now."""
        del self.made_by[draft.target]
        self.drafts.remove(draft)
        draft.target = output
        draft.fields |= fields
        self.drafts.append(draft)
        self.made_by[output], self.shapes[output] = draft, draft.shape

    def _step(self, kind: str, source: int, target: int, shape: Shape, fields: dict[str, int]) -> None:
        draft = Draft(kind, source, None, target, shape, fields)
        self.drafts.append(draft)
        self.made_by[target], self.shapes[target] = draft, shape

    def _finish(self, bias: np.ndarray, count: int, options: Mapping[str, object]) -> dict[str, int]:
        activation = str(options["FusedActivationFunction"])
        return {"BIAS": self._constant(_filled(bias)), "SLOPE": self._slope(count, activation)}

    def _slope(self, count: int, activation: str) -> int:
        key = (whole(count), activation)
        if key not in self._slopes:
            self._slopes[key] = self._constant(np.full(key[0], 0.0 if activation == "relu" else 1.0, np.float32))
        return self._slopes[key]

    def _constant(self, values: np.ndarray) -> int:
        start = self.size
        self.weights.append(_filled(values.astype(np.float32)))
        self.size += len(self.weights[-1])
        return start

    def program(self, left: Sequence[Operator]) -> Program:
        return placed(self.graph, self.drafts, self.shapes, self.flat, np.concatenate(self.weights), left)


def _as_shape(shape: Sequence[int]) -> Shape:
    """Rows, columns, channels of (B, H, W, C), of (B, N, C) or of (B, C)."""
    inner = (1, 1, 1, *shape[1:])
    return inner[-3], inner[-2], inner[-1]


def _in_tiles(weights: np.ndarray) -> np.ndarray:
    """Weights (depth, channels) as CONVOLUTION reads them: two vectors of channels after two others."""
    tiles = [weights[:, start : start + 2 * LANES] for start in range(0, weights.shape[1], 2 * LANES)]
    return np.concatenate([tile.ravel() for tile in tiles])


def _filled(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.zeros(whole(len(values)) - len(values), np.float32)])
