"""Datasets and meshes of rigs: in the calibration's own world and unit, through the input cameras onto the pictures.

The runs' results are the truth, so that what is exported can be compared with it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rig_run import CAMERAS, FRAMES, SIZE, make_capture, open_rig, run_of, track_config, write_true_run

from vhap.config.export import CombineConfig, ExportConfig, MeshExportConfig
from vhap.data.cameras.find import read_rig_cameras
from vhap.data.nersemble.catalogue import SERIALS
from vhap.data.pictures import read_alpha, read_rgb
from vhap.data.results import load_result, newest_run
from vhap.export.head_files import pose_arrays
from vhap.geometry.cameras import Camera
from vhap.geometry.similarities import apply_similarity
from vhap.head.builtin import load_builtin
from vhap.pipeline import combine_nerf_datasets, export_as_nerf_dataset, export_mesh
from vhap.util.errors import InputError
from vhap.util.files import read_json

LAYOUTS = ("nersemble_v1", "multiview")
CALIBRATIONS = {"nersemble_v1": "nersemble_v1/camera_params/001", "multiview": "multiview/EXP-1-head"}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    for layout in LAYOUTS:
        make_capture(folder, layout)
        write_true_run(track_config(folder, layout))
    return folder


def export(root: Path, layout: str, target: Path, **options) -> tuple[Path, dict]:
    """The dataset's folder and the content of its transforms.json."""
    folder = export_as_nerf_dataset.run(ExportConfig(run_of(root, layout), target, **options))
    return folder, read_json(folder / "transforms.json")


def true_vertices(root: Path, layout: str) -> np.ndarray:
    """(T, V, 3) in the calibration's world and unit."""
    return np.load(open_rig(track_config(root, layout)).folder / "ground_truth" / "vertices.npy")


def true_scale(root: Path, layout: str) -> float:
    told = read_json(open_rig(track_config(root, layout)).folder / "ground_truth" / "cameras.json")
    return told["similarity"]["scale"]


def given_poses(root: Path, layout: str) -> dict[str, np.ndarray]:
    """Name -> (4, 4) camera to world, straight from the calibration's file."""
    rig = read_rig_cameras(root / CALIBRATIONS[layout])
    return {name: np.linalg.inv(pose) for name, pose in zip(rig.names, rig.T_camera_world)}


def posed(folder: Path, frame: dict) -> np.ndarray:
    """(V, 3) of a frame's flame_param."""
    with np.load(folder / frame["flame_param_path"]) as file:
        return pose_arrays(load_builtin(), dict(file)).numpy()


def project(points: np.ndarray, frame: dict) -> np.ndarray:
    """(N, 2) px, by the keys of a frame as instant-ngp reads them."""
    pose = np.array(frame["transform_matrix"])
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    return np.stack(
        [
            frame["cx"] - frame["fl_x"] * local[:, 0] / local[:, 2],
            frame["cy"] + frame["fl_y"] * local[:, 1] / local[:, 2],
        ],
        -1,
    )


