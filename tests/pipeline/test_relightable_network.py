"""Albedo pictures by a stand-in for a diffusion network, in the words of the old command."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from subject_run import COUNT, SIZE, write_subject

from vhap import extract_albedo
from vhap.pipeline import relightable_albedo


class Darker(torch.nn.Module):
    """Halves what is not white, and adds noise as sampling does."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise = torch.nn.Parameter(torch.tensor(float(noise)))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures / 2 + self.noise * torch.rand_like(pictures)


@pytest.fixture
def subject(tmp_path, monkeypatch) -> Path:
    # Nothing is tracked for a network.
    monkeypatch.setattr(relightable_albedo.track, "run_once", None)
    return write_subject(tmp_path / "person")


def model(folder: Path, noise: float) -> Path:
    folder.mkdir(exist_ok=True)
    torch.jit.script(Darker(noise)).save(str(folder / "albedo.pt"))
    return folder


def extract(subject: Path, model_dir: Path, *options: str) -> None:
    words = ["--input_dir", str(subject / "image"), "--model_dir", str(model_dir), "--device", "cpu"]
    extract_albedo.main([*words, "--output_dir", str(subject / "albedo"), "--model_size", "64", *options])


TRUSTED = "--allow_unknown_weights"


def pictures(subject: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted((subject / "albedo").iterdir())}


def test_the_old_command_in_its_words(subject, tmp_path, caplog, capsys):
    extract(
        subject, model(tmp_path / "net", 0), "--ddim", "100", "--batch_size", "10", "--image_interval", "3", TRUSTED
    )
    assert "--ddim 100 has no effect" in caplog.text + capsys.readouterr().err
    made = pictures(subject)
    assert list(made) == ["00000.png", "00003.png"]
    for name, albedo in made.items():
        given = np.asarray(Image.open(subject / "image" / name))
        assert albedo.shape == (SIZE, SIZE, 3)
        assert (albedo[given[..., 3] == 0] == 255).all()
        middle = slice(SIZE // 2 - 20, SIZE // 2 + 20)
        assert np.abs(albedo[middle, middle] - given[middle, middle, :3] / 2).max() <= 1


def test_mattes_that_show_nothing_are_white_and_premultiplied_colours_count_once(subject, tmp_path):
    empty = subject / "image" / "00001.png"
    Image.fromarray(np.zeros((SIZE, SIZE, 4), np.uint8)).save(empty)
    extract(subject, model(tmp_path / "net", 0), TRUSTED)
    straight = pictures(subject)
    assert (straight["00001.png"] == 255).all()
    for path in (subject / "image").iterdir():
        given = np.asarray(Image.open(path)).copy()
        soft = given[..., 3].copy()
        soft[soft > 0] -= (np.arange(int((soft > 0).sum())) % 128).astype(np.uint8)
        straight_soft = np.dstack([given[..., :3], soft])
        times_alpha = np.dstack([np.round(given[..., :3] * (soft[..., None] / 255)).astype(np.uint8), soft])
        for folder, content in (("straight", straight_soft), ("premultiplied", times_alpha)):
            (tmp_path / folder / "image").mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(tmp_path / folder / "image" / path.name)
    for folder in ("straight", "premultiplied"):
        extract(tmp_path / folder, tmp_path / "net", TRUSTED)
    for name, found in pictures(tmp_path / "premultiplied").items():
        assert np.abs(found - pictures(tmp_path / "straight")[name].astype(int)).max() <= 3


def test_noise_is_the_same_whatever_is_missing(subject, tmp_path):
    net = model(tmp_path / "net", 0.2)
    extract(subject, net, "--batch_size", "3", TRUSTED)
    whole = pictures(subject)
    assert len(whole) == COUNT
    for name in ("00001.png", "00003.png"):
        (subject / "albedo" / name).unlink()
    before = (subject / "albedo" / "00000.png").stat().st_mtime_ns
    extract(subject, net, "--batch_size", "3", TRUSTED)
    for name, found in pictures(subject).items():
        np.testing.assert_array_equal(found, whole[name])
    assert (subject / "albedo" / "00000.png").stat().st_mtime_ns == before


def test_another_network_makes_them_again(subject, tmp_path):
    extract(subject, model(tmp_path / "net", 0), TRUSTED)
    first = pictures(subject)
    extract(subject, model(tmp_path / "net", 0.2), TRUSTED)
    again = pictures(subject)
    assert len(again) == len(first) == COUNT
    assert all((found != first[name]).any() for name, found in again.items())


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda folder: None, (TRUSTED,), "expected a TorchScript network"),
        (lambda folder: (folder / "albedo.pt").write_bytes(b"no"), (TRUSTED,), "found another file"),
        (lambda folder: (folder / "last.ckpt").write_bytes(b"no"), (TRUSTED,), "a latent diffusion model"),
        (lambda folder: model(folder, 0), (), "expected --allow_unknown_weights"),
        (lambda folder: model(folder, float("nan")), (TRUSTED,), "found NaN"),
        (lambda folder: model(folder, 0), (TRUSTED, "--method", "texture"), "found both"),
        (lambda folder: model(folder, 0), (TRUSTED, "--batch_size", "0"), "--batch_size"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(subject, tmp_path, capsys, make, options, message):
    extract(subject, model(tmp_path / "good", 0), TRUSTED)
    before = {path: path.stat().st_mtime_ns for path in subject.rglob("*")}
    (tmp_path / "net").mkdir()
    make(tmp_path / "net")
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        extract(subject, tmp_path / "net", *options)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert {path: path.stat().st_mtime_ns for path in subject.rglob("*")} == before
    shutil.rmtree(tmp_path / "net")
