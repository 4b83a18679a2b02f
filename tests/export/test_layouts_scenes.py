"""Folders for trainers of scenes and for Gaussian-Head-Avatar, read by their readers' rules: json, struct, npz, and
cameras of their own."""

from __future__ import annotations

import json
import math
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from layout_runs import COUNT, SIZE, filled, overlap, shown_row, write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from rig_run import CAMERAS, FRAMES, make_capture, run_of, track_config, write_true_run
from subject_run import loaded_once

from vhap.api import export
from vhap.config.track import ModelConfig
from vhap.head.builtin import load_builtin
from vhap.util.errors import InputError

BUILTIN = ModelConfig(head="builtin")
BOX = np.array([[-1.6, -1.7, -2.5], [1.6, 1.8, 1.0]])


@pytest.fixture(autouse=True)
def one_head(monkeypatch) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("data"), BUILTIN)


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("rig")
    make_capture(root, "multiview")
    write_true_run(track_config(root, "multiview"))
    return run_of(root, "multiview")


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return load_builtin().faces.numpy()


def whole_mattes(run_folder: Path, target: Path, layout: str, **options) -> Path:
    return export(run_folder, target, layout=layout, create_mask_from_mesh=False, **options)


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray]:
    header, _, body = path.read_bytes().partition(b"end_header\n")
    assert header.startswith(b"ply\nformat binary_little_endian")
    rows = np.frombuffer(body, np.dtype([("place", "<f4", 3), ("colour", "u1", 3)]))
    return rows["place"].astype(float), rows["colour"]


def opengl_px(points: np.ndarray, frame: dict) -> np.ndarray:
    """By an OpenGL camera-to-world, as nerfstudio and instant-ngp have it."""
    pose = np.array(frame["transform_matrix"])
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    assert (local[:, 2] < 0).all()
    x = frame["cx"] - frame["fl_x"] * local[:, 0] / local[:, 2]
    return np.stack([x, frame["cy"] + frame["fl_y"] * local[:, 1] / local[:, 2]], 1)


def picture_of(path: Path) -> np.ndarray:
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return stored if stored.ndim == 2 else stored[..., [2, 1, 0, *range(3, stored.shape[2])]]


def test_nerfstudio_keeps_what_its_masks_show(tmp_path, run_folder, faces) -> None:
    target = whole_mattes(run_folder, tmp_path / "out", "nerfstudio")
    content = json.loads((target / "transforms.json").read_text())
    frames = sorted(content["frames"], key=lambda frame: frame["file_path"])
    assert len(frames) == len(list((target / "images").iterdir())) == COUNT
    assert content["orientation_override"] == "none"
    np.testing.assert_array_equal(content["applied_transform"], np.eye(4)[:3])
    points, colours = read_ply(target / content["ply_file_path"])
    assert len(points) == len(colours) == len(load_builtin().template)
    places = []
    for row, frame in enumerate(frames):
        picture, mask = picture_of(target / frame["file_path"]), picture_of(target / frame["mask_path"])
        assert picture.shape == (frame["h"], frame["w"], 4)
        assert mask.shape == picture.shape[:2]
        alpha = picture[..., 3] > 127
        assert mask[alpha].all()
        assert not mask[0].any()
        assert (mask > 0).mean() < 2.5 * alpha.mean()
        assert shown_row(np.median(picture[alpha][:, 0])) == row
        # The points are of one frame: expression and jaw move a little in the others.
        assert overlap(filled(opengl_px(points, frame), faces, mask.shape), alpha) > 0.9
        places.append(np.array(frame["transform_matrix"])[:3, 3])
    assert np.ptp(places, axis=0).max() > 0.05
    seen = np.abs(colours.astype(int) - [0, 120, 100])[:, 1:].max(1) < 12
    assert seen.mean() > 0.9
    parts = {name: content[f"{name}_filenames"] for name in ("train", "val", "test")}
    assert not {*parts["train"]} & {*parts["test"]}
    assert {*parts["train"], *parts["test"]} == {frame["file_path"] for frame in frames}
    assert parts["val"]
    assert all((target / path).is_file() for paths in parts.values() for path in paths)


