import dataclasses
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from vhap.config.data import DataConfig
from vhap.config.loading import load_config, save_config
from vhap.data.extraction import downsample_pictures
from vhap.data.landmark_files import Landmarks, load_landmarks, save_landmarks
from vhap.data.monocular import MonocularCapture
from vhap.data.pictures import list_pictures, picture_size, read_rgb, write_picture
from vhap.data.provenance import Origin, Provenance
from vhap.util.errors import InputError


@pytest.fixture
def config(sequence):
    return DataConfig(root_folder=sequence.parent, sequence="person", background_color=None)


def landmarks(folder, source, points, names=True):
    ids = [f"{index:06d}" for index in range(len(points))] if names else None
    save_landmarks(folder / "landmark2d" / f"{source}.npz", Landmarks(points, np.zeros((len(points), 5)), ids))


def test_batch(config):
    capture = MonocularCapture(config)
    batch = capture.load([7, 2])
    assert capture.camera_ids == ["0"]
    assert capture.size == batch.size == (16, 24)
    assert batch.timesteps.tolist() == [7, 2]
    torch.testing.assert_close(batch.rgb[:, 3, 5, 1], torch.tensor([70 / 255, 20 / 255]))
    torch.testing.assert_close(batch.alpha, torch.full((2, 16, 24), 0.2))
    torch.testing.assert_close(batch.landmarks_px[:, 0], torch.tensor([[0.7 * 24, 0.7 * 16], [0.2 * 24, 0.2 * 16]]))
    assert batch.confidence.shape == (2, 478)


def test_subset_keeps_names_pictures_and_landmarks_together(config):
    capture = MonocularCapture(dataclasses.replace(config, subset="ti3tj9_ts2"))
    assert capture.timestep_indices == [3, 5, 7, 9]
    assert capture.timestep_ids == ["000003", "000005", "000007", "000009"]
    batch = capture.load([1])
    assert batch.rgb[0, 0, 0, 0] == pytest.approx(50 / 255)
    assert batch.landmarks_px[0, 0, 0] == pytest.approx(0.5 * 24)
    points, confidence = capture.load_landmarks()
    assert points.shape == (4, 1, 478, 2)
    assert confidence.shape == (4, 1, 478)


@pytest.mark.parametrize(("color", "value"), [("white", 1.0), ("black", 0.0)])
def test_composites_by_alpha(config, color, value):
    capture = MonocularCapture(dataclasses.replace(config, background_color=color))
    rgb = capture.load([5]).rgb
    torch.testing.assert_close(rgb, torch.full_like(rgb, 50 / 255 * 0.2 + value * 0.8), atol=0.51 / 255, rtol=0)
    assert capture.background_rgb == (value,) * 3


def test_without_alpha_folder_pictures_stay(config, sequence):
    shutil.rmtree(sequence / "alpha_maps")
    capture = MonocularCapture(dataclasses.replace(config, background_color="white"))
    batch = capture.load([5])
    assert batch.alpha is None
    assert capture.background_rgb is None
    assert batch.rgb[0, 0, 0, 0] == pytest.approx(50 / 255)
    with pytest.raises(InputError, match="use_alpha_map"):
        MonocularCapture(dataclasses.replace(config, use_alpha_map=True))


def test_missing_alpha_maps_are_listed(config, sequence):
    for index in (2, 4):
        (sequence / "alpha_maps" / f"{index:06d}.png").unlink()
    with pytest.raises(InputError, match="000002, 000004"):
        MonocularCapture(config)
    MonocularCapture(dataclasses.replace(config, subset="ti5tj9"))


def test_jpg_alpha_maps_are_read(config, sequence):
    for path in sorted((sequence / "alpha_maps").iterdir()):
        path.unlink()
        write_picture(path.with_suffix(".jpg"), np.full((16, 24), 255, np.uint8))
    assert MonocularCapture(config).load([0]).alpha.mean() == pytest.approx(1)


def test_unequal_sizes(config, sequence):
    write_picture(sequence / "images" / "000004.png", np.zeros((16, 20, 3), np.uint8))
    with pytest.raises(InputError, match=r"000004\.png.*20x16"):
        MonocularCapture(config)


