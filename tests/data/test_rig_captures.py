"""Calibrated captures out of folders made by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.config.data import MultiviewDataConfig, NersembleDataConfig
from vhap.config.loading import load_config, save_config
from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.data.multiview import MultiviewCapture
from vhap.data.nersemble.capture import NersembleCapture
from vhap.data.nersemble.catalogue import SERIALS
from vhap.data.pictures import write_picture
from vhap.util.errors import InputError

FRAMES, HEIGHT, WIDTH = 4, 32, 22
BENCHMARK = [serial for index, serial in enumerate(SERIALS) if index not in (3, 8, 11)]


def turned(angle: float) -> list[list[float]]:
    """world_2_cam of a camera a metre from the origin, OpenCV axes, at an angle about the vertical axis."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return [[cosine, 0, -sine, 0], [0, -1, 0, 0], [-sine, 0, -cosine, 1], [0, 0, 0, 1]]


def brightness(camera: int, timestep: int) -> int:
    return 5 * camera + 20 * timestep + 10


def write_camera(folder: Path, picture: str, serial: str, camera: int, suffix="png", size=(HEIGHT, WIDTH)) -> None:
    """picture: name of a picture, with {t} for the timestep."""
    for t in range(FRAMES):
        name = picture.format(t=f"{t:06d}")
        write_picture(folder / "images" / f"{name}.{suffix}", np.full((*size, 3), brightness(camera, t), np.uint8))
        write_picture(folder / "alpha_maps" / f"{name}.png", np.full(size, 51, np.uint8))
    points = np.zeros((FRAMES, 68, 3))
    points[..., 0], points[..., 1], points[..., 2] = 0.25, 0.01 * camera + 0.1 * np.arange(FRAMES)[:, None], 1
    names = [f"{t:06d}" for t in range(FRAMES)]
    save_landmarks(
        folder / "landmark2d" / "face-alignment" / f"{serial}.npz", Landmarks(points, np.zeros((FRAMES, 5)), names)
    )


def write_nersemble(root: Path, layout: str, serials=SERIALS, per_serial=False) -> Path:
    """Cameras a few degrees apart; their colour matrices add to red, or double red's light."""
    subject = root / "074"
    folder = subject / ("sequences/EMO-1-shout+laugh" if layout == "v2" else "EMO-1-shout+laugh")
    matrix = [[400.0, 0, 1100], [0, 400, 1600], [0, 0, 1]]
    poses = {serial: turned(np.radians(4 * SERIALS.index(serial) - 32)) for serial in serials}
    intrinsics = {serial: matrix for serial in serials} if per_serial else matrix
    calibration = subject / "calibration" if layout == "v2" else root / "camera_params" / "074"
    calibration.mkdir(parents=True)
    (calibration / "camera_params.json").write_text(json.dumps({"world_2_cam": poses, "intrinsics": intrinsics}))
    if layout == "v2":
        matrices = {serial: (2 * np.eye(3, 4)).tolist() for serial in serials}
        (calibration / "color_calibration.json").write_text(json.dumps(matrices))
    for serial in serials:
        index = SERIALS.index(serial)
        write_camera(folder, f"cam_{serial}_{{t}}", serial, index)
        if layout == "v1":
            correction = root / "color_correction" / "074" / f"{serial}.npy"
            correction.parent.mkdir(parents=True, exist_ok=True)
            np.save(correction, np.hstack([np.eye(3), [[0.1], [0], [0]]]))
    return folder


@pytest.fixture
def v1(tmp_path):
    folder = write_nersemble(tmp_path / "data", "v1")
    return folder, NersembleDataConfig(
        root_folder=tmp_path / "data", sequence="EMO-1", subject="74", landmark_source="face-alignment"
    )


def changed(config, **options):
    return type(config)(**{**vars(config), **options})


