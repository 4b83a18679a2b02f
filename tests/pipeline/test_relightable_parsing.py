"""Class maps of pictures in a folder: by weights, by a run's head, by landmarks; kept, made again, refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_run import COUNT, SIZE, make_result, make_run

from vhap.data.pictures import list_pictures
from vhap.detect.bisenet import BiSeNet
from vhap.detect.selfie_classes import PARTS
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline import relightable_parsing
from vhap.pipeline.mesh_classes import MeshClasses
from vhap.pipeline.open_run import open_run
from vhap.pipeline.relightable_parsing import LandmarkParser, ParsedPicture, class_maps_of, open_parser
from vhap.relightable.class_maps import FaceClass, read_class_map
from vhap.relightable.class_outlines import FACE_OVAL
from vhap.relightable.crop import Crop
from vhap.util.errors import InputError


@pytest.fixture(scope="module")
def head() -> HeadModel:
    torch.set_num_threads(1)
    return load_head("builtin", n_shape=5)


@pytest.fixture(autouse=True)
def one_head(monkeypatch: pytest.MonkeyPatch, head: HeadModel, tmp_path: Path) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    for name in ("VHAP_FACE_PARSING_WEIGHTS", "VHAP_SELFIE_MULTICLASS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, head: HeadModel) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_run(folder, head, make_result(head))
    return folder


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    monkeypatch.setattr(relightable_parsing, "get_logger", lambda: logging.getLogger("parsing"))
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def pictures_and_alphas(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    return list_pictures(root / "person" / "images"), list_pictures(root / "person" / "alpha_maps")


def test_the_mesh_gives_its_parts_and_the_record_keeps_them(root: Path, tmp_path: Path) -> None:
    pictures, alphas = pictures_and_alphas(root)
    seg = tmp_path / "person" / "seg"
    maps = class_maps_of(pictures, seg, "mesh", alphas=alphas, run=root / "out")
    assert maps == {f"{k:06d}": seg / f"{k:06d}.png" for k in range(COUNT)}
    for name, path in maps.items():
        classes = read_class_map(path, SIZE)
        inside = cv2.imread(str(alphas[name]), cv2.IMREAD_GRAYSCALE) >= 128
        np.testing.assert_array_equal(classes > 0, inside)
        found = {FaceClass(number) for number in np.unique(classes)}
        assert {FaceClass.SKIN, FaceClass.NECK, FaceClass.NOSE, FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE} <= found
        assert {FaceClass.LEFT_BROW, FaceClass.RIGHT_BROW, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP} <= found
        columns = {side: np.nonzero(classes == FaceClass[side])[1].mean() for side in ("LEFT_EYE", "RIGHT_EYE")}
        assert columns["LEFT_EYE"] > columns["RIGHT_EYE"]
    times = {path: path.stat().st_mtime_ns for path in seg.parent.rglob("*.*")}
    # As after a kill: one is missing, the others are left alone.
    maps["000002"].unlink()
    class_maps_of(pictures, seg, "mesh", alphas=alphas, run=root / "out")
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"000002.png"}


def test_maps_of_another_way_or_of_other_pictures_are_made_again(root: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.pth")
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        picture = np.random.default_rng(len(name)).integers(0, 256, (40, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture)
    pictures = list_pictures(tmp_path / "images")
    maps = class_maps_of(pictures, tmp_path / "seg", "face-parsing", weights=weights, device="cpu")
    first = {name: (path.stat().st_mtime_ns, path.read_bytes()) for name, path in maps.items()}
    cv2.imwrite(str(pictures["b"]), np.zeros((40, 60, 3), np.uint8))
    class_maps_of(pictures, tmp_path / "seg", "face-parsing", weights=weights, device="cpu")
    assert maps["a"].stat().st_mtime_ns == first["a"][0]
    assert maps["b"].read_bytes() != first["b"][1]
    # What another tool wrote over ours is no longer ours.
    cv2.imwrite(str(maps["b"]), np.full((40, 60), 17, np.uint8))
    other = write_weights(tmp_path / "other.pth", seed=1)
    class_maps_of(pictures, tmp_path / "seg", "face-parsing", weights=other, device="cpu")
    assert maps["a"].read_bytes() != first["a"][1]
    assert (read_class_map(maps["b"]) == 17).all()


def write_weights(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    torch.save(BiSeNet().state_dict(), path)
    return path


def test_auto_takes_weights_then_the_run_then_mediapipe(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_parser("auto").identity == "mediapipe"
    assert open_parser("auto", run=root / "out").identity.startswith("mediapipe and mesh ")
    assert open_parser("mediapipe", run=root / "out").identity == "mediapipe"
    monkeypatch.setenv("VHAP_FACE_PARSING_WEIGHTS", str(write_weights(tmp_path / "w.pth")))
    assert open_parser("auto", run=root / "out", device="cpu").identity.startswith("face-parsing ")
    assert open_parser("mesh", run=root / "out").identity.startswith("mesh ")
    monkeypatch.setenv("VHAP_FACE_PARSING_WEIGHTS", str(tmp_path / "none.pth"))
    with pytest.raises(InputError, match=r"expected the weights of face-parsing\.PyTorch.*found none"):
        open_parser("auto")


def test_what_a_method_needs_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a run for --parsing mesh, found none"):
        open_parser("mesh")
    with pytest.raises(InputError, match="or take --parsing mediapipe or mesh"):
        open_parser("face-parsing")
    with pytest.raises(InputError, match="expected a picture at"):
        class_maps_of({"a": tmp_path / "a.png"}, tmp_path / "seg", "mediapipe")
    assert not (tmp_path / "seg").exists()


def test_a_picture_without_a_face_is_named_and_empty(tmp_path: Path, warned: Callable[[], str]) -> None:
    cv2.imwrite(str(tmp_path / "00007.png"), np.full((64, 64, 3), 128, np.uint8))
    maps = class_maps_of({"00007": tmp_path / "00007.png"}, tmp_path / "seg", "mediapipe")
    assert not read_class_map(maps["00007"], (64, 64)).any()
    assert warned() == "1 of 1 pictures show no face that was found, and their class maps are empty: 00007"


def test_a_picture_that_is_not_in_the_run_is_named(
    root: Path, tmp_path: Path, warned: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relightable_parsing, "MediapipeLandmarks", lambda: NoFace())
    pictures, alphas = pictures_and_alphas(root)
    # Names that count are matched by their numbers, as subjects' pictures have fewer digits.
    named = {"00001": pictures["000001"], "00099": pictures["000002"]}
    mattes = {"00001": alphas["000001"], "00099": alphas["000002"]}
    maps = class_maps_of(named, tmp_path / "seg", "mesh", alphas=mattes, run=root / "out")
    assert read_class_map(maps["00001"]).any()
    assert "1 of 2 pictures are not in the run and were parsed without the mesh: 00099" in warned()


def test_the_multiclass_network_decides_what_is_hair_and_clothes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"hair": slice(0, 60), "face-skin": slice(60, 120), "clothes": slice(120, 160)}
    parts = np.zeros((160, 100, len(PARTS)), np.float32)
    for name, rows in places.items():
        parts[rows, :, PARTS.index(name)] = 1
    (tmp_path / "net.tflite").write_bytes(b"its content is the next line's")
    monkeypatch.setattr(relightable_parsing, "SelfieClasses", lambda path: StandIn(parts))
    monkeypatch.setenv("VHAP_SELFIE_MULTICLASS", str(tmp_path / "net.tflite"))
    parser = LandmarkParser()
    assert parser.identity.startswith("mediapipe ")
    points = np.full((478, 2), 50.0)
    points[list(FACE_OVAL)] = np.stack([50 + 30 * np.sin(ANGLE), 80 - 35 * np.cos(ANGLE)], -1)
    points[[33, 263]] = [[40, 75], [60, 75]]
    # All of one colour: nothing but the network tells them apart.
    picture = np.full((160, 100, 3), 128, np.uint8)
    found = parser.classes(ParsedPicture("a", picture, np.full((160, 100), 255, np.uint8), points))
    assert found is not None
    assert (found[:58] == FaceClass.HAIR).all()
    assert (found[62:118, 30:70] != FaceClass.HAIR).all()
    assert (found[80, 50], found[122:, :].min(), found[122:, :].max()) == (FaceClass.SKIN, 16, FaceClass.CLOTH)


ANGLE = 2 * np.pi * np.arange(len(FACE_OVAL)) / len(FACE_OVAL)


class StandIn:
    def __init__(self, parts: np.ndarray) -> None:
        self.parts = parts

    def shares(self, picture: np.ndarray) -> np.ndarray:
        return self.parts


class NoFace:
    def detect(self, picture: np.ndarray) -> None:
        return None


def test_the_alpha_channel_of_a_picture_is_its_matte(root: Path, tmp_path: Path) -> None:
    pictures, alphas = pictures_and_alphas(root)
    bgr, alpha = cv2.imread(str(pictures["000000"])), cv2.imread(str(alphas["000000"]), cv2.IMREAD_GRAYSCALE)
    alpha[:, :80] = 0
    cv2.imwrite(str(tmp_path / "00000.png"), np.dstack([bgr, alpha]))
    maps = class_maps_of({"00000": tmp_path / "00000.png"}, tmp_path / "seg", "mesh", run=root / "out")
    np.testing.assert_array_equal(read_class_map(maps["00000"]) > 0, alpha >= 128)


def test_a_crop_of_the_runs_pictures_shows_the_same_classes(root: Path, head: HeadModel) -> None:
    mesh = MeshClasses(open_run(root / "out"))
    whole, place = mesh.classes(0, SIZE)
    crop = Crop(SIZE, (30, -10, 130, 90), (200, 200))
    cut, cut_place = mesh.classes(0, crop.size, crop)
    np.testing.assert_allclose(cut_place.chin, crop.cut_points(place.chin), atol=0.01)
    rows, columns = np.mgrid[:90, 30:130]
    # Pixel (r, c) of the whole is at twice its distance from the crop's corner.
    near = cut[2 * (rows + 10) + 1, 2 * (columns - 30) + 1]
    assert (near == whole[:90, 30:130]).mean() > 0.97
    with pytest.raises(InputError, match=r"run on the pictures that were cut \(161x120\), found one on 160x120"):
        mesh.classes(0, crop.size, replace(crop, source_size=(120, 161)))
    with pytest.raises(InputError, match=r"pictures of the run's shape \(160x120\), found 300x120"):
        mesh.classes(0, (120, 300))
