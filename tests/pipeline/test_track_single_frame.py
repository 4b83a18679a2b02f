"""A static avatar from its synthetic folder to the two outputs, as users call it."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.ndimage import maximum_filter

from vhap.config.data import SingleFrameDataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import MeshExportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, SingleFrameTrackConfig
from vhap.data.pictures import list_pictures, read_alpha
from vhap.data.results import load_result, newest_run
from vhap.data.single_frame import SingleFrameCapture
from vhap.head.builtin import load_builtin
from vhap.head.model import HeadParams, pose
from vhap.pipeline import evaluate_tracking, export_mesh, track_single_frame
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.errors import InputError
from vhap.util.files import read_json, read_npz

VIEWS, SIZE, STEPS, TEXTURE = 12, 96, 20, 512
TRUTH = "ground_truth"


def film(root: Path, **options) -> Path:
    plain = SyntheticConfig(
        root, layout="single_frame", sequence="anna", cameras=VIEWS, size=SIZE, landmark_source="face-alignment"
    )
    return make_capture(replace(plain, **options))


@pytest.fixture(scope="module")
def avatar(tmp_path_factory) -> Path:
    return film(tmp_path_factory.mktemp("avatars"))


def options(avatar: Path, output: Path, **data) -> SingleFrameTrackConfig:
    plain = SingleFrameTrackConfig(
        data=SingleFrameDataConfig(
            root_folder=avatar.parent, sequence=avatar.name, landmark_source="face-alignment", **data
        ),
        exp=ExperimentConfig(output, report=False),
        model=ModelConfig(head="builtin", tex_resolution=TEXTURE, tex_painted=False),
        device="cpu",
    )
    plan = plain.pipeline
    counts = {f.name: {"num_epochs": 1} if "global" in f.name else {"num_steps": STEPS} for f in fields(plan)}
    counts["rgb_sequential_tracking"] = {"num_steps": 0}
    return replace(plain, pipeline=replace(plan, **{n: replace(getattr(plan, n), **c) for n, c in counts.items()}))


@pytest.fixture(scope="module")
def output(avatar, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    track_single_frame.run(options(avatar, folder))
    return folder


def vertices_of(output: Path) -> np.ndarray:
    mesh = trimesh.load_mesh(output / "fitted_flame_mesh_0.obj", process=False, maintain_order=True)
    return np.asarray(mesh.vertices)


def unlike_outlines(avatar: Path, vertices: np.ndarray) -> float:
    """Share of vertices in sight that miss the matting of a view by more than two pixels."""
    capture = SingleFrameCapture(
        SingleFrameDataConfig(root_folder=avatar.parent, sequence=avatar.name, landmark_source="face-alignment")
    )
    camera, missed = capture.calibrated_camera(), []
    assert camera is not None
    points_px = camera.project(torch.from_numpy(vertices))[0].numpy()
    for name, places in zip(capture.camera_ids, points_px.astype(int)):
        alpha = maximum_filter(read_alpha(avatar / "images" / f"{name.removesuffix('_original')}_matting.png"), 5)
        x, y = places[((places >= 0) & (places < SIZE)).all(1)].T
        missed.append(alpha[y, x] == 0)
    return float(np.concatenate(missed).mean())


def test_the_folder_lies_as_users_have_it_and_its_truth_meets_its_cameras(avatar):
    assert list(list_pictures(avatar / "images")) == sorted(
        f"{view:04d}_{kind}" for view in range(VIEWS) for kind in ("original", "matting")
    )
    info = read_json(avatar / "camera_info.json")
    assert list(info) == [f"{view:04d}_original.png" for view in range(VIEWS)]
    angles = np.degrees([[value["pitch"], value["yaw"]] for value in info.values()])
    np.testing.assert_allclose(np.unique(angles[:, 0].round(6)), [60, 90, 120])
    np.testing.assert_allclose(np.unique(angles[:, 1].round(6)), [0, 90, 180, 270])
    truth = read_json(avatar / TRUTH / "cameras.json")["similarity"]
    assert abs(truth["scale"] - 1) > 0.05
    vertices = np.load(avatar / TRUTH / "vertices.npy")[0].astype(np.float64)
    assert unlike_outlines(avatar, vertices) < 0.01
    result = load_result(avatar / TRUTH / "tracked_flame_params_0.npz")
    assert result.scale is not None
    assert float(result.scale) == pytest.approx(truth["scale"])


def test_faces_are_seen_from_the_front_only(avatar):
    """Yaw 90 degrees is before the face, 270 behind it."""
    angles = [round(np.degrees(value["yaw"])) for value in read_json(avatar / "camera_info.json").values()]
    assert {90, 270} <= set(angles)
    for view, yaw in enumerate(angles):
        seen = read_npz(avatar / "landmark2d/face-alignment" / f"{view:04d}_original.npz")["face_landmark_2d"][..., 2]
        assert (seen > 0).any() or yaw != 90
        assert not (seen > 0).any() or yaw != 270


def test_twenty_four_views_are_the_default_and_others_come_in_threes(tmp_path):
    with pytest.raises(InputError, match="multiple of 3"):
        film(tmp_path / "a", cameras=10)
    folder = film(tmp_path / "b", cameras=None, size=64, supersampling=1)
    assert len(read_json(folder / "camera_info.json")) == 24


def test_the_mesh_stands_in_the_avatars_own_world(avatar, output):
    scale = read_json(avatar / TRUTH / "cameras.json")["similarity"]["scale"]
    truth = np.load(avatar / TRUTH / "vertices.npy")[0] / scale
    distance_mm = 1000 * np.linalg.norm(vertices_of(output) / scale - truth, axis=1)
    assert distance_mm[load_builtin().regions["face"].numpy()].mean() < 3
    assert unlike_outlines(avatar, vertices_of(output)) < 0.02


def test_parameters_pose_the_mesh_as_users_pose_it(avatar, output):
    arrays = read_npz(output / "tracked_flame_params_0.npz")
    assert "timestep_id" not in arrays
    assert arrays["tex_extra"].shape == (3, TEXTURE, TEXTURE)
    assert {"rotation", "translation", "shape", "expr", "static_offset", "tex_extra", "lights", "scale"} <= set(arrays)
    names = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "static_offset")
    posed = {name: torch.from_numpy(arrays[name][0]).float() for name in names}
    head = load_builtin()
    unscaled = pose(head, HeadParams(shape=torch.from_numpy(arrays["shape"]), **posed, scale=None)).numpy()
    translation = arrays["translation"][0]
    assert arrays["scale"].shape == (1, 1)
    expected = arrays["scale"] * (unscaled - translation) + translation
    np.testing.assert_allclose(vertices_of(output), expected, atol=1e-5 * arrays["scale"].item())
    assert np.abs(arrays["static_offset"]).max() > 1e-4


def test_the_persons_file_can_start_another_run(output):
    """As --model.flame_params_path names it."""
    saved = load_result(output / "tracked_flame_params_0.npz", load_builtin().identity)
    assert saved.timestep_id.tolist() == ["000000"]
    tracked = load_result(max(newest_run(output).glob("tracked_flame_params_*.npz")))
    np.testing.assert_array_equal(saved.shape, tracked.shape)


def test_material_names_the_picture_beside(output):
    lines = (output / "fitted_flame_mesh_0.mtl").read_text().splitlines()
    assert "map_Kd fitted_flame_mesh_0.jpg" in lines
    assert (output / "fitted_flame_mesh_0.jpg").stat().st_size > 0


def test_other_commands_find_the_run_in_the_output_folder(output, tmp_path):
    assert newest_run(output).parent == output
    folder = export_mesh.run(MeshExportConfig(output, tmp_path / "meshes", format=("obj",)))
    mesh = trimesh.load_mesh(folder / "frame_00000.obj", process=False, maintain_order=True)
    np.testing.assert_allclose(np.asarray(mesh.vertices), vertices_of(output), atol=1e-5)


def test_the_run_can_be_evaluated_against_its_truth(avatar, output):
    """In the avatar's world, though its cameras have no mean direction."""
    values = read_json(evaluate_tracking.run(EvaluateConfig(output, avatar)))
    assert values["alignment"] == "none"
    assert values["detected_fraction"] < 1
    truth = read_json(avatar / TRUTH / "cameras.json")["similarity"]["scale"]
    distance = np.linalg.norm(vertices_of(output) - np.load(avatar / TRUTH / "vertices.npy")[0], axis=1)
    face = distance[load_builtin().regions["face"].numpy()].mean()
    assert values["face_vertex_error_mm_mean"] == pytest.approx(1000 * face / truth, rel=1e-3)


def test_a_single_view_cannot_tell_the_scale(avatar, tmp_path):
    with pytest.raises(InputError, match="at least two of 1 pictures"):
        track_single_frame.run(options(avatar, tmp_path / "out", cameras=("0005_original",)))
    assert not (tmp_path / "out" / "tracked_flame_params_0.npz").exists()


def test_landmarks_are_detected_where_they_are_missing_and_views_from_behind_have_none(tmp_path):
    avatar = film(tmp_path, cameras=6, size=256, supersampling=1)
    for path in (avatar / "landmark2d").rglob("*.npz"):
        path.unlink()
    few = options(avatar, tmp_path / "out")
    config = replace(few, data=replace(few.data, landmark_source="mediapipe"), dry_run=True)
    track_single_frame.run(config)
    found = sorted(path.name for path in (avatar / "landmark2d" / "mediapipe").iterdir())
    assert found == [f"{view:04d}_original.npz" for view in range(6)]
    assert not (tmp_path / "out").exists()