def test_batch_is_timestep_major_and_everything_belongs_together(v1):
    folder, config = v1
    capture = NersembleCapture(config)
    assert capture.folder == folder
    assert capture.camera_ids == list(SERIALS)
    assert capture.timestep_ids == [f"{t:06d}" for t in range(FRAMES)]
    batch = capture.load([2, 0], [8, 1])
    assert batch.timesteps.tolist() == [2, 2, 0, 0]
    assert batch.cameras.tolist() == [8, 1, 8, 1]
    assert batch.rgb.shape == (4, HEIGHT, WIDTH, 3)
    for row, (t, c) in enumerate([(2, 8), (2, 1), (0, 8), (0, 1)]):
        plain = brightness(c, t) / 255
        torch.testing.assert_close(
            batch.rgb[row, 3, 3], torch.tensor([plain + 0.1, plain, plain]), atol=0.51 / 255, rtol=0
        )
        expected = torch.tensor([0.25 * WIDTH, (0.01 * c + 0.1 * t) * HEIGHT])
        torch.testing.assert_close(batch.landmarks_px[row, 5], expected)
    torch.testing.assert_close(batch.alpha, torch.full((4, HEIGHT, WIDTH), 0.2))
    assert capture.background_rgb is None
    assert capture.load([1]).cameras.tolist() == list(range(16))
    assert capture.load_landmarks()[0].shape == (FRAMES, 16, 70, 2)


def test_version_2_corrects_linear_light(tmp_path):
    write_nersemble(tmp_path, "v2")
    config = NersembleDataConfig(
        root_folder=tmp_path, sequence="EMO-1-shout+laugh", subject="074", layout="v2", landmark_source="face-alignment"
    )
    stored = brightness(15, 3) / 255
    light = 2 * ((stored + 0.055) / 1.055) ** 2.4
    expected = 1.055 * light ** (1 / 2.4) - 0.055
    assert NersembleCapture(config).load([3], [15]).rgb[0, 0, 0, 1] == pytest.approx(expected, abs=0.6 / 255)
    plain = NersembleCapture(changed(config, use_color_correction=False))
    assert plain.load([3], [15]).rgb[0, 0, 0, 1] == pytest.approx(stored)


def test_colours_are_corrected_before_the_background_is_put_behind(v1):
    rgb = NersembleCapture(changed(v1[1], background_color="black")).load([0], [0]).rgb[0, 0, 0]
    assert rgb[0] == pytest.approx((10 / 255 + 0.1) * 0.2, abs=0.6 / 255)
    assert rgb[1] == pytest.approx(10 / 255 * 0.2, abs=0.6 / 255)


def test_cameras_are_scaled_to_the_pictures_and_turned_to_opengl_axes(v1):
    capture = NersembleCapture(changed(v1[1], align_cameras_to_axes=False))
    camera = capture.given_camera()
    assert [float(getattr(camera, name)[3]) for name in ("fx", "fy", "cx", "cy")] == pytest.approx(
        [4, 400 * 32 / 3208, 11, 1600 * 32 / 3208]
    )
    front = np.eye(4)
    front[2, 3] = -1
    np.testing.assert_allclose(camera.T_camera_world[8], front, atol=1e-6)
    other = NersembleCapture(changed(v1[1], image_size_during_calibration=(6416, 4400))).given_camera()
    assert float(other.fx[0]) == pytest.approx(2)


def test_alignment_does_not_depend_on_the_cameras_in_use_and_maps_back(v1):
    whole = NersembleCapture(v1[1])
    assert np.abs(whole.T_aligned_world - np.eye(4)).max() > 0.01
    front = NersembleCapture(changed(v1[1], division="front-view"))
    np.testing.assert_array_equal(whole.T_aligned_world, front.T_aligned_world)
    torch.testing.assert_close(front.given_camera().T_camera_world[0], whole.given_camera().T_camera_world[8])
    plain = NersembleCapture(changed(v1[1], align_cameras_to_axes=False)).given_camera()
    back = whole.given_camera().T_camera_world.double() @ torch.from_numpy(whole.T_aligned_world)
    torch.testing.assert_close(back.float(), plain.T_camera_world, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("division", "indices"),
    [
        ("train", [0, 1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 14]),
        ("val", [3, 6, 11, 15]),
        ("front-view", [8]),
        ("side-view", [0]),
        ("six-view", [0, 1, 7, 8, 14, 15]),
    ],
)
def test_divisions(v1, division, indices):
    capture = NersembleCapture(changed(v1[1], division=division))
    assert capture.camera_ids == [SERIALS[index] for index in indices]
    assert capture.camera_indices == indices


