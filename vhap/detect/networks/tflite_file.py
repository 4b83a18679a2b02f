"""Networks in TensorFlow Lite's file format, read into a list of operators whose constants are plain arrays.

Weights stand in these files as half floats behind DEQUANTIZE, some of them sparse behind DENSIFY: both are worked out
while the file is read, so that what is left is the network itself. The files are for pictures one at a time; the first
axis of every tensor is the batch, and nothing here depends on its length.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vhap.util.errors import InputError, shown

MARK, VERSION = b"TFL3", 3
MOST_VALUES = 1 << 26
"""Of one constant: the largest network read here has 4 million in all."""
ACTIVATIONS = {0: "none", 1: "relu", 3: "relu6"}
PADDINGS = {0: "same", 1: "valid"}
_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
_CONVOLUTION = (*_WINDOW, "DilationHFactor", "DilationWFactor")
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "CONV_2D": ("Conv2DOptions", _CONVOLUTION),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _CONVOLUTION),
    "MAX_POOL_2D": ("Pool2DOptions", (*_WINDOW, "FilterHeight", "FilterWidth")),
    "AVERAGE_POOL_2D": ("Pool2DOptions", (*_WINDOW, "FilterHeight", "FilterWidth")),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters")),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "SUM": ("ReducerOptions", ("KeepDims",)),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _WINDOW),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"),
    ),
}
"""Operator -> its table in the file format, and what is read of it."""
WHOLE_NUMBERS: dict[str, tuple[str, ...]] = {
    "PAD": ("paddings",),
    "RESIZE_BILINEAR": ("size",),
    "RESIZE_NEAREST_NEIGHBOR": ("size",),
    "MEAN": ("axes",),
    "SUM": ("axes",),
    "TRANSPOSE": ("order",),
    "STRIDED_SLICE": ("begin", "end", "strides"),
    "RESHAPE": (),
}
"""Operator -> names of the constant whole numbers that follow its first input."""
DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, KeyError, OverflowError)
"""What the parser raises on bytes that mean nothing."""


@dataclass(frozen=True)
class Operator:
    """inputs: tensors' numbers, those of real values. options: of the operator, and its whole-numbered inputs."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """Operators in an order in which they can run. constants: number of a tensor -> float32 array. shapes: of all
    tensors, the first axis the batch. Channels come last."""

    operators: tuple[Operator, ...]
    constants: Mapping[int, np.ndarray]
    shapes: Mapping[int, tuple[int, ...]]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def of_kind(self, kind: str) -> list[Operator]:
        return [operator for operator in self.operators if operator.kind == kind]


def read_graph(content: bytes, path: str | Path) -> Graph:
    """A network from the bytes of a file; InputError for another, a truncated or a damaged file. path: for messages."""
    import tflite

    if content[4:8] != MARK:
        raise _wrong(path, f"another kind of file (it begins with {shown(content[:8])})")
    try:
        model = tflite.Model.GetRootAs(content)
        if model.Version() != VERSION or model.SubgraphsLength() != 1:
            raise _wrong(path, f"version {model.Version()} with {model.SubgraphsLength()} graphs, not {VERSION} with 1")
        return _Reader(tflite, model, path).graph()
    except DAMAGE as error:
        raise _wrong(path, f"a truncated or damaged one ({shown(str(error))})") from error


@dataclass
class _Reader:
    tflite: Any
    model: Any
    path: str | Path
    constants: dict[int, np.ndarray] = field(default_factory=dict)

    def graph(self) -> Graph:
        graph = self.model.Subgraphs(0)
        tensors = [graph.Tensors(number) for number in range(graph.TensorsLength())]
        shapes = {number: _numbers(tensor.ShapeAsNumpy()) for number, tensor in enumerate(tensors)}
        found = [graph.Operators(number) for number in range(graph.OperatorsLength())]
        self._require_known({self._kind(operator) for operator in found})
        operators = []
        for operator in found:
            kind, (output,) = self._kind(operator), _numbers(operator.OutputsAsNumpy())
            inputs = _numbers(operator.InputsAsNumpy())
            if kind in ("DEQUANTIZE", "DENSIFY"):
                self.constants[output] = self._constant(tensors, inputs[0]).astype(np.float32)
                continue
            options = self._options(operator, kind)
            if kind in ("RESHAPE", "TRANSPOSE_CONV"):
                # An input, which not all files have, says the same.
                options["shape"] = shapes[output]
            if kind == "TRANSPOSE_CONV":
                # In the file: the output's shape, weights, what is convolved, and a bias in some.
                inputs = (inputs[2], inputs[1], *inputs[3:])
            if kind in WHOLE_NUMBERS:
                named = zip(WHOLE_NUMBERS[kind], inputs[1:])
                options |= {name: self._constant(tensors, number).tolist() for name, number in named}
                inputs = inputs[:1]
            for number in inputs:
                if tensors[number].Buffer() and self.model.Buffers(tensors[number].Buffer()).DataLength():
                    self.constants[number] = self._constant(tensors, number).astype(np.float32)
            operators.append(Operator(kind, inputs, output, options))
        ends = _numbers(graph.InputsAsNumpy()), _numbers(graph.OutputsAsNumpy())
        self._require_order(operators, *ends)
        return Graph(tuple(operators), self.constants, shapes, *ends)

    def _kind(self, operator: Any) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == self.tflite.BuiltinOperator.CUSTOM:
            return f"{code.CustomCode().decode()} v{code.Version()}"
        return self.tflite.opcode2name(number)

    def _require_known(self, kinds: set[str]) -> None:
        from vhap.detect.networks.operators import OPERATORS

        if unknown := sorted(kinds - {*OPERATORS, "DEQUANTIZE", "DENSIFY"}):
            raise _wrong(self.path, f"one of other operators ({shown(', '.join(unknown))})")

    def _require_order(self, operators: list[Operator], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
        known = {*self.constants, *inputs}
        for operator in operators:
            if not known.issuperset(operator.inputs):
                raise _wrong(self.path, f"one whose {operator.kind} comes before its inputs")
            known.add(operator.output)
        if len(inputs) != 1 or not outputs or not known.issuperset(outputs):
            raise _wrong(self.path, f"one of {len(inputs)} inputs and {len(outputs)} outputs")

    def _options(self, operator: Any, kind: str) -> dict[str, Any]:
        if kind in OPTIONS and operator.BuiltinOptions() is not None:
            table, names = OPTIONS[kind]
            raw, options = operator.BuiltinOptions(), getattr(self.tflite, table)()
            options.Init(raw.Bytes, raw.Pos)
            found: dict[str, Any] = {name: getattr(options, name)() for name in names}
            if "FusedActivationFunction" in found:
                found["FusedActivationFunction"] = ACTIVATIONS[found["FusedActivationFunction"]]
            if "Padding" in found:
                found["Padding"] = PADDINGS[found["Padding"]]
            return found
        if " v" in kind and operator.CustomOptionsLength():
            return _custom_options(kind, operator.CustomOptionsAsNumpy().tobytes())
        return {}

    def _constant(self, tensors: list[Any], number: int) -> np.ndarray:
        """A tensor's values in its shape; those that were worked out from others included."""
        if number in self.constants:
            return self.constants[number]
        tensor, types = tensors[number], self.tflite.TensorType
        kinds = {types.FLOAT32: "<f4", types.FLOAT16: "<f2", types.INT32: "<i4"}
        raw = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
        values = np.frombuffer(np.ascontiguousarray(raw).tobytes(), kinds[tensor.Type()])
        shape = _numbers(tensor.ShapeAsNumpy())
        if math.prod(shape) > MOST_VALUES:
            raise ValueError(f"a constant of shape {shape}")
        return values.reshape(shape) if tensor.Sparsity() is None else _dense(tensor.Sparsity(), values, shape)


