"""Small networks in TensorFlow Lite's file format, made with flatbuffers' own builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite


@dataclass(frozen=True)
class Made:
    """A tensor. values: of a constant. sparse: only what is not 0 is stored, along the last axis."""

    shape: tuple[int, ...]
    values: np.ndarray | None = None
    sparse: bool = False


@dataclass(frozen=True)
class Step:
    """An operator. kind: its name in the format, or a custom one's with its version behind ` v`. options: what the
    format's table of the operator holds."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    table: str | None = None
    options: Mapping[str, float] = field(default_factory=dict)
    custom: bytes = b""


def network_bytes(
    tensors: Sequence[Made], steps: Sequence[Step], inputs: Sequence[int], outputs: Sequence[int], version: int = 3
) -> bytes:
    builder = flatbuffers.Builder(1024)
    contents = [b""] + [_stored(tensor) for tensor in tensors]
    buffers = [_buffer(builder, content) for content in contents]
    made = [_tensor(builder, tensor, number + 1) for number, tensor in enumerate(tensors)]
    codes = [_code(builder, step.kind) for step in steps]
    operators = [_operator(builder, step, number) for number, step in enumerate(steps)]
    ends = builder.CreateNumpyVector(np.array(inputs, np.int32)), builder.CreateNumpyVector(np.array(outputs, np.int32))
    vectors = (
        _vector(builder, tflite.SubGraphStartTensorsVector, made),
        _vector(builder, tflite.SubGraphStartOperatorsVector, operators),
    )
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, vectors[0])
    tflite.SubGraphAddOperators(builder, vectors[1])
    tflite.SubGraphAddInputs(builder, ends[0])
    tflite.SubGraphAddOutputs(builder, ends[1])
    graphs = _vector(builder, tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(builder)])
    codes_vector = _vector(builder, tflite.ModelStartOperatorCodesVector, codes)
    buffers_vector = _vector(builder, tflite.ModelStartBuffersVector, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, version)
    tflite.ModelAddOperatorCodes(builder, codes_vector)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, buffers_vector)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _stored(tensor: Made) -> bytes:
    if tensor.values is None:
        return b""
    values = tensor.values[tensor.values != 0] if tensor.sparse else tensor.values
    return np.ascontiguousarray(values).tobytes()


def _vector(builder: flatbuffers.Builder, start: Callable[[Any, int], Any], offsets: Sequence[int]) -> int:
    start(builder, len(offsets))
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def _buffer(builder: flatbuffers.Builder, content: bytes) -> int:
    data = builder.CreateByteVector(content) if content else None
    tflite.BufferStart(builder)
    if data is not None:
        tflite.BufferAddData(builder, data)
    return tflite.BufferEnd(builder)


def _tensor(builder: flatbuffers.Builder, tensor: Made, buffer: int) -> int:
    types = {"float16": tflite.TensorType.FLOAT16, "int32": tflite.TensorType.INT32}
    kind = types.get(str(getattr(tensor.values, "dtype", "")), tflite.TensorType.FLOAT32)
    shape, name = builder.CreateNumpyVector(np.array(tensor.shape, np.int32)), builder.CreateString(f"tensor {buffer}")
    sparsity = _sparsity(builder, tensor) if tensor.sparse else None
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddName(builder, name)
    tflite.TensorAddType(builder, kind)
    tflite.TensorAddBuffer(builder, buffer)
    if sparsity is not None:
        tflite.TensorAddSparsity(builder, sparsity)
    return tflite.TensorEnd(builder)


def _sparsity(builder: flatbuffers.Builder, tensor: Made) -> int:
    assert tensor.values is not None
    rows = tensor.values.reshape(-1, tensor.shape[-1])
    starts = np.concatenate([[0], np.cumsum((rows != 0).sum(1))]).astype(np.uint8)
    parts = []
    for values in (starts, np.nonzero(rows)[1].astype(np.uint8)):
        vector = builder.CreateNumpyVector(values)
        tflite.Uint8VectorStart(builder)
        tflite.Uint8VectorAddValues(builder, vector)
        parts.append(tflite.Uint8VectorEnd(builder))
    dims = []
    for length in tensor.shape[:-1]:
        tflite.DimensionMetadataStart(builder)
        tflite.DimensionMetadataAddDenseSize(builder, length)
        dims.append(tflite.DimensionMetadataEnd(builder))
    tflite.DimensionMetadataStart(builder)
    tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.SPARSE_CSR)
    tflite.DimensionMetadataAddArraySegmentsType(builder, tflite.SparseIndexVector.Uint8Vector)
    tflite.DimensionMetadataAddArraySegments(builder, parts[0])
    tflite.DimensionMetadataAddArrayIndicesType(builder, tflite.SparseIndexVector.Uint8Vector)
    tflite.DimensionMetadataAddArrayIndices(builder, parts[1])
    dims.append(tflite.DimensionMetadataEnd(builder))
    vector = _vector(builder, tflite.SparsityParametersStartDimMetadataVector, dims)
    tflite.SparsityParametersStart(builder)
    tflite.SparsityParametersAddDimMetadata(builder, vector)
    return tflite.SparsityParametersEnd(builder)


def _code(builder: flatbuffers.Builder, kind: str) -> int:
    name, _, version = kind.partition(" v")
    custom = builder.CreateString(name) if version else None
    tflite.OperatorCodeStart(builder)
    number = tflite.BuiltinOperator.CUSTOM if version else getattr(tflite.BuiltinOperator, name)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, number)
    tflite.OperatorCodeAddVersion(builder, int(version or 1))
    if custom is not None:
        tflite.OperatorCodeAddCustomCode(builder, custom)
    return tflite.OperatorCodeEnd(builder)


def _operator(builder: flatbuffers.Builder, step: Step, code: int) -> int:
    inputs = builder.CreateNumpyVector(np.array(step.inputs, np.int32))
    outputs = builder.CreateNumpyVector(np.array([step.output], np.int32))
    custom = builder.CreateByteVector(step.custom) if step.custom else None
    table = None
    if step.table is not None:
        getattr(tflite, f"{step.table}Start")(builder)
        for name, value in step.options.items():
            getattr(tflite, f"{step.table}Add{name}")(builder, value)
        table = getattr(tflite, f"{step.table}End")(builder)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, str(step.table)))
        tflite.OperatorAddBuiltinOptions(builder, table)
    if custom is not None:
        tflite.OperatorAddCustomOptions(builder, custom)
    return tflite.OperatorEnd(builder)
