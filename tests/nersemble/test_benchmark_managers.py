"""The benchmark's managers on small folders, against OpenCV's own decoding and the specification's formulas."""

import json
import pickle
import subprocess
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from vhap.data.nersemble import frames
from vhap.nersemble.benchmark.managers import ImageKey, MonoFlameAvatarDataManager, NVSDataManager, SVFRDataManager
from vhap.util.errors import InputError

SEQUENCE = "EXP-2-eyes"
CAMERAS = ("222200042", "222200036", "221501007")
HELD_OUT = "222200037"
FRAMES = 7


def write_video(path: Path, source: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", source]
    subprocess.run([*command, "-frames:v", str(FRAMES), "-pix_fmt", "yuv420p", "-bf", "2", str(path)], check=True)


def decoded(path: str) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(path), []
    while (read := capture.read())[0]:
        found.append(read[1][..., ::-1])
    return found


def write_cameras(path: Path, intrinsics) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = {}
    for index, serial in enumerate((*CAMERAS, HELD_OUT)):
        poses[serial] = np.eye(4)
        poses[serial][:3, :3] = cv2.Rodrigues(np.array([0.1, 0.7, -0.2]) * (index + 1))[0]
        poses[serial][:3, 3] = index, -0.5, 1.25
    content = {"world_2_cam": {serial: pose.tolist() for serial, pose in poses.items()}, "intrinsics": intrinsics}
    path.write_text(json.dumps(content))


def own_intrinsics() -> dict[str, list[list[float]]]:
    return {serial: [[900.0 + i, 0, 32], [0, 900, 24], [0, 0, 1]] for i, serial in enumerate((*CAMERAS, HELD_OUT))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    sequence = root / "nvs" / "422" / "sequences" / SEQUENCE
    for index, serial in enumerate(CAMERAS):
        write_video(sequence / "images" / f"cam_{serial}.mp4", f"testsrc=size=64x48:rate=73,hue=h={40 * index}")
        write_video(sequence / "alpha_maps" / f"cam_{serial}.mp4", "mandelbrot=size=64x48:rate=73,format=gray")
    (sequence / "images" / f"cam_{HELD_OUT}.mp4.part").write_bytes(b"half")
    (sequence / "images" / ".tmp_abcdefgh.mp4").write_bytes(b"half")
    (sequence.parent / "TEST" / "tracking").mkdir(parents=True)
    write_cameras(root / "nvs" / "422" / "calibration" / "camera_params.json", own_intrinsics())
    return root


@pytest.fixture
def manager(folder) -> NVSDataManager:
    return NVSDataManager(str(folder), 422)


def test_lists_and_paths(folder, manager):
    assert manager.list_serials(SEQUENCE) == ["222200042", "222200036", "221501007"]
    assert manager.list_sequences() == [SEQUENCE, "TEST"]
    assert manager.get_n_timesteps(SEQUENCE) == FRAMES
    assert manager.list_timesteps(SEQUENCE) == list(range(FRAMES))
    assert [manager.has_sequence(name) for name in (SEQUENCE, "TEST", "NONE")] == [True, False, False]
    assert [manager.has_video(SEQUENCE, serial) for serial in (CAMERAS[0], HELD_OUT)] == [True, False]
    base = f"{folder}/nvs/422"
    assert manager.get_camera_calibration_path() == f"{base}/calibration/camera_params.json"
    assert manager.get_images_path(SEQUENCE, "1") == f"{base}/sequences/{SEQUENCE}/images/cam_1.mp4"
    assert manager.get_alpha_maps_path(SEQUENCE, "1") == f"{base}/sequences/{SEQUENCE}/alpha_maps/cam_1.mp4"
    assert manager.get_pointcloud_path(SEQUENCE, 7) == f"{base}/sequences/{SEQUENCE}/pointclouds/frame_00007.pcd"
    for call in (lambda: manager.list_serials("TEST"), NVSDataManager(folder, 17).list_sequences):
        with pytest.raises(InputError, match="download"):
            call()


def test_cameras(manager, tmp_path):
    params = manager.load_camera_calibration()
    assert list(params.world_2_cam) == list(params.intrinsics) == [*CAMERAS, HELD_OUT]
    assert [matrix.fx for matrix in params.intrinsics.values()] == [900, 901, 902, 903]
    np.testing.assert_allclose(np.asarray(params.world_2_cam[HELD_OUT].get_translation()), [3, -0.5, 1.25])
    shared, one_less = own_intrinsics()[HELD_OUT], own_intrinsics()
    del one_less[CAMERAS[1]]
    for intrinsics, reason in ((shared, "one for all"), (one_less, CAMERAS[1])):
        write_cameras(tmp_path / "nvs" / "422" / "calibration" / "camera_params.json", intrinsics)
        with pytest.raises(InputError, match=reason):
            NVSDataManager(tmp_path, 422).load_camera_calibration()


@pytest.mark.parametrize(("serial", "found"), [(None, "found none"), ("../x", "../x"), ("\0", "x00"), ("", "''")])
def test_serials_are_plain_names(tmp_path, serial, found):
    path = tmp_path / "nvs" / "422" / "calibration" / "camera_params.json"
    path.parent.mkdir(parents=True)
    poses = {} if serial is None else {serial: np.eye(4).tolist()}
    path.write_text(json.dumps({"world_2_cam": poses, "intrinsics": dict.fromkeys(poses, np.eye(3).tolist())}))
    with pytest.raises(InputError, match=found):
        NVSDataManager(tmp_path, 422).load_camera_calibration()


def test_pictures_in_any_order_open_once(manager, monkeypatch):
    opened = []
    opens = frames.FrameReader.__init__
    monkeypatch.setattr(frames.FrameReader, "__init__", lambda self, path: (opened.append(path), opens(self, path))[1])
    expected = {serial: decoded(manager.get_images_path(SEQUENCE, serial)) for serial in CAMERAS}
    assert len(expected[CAMERAS[0]]) == FRAMES
    for timestep in (5, 0, 6, 3, 3, 1):
        for serial in CAMERAS:
            image = manager.load_image(SEQUENCE, serial, timestep, as_uint8=True)
            np.testing.assert_array_equal(image, expected[serial][timestep])
            alpha = manager.load_alpha_map(SEQUENCE, serial, timestep)
            assert (alpha.shape, alpha.dtype) == ((48, 64, 1), np.uint8)
    alphas = decoded(manager.get_alpha_maps_path(SEQUENCE, CAMERAS[2]))
    np.testing.assert_array_equal(alpha, alphas[1][..., :1])
    assert len(opened) == len(set(opened)) == 2 * len(CAMERAS)
    copy = pickle.loads(pickle.dumps(manager))
    np.testing.assert_array_equal(copy.load_image(SEQUENCE, CAMERAS[1], 2, True), expected[CAMERAS[1]][2])
    manager.close()


def test_both_ways_of_calling_load_image(manager):
    of = (SEQUENCE, CAMERAS[1], 4)
    bytes_ = decoded(manager.get_images_path(*of[:2]))[4]
    alpha = decoded(manager.get_alpha_maps_path(*of[:2]))[4][..., :1] / 255
    assert 0.05 < alpha.mean() < 0.95
    floats = bytes_ / 255
    mixed = alpha * floats + (1 - alpha)
    mixed_bytes = np.clip(mixed * 255, 0, 255).astype(np.uint8)
    calls = [
        (((), {}), floats),
        (((True,), {}), bytes_),
        (((False,), {}), floats),
        (((), {"as_uint8": True}), bytes_),
        (((), {"apply_alpha_map": True}), mixed),
        (((), {"apply_alpha_map": True, "as_uint8": True}), mixed_bytes),
        (((True,), {"apply_alpha_map": True}), mixed_bytes),
        (((True, False), {}), mixed),
        (((False, True), {}), bytes_),
        (((True, True), {}), mixed_bytes),
        (((True,), {"as_uint8": True}), mixed_bytes),
        (((True,), {"as_uint8": False}), mixed),
    ]
    for (flags, named), expected in calls:
        image = manager.load_image(*of, *flags, **named)
        assert image.dtype == expected.dtype, (flags, named)
        np.testing.assert_array_equal(image, expected, err_msg=str((flags, named)))
        every = manager.load_all_images(*of[:2], *flags, **named)
        assert len(every) == FRAMES
        assert every[4].dtype == expected.dtype
        np.testing.assert_array_equal(every[4], expected, err_msg=str((flags, named)))
    for flags, named in (((True, True), {"as_uint8": True}), ((True, True), {"apply_alpha_map": False})):
        with pytest.raises(TypeError, match="once"):
            manager.load_image(*of, *flags, **named)
    with pytest.raises(TypeError):
        manager.load_image(*of, True, True, True)


def test_some_of_all_images_made_smaller(manager):
    of = (SEQUENCE, CAMERAS[0])
    every = decoded(manager.get_images_path(*of))
    small = [np.asarray(Image.fromarray(image).resize((21, 16), Image.Resampling.BILINEAR)) for image in every[::3]]
    for flags, named in (((True, 3, 1 / 3), {}), ((True, 3), {"scale": 1 / 3}), ((True, 3, 1 / 3), {})):
        np.testing.assert_array_equal(manager.load_all_images(*of, *flags, **named), small)
    named = {"every_nth_frame": 3, "scale": 1 / 3}
    np.testing.assert_array_equal(manager.load_all_images(*of, **named), np.array(small) / 255)
    over_white = manager.load_all_images(*of, apply_alpha_map=True, **named)
    assert [image.shape for image in over_white] == [(16, 21, 3)] * 3
    for wrong in ({"every_nth_frame": 0}, {"scale": 0.0}, {"scale": float("nan")}):
        with pytest.raises(InputError, match="correct them"):
            manager.load_all_images(*of, **wrong)
    for flags, named in (((True, 3), {"every_nth_frame": 3}), ((True, 3, 0.5), {"scale": 0.5}), ((1, 2, 3, 4), {})):
        with pytest.raises(TypeError):
            manager.load_all_images(*of, *flags, **named)


def test_what_is_missing_is_one_line(manager):
    for call in (
        lambda: manager.load_image(SEQUENCE, HELD_OUT, 0),
        lambda: manager.load_image(SEQUENCE, CAMERAS[0], FRAMES),
        lambda: manager.load_image(SEQUENCE, CAMERAS[0], -1),
        lambda: manager.load_alpha_map(SEQUENCE, HELD_OUT, 0),
        lambda: manager.load_all_images("NONE", CAMERAS[0]),
        lambda: manager.load_pointcloud(SEQUENCE, 3),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert "\n" not in str(error.value)


def test_alpha_of_another_size(tmp_path):
    sequence = tmp_path / "mono_flame_avatar" / "393" / "sequences" / "FREE"
    write_video(sequence / "images" / "cam_222200037.mp4", "testsrc=size=64x48:rate=24.3")
    write_video(sequence / "alpha_maps" / "cam_222200037.mp4", "testsrc=size=48x64:rate=24.3")
    manager = MonoFlameAvatarDataManager(tmp_path, 393)
    with pytest.raises(InputError, match="alpha maps of 64 x 48"):
        manager.load_image("FREE", "222200037", 0, apply_alpha_map=True)


def test_pointcloud_and_tracking_files(tmp_path):
    path = tmp_path / "nvs" / "388" / "sequences" / "GLASSES" / "pointclouds" / "frame_00000.pcd"
    path.parent.mkdir(parents=True)
    path.write_text("FIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F U\nPOINTS 1\nDATA ascii\n1 2 3 16711935\n")
    points, colors, normals = NVSDataManager(tmp_path, 388).load_pointcloud("GLASSES", 0)
    assert (points.tolist(), colors.tolist(), normals.shape) == ([[1, 2, 3]], [[1, 0, 1]], (0, 3))
    names = {"shape": (1, 300), "expression": (2, 100), "rotation": (2, 3), "translation": (2, 3), "jaw": (2, 3)}
    arrays = {name: np.zeros(shape) for name, shape in {**names, "neck": (2, 3), "eyes": (2, 6)}.items()}
    arrays |= {"rotation_matrices": np.stack([np.eye(3)] * 2), "frames": np.arange(2), "scale": np.ones((1, 1))}
    manager = MonoFlameAvatarDataManager(tmp_path, 393)
    for version, name in ((1, "flame2023_tracking"), (2, "flame2023_tracking_v2")):
        path = tmp_path / "mono_flame_avatar" / "393" / "sequences" / "FREE" / "tracking" / f"{name}.npz"
        assert manager.get_flame_tracking_path("FREE", version=version) == str(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{**arrays, "jaw": np.full((2, 3), version / 10)})
        assert manager.load_flame_tracking("FREE", version).jaw[0, 0] == version / 10
    assert manager.load_flame_tracking("FREE").jaw[0, 0] == 0.2
    with pytest.raises(InputError, match="found 3"):
        manager.load_flame_tracking("FREE", version=3)


def test_single_pictures(tmp_path):
    names = ["EXP-4-lips_6_221501007", "EXP-3-cheeks+nose_345_222200043", "SEN-10-port_strong_smokey_162_222200045"]
    picture = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    for name in [*names, "other", ".hidden_1_2"]:
        (tmp_path / "svfr" / "017" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "svfr" / "017" / name / "rgb.png")
    (tmp_path / "svfr" / "017" / "FREE_1_222200036").write_bytes(b"a file")
    manager = SVFRDataManager(tmp_path, 17)
    keys = manager.list_image_keys()
    assert keys == [
        ImageKey("EXP-3-cheeks+nose", 345, "222200043"),
        ImageKey("EXP-4-lips", 6, "221501007"),
        ImageKey("SEN-10-port_strong_smokey", 162, "222200045"),
    ]
    assert keys[1].to_key() == "EXP-4-lips_006_221501007"
    assert manager.get_asset_folder(keys[1]) == f"{tmp_path}/svfr/017/{names[0]}"
    np.testing.assert_array_equal(manager.load_image(keys[1]), picture)
    for call in (SVFRDataManager(tmp_path, 18).list_image_keys, lambda: manager.load_image(ImageKey("A", 1, "2"))):
        with pytest.raises(InputError):
            call()