def test_alpha_of_another_shape(config, sequence):
    for path in (sequence / "alpha_maps").iterdir():
        write_picture(path, np.zeros((24, 16), np.uint8))
    with pytest.raises(InputError, match="alpha"):
        MonocularCapture(config)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damaged_pictures_are_seen_on_opening(config, sequence, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    for index in range(10):
        (sequence / "images" / f"{index:06d}.png").unlink()
        write_picture(sequence / "images" / f"{index:06d}.{suffix}", noise)
    path = sequence / "images" / f"000004.{suffix}"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) * 2 // 3], whole[:10], b"nonsense", b""):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="000004"):
            MonocularCapture(config)
    path.write_bytes(whole)
    capture = MonocularCapture(config)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="000004"):
        capture.load([4])


def test_turned_pictures_are_measured_as_they_are_read(config, sequence):
    oriented = Image.Exif()
    oriented[0x0112] = 6
    path = sequence / "images" / "000000.jpg"
    Image.fromarray(np.zeros((24, 16, 3), np.uint8)).save(path, exif=oriented)
    assert picture_size(path) == read_rgb(path).shape[:2] == (16, 24)


def test_no_pictures(config, sequence):
    shutil.rmtree(sequence / "images")
    with pytest.raises(InputError, match="expected pictures"):
        MonocularCapture(config)


def test_two_pictures_of_one_name(config, sequence):
    write_picture(sequence / "images" / "000004.jpg", np.zeros((16, 24, 3), np.uint8))
    with pytest.raises(InputError, match="remove one"):
        MonocularCapture(config)


@pytest.mark.parametrize("sequence_name", ["person", "pers", "per*"])
def test_prefix(config, sequence_name):
    assert MonocularCapture(dataclasses.replace(config, sequence=sequence_name)).folder.name == "person"


def test_ambiguous_and_unknown_prefix(config, sequence):
    (sequence.parent / "person_2").mkdir()
    assert MonocularCapture(config).folder == sequence, "an exact name wins"
    with pytest.raises(InputError, match="person, person_2"):
        MonocularCapture(dataclasses.replace(config, sequence="pers"))
    with pytest.raises(InputError, match="found 0"):
        MonocularCapture(dataclasses.replace(config, sequence="nobody"))
    with pytest.raises(InputError, match="root_folder"):
        MonocularCapture(dataclasses.replace(config, root_folder=sequence / "nowhere"))


def test_scale_factor_averages(config, sequence):
    checker = np.indices((16, 24)).sum(0) % 2 * 200
    write_picture(sequence / "images" / "000000.png", np.repeat(checker[..., None], 3, 2).astype(np.uint8))
    capture = MonocularCapture(dataclasses.replace(config, scale_factor=0.5))
    batch = capture.load([0])
    assert capture.size == (8, 12)
    torch.testing.assert_close(batch.rgb, torch.full((1, 8, 12, 3), 100 / 255))
    with pytest.raises(InputError, match="scale_factor"):
        MonocularCapture(dataclasses.replace(config, scale_factor=1.5))


def test_downsampled_pictures_scale_the_camera(config, sequence):
    for index in range(10):
        write_picture(sequence / "images_2" / f"{index:06d}.png", np.full((8, 12, 3), 10 * index, np.uint8))
    given = dataclasses.replace(config, n_downsample_rgb=2, fx=40.0, cx=10.0)
    camera = MonocularCapture(given).given_camera()
    assert (camera.height, camera.width) == (8, 12)
    values = [float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy)]
    assert values == pytest.approx([20, 20, 5, 4])
    assert camera.fx.shape == (1,)
    shutil.rmtree(sequence / "images")
    assert float(MonocularCapture(given).given_camera().cx) == pytest.approx(5)


def test_intrinsics_that_do_not_make_a_camera(config):
    assert MonocularCapture(config).given_camera() is None
    for wrong in ({"fy": 10.0}, {"cx": 3.0}, {"calibrated": True}, {"fx": -1.0}, {"fx": 10.0, "cx": 100.0}):
        with pytest.raises(InputError, match="fx"):
            MonocularCapture(dataclasses.replace(config, **wrong))


def test_landmarks_of_wrong_length_or_not_finite(config, sequence):
    points = np.full((10, 478, 3), 0.5)
    landmarks(sequence, "mediapipe", points[:9], names=False)
    with pytest.raises(InputError, match="10 rows"):
        MonocularCapture(config)
    landmarks(sequence, "mediapipe", points[:, :400])
    with pytest.raises(InputError, match="478 points"):
        MonocularCapture(config)
    points[3, 7, 0] = np.nan
    landmarks(sequence, "mediapipe", points)
    with pytest.raises(InputError, match="finite"):
        MonocularCapture(config)
    shutil.rmtree(sequence / "landmark2d")
    with pytest.raises(InputError, match="expected landmarks"):
        MonocularCapture(config)
    assert MonocularCapture(dataclasses.replace(config, use_landmark=False)).load([0]).confidence.sum() == 0


