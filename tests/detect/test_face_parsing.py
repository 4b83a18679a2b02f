"""BiSeNet's parameters, its arithmetic, and files that are its weights or are none."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vhap.detect import bisenet
from vhap.detect.bisenet import BiSeNet
from vhap.detect.face_parsing import IMAGENET_MEAN, IMAGENET_STD, FaceParsing, load_bisenet
from vhap.util.errors import InputError

PARAMETERS_DIGEST = "8863e829c8182aecc96275194f4f7cd76c21b205621074b3781ca7c5dd1e8ec9"
"""SHA-256 of `name (shape)` of each parameter of github.com/zllrunning/face-parsing.PyTorch's network, in its order."""


def random_parameters(seed: int = 0) -> dict[str, Tensor]:
    """A stand-in for the published weights: their names and shapes, values that keep signals alive."""
    generator = torch.Generator().manual_seed(seed)
    network = BiSeNet()

    def value(name: str, like: Tensor) -> Tensor:
        if not like.is_floating_point():
            return torch.tensor(79999)
        if like.ndim == 4:
            fan_in = like[0].numel()
            return torch.randn(like.shape, generator=generator) * (2 / fan_in) ** 0.5
        if name.endswith(("running_var", "weight")):
            return 0.5 + torch.rand(like.shape, generator=generator)
        return 0.1 * torch.randn(like.shape, generator=generator)

    return {name: value(name, like) for name, like in network.state_dict().items()}


@pytest.fixture(scope="module")
def parameters() -> dict[str, Tensor]:
    return random_parameters()