def test_benchmark_folders_go_by_serial(tmp_path):
    write_nersemble(tmp_path, "v2", BENCHMARK, per_serial=True)
    config = NersembleDataConfig(
        root_folder=tmp_path, sequence="EMO", subject="74", layout="v2", landmark_source="face-alignment"
    )
    assert NersembleCapture(config).camera_ids == BENCHMARK
    six = NersembleCapture(changed(config, division="six-view"))
    assert six.camera_ids == [SERIALS[index] for index in (0, 1, 7, 14, 15)]
    assert six.camera_indices == [BENCHMARK.index(serial) for serial in six.camera_ids]
    assert six.load([0], [3]).rgb[0, 0, 0, 1] == pytest.approx(NersembleCapture(config).load([0], [11]).rgb[0, 0, 0, 1])
    with pytest.raises(InputError, match="division"):
        NersembleCapture(changed(config, division="front-view"))


def test_subset_chooses_timesteps_and_cameras(v1):
    capture = NersembleCapture(changed(v1[1], subset="ti1tj3_ts2_cs5", division="train"))
    assert capture.timestep_indices == [1, 3]
    assert capture.timestep_ids == ["000001", "000003"]
    assert capture.camera_indices == [0, 7, 13]
    batch = capture.load([1], [2])
    assert batch.rgb[0, 0, 0, 1] == pytest.approx(brightness(13, 3) / 255)
    assert batch.landmarks_px[0, 0, 1] == pytest.approx((0.13 + 0.3) * HEIGHT)


def test_one_camera_may_be_used_without_its_calibration(v1):
    config = changed(v1[1], calibrated=False)
    with pytest.raises(InputError, match="several views"):
        NersembleCapture(config)
    capture = NersembleCapture(changed(config, cameras=(SERIALS[8],)))
    assert capture.given_camera() is None
    assert capture.load([0]).rgb.shape[0] == 1


def test_downsampled_pictures(v1):
    folder, config = v1
    for path in (folder / "images").iterdir():
        write_picture(folder / "images_2" / path.name, np.full((16, 11, 3), 9, np.uint8))
    capture = NersembleCapture(changed(config, n_downsample_rgb=2))
    assert capture.size == (16, 11)
    assert capture.given_camera().resized(HEIGHT, WIDTH).fx.tolist() == pytest.approx([4.0] * 16)
    with pytest.raises(InputError, match=r"images_4.*found some in images, images_2 only"):
        NersembleCapture(changed(config, n_downsample_rgb=4))
    next((folder / "images_2").iterdir()).unlink()
    with pytest.raises(InputError, match="1 in only one"):
        NersembleCapture(changed(config, n_downsample_rgb=2))


def remove_pictures(folder, serial, timestep="*"):
    for path in folder.glob(f"images/cam_{serial}_{timestep}.png"):
        path.unlink()


