"""Networks that a CPU runs in one piece, against the same operators in torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vhap.detect.networks.files import FILES, find_network
from vhap.detect.networks.network import Network
from vhap.detect.networks.program import program_of
from vhap.detect.networks.tflite_file import Graph, Operator
from vhap.util.errors import InputError

RANDOM = np.random.default_rng(0)
WINDOW = {"Padding": "same", "StrideH": 1, "StrideW": 1, "FusedActivationFunction": "none"}
CONVOLUTION = {**WINDOW, "DilationHFactor": 1, "DilationWFactor": 1}


class Made:
    """A graph that is put together operator by operator; shapes are those that torch finds."""

    def __init__(self, *shape: int) -> None:
        self.shapes, self.constants, self.operators = {0: (1, *shape)}, {}, []

    def constant(self, *shape: int, values: np.ndarray | None = None) -> int:
        number = 1000 + len(self.constants)
        self.constants[number] = (RANDOM.normal(size=shape) if values is None else values).astype(np.float32)
        return number

    def add(self, kind: str, *inputs: int, **options: object) -> int:
        self.operators.append(Operator(kind, inputs, len(self.operators) + 1, options))
        return len(self.operators)

    def network(self, *outputs: int) -> Network:
        network = Network(Graph(tuple(self.operators), self.constants, self.shapes, (0,), outputs)).eval()
        network.in_torch(torch.zeros(self.shapes[0]), self.shapes)
        network.make_program()
        return network


def convolved(made: Made, source: int, channels: int, count: int, size: tuple[int, int], **options: object) -> int:
    weight, bias = made.constant(count, *size, channels), made.constant(count)
    return made.add("CONV_2D", source, weight, bias, **{**CONVOLUTION, **options})


def spread(made: Made, source: int, channels: int, size: tuple[int, int], **options: object) -> int:
    weight, bias = made.constant(1, *size, channels), made.constant(channels)
    return made.add("DEPTHWISE_CONV_2D", source, weight, bias, **{**CONVOLUTION, **options})


def check(network: Network, steps: int | None = None) -> None:
    program = program_of(network.graph)
    assert program is not None
    if steps is not None:
        assert len(program.steps) == steps
    x = torch.from_numpy(RANDOM.normal(size=(3, *network.graph.shapes[0][1:])).astype(np.float32))
    for found, expected in zip(network(x), network.in_torch(x), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("channels", [3, 16, 24, 33])
@pytest.mark.parametrize("count", [1, 16, 24, 48, 70])
@pytest.mark.parametrize(("size", "stride"), [((1, 1), 1), ((1, 1), 2), ((3, 3), 1), ((3, 3), 2), ((2, 5), 3)])
def test_convolutions(channels: int, count: int, size: tuple[int, int], stride: int) -> None:
    for padding in ("same", "valid"):
        made = Made(7, 13, channels)
        options = {"Padding": padding, "StrideH": stride, "StrideW": stride}
        check(made.network(convolved(made, 0, channels, count, size, **options)))


@pytest.mark.parametrize("channels", [16, 24, 48])
@pytest.mark.parametrize(("size", "stride"), [((3, 3), 1), ((3, 3), 2), ((1, 1), 1), ((5, 2), 2)])
@pytest.mark.parametrize("side", [1, 2, 3, 8, 13])
def test_depthwise_convolutions_and_pools(channels: int, size: tuple[int, int], stride: int, side: int) -> None:
    for activation in ("none", "relu"):
        made = Made(side, side + 1, 3)
        first = convolved(made, 0, 3, channels, (1, 1))
        options = {"StrideH": stride, "StrideW": stride, "FusedActivationFunction": activation}
        found = spread(made, first, channels, size, **options)
        window = {**WINDOW, "StrideH": stride, "StrideW": stride, "FilterHeight": size[0], "FilterWidth": size[1]}
        check(made.network(found, made.add("MAX_POOL_2D", first, **window)), 3)


def test_what_follows_a_convolution_is_a_part_of_it() -> None:
    made = Made(6, 6, 3)
    first = made.add("PRELU", convolved(made, 0, 3, 20, (1, 1)), made.constant(1, 1, 20))
    second = convolved(made, spread(made, first, 20, (3, 3)), 20, 20, (1, 1))
    summed = made.add("PRELU", made.add("ADD", first, second, FusedActivationFunction="none"), made.constant(1, 1, 20))
    check(made.network(summed), 3)


def test_what_is_read_twice_stays() -> None:
    made = Made(6, 6, 3)
    first = convolved(made, 0, 3, 20, (1, 1))
    both = made.add("ADD", made.add("RELU", first), first, FusedActivationFunction="relu")
    check(made.network(both, first, made.add("ADD", both, both, FusedActivationFunction="none")), 4)


def test_further_channels_and_borders() -> None:
    made = Made(5, 4, 3)
    first = convolved(made, 0, 3, 24, (1, 1))
    deeper = made.add("PAD", first, paddings=[[0, 0], [0, 0], [0, 0], [0, 16]])
    wider = made.add("PAD", first, paddings=[[0, 0], [1, 2], [0, 3], [0, 0]])
    entry = made.add("PAD", 0, paddings=[[0, 0], [1, 1], [2, 2], [0, 0]])
    check(made.network(deeper, spread(made, wider, 24, (3, 3), Padding="valid"), convolved(made, entry, 3, 8, (3, 3))))


@pytest.mark.parametrize("size", [(8, 10), (16, 5), (3, 7), (4, 5)])
def test_other_sizes(size: tuple[int, int]) -> None:
    made = Made(4, 5, 3)
    first = convolved(made, 0, 3, 24, (1, 1))
    options = {"AlignCorners": False, "HalfPixelCenters": True, "size": list(size)}
    check(made.network(made.add("RESIZE_BILINEAR", first, **options)), 2)


def test_crops_by_points() -> None:
    made = Made(12, 12, 3)
    features = convolved(made, 0, 3, 32, (1, 1))
    row = convolved(made, 0, 3, 30, (12, 12), Padding="valid")
    points = made.add("RESHAPE", row, shape=(1, 10, 3))
    scaled = made.add("MUL", points, made.constant(1, values=np.array([0.05])), FusedActivationFunction="none")
    options = {
        "subset_idxs": [1, 2, 3, 7, 9], "left_rotation_idx": 2, "right_rotation_idx": 5, "scale_x": 1.5, "scale_y": 1.2,
        "output_width": 6, "output_height": 8, "target_rotation_radians": 0.3,
    }  # fmt: skip
    matrix = made.add("Landmarks2TransformMatrix v2", scaled, **options)
    crop = made.add("TransformTensorBilinear v2", features, matrix, output_width=6, output_height=8)
    inner = made.add("RESHAPE", convolved(made, crop, 32, 8, (8, 6), Padding="valid"), shape=(1, 4, 2))
    other = made.add("MUL", matrix, made.constant(4, 4), FusedActivationFunction="none")
    moved = made.add("TransformLandmarks v2", inner, other)
    check(made.network(moved, crop, matrix))


def test_other_operators_are_left_to_torch() -> None:
    made = Made(4, 4, 3)
    first = convolved(made, 0, 3, 6, (1, 1))
    check(made.network(made.add("LOGISTIC", made.add("RESHAPE", first, shape=(1, 32, 3)))), 1)
    convolved(made, made.add("LOGISTIC", first), 6, 6, (1, 1))
    network = made.network(len(made.operators))
    assert program_of(network.graph) is None
    assert len(network(torch.zeros(2, 4, 4, 3))) == 1


@pytest.mark.parametrize("name", FILES)
def test_published_networks(name: str) -> None:
    from vhap.detect.networks.files import open_network

    try:
        find_network(name)
    except InputError:
        pytest.skip("no network")
    network = open_network(name)
    x = torch.from_numpy(RANDOM.random(size=(2, *network.graph.shapes[network.graph.inputs[0]][1:]), dtype=np.float32))
    with torch.inference_mode():
        together, expected = network(x), network.in_torch(x)
    assert len(together) == len(network.graph.outputs)
    for found, values in zip(together, expected, strict=True):
        np.testing.assert_allclose(found, values, atol=2e-5 * float(values.abs().max()), rtol=2e-4)
    if program_of(network.graph) is None:
        return
    with ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(lambda index: network(x[index % 2 : index % 2 + 1]), range(6)))
    assert len(alone) == 6
    for index, outputs in enumerate(alone):
        for found, values in zip(outputs, together, strict=True):
            assert torch.equal(found[0], values[index % 2]), "the same bits in any batch and any thread"


def test_graphs_of_faces_run_in_one_piece() -> None:
    for name in list(FILES)[:3]:
        try:
            path = find_network(name)
        except InputError:
            pytest.skip("no network")
        from vhap.detect.networks.tflite_file import read_graph

        program = program_of(read_graph(path.read_bytes(), path))
        assert program is not None
        assert not [operator for operator in program.left if operator.kind in ("ADD", "MUL", "PRELU")]


@pytest.mark.parametrize("channels", [16, 24])
def test_pixels_are_weighed_by_what_all_show(channels: int) -> None:
    for kind, options in (
        ("MEAN", {"axes": [1, 2], "KeepDims": True}),
        ("AVERAGE_POOL_2D", {**WINDOW, "Padding": "valid", "FilterHeight": 5, "FilterWidth": 7}),
    ):
        made = Made(5, 7, 3)
        first = made.add("HARD_SWISH", convolved(made, 0, 3, channels, (1, 1)))
        inner = made.add("RELU", convolved(made, made.add(kind, first, **options), channels, 8, (1, 1)))
        share = made.add("LOGISTIC", convolved(made, inner, 8, channels, (1, 1)))
        weighed = made.add("MUL", first, share, FusedActivationFunction="none")
        check(made.network(convolved(made, weighed, channels, 6, (1, 1)), share), 7)


@pytest.mark.parametrize("count", [1, 3, 20])
@pytest.mark.parametrize("size", [(2, 2), (3, 2)])
def test_transposed_convolutions_without_overlap(count: int, size: tuple[int, int]) -> None:
    made = Made(6, 4, 3)
    first = made.add("HARD_SWISH", made.add("RELU", convolved(made, 0, 3, 24, (1, 1))))
    kernel = made.constant(count, *size, 24), made.constant(count)
    options = {"Padding": "same", "StrideH": size[0], "StrideW": size[1]}
    wide = made.add("Convolution2DTransposeBias v1", first, *kernel, **options)
    check(made.network(made.add("LOGISTIC", wide)), 4)
    check(made.network(convolved(made, wide, count, 8, (3, 3))), 6)