def test_instant_ngp_ignores_what_its_masks_show(tmp_path, run_folder, faces) -> None:
    target = whole_mattes(run_folder, tmp_path / "out", "instant_ngp")
    # Given the folder, it reads every json in it.
    assert [path.name for path in sorted(target.glob("*.json"))] == ["transforms.json"]
    known = {}
    for folder in (target, target / "test"):
        content = json.loads((folder / "transforms.json").read_text())
        for frame in content["frames"]:
            path = (folder / frame["file_path"]).resolve()
            assert frame["x_fov"] == pytest.approx(math.degrees(2 * math.atan(frame["w"] / 2 / frame["fl_x"])))
            picture, ignored = picture_of(path), picture_of(path.with_name(f"dynamic_mask_{path.name}"))
            alpha = picture[..., 3] > 127
            assert picture.shape[2] == 4
            assert not ignored[alpha].any()
            assert ignored[0].all()
            known[path.name] = frame, alpha
    assert len(known) == COUNT
    nerfstudio = whole_mattes(run_folder, tmp_path / "points", "nerfstudio")
    points, _ = read_ply(nerfstudio / "points.ply")
    for frame, alpha in known.values():
        assert overlap(filled(opengl_px(points, frame), faces, alpha.shape), alpha) > 0.9
    cube = content["scale"] * points + np.array(content["offset"])
    assert (cube > 0).all()
    assert (cube < 1).all()
    assert content["aabb_scale"] == 1


def test_without_masks_alpha_alone_says_it(tmp_path, run_folder) -> None:
    target = whole_mattes(run_folder, tmp_path / "out", "nerfstudio", masks=False, subset="tn4")
    assert not (target / "masks").exists()
    frames = json.loads((target / "transforms.json").read_text())["frames"]
    assert len(frames) == 4
    assert not any("mask_path" in frame for frame in frames)


def read_colmap(folder: Path) -> tuple[dict, list, tuple[np.ndarray, np.ndarray]]:
    """cameras {id: (width, height, fx, fy, cx, cy)}, images [(quaternion, translation, camera, name)], points."""
    data = (folder / "cameras.bin").read_bytes()
    (count,), at, cameras = struct.unpack_from("<Q", data), 8, {}
    for _ in range(count):
        number, kind, *rest = struct.unpack_from("<iiQQ4d", data, at)
        assert kind == 1
        cameras[number] = rest
        at += struct.calcsize("<iiQQ4d")
    assert at == len(data)
    data = (folder / "images.bin").read_bytes()
    (count,), at, images = struct.unpack_from("<Q", data), 8, []
    for _ in range(count):
        _, *values, camera = struct.unpack_from("<i7di", data, at)
        at += struct.calcsize("<i7di")
        end = data.index(b"\0", at)
        images.append((np.array(values[:4]), np.array(values[4:]), camera, data[at:end].decode()))
        assert struct.unpack_from("<Q", data, end + 1) == (0,)
        at = end + 9
    assert at == len(data)
    data = (folder / "points3D.bin").read_bytes()
    rows = np.frombuffer(
        data[8:],
        np.dtype([("id", "<u8"), ("place", "<f8", 3), ("colour", "u1", 3), ("error", "<f8"), ("track", "<u8")]),
    )
    assert len(rows) == struct.unpack_from("<Q", data)[0]
    assert not rows["track"].any()
    return cameras, images, (rows["place"], rows["colour"])


def quaternion_matrix(q: np.ndarray) -> np.ndarray:
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def colmap_px(points: np.ndarray, image: tuple, cameras: dict) -> np.ndarray:
    quaternion, translation, number, _ = image
    camera = points @ quaternion_matrix(quaternion).T + translation
    assert (camera[:, 2] > 0).all()
    _, _, fx, fy, cx, cy = cameras[number]
    return camera[:, :2] / camera[:, 2:] * [fx, fy] + [cx, cy]


def test_colmap_s_points_lie_on_the_pictures(tmp_path, run_folder, faces) -> None:
    target = whole_mattes(run_folder, tmp_path / "out", "colmap", background_color="black")
    cameras, images, (points, colours) = read_colmap(target / "sparse/0")
    assert [image[3] for image in images] == sorted(path.name for path in (target / "images").iterdir())
    assert len(images) == COUNT
    assert len(points) >= 5
    assert cameras[1][:2] == [SIZE[1], SIZE[0]]
    for row, image in enumerate(images):
        assert np.linalg.norm(image[0]) == pytest.approx(1)
        picture = picture_of(target / "images" / image[3])
        assert picture.shape == (*SIZE, 3)
        person = picture[..., 1] > 60
        assert shown_row(np.median(picture[person][:, 0])) == row
        assert overlap(filled(colmap_px(points, image, cameras), faces, SIZE), person) > 0.9
    middles = [-quaternion_matrix(q).T @ t for q, t, _, _ in images]
    assert np.ptp(middles, axis=0).max() > 0.05
    assert np.abs(np.median(colours, 0)[1:] - [120, 100]).max() < 5