def _dense(sparsity: Any, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Rows of which only some columns are stored, as the format's compressed sparse rows along the last axis."""
    dims = [sparsity.DimMetadata(axis) for axis in range(sparsity.DimMetadataLength())]
    if [dim.Format() for dim in dims] != [0] * (len(shape) - 1) + [1] or sparsity.BlockMapLength():
        raise ValueError("a sparse constant that is not sparse along its last axis alone")
    starts = _vector(dims[-1].ArraySegmentsType(), dims[-1].ArraySegments())
    columns = _vector(dims[-1].ArrayIndicesType(), dims[-1].ArrayIndices())
    rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    dense = np.zeros((math.prod(shape[:-1]), shape[-1]), np.float32)
    dense[rows, columns] = values
    return dense.reshape(shape)


def _vector(kind: int, table: Any) -> np.ndarray:
    import tflite

    made = {1: tflite.Int32Vector, 2: tflite.Uint16Vector, 3: tflite.Uint8Vector}[kind]()
    made.Init(table.Bytes, table.Pos)
    return np.asarray(made.ValuesAsNumpy()).astype(np.int64)


def _custom_options(kind: str, content: bytes) -> dict[str, Any]:
    from flatbuffers import flexbuffers

    if kind == "Convolution2DTransposeBias v1":
        # TfLiteTransposeConvParams of TensorFlow's C interface: kTfLitePaddingSame is 1 there.
        padding, width, height = struct.unpack("<3i", content)
        return {"Padding": {1: "same", 2: "valid"}[padding], "StrideH": height, "StrideW": width}
    found: Any = flexbuffers.Loads(content)
    return dict(found)


def _numbers(values: Any) -> tuple[int, ...]:
    # The parser gives 0 for a vector that is not there.
    return tuple(int(value) for value in np.atleast_1d(values)) if not isinstance(values, int) else ()


def _wrong(path: str | Path, found: str) -> InputError:
    return InputError(f"expected a TensorFlow Lite network in {path}, found {found}; get the published file again")
