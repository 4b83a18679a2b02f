"""Synthetic recordings in the benchmark's other two layouts, against the official kit, our managers and the truth."""

import hashlib
import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from trimesh.exchange.load import load_mesh

from vhap.config.data import NersembleV2DataConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.data.landmark_files import load_landmarks
from vhap.data.nersemble.capture import NersembleCapture
from vhap.data.pictures import read_alpha, read_rgb
from vhap.data.video import probe_video
from vhap.geometry.cameras import Camera
from vhap.head.builtin import load_builtin
from vhap.head.flame import load_flame
from vhap.head.model import pose, zero_params
from vhap.nersemble.benchmark import constants
from vhap.nersemble.benchmark.flame_tracking import FlameProvider
from vhap.nersemble.benchmark.managers import MonoFlameAvatarDataManager, SVFRDataManager
from vhap.nersemble.benchmark.metadata import MonoFLAMEAvatarMetadata
from vhap.pipeline.make_synthetic_capture import run
from vhap.pipeline.preprocess_video import run as preprocess
from vhap.util.errors import InputError
from vhap.util.files import read_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))
import flame_files

FRAMES, SIZE, PICTURES = 2, 96, 3
TRAIN, TEST = "EXP-1-head", "EMO-1-shout+laugh"


def options(root: Path, layout: Any, subject: int, **changes) -> SyntheticConfig:
    plain = SyntheticConfig(
        root, layout=layout, subject=subject, frames=FRAMES, size=SIZE, landmark_source="face-alignment",
        supersampling=1,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def mono(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("mono")
    run(options(root, "benchmark_mono", 393))
    run(options(root, "benchmark_mono", 393, sequence=TEST, frames=FRAMES + 1))
    return root


@pytest.fixture
def kit(monkeypatch):
    """The official managers. What they import besides is for point clouds and heads, and for arrays with a label."""
    pytest.importorskip("nersemble_benchmark.constants")
    for name in ("open3d", "dreifus", "dreifus.camera"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    matrices = MagicMock(Pose=lambda rows, **_: np.array(rows), Intrinsics=np.array)
    monkeypatch.setitem(sys.modules, "dreifus.matrix", matrices)
    name = "nersemble_benchmark.data.benchmark_data"
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def svfr(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("svfr")
    run(options(root, "benchmark_svfr", 17, frames=PICTURES))
    return root


def own(intrinsics: Any) -> dict[str, np.ndarray]:
    assert isinstance(intrinsics, dict)
    return intrinsics


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def hashes(folder: Path) -> dict[str, tuple[str, int]]:
    paths = [folder / name for name in files(folder)]
    return {str(p): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in paths}


def camera_of(numbers: dict) -> Camera:
    fx, fy, cx, cy = (torch.tensor(numbers[name]) for name in ("fx", "fy", "cx", "cy"))
    return Camera(fx, fy, cx, cy, torch.tensor(numbers["T_camera_world"]), numbers["height"], numbers["width"])


def require_inside(camera: Camera, vertices: torch.Tensor, alpha: np.ndarray) -> None:
    """The vertices fill the picture's matte."""
    x, y = camera.project(vertices)[0].numpy().astype(int).T
    seen = (x > 1) & (x < SIZE - 2) & (y > 1) & (y < SIZE - 2)
    assert seen.mean() > 0.5
    assert (maximum_filter(alpha, 3)[y[seen], x[seen]] > 0).mean() > 0.99
    assert 0.1 < (alpha > 128).mean() < 0.9


def test_only_what_the_benchmark_gives_lies_outside_of_the_truth(mono):
    """By the official kit's own paths."""
    assets = pytest.importorskip("nersemble_benchmark.constants").ASSETS["mono_flame_avatar"]
    serial = constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL
    of_train = {"p_id": 393, "seq_name": TRAIN, "serial": serial}
    per_person, per_cam = assets["per_person"], assets["per_cam"]
    expected = {asset.format(**of_train) for asset in (*per_person.values(), *per_cam.values())}
    given = {name for name in files(mono / "mono_flame_avatar") if "ground_truth" not in name}
    assert given == {*expected, "metadata.json"}


def test_managers_read_back_the_train_camera(mono):
    manager = MonoFlameAvatarDataManager(mono, 393)
    serial = constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL
    assert manager.list_sequences() == sorted([TRAIN, TEST])
    assert manager.list_serials(TRAIN) == [serial]
    assert manager.list_timesteps(TRAIN) == list(range(FRAMES))
    assert not manager.has_sequence(TEST)
    truth = mono / "mono_flame_avatar/393/sequences" / TRAIN / "ground_truth"
    picture = read_rgb(truth / "images" / f"cam_{serial}_000001.png").astype(int)
    alpha = read_alpha(truth / "alpha_maps" / f"cam_{serial}_000001.png").astype(int)
    assert np.abs(manager.load_image(TRAIN, serial, 1, as_uint8=True) - picture).mean() < 3
    assert np.abs(manager.load_alpha_map(TRAIN, serial, 1)[..., 0] - alpha).mean() < 3
    assert (picture[alpha == 0] == 255).all()
    assert float(probe_video(Path(manager.get_images_path(TRAIN, serial))).fps) == pytest.approx(24.3)
    # All cameras of each sequence, those without videos too.
    for sequence, count in ((TRAIN, FRAMES), (TEST, FRAMES + 1)):
        pictures = files(mono / "mono_flame_avatar/393/sequences" / sequence / "ground_truth/images")
        expected = {
            f"cam_{name}_{t:06d}.png" for name in constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS for t in range(count)
        }
        assert pictures == expected


def test_metadata_and_calibration_are_of_the_participant(mono):
    lengths = MonoFLAMEAvatarMetadata.load(mono).participants_metadata[393].sequences_metadata
    assert {name: entry.n_frames for name, entry in lengths.items()} == {TRAIN: FRAMES, TEST: FRAMES + 1}
    cameras = MonoFlameAvatarDataManager(mono, 393).load_camera_calibration()
    assert list(cameras.world_2_cam) == constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS
    intrinsics = own(cameras.intrinsics)
    assert len({str(matrix) for matrix in intrinsics.values()}) == 4, "each camera has its own"
    vertices = np.load(mono / "mono_flame_avatar/393/sequences" / TEST / "ground_truth/vertices.npy")
    for serial, pose_rows in cameras.world_2_cam.items():
        in_camera = vertices[0] @ pose_rows[:3, :3].T + pose_rows[:3, 3]
        x, y, w = (in_camera @ intrinsics[serial].T).T
        middle = np.array([(x / w).mean(), (y / w).mean()])
        assert (np.abs(middle - SIZE / 2) < SIZE / 4).all()
        assert 0.7 < w.min() < w.max() < 1.4


def test_official_kit_reads_the_folders(mono, svfr, kit):
    manager, ours = kit.MonoFlameAvatarDataManager(str(mono), 393), MonoFlameAvatarDataManager(mono, 393)
    serial = constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL
    assert sorted(manager.list_sequences()) == ours.list_sequences()
    assert manager.list_serials(TRAIN) == [serial]
    assert manager.get_n_timesteps(TRAIN) == FRAMES
    found = manager.load_image(TRAIN, serial, 1, as_uint8=True).astype(int)
    assert np.abs(found - ours.load_image(TRAIN, serial, 1, as_uint8=True)).max() < 8
    official, cameras = manager.load_camera_calibration(), ours.load_camera_calibration()
    np.testing.assert_array_equal(official.intrinsics[serial], own(cameras.intrinsics)[serial])
    np.testing.assert_allclose(official.world_2_cam[serial], cameras.world_2_cam[serial], atol=1e-12)
    pictures = kit.SVFRDataManager(str(svfr), 17)
    keys = pictures.list_image_keys()
    expected = sorted(constants.BENCHMARK_SVFR_IMAGE_KEYS[17][:PICTURES])
    assert sorted((key.sequence_name, key.timestep, key.serial) for key in keys) == expected
    same = [key for key in SVFRDataManager(svfr, 17).list_image_keys() if key.to_key() == keys[0].to_key()]
    np.testing.assert_array_equal(pictures.load_image(keys[0]), SVFRDataManager(svfr, 17).load_image(same[0]))


def test_flame_tracking_poses_the_true_vertices(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path / "flame", monkeypatch)
    head = load_flame(path, with_teeth=True)
    flame_files.write_landmarks(path.parent, 70, len(head.faces) // 2)
    changes = {"head": "flame", "flame_model_path": path, "sequence": TEST}
    folder = run(options(tmp_path, "benchmark_mono", 404, **changes))
    tracking = MonoFlameAvatarDataManager(tmp_path, 404).load_flame_tracking(TEST)
    provider, vertices = FlameProvider(tracking, head), np.load(folder / "ground_truth/vertices.npy")
    for t in range(FRAMES):
        found = provider.get_vertices(t)
        np.testing.assert_allclose(found, vertices[t, : len(found)], atol=1e-5)
    given = folder / "tracking/flame2023_tracking_v2.npz"
    before, whole = given.read_bytes(), hashes(folder / "ground_truth")
    given.unlink()
    run(options(tmp_path, "benchmark_mono", 404, **changes))
    assert given.read_bytes() == before
    assert hashes(folder / "ground_truth") == whole


def test_train_sequences_are_captures_of_one_given_camera(mono, tmp_path):
    root = shutil.copytree(mono, tmp_path / "copy") / "mono_flame_avatar"
    sequence = root / "393/sequences" / TRAIN
    preprocess(PreprocessConfig(sequence, landmark_source="none"))
    serial = constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL
    for t in range(FRAMES):
        found, truth = (
            read_alpha(folder / "alpha_maps" / f"cam_{serial}_{t:06d}.png").astype(int)
            for folder in (sequence, sequence / "ground_truth")
        )
        assert np.abs(found - truth).mean() < 3
    data = NersembleV2DataConfig(
        root_folder=root, subject="393", sequence=TRAIN, use_landmark=False,
        align_cameras_to_axes=False,
    )  # fmt: skip
    capture = NersembleCapture(data)
    assert list(capture.camera_ids) == [serial]
    assert len(capture.timestep_ids) == FRAMES
    camera = capture.given_camera()
    assert camera is not None
    truth = camera_of(read_json(sequence / "ground_truth/cameras.json")["cameras"][serial])
    for name in ("fx", "cx", "cy"):
        assert float(getattr(camera, name)[0]) == pytest.approx(float(getattr(truth, name)), rel=1e-4)
    np.testing.assert_allclose(camera.T_camera_world[0].numpy(), truth.T_camera_world.numpy(), atol=1e-5)


def test_pictures_are_the_first_of_the_official_list(svfr):
    official = pytest.importorskip("nersemble_benchmark.constants")
    pattern = official.ASSETS["svfr"]["per_image"]["images"]
    keys = official.BENCHMARK_SVFR_IMAGE_KEYS[17][:PICTURES]
    expected = {pattern.format(p_id=17, seq_name=key[0], timestep=key[1], serial=key[2]) for key in keys}
    assert {name for name in files(svfr / "svfr") if "ground_truth" not in name} == expected
    listed = SVFRDataManager(svfr, 17).list_image_keys()
    assert len(listed) == PICTURES


def test_true_meshes_fill_the_pictures_through_their_cameras(svfr):
    manager, truth = SVFRDataManager(svfr, 17), svfr / "svfr/017/ground_truth"
    cameras, model = read_json(truth / "cameras.json")["cameras"], load_builtin()
    rows = np.load(truth / "vertices.npy")
    points = load_landmarks(truth / "landmark2d/face-alignment.npz", list(cameras)).points
    shape = torch.from_numpy(np.load(truth / "tracked_flame_params_0.npz")["shape"])
    neutral = pose(model, replace(zero_params(model), shape=shape)).numpy()
    poses = set()
    for key in manager.list_image_keys():
        name = Path(manager.get_asset_folder(key)).name
        image, alpha = manager.load_image(key), read_alpha(truth / name / "alpha.png")
        assert (image[alpha == 0] == 255).all()
        posed = load_mesh(truth / name / "mesh_posed.ply", process=False)
        require_inside(camera_of(cameras[name]), torch.tensor(np.array(posed.vertices), dtype=torch.float32), alpha)
        np.testing.assert_array_equal(posed.faces, model.faces.numpy())
        row = list(cameras).index(name)
        np.testing.assert_allclose(posed.vertices, rows[row], atol=1e-6)
        still = load_mesh(truth / name / "mesh_neutral.ply", process=False)
        np.testing.assert_allclose(still.vertices, neutral, atol=1e-6)
        assert np.abs(points[row, 30, :2] * SIZE - project_point(camera_of(cameras[name]), model, rows[row])).max() < 1
        poses.add(tuple(np.round(posed.vertices[0], 4)))
    assert len(poses) == PICTURES, "each picture has its own pose"


def project_point(camera: Camera, model, vertices: np.ndarray) -> np.ndarray:
    """The tip of the nose, in pixels."""
    marks = model.landmarks["ibug"]
    index = int((marks.detector_ids == 30).nonzero()[0, 0])
    corners = torch.from_numpy(vertices)[model.faces[marks.face_ids[index]]]
    return camera.project((corners * marks.barycentrics[index, :, None]).sum(0, keepdim=True))[0][0].numpy()


@pytest.mark.parametrize("layout", ["mono", "svfr"])
def test_a_second_run_changes_nothing_and_completes_what_is_missing(layout, mono, svfr, tmp_path):
    subject, frames = (393, FRAMES) if layout == "mono" else (17, PICTURES)
    root = shutil.copytree(mono if layout == "mono" else svfr, tmp_path / "copy")
    config = options(root, f"benchmark_{layout}", subject, frames=frames)
    whole = hashes(root)
    folder = run(config)
    assert hashes(root) == whole
    lost = [path for path in folder.rglob("*") if path.suffix in (".png", ".ply", ".mp4", ".npy")]
    for path in lost[::2]:
        path.unlink()
    if layout == "mono":
        # Written last, and by each sequence.
        metadata = root / "mono_flame_avatar/metadata.json"
        entry = {"393": {"sequences_metadata": {TEST: {"n_frames": FRAMES + 1}}}}
        metadata.write_text(json.dumps({"participants_metadata": entry}))
    run(config)
    assert {name: entry[0] for name, entry in hashes(root).items()} == {n: e[0] for n, e in whole.items()}
    with pytest.raises(InputError, match="to have the same options, found frames="):
        run(replace(config, frames=frames - 1))


@pytest.mark.parametrize(
    ("layout", "change", "match"),
    [
        ("mono", {"subject": 17}, r"participant of the benchmark as --subject of benchmark_mono \(393, 404"),
        ("svfr", {"subject": 393}, r"participant of the benchmark as --subject of benchmark_svfr \(17, 60"),
        ("mono", {"subject": 393, "sequence": "GLASSES"}, "sequence of the benchmark as --sequence"),
        ("mono", {"subject": 393, "cameras": 3}, "expected 4 as --cameras"),
        ("mono", {"subject": 393, "world": "similarity"}, "multiview only"),
        ("mono", {"subject": 393, "size": 97}, "even --size"),
        ("svfr", {"subject": 17, "camera_file": "colmap"}, "multiview only"),
        ("svfr", {"subject": 17, "cameras": 3}, "--videos and --cameras"),
        ("svfr", {"subject": 17, "fps": 0.5}, "expected --fps from 1"),
    ],
)
def test_what_the_benchmark_does_not_have_is_one_line_and_writes_nothing(layout, change, match, tmp_path):
    with pytest.raises(InputError, match=match) as error:
        run(replace(options(tmp_path / "root", f"benchmark_{layout}", 1), **change))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "root").exists()