def test_undetected_frames_have_no_confidence(config, sequence):
    points = np.full((10, 478, 3), 0.5)
    points[3, :, :2] = -1
    landmarks(sequence, "mediapipe", points)
    batch = MonocularCapture(config).load([2, 3])
    assert batch.confidence[0].min() > 0
    assert batch.confidence[1].max() == 0
    assert batch.landmarks_px[1].abs().max() == 0
    points[:, :, 2] = 0
    landmarks(sequence, "mediapipe", points)
    with pytest.raises(InputError, match="expected a face"):
        MonocularCapture(config)


def test_both_takes_each_part_from_its_detector(config, sequence):
    landmarks(sequence, "STAR", np.full((10, 68, 3), 0.25))
    landmarks(sequence, "face-alignment", np.full((10, 68, 3), 0.75))
    capture = MonocularCapture(dataclasses.replace(config, landmark_source="both"))
    assert capture.landmark_set == "ibug"
    x = capture.load([0]).landmarks_px[0, :, 0] / 24
    assert torch.all(x[:36] == 0.75)
    assert torch.all(x[36:68] == 0.25)
    assert capture.load([0]).confidence[0, 68:].sum() == 0


def test_folder_form_of_landmark_files_and_rows_without_names(config, sequence):
    shutil.rmtree(sequence / "landmark2d")
    points = np.tile(np.arange(10)[:, None, None] / 20 + 0.1, (1, 68, 3))
    save_landmarks(sequence / "landmark2d" / "STAR" / "0.npz", Landmarks(points, np.zeros((10, 5)), None))
    batch = MonocularCapture(dataclasses.replace(config, landmark_source="star")).load([4])
    assert batch.landmarks_px[0, 0, 0] == pytest.approx(0.3 * 24)


def test_frames_are_in_the_order_of_their_numbers(config, sequence):
    for index, path in enumerate(sorted((sequence / "images").iterdir())):
        path.rename(path.with_name(f"frame_{index + 5}.png"))
    shutil.rmtree(sequence / "alpha_maps")
    capture = MonocularCapture(dataclasses.replace(config, use_landmark=False))
    assert capture.timestep_ids == [f"frame_{index + 5}" for index in range(10)]


def test_cache_holds_its_bound(config):
    one_frame = 16 * 24 * 4
    capture = MonocularCapture(config, cache_bytes=3 * one_frame)
    first = capture.load(list(range(10)))
    assert capture._frames.nbytes <= 3 * one_frame
    torch.testing.assert_close(capture.load(list(range(10))).rgb, first.rgb)


def test_config_round_trip(config, tmp_path):
    save_config(tmp_path / "data.yml", config)
    assert load_config(tmp_path / "data.yml", DataConfig) == config


def test_alpha_maps_of_replaced_pictures_are_refused(config, sequence):
    pictures, made = list_pictures(sequence / "images"), Provenance(sequence)
    for name, source in made.sources(pictures).items():
        write = partial(write_picture, picture=np.full((16, 24), 60, np.uint8))
        made.write(sequence / "alpha_maps" / f"{name}.png", Origin(source), write)
    MonocularCapture(config)
    write_picture(pictures["000004"], np.full((16, 24, 3), 200, np.uint8))
    with pytest.raises(
        InputError, match=r"1 of 10 that were made of others \(000004\); run `vhap preprocess-video` again"
    ):
        MonocularCapture(config)


def test_smaller_copies_of_replaced_pictures_are_refused(config, sequence):
    downsample_pictures(sequence, (2,))
    MonocularCapture(dataclasses.replace(config, n_downsample_rgb=2))
    write_picture(sequence / "images" / "000004.png", np.full((16, 24, 3), 200, np.uint8))
    with pytest.raises(InputError, match=r"smaller copies .* --downsample_scales 2"):
        MonocularCapture(dataclasses.replace(config, n_downsample_rgb=2))


def test_landmarks_of_replaced_pictures_are_refused(config, sequence):
    path, pictures = sequence / "landmark2d" / "mediapipe.npz", list_pictures(sequence / "images")
    save_landmarks(
        path, dataclasses.replace(load_landmarks(path), sources=list(Provenance(sequence).sources(pictures).values()))
    )
    MonocularCapture(config)
    write_picture(pictures["000004"], np.full((16, 24, 3), 200, np.uint8))
    with pytest.raises(InputError, match=r"1 of 10 of others \(000004\); run `vhap detect-landmarks`"):
        MonocularCapture(config)
