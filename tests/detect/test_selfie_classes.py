"""MediaPipe's multiclass network, by a stand-in that tells parts by colours, and files that are not it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vhap.detect.selfie_classes import PARTS, SelfieClasses
from vhap.util.errors import InputError

pytest.importorskip("mediapipe")
import flatbuffers
from mediapipe.tasks.metadata import schema_py_generated as schema
from mediapipe.tasks.python.metadata.metadata_writers.metadata_writer import MetadataWriter

COLOURS = {"background": (0, 0, 255), "hair": (0, 0, 0), "face-skin": (255, 255, 0), "clothes": (0, 255, 0)}


def write_network(path: Path, n_outputs: int = len(PARTS), with_metadata: bool = True) -> Path:
    """A TFLite network of one 1 x 1 convolution and a softmax, which is surest of a part where its colour is."""
    kernel, bias = np.zeros((n_outputs, 1, 1, 3), "<f4"), np.full(n_outputs, -60, "<f4")
    for name, colour in COLOURS.items():
        if (number := PARTS.index(name)) < n_outputs:
            # -30 |x - colour|^2 without what all parts have in common.
            kernel[number, 0, 0] = 60 * np.array(colour) / 255
            bias[number] = -30 * (np.array(colour) / 255).sum()
    content = network_bytes(kernel, bias)
    if with_metadata:
        writer = MetadataWriter.create(bytearray(content))
        writer.add_image_input([0.0], [255.0])
        writer.add_segmentation_output()
        content, _ = writer.populate()
    path.write_bytes(bytes(content))
    return path


def network_bytes(kernel: np.ndarray, bias: np.ndarray, side: int = 64) -> bytes:
    def tensor(name: str, shape: tuple[int, ...], buffer: int = 0) -> schema.TensorT:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), schema.TensorType.FLOAT32, buffer
        return made

    def buffer(values: np.ndarray | None = None) -> schema.BufferT:
        made = schema.BufferT()
        made.data = None if values is None else np.frombuffer(values.tobytes(), np.uint8)
        return made

    def code(number: int) -> schema.OperatorCodeT:
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = number
        made.version = 1
        return made

    graph, scores = schema.SubGraphT(), (1, side, side, len(bias))
    graph.tensors = [
        tensor("input", (1, side, side, 3)),
        tensor("kernel", kernel.shape, 1),
        tensor("bias", bias.shape, 2),
        tensor("scores", scores),
        tensor("output", scores),
    ]
    convolution, softmax = schema.OperatorT(), schema.OperatorT()
    convolution.opcodeIndex, convolution.inputs, convolution.outputs = 0, [0, 1, 2], [3]
    convolution.builtinOptionsType, options = schema.BuiltinOptions.Conv2DOptions, schema.Conv2DOptionsT()
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    convolution.builtinOptions = options
    softmax.opcodeIndex, softmax.inputs, softmax.outputs = 1, [3], [4]
    softmax.builtinOptionsType, softmax.builtinOptions = schema.BuiltinOptions.SoftmaxOptions, schema.SoftmaxOptionsT()
    softmax.builtinOptions.beta = 1.0
    graph.name, graph.inputs, graph.outputs, graph.operators = "main", [0], [4], [convolution, softmax]
    model = schema.ModelT()
    model.version, model.description, model.subgraphs = 3, "stand-in", [graph]
    model.operatorCodes = [code(schema.BuiltinOperator.CONV_2D), code(schema.BuiltinOperator.SOFTMAX)]
    model.buffers = [buffer(), buffer(kernel), buffer(bias)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_parts_are_where_their_colours_are_at_the_pictures_size(tmp_path: Path) -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    for index, colour in enumerate(COLOURS.values()):
        picture[:, 40 * index : 40 * (index + 1)] = colour
    shares = SelfieClasses(write_network(tmp_path / "n.tflite")).shares(picture)
    assert shares.shape == (90, 160, len(PARTS))
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-3)
    for index, name in enumerate(COLOURS):
        assert (shares[45, 40 * index + 10 : 40 * index + 30, PARTS.index(name)] > 0.95).all(), name


def test_what_is_not_the_network_is_one_line(tmp_path: Path) -> None:
    good = write_network(tmp_path / "good.tflite").read_bytes()
    write_network(tmp_path / "bare.tflite", with_metadata=False)
    write_network(tmp_path / "two.tflite", n_outputs=2)
    (tmp_path / "text.tflite").write_text("<html>not found</html>")
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "marked.tflite").write_bytes(good[:8] + bytes(300))
    expected = {
        "bare": "another network or a damaged file",
        "two": "a network of 2 outputs, not 6",
        "text": "no TFLite network",
        "empty": "no TFLite network",
        "marked": "another network or a damaged file",
    }
    for name, found in expected.items():
        with pytest.raises(InputError, match=found) as caught:
            SelfieClasses(tmp_path / f"{name}.tflite")
        assert "\n" not in str(caught.value)
        assert "parsing works without it" in str(caught.value)