@pytest.fixture(scope="module")
def weights(parameters: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "79999_iter.pth"
    torch.save(parameters, path)
    return path


def test_the_parameters_are_those_of_the_published_network() -> None:
    lines = [f"{name} {tuple(value.shape)}" for name, value in BiSeNet().state_dict().items()]
    assert len(lines) == 191
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == PARAMETERS_DIGEST


def convolved(source: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """(C, H, W) by (O, C, K, K), zeros around it, in plain numpy."""
    side = kernel.shape[2] // 2
    padded = np.pad(source, ((0, 0), (side, side), (side, side)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, kernel)


def normalised(source: np.ndarray, module: torch.nn.BatchNorm2d) -> np.ndarray:
    mean, variance, weight, bias = (
        value.detach().double().numpy()[:, None, None]
        for value in (module.running_mean, module.running_var, module.weight, module.bias)
    )
    return (source - mean) / np.sqrt(variance + 1e-5) * weight + bias


def kernel(module: torch.nn.Conv2d) -> np.ndarray:
    return module.weight.detach().double().numpy()


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(1)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.copy_(0.5 + torch.rand(value.shape, generator=generator) * (0.5 if value.ndim == 1 else -0.6))
    return module.double().eval()


@torch.no_grad()
def test_a_residual_block_is_what_it_is_by_hand() -> None:
    block = randomised(bisenet.ResidualBlock(3, 4, stride=2))
    assert isinstance(block, bisenet.ResidualBlock)
    assert block.downsample is not None
    source = torch.randn(1, 3, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    inner = np.maximum(normalised(convolved(source[0].numpy(), kernel(block.conv1), 2), block.bn1), 0)
    change = normalised(convolved(inner, kernel(block.conv2), 1), block.bn2)
    projection, norm = block.downsample
    assert isinstance(projection, torch.nn.Conv2d)
    assert isinstance(norm, torch.nn.BatchNorm2d)
    shortcut = normalised(convolved(source[0].numpy(), kernel(projection), 2), norm)
    np.testing.assert_allclose(block(source)[0].numpy(), np.maximum(change + shortcut, 0), atol=1e-12)


@torch.no_grad()
def test_attention_and_fusion_are_what_they_are_by_hand() -> None:
    generator = torch.Generator().manual_seed(3)
    first, second = (torch.randn(1, n, 5, 6, dtype=torch.float64, generator=generator) for n in (3, 5))
    attention = randomised(bisenet.AttentionRefinement(3, 4))
    assert isinstance(attention, bisenet.AttentionRefinement)
    refined = np.maximum(normalised(convolved(first[0].numpy(), kernel(attention.conv.conv), 1), attention.conv.bn), 0)
    mean = refined.mean((1, 2), keepdims=True)
    scores = normalised(convolved(mean, kernel(attention.conv_atten), 1), attention.bn_atten)
    np.testing.assert_allclose(attention(first)[0].numpy(), refined / (1 + np.exp(-scores)), atol=1e-12)
    fusion = randomised(bisenet.FeatureFusion(8, 8))
    assert isinstance(fusion, bisenet.FeatureFusion)
    both = np.concatenate([first[0].numpy(), second[0].numpy()])
    fused = np.maximum(normalised(convolved(both, kernel(fusion.convblk.conv), 1), fusion.convblk.bn), 0)
    hidden = np.maximum(convolved(fused.mean((1, 2), keepdims=True), kernel(fusion.conv1), 1), 0)
    scores = convolved(hidden, kernel(fusion.conv2), 1)
    np.testing.assert_allclose(fusion(first, second)[0].numpy(), fused + fused / (1 + np.exp(-scores)), atol=1e-12)


def test_a_picture_of_any_size_becomes_class_numbers_of_its_size(weights: Path, parameters: dict[str, Tensor]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    picture = np.kron(picture, np.ones((4, 4, 1), np.uint8))
    parsing = FaceParsing(weights, device="cpu")
    found = parsing.classes(picture)
    assert found.shape == picture.shape[:2]
    assert found.dtype == np.uint8
    assert len(np.unique(found)) > 3
    square = np.kron(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
    network = BiSeNet()
    network.load_state_dict(parameters)
    source = torch.from_numpy(((square / 255 - IMAGENET_MEAN) / IMAGENET_STD).transpose(2, 0, 1)[None]).float()
    with torch.no_grad():
        expected = network.eval()(source)[0].argmax(0).numpy()
    assert (parsing.classes(square) == expected).mean() > 0.9999


def test_weights_are_found_as_all_are(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    monkeypatch.delenv("VHAP_FACE_PARSING_WEIGHTS", raising=False)
    with pytest.raises(InputError, match=r"79999_iter\.pth from .*or take --parsing mediapipe"):
        FaceParsing(device="cpu")
    monkeypatch.setenv("VHAP_FACE_PARSING_WEIGHTS", str(weights))
    FaceParsing(device="cpu")


def test_counters_of_batches_may_lack(parameters: dict[str, Tensor], tmp_path: Path) -> None:
    kept = {name: value for name, value in parameters.items() if not name.endswith("num_batches_tracked")}
    torch.save(kept, tmp_path / "old.pth")
    found = load_bisenet(tmp_path / "old.pth").state_dict()
    assert 0 < len(kept) < len(parameters)
    assert all(torch.equal(found[name], value) for name, value in kept.items())


class Harmful:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"cp.resnet.conv1.weight": Harmful(mark)}, tmp_path / "harm.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Harmful(mark)))
    for name in ("harm.pth", "plain.pth"):
        with pytest.raises(InputError, match="code in it"):
            load_bisenet(tmp_path / name)
    assert not mark.exists()


def test_what_is_not_weights_is_one_line(parameters: dict[str, Tensor], weights: Path, tmp_path: Path) -> None:
    name = "ffm.conv1.weight"
    without = {key: value for key, value in parameters.items() if key != name}
    faulty = {
        "list": ([1, 2], "something else than named tensors"),
        "nested": ({"state_dict": parameters}, "something else than named tensors"),
        "short": (without, rf"1 of \d+ parameters missing \(first: {name}\)"),
        "more": ({**parameters, "sp.conv1.weight": torch.zeros(1)}, r"parameters that it does not have .*sp\.conv1"),
        "shape": ({**parameters, name: torch.zeros(64, 255, 1, 1)}, r"of shape \(64, 255, 1, 1\), not \(64, 256, 1, 1"),
        "nan": ({**parameters, name: torch.full((64, 256, 1, 1), torch.nan)}, "no finite real numbers"),
        "int": ({**parameters, name: torch.zeros(64, 256, 1, 1, dtype=torch.int64)}, "no finite real numbers"),
    }
    for key, (content, message) in faulty.items():
        torch.save(content, tmp_path / f"{key}.pth")
        with pytest.raises(InputError, match=message) as caught:
            load_bisenet(tmp_path / f"{key}.pth")
        assert "\n" not in str(caught.value)
    (tmp_path / "cut.pth").write_bytes(weights.read_bytes()[:100_000])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "page.pth").write_text("<html>Google Drive - virus scan warning</html>")
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "b")
    for key in ("cut", "empty", "page", "zip"):
        with pytest.raises(InputError, match=r"no file of torch\.save, a damaged one") as caught:
            load_bisenet(tmp_path / f"{key}.pth")
        assert "\n" not in str(caught.value)
