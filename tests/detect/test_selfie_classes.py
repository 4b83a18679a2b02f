"""MediaPipe's multiclass network, by a stand-in that tells parts by colours, and files that are not it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_networks import Made, Step, network_bytes

from vhap.detect.selfie_classes import PARTS, SelfieClasses
from vhap.util.errors import InputError

COLOURS = {"background": (0, 0, 255), "hair": (0, 0, 0), "face-skin": (255, 255, 0), "clothes": (0, 255, 0)}
CONVOLUTION = {"Padding": 0, "StrideW": 2, "StrideH": 2, "DilationWFactor": 1, "DilationHFactor": 1}
SIDE, ORDER = 64, np.array([0, 2, 1, 3], "<i4")


def network(n_outputs: int = len(PARTS), with_softmax: bool = False, last: str = "SOFTMAX") -> bytes:
    """Surest of a part where its colour is, by the operators of the published file: a convolution, windows of pixels
    and back, a transposed convolution, and no softmax."""
    kernel, bias = np.zeros((n_outputs, 1, 1, 3), "<f4"), np.full(n_outputs, -60, "<f4")
    for name, colour in COLOURS.items():
        if (number := PARTS.index(name)) < n_outputs:
            # -30 |x - colour|^2 without what all parts have in common.
            kernel[number, 0, 0] = 60 * np.array(colour) / 255
            bias[number] = -30 * (np.array(colour) / 255).sum()
    doubled = np.tile(np.eye(n_outputs, dtype="<f4")[:, None, None], (1, 2, 2, 1))
    whole, half = (1, SIDE, SIDE, n_outputs), (1, SIDE // 2, SIDE // 2, n_outputs)
    rows, windows, apart = (8, 4, 8, 4 * n_outputs), (8, 8, 4, 4 * n_outputs), (1, 64, 16, n_outputs)
    shapes = (rows, apart, windows, half, whole)
    tensors = [Made((1, SIDE, SIDE, 3)), *(Made(values.shape, values) for values in (kernel, bias, doubled, ORDER))]
    tensors += [Made((4,), np.array(shape, "<i4")) for shape in shapes]
    tensors += [Made(shape) for shape in (half, rows, windows, apart, windows, rows, half, whole, whole)]
    steps = [
        Step("CONV_2D", (0, 1, 2), 10, "Conv2DOptions", CONVOLUTION),
        Step("RESHAPE", (10, 5), 11),
        Step("TRANSPOSE", (11, 4), 12),
        Step("RESHAPE", (12, 6), 13),
        Step("RESHAPE", (13, 7), 14),
        Step("TRANSPOSE", (14, 4), 15),
        Step("RESHAPE", (15, 8), 16),
        Step("TRANSPOSE_CONV", (9, 3, 16), 17, "TransposeConvOptions", {"StrideW": 2, "StrideH": 2}),
    ]
    if with_softmax:
        steps.append(Step(last, (17,), 18, "SoftmaxOptions", {"Beta": 1.0}))
    return network_bytes(tensors, steps, [0], [steps[-1].output])


def coloured() -> np.ndarray:
    picture = np.zeros((90, 160, 3), np.uint8)
    for index, colour in enumerate(COLOURS.values()):
        picture[:, 40 * index : 40 * (index + 1)] = colour
    return picture


@pytest.mark.parametrize("with_softmax", [False, True])
def test_parts_are_where_their_colours_are_at_the_pictures_size(tmp_path: Path, with_softmax: bool) -> None:
    (tmp_path / "n.tflite").write_bytes(network(with_softmax=with_softmax))
    shares = SelfieClasses(tmp_path / "n.tflite").shares(coloured())
    assert shares.shape == (90, 160, len(PARTS))
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-3)
    for index, name in enumerate(COLOURS):
        assert (shares[45, 40 * index + 10 : 40 * index + 30, PARTS.index(name)] > 0.95).all(), name
    assert len(COLOURS) == 4


def test_shares_are_those_of_mediapipe(tmp_path: Path) -> None:
    mediapipe = pytest.importorskip("mediapipe")
    metadata = pytest.importorskip("mediapipe.tasks.python.metadata.metadata_writers.image_segmenter")
    (tmp_path / "n.tflite").write_bytes(network())
    activation = metadata.Activation.SOFTMAX
    described, _ = metadata.MetadataWriter.create(bytearray(network()), [0.0], [255.0], None, activation).populate()
    options = mediapipe.tasks.vision.ImageSegmenterOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=bytes(described)), output_confidence_masks=True
    )
    # Seen by the network at twice its size and more, smooth as pictures are.
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8).repeat(24, 0).repeat(20, 1)
    with mediapipe.tasks.vision.ImageSegmenter.create_from_options(options) as segmenter:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
        theirs = np.stack([mask.numpy_view() for mask in segmenter.segment(image).confidence_masks], -1)
    found = SelfieClasses(tmp_path / "n.tflite").shares(picture)
    assert found.shape == theirs.shape
    assert np.abs(found - theirs).mean() < 2e-3
    assert np.quantile(np.abs(found - theirs), 0.99) < 0.05


def test_what_is_not_the_network_is_one_line(tmp_path: Path) -> None:
    expected = {
        "two": (network(n_outputs=2), r"a network of \(1, 64, 64, 3\) to \[\(1, 64, 64, 2\)\]"),
        "text": (b"<html>not found</html>", "another kind of file"),
        "empty": (b"", "another kind of file"),
        "marked": (network()[:8] + bytes(300), "get the published file again from https"),
        "other": (network(with_softmax=True, last="LOG_SOFTMAX"), r"one of other operators \('LOG_SOFTMAX'\)"),
    }
    for name, (content, found) in expected.items():
        (tmp_path / f"{name}.tflite").write_bytes(content)
        with pytest.raises(InputError, match=found) as caught:
            SelfieClasses(tmp_path / f"{name}.tflite")
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("or remove it: parsing works without it")
    assert len(expected) == 5