def test_missing_files_are_named_in_one_line(v1):
    folder, config = v1
    (folder / "alpha_maps" / f"cam_{SERIALS[3]}_000002.png").unlink()
    with pytest.raises(InputError, match=f"none for 1 .000002 of {SERIALS[3]}"):
        NersembleCapture(config)
    shutil.rmtree(folder / "alpha_maps")
    assert NersembleCapture(config).load([0], [0]).alpha is None
    with pytest.raises(InputError, match="use_alpha_map"):
        NersembleCapture(changed(config, use_alpha_map=True))
    (folder / "landmark2d" / "face-alignment" / f"{SERIALS[5]}.npz").unlink()
    with pytest.raises(InputError, match=f"face-alignment/{SERIALS[5]}.npz"):
        NersembleCapture(config)
    assert NersembleCapture(changed(config, use_landmark=False)).load_landmarks()[1].sum() == 0
    remove_pictures(folder, SERIALS[6], "000003")
    with pytest.raises(InputError, match=f"fewer of {SERIALS[6]} .*lacks 1: 000003"):
        NersembleCapture(config)
    remove_pictures(folder, SERIALS[6])
    with pytest.raises(InputError, match=f"none of {SERIALS[6]}.*--data.cameras"):
        NersembleCapture(config)
    kept = tuple(serial for serial in SERIALS if serial not in (SERIALS[6], SERIALS[5]))
    assert NersembleCapture(changed(config, cameras=kept)).camera_ids == list(kept)
    with pytest.raises(InputError, match="found 5"):
        NersembleCapture(changed(config, cameras=("5",)))


def test_pictures_without_a_camera(v1, tmp_path):
    path = tmp_path / "data/camera_params/074/camera_params.json"
    content = json.loads(path.read_text())
    del content["world_2_cam"][SERIALS[4]]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"found none for {SERIALS[4]}"):
        NersembleCapture(v1[1])