def still_landmarks(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """iBUG's points that do not slide, (N, 3), and their numbers."""
    head = load_builtin()
    points = head.landmarks["ibug"]
    still = (points.detector_ids >= 17).numpy()
    corners = vertices[head.faces.numpy()[points.face_ids.numpy()]]
    return (corners * points.barycentrics.numpy()[..., None]).sum(1)[still], points.detector_ids.numpy()[still]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_exported_cameras_are_the_given_ones(root, layout, tmp_path):
    """Before the head moves to the origin, and altogether where it does not."""
    given = given_poses(root, layout)
    folder, _ = export(root, layout, tmp_path / "centred")
    _, still = export(root, layout, tmp_path / "still", center_head=False)
    for content in (read_json(folder / "transforms_backup.json"), still):
        assert len(content["frames"]) == FRAMES * CAMERAS
        for frame in content["frames"]:
            np.testing.assert_allclose(frame["transform_matrix"], given[frame["camera_id"]], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_pose_the_head_in_the_given_world(root, layout, tmp_path):
    folder, content = export(root, layout, tmp_path / "export", center_head=False)
    scale, vertices = true_scale(root, layout), true_vertices(root, layout)
    np.testing.assert_allclose(content["T_exported_given"], np.eye(4), atol=1e-12)
    for frame in content["frames"]:
        row = frame["timestep_index"]
        np.testing.assert_allclose(posed(folder, frame), vertices[row], atol=1e-5 * scale + 2e-6)
        with np.load(folder / frame["flame_param_path"]) as file:
            assert ("scale" in file) == (layout == "multiview")
            assert layout != "multiview" or float(file["scale"]) == pytest.approx(scale, rel=1e-6)
    with np.load(folder / "canonical_flame_param.npz") as file:
        arrays = {name: value for name, value in file.items() if name != "head_model"}
        canonical = pose_arrays(load_builtin(), arrays).numpy()
    assert np.ptp(canonical[:, 1]) == pytest.approx(scale * np.ptp(load_builtin().template[:, 1].numpy()), rel=0.1)


@pytest.mark.parametrize("world", ["given", "tracked"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_exported_heads_project_onto_the_pictures(root, layout, world, tmp_path):
    """Through the exported cameras onto the exact landmarks; and T_exported_given leads there from the calibration."""
    folder, content = export(root, layout, tmp_path / "export", world=world)
    with np.load(open_rig(track_config(root, layout)).folder / "ground_truth" / "landmarks.npz") as file:
        exact = file["ibug_px"]
    vertices = true_vertices(root, layout)
    T = torch.tensor(content["T_exported_given"], dtype=torch.float64)
    unit = float(torch.linalg.det(T[:3, :3])) ** (1 / 3)
    assert unit == pytest.approx(1 if world == "given" else 1 / true_scale(root, layout), rel=1e-5)
    names = [frame["camera_id"] for frame in content["frames"][:CAMERAS]]
    mean = np.zeros(3)
    for frame in content["frames"]:
        row, here = frame["timestep_index"], posed(folder, frame)
        there = apply_similarity(T, torch.from_numpy(vertices[row]).double()).numpy()
        np.testing.assert_allclose(here, there, atol=3e-5 * max(1, true_scale(root, layout) * unit))
        points, ids = still_landmarks(here)
        np.testing.assert_allclose(project(points, frame), exact[row, names.index(frame["camera_id"]), ids], atol=0.01)
        with np.load(folder / frame["flame_param_path"]) as file:
            mean += file["translation"][0] / len(content["frames"])
            assert world == "given" or "scale" not in file
    np.testing.assert_allclose(mean, 0, atol=1e-5)


def test_the_tracked_world_is_along_the_rigs_axes(root, tmp_path):
    _, content = export(root, "multiview", tmp_path / "export", world="tracked")
    mean = np.mean([np.array(frame["transform_matrix"])[:3, :3] for frame in content["frames"]], axis=0)
    assert mean[0, 0] > 0.5
    assert abs(mean[1, 0]) < 1e-9
    assert abs(mean[2, 0]) < 1e-9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_of_every_timestep_and_camera_are_masked(root, layout, tmp_path):
    capture = open_rig(track_config(root, layout))
    folder, content = export(root, layout, tmp_path / "export", create_mask_from_mesh=False)
    numbers = capture.camera_indices
    expected = sorted(f"{row:05d}_{number:02d}.png" for row in range(FRAMES) for number in numbers)
    assert sorted(path.name for path in (folder / "images").iterdir()) == expected
    for frame in content["frames"]:
        camera = capture.camera_ids.index(frame["camera_id"])
        assert frame["camera_index"] == numbers[camera]
        assert (frame["h"], frame["w"]) == SIZE
        mask = read_alpha(folder / frame["fg_mask_path"])
        np.testing.assert_array_equal(mask, read_alpha(capture.alpha_paths[camera][frame["timestep_index"]]))
        picture = read_rgb(folder / frame["file_path"])
        assert (picture[mask == 0] == 255).all()
        assert picture[mask == 255].mean() < 200


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_are_drawn_in_whatever_unit(root, layout, tmp_path):
    """Without alpha maps they are silhouettes; below the neck they fade either way."""
    capture = open_rig(track_config(root, layout))
    alpha = capture.folder / "alpha_maps"
    with_maps, content = export(root, layout, tmp_path / "maps")
    alpha.rename(alpha.with_name("put_away"))
    try:
        without, _ = export(root, layout, tmp_path / "silhouettes")
    finally:
        alpha.with_name("put_away").rename(alpha)
    assert len(content["frames"]) == FRAMES * CAMERAS
    for frame in content["frames"]:
        masks = [read_alpha(folder / frame["fg_mask_path"]) / 255 for folder in (with_maps, without)]
        assert masks[0].mean() > 0.1
        assert np.abs(masks[0] - masks[1]).mean() < 0.01


def test_smaller_pictures_have_smaller_intrinsics(root, tmp_path):
    _, whole = export(root, "multiview", tmp_path / "whole", subset="ti0")
    folder, half = export(root, "multiview", tmp_path / "half", subset="ti0", scale_factor=0.5)
    assert len(whole["frames"]) == CAMERAS
    for large, small in zip(whole["frames"], half["frames"], strict=True):
        assert (
            (small["h"], small["w"]) == read_rgb(folder / small["file_path"]).shape[:2] == (SIZE[0] // 2, SIZE[1] // 2)
        )
        for key in ("fl_x", "fl_y", "cx", "cy"):
            assert small[key] == pytest.approx(large[key] / 2)
        assert small["transform_matrix"] == large["transform_matrix"]


def test_the_front_view_or_the_last_camera_validates(root, tmp_path):
    for layout, expected in (("nersemble_v1", SERIALS[8]), ("multiview", "cam_03")):
        folder, _ = export(root, layout, tmp_path / layout)
        parts = {name: read_json(folder / f"transforms_{name}.json") for name in ("train", "val", "test")}
        assert {frame["camera_id"] for frame in parts["val"]["frames"]} == {expected}
        assert expected not in {frame["camera_id"] for frame in parts["train"]["frames"]}
        assert parts["test"]["timestep_indices"] == []
        assert len(parts["train"]["frames"]) == FRAMES * (CAMERAS - 1)


def test_subset_and_division_choose_cameras_and_keep_their_numbers(root, tmp_path):
    _, some = export(root, "multiview", tmp_path / "some", subset="ti1_cn2")
    assert (some["timestep_indices"], some["camera_indices"]) == ([0], [0, 2])
    _, front = export(root, "nersemble_v1", tmp_path / "front", division="front-view")
    assert {(frame["camera_id"], frame["camera_index"]) for frame in front["frames"]} == {(SERIALS[8], 2)}
    with pytest.raises(InputError, match="--division val"):
        export(root, "multiview", tmp_path / "val", division="val")
    assert not (tmp_path / "val").exists()


def test_views_that_were_not_tracked_can_be_exported(root, tmp_path):
    """Cameras are given, therefore nothing has to be tracked by them."""
    config = track_config(root, "nersemble_v1", cameras=(SERIALS[8],))
    elsewhere = replace(config, exp=replace(config.exp, output_folder=tmp_path / "out"))
    write_true_run(elsewhere)
    folder = export_as_nerf_dataset.run(ExportConfig(tmp_path / "out", tmp_path / "side", division="side-view"))
    frames = read_json(folder / "transforms.json")["frames"]
    assert {frame["camera_id"] for frame in frames} == {SERIALS[0]}
    backup = read_json(folder / "transforms_backup.json")["frames"][0]
    np.testing.assert_allclose(
        backup["transform_matrix"], given_poses(root, "nersemble_v1")[SERIALS[0]], rtol=1e-9, atol=1e-9
    )


def test_sequences_of_a_subject_are_combined(root, tmp_path):
    sources = []
    for sequence in ("EXP-1-head", "EXP-2-eyes", "SEN-01"):
        if sequence != "EXP-1-head":
            make_capture(root, "nersemble_v1", sequence=sequence)
            write_true_run(track_config(root, "nersemble_v1", sequence))
        run = run_of(root, "nersemble_v1", sequence)
        sources.append(export_as_nerf_dataset.run(ExportConfig(run, tmp_path / f"001_{sequence}")))
    union = combine_nerf_datasets.run(CombineConfig(tuple(sources), tmp_path / "001_union", division_mode="last"))
    parts = {name: read_json(union / f"transforms_{name}.json") for name in ("train", "val", "test")}
    assert {frame["camera_id"] for frame in parts["val"]["frames"]} == {SERIALS[8]}
    assert len(parts["train"]["frames"]) == 2 * FRAMES * (CAMERAS - 1)
    assert parts["test"]["timestep_indices"] == list(range(2 * FRAMES, 3 * FRAMES))
    assert parts["test"]["camera_indices"] == list(range(CAMERAS))
    assert (union / parts["test"]["frames"][0]["file_path"]).is_file()


def test_sequences_of_different_units_are_not_combined(root, tmp_path):
    exports = [
        export(root, "multiview", tmp_path / name, world=world)[0]
        for name, world in (("a_given", "given"), ("a_tracked", "tracked"))
    ]
    with pytest.raises(InputError, match=r"one unit.*--world tracked"):
        combine_nerf_datasets.run(CombineConfig(tuple(exports), tmp_path / "a_union", division_mode="none"))
    assert not (tmp_path / "a_union").exists()


def read_obj(path: Path) -> np.ndarray:
    rows = (line.split()[1:] for line in path.read_text().splitlines() if line.startswith("v "))
    return np.array([[float(value) for value in row] for row in rows])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_meshes_project_onto_the_pictures_through_the_input_cameras(root, layout, tmp_path):
    """As a user does it: vertices of the OBJ files, cameras of the calibration they gave, alpha maps of the capture."""
    folder = export_mesh.run(MeshExportConfig(run_of(root, layout), tmp_path / "meshes", format=("obj", "ply", "gltf")))
    capture, rig = open_rig(track_config(root, layout)), read_rig_cameras(root / CALIBRATIONS[layout])
    told = read_json(folder / "cameras.json")
    scale = true_scale(root, layout)
    assert (len(true_vertices(root, layout)), len(rig.names)) == (FRAMES, CAMERAS)
    for row, truth in enumerate(true_vertices(root, layout)):
        vertices = read_obj(folder / f"frame_{row:05d}.obj")
        np.testing.assert_allclose(vertices, truth, atol=1e-5 * scale + 2e-6)
        for index, name in enumerate(rig.names):
            camera = rig.camera(index, torch.float64).resized(*SIZE)
            pixels = camera.project(torch.from_numpy(vertices))[0].numpy()
            alpha = read_alpha(capture.alpha_paths[index][row])
            x, y = pixels.astype(int).T
            inside = (x > 0) & (x < SIZE[1] - 1) & (y > 0) & (y < SIZE[0] - 1)
            near = np.max([alpha[y[inside] + dy, x[inside] + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
            assert (near > 0).mean() > 0.995
            assert_same_camera(told["cameras"][index], name, camera)


def assert_same_camera(entry: dict, name: str, camera: Camera) -> None:
    assert entry["camera_id"] == name
    np.testing.assert_allclose(entry["world_to_camera"], camera.T_camera_world, rtol=1e-9, atol=1e-9)
    for key, value in (("fl_x", camera.fx), ("fl_y", camera.fy), ("cx", camera.cx), ("cy", camera.cy)):
        assert entry[key] == pytest.approx(float(value))


def test_meshes_of_the_tracked_world_say_how_they_lie_in_the_given_one(root, tmp_path):
    config = MeshExportConfig(run_of(root, "multiview"), tmp_path / "meshes", world="tracked")
    folder = export_mesh.run(config)
    T = read_json(folder / "cameras.json")["T_exported_given"]
    result = load_result(newest_run(config.src_folder) / "tracked_flame_params_0.npz")
    np.testing.assert_allclose(T, result.T_tracked_given)
    truth = torch.from_numpy(true_vertices(root, "multiview")[0]).double()
    there = apply_similarity(torch.tensor(T, dtype=torch.float64), truth)
    np.testing.assert_allclose(read_obj(folder / "frame_00000.obj"), there, atol=2e-5)
