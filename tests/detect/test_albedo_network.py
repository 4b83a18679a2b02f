"""A user's albedo network: which files are taken for one, and the way of a picture to its square and back."""

import zipfile

import numpy as np
import pytest
import torch

from vhap.detect.albedo_network import BORDER_PX, AlbedoNetwork, network_file, placement
from vhap.util.errors import InputError

SIDE = 64


class Half(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures / 2


class Smaller(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures[:, :1]


class Broken(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures / 0 - pictures / 0


class Failing(torch.nn.Module):
    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures @ torch.ones(3, 3)


def network(folder, module: torch.nn.Module) -> AlbedoNetwork:
    torch.jit.script(module).save(str(folder / "albedo.pt"))
    return AlbedoNetwork(network_file(folder, allow_unknown=True), SIDE, "cpu")


def test_pictures_go_in_and_come_back_with_colours_last(tmp_path):
    squares = np.random.default_rng(0).random((2, SIDE, SIDE, 3)).astype(np.float32)
    assert network(tmp_path, Half()).albedo(squares) == pytest.approx(squares / 2)


@pytest.mark.parametrize(
    ("module", "found"),
    [(Smaller(), r"found \(2, 1, 64, 64\)"), (Broken(), "found NaN or infinity"), (Failing(), "found an error")],
)
def test_what_a_network_should_not_give_is_one_line(tmp_path, module, found):
    with pytest.raises(InputError, match=found) as error:
        network(tmp_path, module).albedo(np.ones((2, SIDE, SIDE, 3), np.float32))
    assert "\n" not in str(error.value)


def test_files_that_are_no_networks_are_refused_before_they_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", None)
    file = tmp_path / "albedo.pt"
    with pytest.raises(InputError, match=r"expected a TorchScript network .*found none"):
        network_file(tmp_path, allow_unknown=True)
    for name in ("configs/albedo_project.yaml", "checkpoints/last.ckpt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"weights")
        with pytest.raises(InputError, match=f"found .*{name}, a latent diffusion model"):
            network_file(tmp_path, allow_unknown=True)
    file.write_bytes(b"no weights")
    with pytest.raises(InputError, match="found another file"):
        network_file(tmp_path, allow_unknown=True)
    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    with pytest.raises(InputError, match="found another file"):
        network_file(tmp_path, allow_unknown=True)
    torch.jit.script(Half()).save(str(file))
    with pytest.raises(InputError, match="expected --allow_unknown_weights"):
        network_file(tmp_path, allow_unknown=False)
    assert network_file(tmp_path, allow_unknown=True) == file


def test_a_damaged_network_is_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "albedo.pt", "w") as archive:
        archive.writestr("albedo/data.pkl", b"no weights")
        archive.writestr("albedo/code/__torch__.py", b"no program")
    with pytest.raises(InputError, match="expected a TorchScript network"):
        AlbedoNetwork(network_file(tmp_path, allow_unknown=True), SIDE, "cpu")


def test_the_object_fills_the_square_but_for_its_border():
    alpha = np.zeros((100, 160), np.float32)
    alpha[20:60, 30:110] = 1
    picture = np.where(alpha[..., None] > 0, np.float32([0.2, 0.4, 0.6]), np.float32(1))
    place = placement(alpha, SIDE)
    assert place is not None
    square = place.square(picture)
    inside = np.argwhere(np.abs(square - (0.2, 0.4, 0.6)).max(-1) < 0.01)
    # 80 columns and two borders of 10 px are 64 px of the square.
    border = BORDER_PX * SIDE / 100
    assert inside.min(0) == pytest.approx((SIDE / 2 - 20 * 0.64, border), abs=1.5)
    assert inside.max(0) + 1 == pytest.approx((SIDE / 2 + 20 * 0.64, SIDE - border), abs=1.5)
    assert square[:18].min() > 0.999


@pytest.mark.parametrize("box", [(20, 60, 30, 110), (0, 100, 0, 160), (50, 51, 80, 81), (10, 95, 70, 90)])
def test_what_goes_in_comes_back_to_its_place(box):
    """A smooth picture, through squares smaller and larger than its box."""
    rows, columns = np.mgrid[:100, :160]
    alpha = np.zeros((100, 160), np.float32)
    alpha[box[0] : box[1], box[2] : box[3]] = 1
    smooth = np.stack([rows / 200, columns / 300, (rows + columns) / 400], -1).astype(np.float32)
    picture = np.where(alpha[..., None] > 0, smooth, np.float32(1))
    for side in (96, 300):
        place = placement(alpha, side)
        assert place is not None
        back = place.picture(place.square(picture), (100, 160))
        assert (back[alpha == 0] == 1).all()
        inner = tuple(slice(low + 4, max(low + 5, high - 4)) for low, high in (box[:2], box[2:]))
        if min(box[1] - box[0], box[3] - box[2]) > 10:
            assert np.abs(back - picture)[inner].max() < 0.01
    assert placement(np.zeros((4, 4)), SIDE) is None
