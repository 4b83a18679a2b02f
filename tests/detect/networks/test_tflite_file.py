"""Reading networks' files: what is worked out while reading, and one line for what is no network that runs here."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from flatbuffers import flexbuffers
from made_networks import Made, Step, network_bytes

from vhap.detect.networks.network import load_network
from vhap.detect.networks.tflite_file import read_graph
from vhap.util.errors import InputError

CONVOLUTION = {"Padding": 0, "StrideW": 2, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1}
RANDOM = np.random.default_rng(3)
KERNEL = RANDOM.normal(size=(5, 3, 3, 2)).astype(np.float16)
DENSE = np.where(RANDOM.random((4, 1, 1, 5)) < 0.4, RANDOM.normal(size=(4, 1, 1, 5)), 0).astype(np.float16)


def network(version: int = 3, second: str = "RELU") -> bytes:
    """A convolution by half floats, an activation, a convolution by sparse half floats, another shape."""
    tensors = [
        Made((1, 6, 8, 2)),
        Made(KERNEL.shape, KERNEL),
        Made(KERNEL.shape),
        Made((5,), np.arange(5, dtype=np.float32)),
        Made((1, 6, 4, 5)),
        Made((1, 6, 4, 5)),
        Made(DENSE.shape, DENSE, sparse=True),
        Made(DENSE.shape),
        Made(DENSE.shape),
        Made((4,), np.zeros(4, np.float32)),
        Made((1, 6, 4, 4)),
        Made((1, 24, 4)),
    ]
    pointwise = {**CONVOLUTION, "StrideW": 1, "Padding": 1, "FusedActivationFunction": 3}
    steps = [
        Step("DEQUANTIZE", (1,), 2),
        Step("CONV_2D", (0, 2, 3), 4, "Conv2DOptions", CONVOLUTION),
        Step(second, (4,), 5),
        Step("DENSIFY", (6,), 7),
        Step("DEQUANTIZE", (7,), 8),
        Step("CONV_2D", (5, 8, 9), 10, "Conv2DOptions", pointwise),
        Step("RESHAPE", (10,), 11),
    ]
    return network_bytes(tensors, steps, [0], [11, 5], version)


def test_operators_options_and_constants_are_read() -> None:
    graph = read_graph(network(), "made.tflite")
    assert [operator.kind for operator in graph.operators] == ["CONV_2D", "RELU", "CONV_2D", "RESHAPE"]
    first, _, second, last = (operator.options for operator in graph.operators)
    assert (first["Padding"], first["StrideW"], first["FusedActivationFunction"]) == ("same", 2, "none")
    assert (second["Padding"], second["StrideW"], second["FusedActivationFunction"]) == ("valid", 1, "relu6")
    assert last["shape"] == (1, 24, 4)
    np.testing.assert_array_equal(graph.constants[2], KERNEL.astype(np.float32))
    np.testing.assert_array_equal(graph.constants[8], DENSE.astype(np.float32))
    assert (graph.inputs, graph.outputs, graph.shapes[0]) == ((0,), (11, 5), (1, 6, 8, 2))


def test_a_batch_is_what_its_pictures_are_alone() -> None:
    made = load_network(network(), "made.tflite")
    pictures = torch.from_numpy(RANDOM.normal(size=(3, 6, 8, 2)).astype(np.float32))
    together = made(pictures)
    assert [tuple(values.shape) for values in together] == [(3, 24, 4), (3, 6, 4, 5)]
    assert together[0].min() >= 0
    assert 0 < together[0].max() <= 6
    for index in range(3):
        for whole, alone in zip(together, made(pictures[index : index + 1])):
            torch.testing.assert_close(whole[index : index + 1], alone)


def test_options_of_mediapipes_own_operators() -> None:
    options = flexbuffers.Dumps({"left_rotation_idx": 0, "subset_idxs": [0, 1, 2], "scale_x": 1.5})
    tensors = [Made((1, 3, 3)), Made((1, 4, 4)), Made((1, 2, 2, 1)), Made((1, 2, 2, 1), np.ones((1, 2, 2, 1), "<f4"))]
    tensors += [Made((1,), np.zeros(1, "<f4")), Made((1, 4, 4, 1))]
    steps = [
        Step("Landmarks2TransformMatrix v2", (0,), 1, custom=bytes(options)),
        Step("Convolution2DTransposeBias v1", (3, 3, 4), 5, custom=struct.pack("<3i", 1, 2, 2)),
    ]
    first, second = read_graph(network_bytes(tensors, steps, [0], [1]), "made.tflite").operators
    assert first.options == {"left_rotation_idx": 0, "subset_idxs": [0, 1, 2], "scale_x": 1.5}
    assert second.options == {"Padding": "same", "StrideW": 2, "StrideH": 2}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "another kind of file"),
        (b"<html>not found</html>", "another kind of file"),
        (network()[:8] + bytes(300), "network in made.tflite, found"),
        (network()[:-700], "network in made.tflite"),
        (network(version=2), "version 2 with 1 graphs, not 3 with 1"),
        (network(second="ELU"), r"one of other operators \('ELU'\)"),
        (network(second="Resampler v1"), r"one of other operators \('Resampler v1'\)"),
    ],
)
def test_what_is_no_network_that_runs_here_is_one_line(content: bytes, found: str) -> None:
    with pytest.raises(InputError, match=found) as caught:
        load_network(content, "made.tflite")
    assert str(caught.value).startswith("expected ")
    assert str(caught.value).endswith("get the published file again")
    assert "\n" not in str(caught.value)


def test_every_truncated_file_and_many_damaged_ones_are_one_line() -> None:
    whole = network()
    contents = [whole[:length] for length in range(0, len(whole), 7)]
    for seed in range(300):
        random = np.random.default_rng(seed)
        damaged = bytearray(whole)
        for place in random.integers(8, len(whole), 4):
            damaged[place] = random.integers(256)
        contents.append(bytes(damaged))
    said = [message for content in contents if (message := complaint(content)) is not None]
    assert len(said) > len(contents) / 2
    assert not [message for message in said if "\n" in message]


def complaint(content: bytes) -> str | None:
    """What is said of a file; any other error than InputError is one of ours."""
    try:
        load_network(content, "made.tflite")
    except InputError as error:
        return str(error)
    return None


def test_operators_that_do_not_fit_together_are_one_line() -> None:
    tensors = [Made((1, 6, 8, 2)), Made((1, 6, 8, 3), np.ones((1, 6, 8, 3), np.float32)), Made((1, 6, 8, 2))]
    wrong = network_bytes(tensors, [Step("ADD", (0, 1), 2, "AddOptions")], [0], [2])
    with pytest.raises(InputError, match="whose operators fit together"):
        load_network(wrong, "made.tflite")
    tensors[1:] = [Made((2,), np.ones(2, np.float32)), Made((1, 7, 8, 2))]
    other = network_bytes(tensors, [Step("ADD", (0, 1), 2, "AddOptions")], [0], [2])
    with pytest.raises(InputError, match="outputs of shapes"):
        load_network(other, "made.tflite")
    unordered = network_bytes([*tensors, Made((1, 7, 8, 2))], [Step("RELU", (3,), 2), Step("RELU", (0,), 3)], [0], [2])
    with pytest.raises(InputError, match="RELU comes before its inputs"):
        read_graph(unordered, "made.tflite")