def test_colour_calibration_that_is_missing_or_of_no_use(v1, tmp_path):
    folder = tmp_path / "data/color_correction/074"
    np.save(folder / f"{SERIALS[2]}.npy", np.eye(3))
    with pytest.raises(InputError, match=r"\(3, 4\)"):
        NersembleCapture(v1[1])
    (folder / f"{SERIALS[2]}.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=SERIALS[2]):
        NersembleCapture(v1[1])
    (folder / f"{SERIALS[2]}.npy").unlink()
    with pytest.raises(InputError, match=f"{SERIALS[2]}.*no-use-color-correction"):
        NersembleCapture(v1[1])
    assert NersembleCapture(changed(v1[1], use_color_correction=False)).load([0], [2]).rgb[0, 0, 0, 0] == 20 / 255
    assert NersembleCapture(changed(v1[1], division="front-view")).camera_ids == [SERIALS[8]]


def test_wrong_subject_layout_and_shape(v1):
    folder, config = v1
    with pytest.raises(InputError, match="subject '75'"):
        NersembleCapture(changed(config, subject="75"))
    with pytest.raises(InputError, match="those of v1"):
        NersembleCapture(changed(config, layout="v2"))
    with pytest.raises(InputError, match="found 0"):
        NersembleCapture(changed(config, sequence="EXP"))
    with pytest.raises(InputError, match="shape it was calibrated for"):
        NersembleCapture(changed(config, image_size_during_calibration=(2200, 3208)))
    write_picture(folder / "images" / "mine.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match="mine"):
        NersembleCapture(config)


@pytest.mark.parametrize("kind", [NersembleDataConfig, MultiviewDataConfig])
def test_config_round_trip(kind, tmp_path):
    extra = {"subject": "1"} if kind is NersembleDataConfig else {"calibration": Path("rig.json")}
    config = kind(root_folder=Path("data"), sequence="x", cameras=("a", "b"), **extra)
    save_config(tmp_path / "data.yml", config)
    assert load_config(tmp_path / "data.yml", kind) == config


SIZES = {"left": (40, 60), "right": (90, 50)}


@pytest.fixture
def rig(tmp_path):
    """Two cameras of different sizes, described beside the sequences; the second has a lens with distortion."""
    folder = tmp_path / "rig" / "take"
    frames = []
    for index, (name, size) in enumerate(SIZES.items()):
        write_camera(folder, f"{name}/{{t}}", name, index, size=size)
        pose = np.linalg.inv(np.diag([1.0, -1, -1, 1]) @ np.array(turned(0.3 * index)))
        frames.append(
            {
                "file_path": f"take/images/{name}/000000.png", "transform_matrix": pose.tolist(),
                "fl_x": 70, "fl_y": 80,
                "cx": size[1] / 2 - 1, "cy": size[0] / 2 + 2, "w": size[1], "h": size[0], "k1": 0.2 * index,
            }
        )  # fmt: skip
    (tmp_path / "rig" / "transforms.json").write_text(json.dumps({"frames": frames}))
    return folder, MultiviewDataConfig(
        root_folder=tmp_path / "rig", sequence="take", landmark_source="face-alignment", background_color=None
    )


def test_different_sizes_are_brought_to_the_smallest_sides(rig):
    capture = MultiviewCapture(rig[1])
    assert capture.camera_ids == ["left", "right"]
    assert capture.size == (40, 50)
    batch = capture.load([1])
    assert batch.rgb.shape == (2, 40, 50, 3)
    assert batch.rgb[1, 20, 20, 0] == pytest.approx(brightness(1, 1) / 255)
    camera = capture.given_camera()
    assert camera.fx.tolist() == pytest.approx([70 * 50 / 60, 70])
    assert camera.fy.tolist() == pytest.approx([80, 80 * 40 / 90])
    assert camera.cx.tolist() == pytest.approx([29 * 50 / 60, 24])
    assert camera.cy.tolist() == pytest.approx([22, 47 * 40 / 90])


def test_distortion_is_taken_out_of_pictures_and_landmarks_alike(rig):
    """A bright spot at a landmark is at that landmark after both were undistorted."""
    folder, config = rig
    height, width = SIZES["right"]
    spot = np.zeros((height, width, 3), np.uint8)
    spot[80:83, 8:11] = 255
    write_picture(folder / "images/right/000000.png", spot)
    points = np.full((FRAMES, 68, 3), 1.0)
    points[..., 0], points[..., 1] = 9.5 / width, 81.5 / height
    names = [f"{t:06d}" for t in range(FRAMES)]
    save_landmarks(folder / "landmark2d/face-alignment/right.npz", Landmarks(points, np.zeros((FRAMES, 5)), names))
    capture = MultiviewCapture(changed(config, cameras=("right",)))
    batch = capture.load([0])
    weight = batch.rgb[0, ..., 0].numpy()
    y, x = np.mgrid[:height, :width] + 0.5
    centre = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
    assert batch.landmarks_px[0, 0].tolist() == pytest.approx(centre, abs=0.15)
    assert np.hypot(centre[0] - 9.5, centre[1] - 81.5) > 0.8


def test_a_calibration_of_its_own_and_none(rig, tmp_path):
    folder, config = rig
    moved = tmp_path / "elsewhere.json"
    shutil.move(tmp_path / "rig" / "transforms.json", moved)
    with pytest.raises(InputError, match="or a COLMAP model"):
        MultiviewCapture(config)
    assert MultiviewCapture(changed(config, calibration=moved)).camera_ids == ["left", "right"]
    shutil.rmtree(folder / "images")
    with pytest.raises(InputError, match="expected pictures <camera>"):
        MultiviewCapture(changed(config, calibration=moved))


@pytest.mark.parametrize("form", ["{}", "cam_{}", "cam_{}_000000"])
def test_cameras_of_videos_are_found_by_their_serial_or_by_a_picture(tmp_path, form):
    folder, poses = tmp_path / "take", {}
    for index, serial in enumerate(("1", "2")):
        write_camera(folder, f"cam_{serial}_{{t}}", serial, index)
        poses[form.format(serial)] = turned(0.3 * index)
    matrix = [[40.0, 0, 11], [0, 40, 16], [0, 0, 1]]
    content = {"world_2_cam": poses, "intrinsics": dict.fromkeys(poses, matrix), "image_size": [HEIGHT, WIDTH]}
    (folder / "camera_params.json").write_text(json.dumps(content))
    config = MultiviewDataConfig(root_folder=tmp_path, sequence="take", landmark_source="face-alignment")
    assert MultiviewCapture(config).camera_ids == ["1", "2"]
    for name in ("2", form.format("2")):
        capture = MultiviewCapture(changed(config, cameras=(name,)))
        assert capture.camera_ids == ["2"]
        assert capture.load([1]).rgb[0, 0, 0, 0] < 1