def test_a_rig_s_moment_stands_in_its_own_world(tmp_path, rig, faces) -> None:
    """Cameras are those of the calibration, whose unit is any; the points lie on every picture."""
    target = whole_mattes(
        rig, tmp_path / "out", "colmap", stands_still="world", center_head=False, subset="ti1", background_color="black"
    )
    cameras, images, (points, _) = read_colmap(target / "sparse/0")
    assert len(images) == len(cameras) == CAMERAS
    for image in images:
        picture = picture_of(target / "images" / image[3])
        person = picture.max(2) > 12
        drawn = filled(colmap_px(points, image, cameras), faces, picture.shape[:2])
        assert person[drawn].mean() > 0.9
    given = json.loads(next(rig.parents[2].glob("multiview/EXP-1-head/*.json")).read_text())
    places = sorted(tuple(np.round(np.array(f["transform_matrix"])[:3, 3], 3)) for f in given["frames"])
    found = sorted(tuple(np.round(-quaternion_matrix(q).T @ t, 3)) for q, t, _, _ in images)
    np.testing.assert_allclose(found, places, atol=2e-3)


def test_a_still_camera_before_a_moving_head_is_refused(tmp_path, run_folder) -> None:
    for options, said in (
        ({"stands_still": "world"}, "give --stands_still head"),
        ({"subset": "ti0"}, "export more timesteps"),
    ):
        with pytest.raises(InputError, match=f"cameras at different places for --layout colmap.*{said}"):
            export(run_folder, tmp_path / "out", layout="colmap", **options)
    assert not (tmp_path / "out").exists()


def test_gaussian_head_avatar_s_frames_have_all_that_its_reader_loads(tmp_path, rig) -> None:
    target = whole_mattes(rig, tmp_path / "out", "gaussian_head_avatar", picture_size=192)
    frames = sorted(path.name for path in (target / "images").iterdir())
    assert frames == [f"{k:04d}" for k in range(FRAMES)]
    assert all(sorted(p.name for p in (target / name).iterdir()) == frames for name in ("cameras", "params"))
    names = sorted(path.stem[7:] for path in (target / "cameras" / "0000").iterdir())
    assert len(names) == CAMERAS
    noses = []
    for frame in frames:
        params = np.load(target / "params" / frame / "params.npz")
        assert {name: params[name].shape for name in params} == {
            "pose": (1, 6), "scale": (1, 1), "exp_coeff": (1, params["exp_coeff"].shape[1])
        }  # fmt: skip
        vertices, points = (np.load(target / "params" / frame / f"{name}.npy") for name in ("vertices", "lmk_3d"))
        rotation, _ = cv2.Rodrigues(params["pose"][0, :3].astype(float))
        canonical = (points - params["pose"][0, 3:]) @ rotation / params["scale"][0, 0]
        assert ((canonical > BOX[0]) & (canonical < BOX[1])).all()
        assert np.ptp(canonical, axis=0).max() > 0.8
        noses.append(canonical[30])
        for name in names:
            camera = np.load(target / "cameras" / frame / f"camera_{name}.npz")
            extrinsic, intrinsic = camera["extrinsic"], camera["intrinsic"]
            assert extrinsic.shape == (3, 4)
            assert np.linalg.det(extrinsic[:, :3]) == pytest.approx(1, abs=1e-5)
            np.testing.assert_allclose(intrinsic[:2, 2], 96, atol=0.5)
            pixels = (vertices @ extrinsic[:, :3].T + extrinsic[:, 3]) @ intrinsic.T
            pixels = pixels[:, :2] / pixels[:, 2:]
            for kind, side in (("", 192), ("lowres_", 256)):
                for what in ("image", "mask"):
                    stored = picture_of(target / "images" / frame / f"{what}_{kind}{name}.jpg")
                    assert stored.shape == (side, side, 3)
            mask = picture_of(target / "images" / frame / f"mask_{name}.jpg")[..., 0]
            inside = ((pixels >= 0) & (pixels < 192)).all(1)
            spots = pixels[inside].astype(int)
            assert (mask[spots[:, 1], spots[:, 0]] > 127).mean() > 0.9
    assert np.ptp(noses, axis=0).max() < 0.1


def test_a_rig_is_one_camera_at_a_time_for_readers_of_one(tmp_path, rig) -> None:
    with pytest.raises(InputError, match=r"by one camera for --layout insta, found 4; .*--subset ci0"):
        export(rig, tmp_path / "out", layout="insta", test_frames=1)
    target = whole_mattes(rig, tmp_path / "out", "insta", test_frames=1, subset="ci2")
    assert len(list((target / "images").iterdir())) == FRAMES
    assert not (target / "checkpoint").exists()


def test_other_heads_are_refused_where_flame_is_posed(tmp_path, run_folder) -> None:
    for layout in ("metrical", "flashavatar", "imavatar", "hravatar"):
        with pytest.raises(InputError, match=f"run of FLAME.* for --layout {layout}.*found the head builtin"):
            export(run_folder, tmp_path / "out", layout=layout)
    assert not (tmp_path / "out").exists()


def test_the_first_layout_has_two_names(tmp_path, run_folder) -> None:
    target = export(run_folder, tmp_path / "out", layout="nerf", subset="ti0tj1")
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*.png")}
    assert len(times) == 4
    export(run_folder, target, layout="gaussian_avatars", subset="ti0tj1")
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
