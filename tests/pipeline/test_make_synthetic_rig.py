"""Recordings of a synthetic rig, read with the project's readers and with plain formulas."""

import hashlib
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from vhap.config.synthetic import SyntheticConfig
from vhap.data.cameras.find import read_rig_cameras
from vhap.data.color import correct_affine, correct_polynomial
from vhap.data.landmark_files import load_landmarks
from vhap.data.nersemble.catalogue import SERIALS
from vhap.data.pictures import read_alpha, read_rgb
from vhap.data.results import load_result
from vhap.head.builtin import load_builtin
from vhap.head.model import landmark_points
from vhap.pipeline.make_synthetic_capture import run
from vhap.pipeline.make_synthetic_rig import rig_places
from vhap.render.shading import shade
from vhap.synthetic.rig import metric_world, similar_world
from vhap.util.errors import InputError
from vhap.util.files import read_json

FRAMES, CAMERAS, WIDTH, HEIGHT = 2, 3, 66, 96


def options(output: Path, **changes) -> SyntheticConfig:
    plain = SyntheticConfig(
        output=output,
        layout="nersemble_v1",
        frames=FRAMES,
        cameras=CAMERAS,
        width=WIDTH,
        height=HEIGHT,
        image_format="png",
        landmark_source="face-alignment",
        landmark_noise_px=0.5,
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """One recording in each layout, and one for each way to describe a rig's cameras."""
    folder = tmp_path_factory.mktemp("root")
    run(options(folder / "v1"))
    run(options(folder / "v2", layout="nersemble_v2", videos=True))
    for name in ("camera_params", "transforms", "colmap"):
        run(options(folder / "rigs", layout="multiview", sequence=name, camera_file=name, world="similarity"))
    return folder


RECORDINGS = {
    "v1": ("v1/001/EXP-1-head", "v1/camera_params/001"),
    "v2": ("v2/001/sequences/EXP-1-head", "v2/001/calibration"),
    **{name: (f"rigs/{name}", f"rigs/{name}") for name in ("camera_params", "transforms", "colmap")},
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_vertices_of_the_truth_meet_the_calibration_and_the_pictures(root, name):
    """The written cameras project the written vertices onto the exact landmarks and into the alpha maps."""
    folder, calibration = (root / part for part in RECORDINGS[name])
    rig, model = read_rig_cameras(calibration), load_builtin()
    assert len(rig.names) == CAMERAS
    vertices = torch.from_numpy(np.load(folder / "ground_truth" / "vertices.npy"))
    exact = np.load(folder / "ground_truth" / "landmarks.npz")
    assert exact["ibug_px"].shape == (FRAMES, CAMERAS, 70, 2)
    marks = model.landmarks["ibug"]
    corners = vertices[:, model.faces[marks.face_ids]]
    points = (corners * marks.barycentrics[..., None]).sum(2)
    still = marks.detector_ids >= 17  # the jaw line slides with the view
    for index, serial in enumerate(rig.names):
        camera = rig.camera(index, torch.float64).resized(HEIGHT, WIDTH)
        points_px, depth = camera.project(points.double())
        ids = marks.detector_ids[still]
        np.testing.assert_allclose(points_px[:, still].numpy(), exact["ibug_px"][:, index, ids], atol=2e-3)
        assert depth.min() > 0
        for t in range(FRAMES):
            stem = f"cam_{serial}_{t:06d}" if name.startswith("v") else f"{serial}/{t:06d}"
            alpha = maximum_filter(read_alpha(folder / "alpha_maps" / f"{stem}.png"), 3)
            x, y = camera.project(vertices[t].double())[0].numpy().astype(int).T
            seen = (x > 1) & (x < WIDTH - 2) & (y > 1) & (y < HEIGHT - 2)
            assert seen.mean() > 0.5
            assert (alpha[y[seen], x[seen]] > 0).mean() > 0.99


def test_cameras_stand_on_an_arc_before_the_face(root):
    rig = read_rig_cameras(root / "v1/camera_params/001")
    assert rig.names == ("222200042", "222200037", "221501007")
    truth = read_json(root / "v1/001/EXP-1-head/ground_truth/cameras.json")["similarity"]
    centres = np.linalg.inv(rig.T_camera_world)[:, :3, 3]
    metric = (centres - truth["translation"]) @ np.array(truth["rotation"])
    azimuth = np.degrees(np.arctan2(metric[:, 0], metric[:, 2]))
    assert azimuth[[0, 1]] == pytest.approx([-45, 0], abs=1e-6)
    assert 35 < azimuth[2] <= 45
    assert np.linalg.norm(metric, axis=1) == pytest.approx(1, abs=0.06)
    assert rig.sizes.tolist() == [[3208, 2200]] * 3


@pytest.mark.parametrize("count", range(1, 17))
def test_any_number_of_cameras_has_the_front_view_and_the_order_of_the_rig(count):
    places = rig_places(count)
    assert len(set(places)) == count
    assert places == sorted(places)
    assert SERIALS[8] in [SERIALS[place] for place in places]


@pytest.mark.parametrize("serial", [SERIALS[0], SERIALS[8], SERIALS[15]])
def test_colour_corrections_lead_from_either_layout_to_the_same_picture(root, serial):
    """Person, motion and cameras are the same in both layouts; only what their cameras do to colours differs."""
    stored, alpha = {}, {}
    for layout in ("v1", "v2"):
        folder = root / RECORDINGS[layout][0]
        stored[layout] = read_rgb(folder / "images" / f"cam_{serial}_000000.png")
        alpha[layout] = read_alpha(folder / "alpha_maps" / f"cam_{serial}_000000.png")
        plate = read_rgb(folder.parent / "BACKGROUND" / f"image_{serial}.jpg").astype(int)
        assert np.abs(stored[layout] - plate)[alpha[layout] == 0].mean() < 3, "plates have the camera's own colours"
    np.testing.assert_array_equal(alpha["v1"], alpha["v2"])
    affine = np.load(root / "v1/color_correction/001" / f"{serial}.npy")
    polynomial = np.array(read_json(root / "v2/001/calibration/color_calibration.json")[serial])
    first, second = correct_affine(stored["v1"], affine), correct_polynomial(stored["v2"], polynomial)
    assert np.abs(first.astype(int) - second).mean() < 0.8
    for layout, corrected in (("v1", first), ("v2", second)):
        assert np.abs(corrected.astype(int) - stored[layout]).mean() > 4, "there is something to correct"


def test_noise_of_each_camera_has_the_asked_size(root):
    folder = root / "v1/001/EXP-1-head"
    exact = np.load(folder / "ground_truth/landmarks.npz")
    errors = []
    for index, serial in enumerate(read_rig_cameras(root / "v1/camera_params/001").names):
        found = load_landmarks(folder / f"landmark2d/face-alignment/{serial}.npz", ["000000", "000001"])
        visibility = exact["ibug_visibility"][:, index]
        np.testing.assert_allclose(found.points[..., 2], visibility)
        error = found.points[..., :2] * (WIDTH, HEIGHT) - exact["ibug_px"][:, index]
        errors.append(np.where(visibility[..., None] > 0, error, np.nan))
    assert np.nanstd(errors) == pytest.approx(0.5, rel=0.1)
    assert np.nanmax(np.abs(errors[0] - errors[1])) > 0.1, "noise is each camera's own"


@pytest.mark.parametrize("make", [metric_world, similar_world])
def test_a_world_moves_cameras_motion_and_light_alike(root, make):
    world, model = make(3), load_builtin()
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    lights = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    turned = (normals.double() @ torch.from_numpy(world.rotation).T).float()
    torch.testing.assert_close(shade(turned, world.lights(lights)), shade(normals, lights), atol=1e-4, rtol=0)
    result = load_result(root / "rigs/colmap/ground_truth/tracked_flame_params_0.npz", model.identity)
    written = read_json(root / "rigs/colmap/ground_truth/cameras.json")["similarity"]
    assert result.scale is not None
    assert result.scale.item() == pytest.approx(written["scale"])
    pose = np.eye(4)
    pose[:3, 3] = -1, 2, -3
    point = np.array([0.1, 0.2, 0.3])
    moved = world.camera_pose(pose)
    there = moved[:3, :3] @ (world.scale * world.rotation @ point + world.translation) + moved[:3, 3]
    np.testing.assert_allclose(there, world.scale * (point + pose[:3, 3]), atol=1e-12)


def test_parameters_pose_the_jaw_line_into_every_camera(root):
    """The jaw line depends on the view; the truth's points are those of the head's own pose."""
    folder = root / "v1/001/EXP-1-head"
    seen = np.load(folder / "ground_truth/landmarks.npz")["ibug_px"][:, :, :17]
    model, vertices = load_builtin(), torch.from_numpy(np.load(folder / "ground_truth/vertices.npy"))
    frontal = landmark_points(model, vertices, "ibug")
    rig = read_rig_cameras(root / "v1/camera_params/001")
    projected = rig.camera(1).resized(HEIGHT, WIDTH).project(frontal)[0][:, :17].numpy()
    assert np.abs(projected - seen[:, 1]).mean() < 3


def test_videos_hold_the_pictures(root):
    folder = root / "v2/001/sequences/EXP-1-head"
    frames = imageio_ffmpeg.read_frames(str(folder / "images" / "cam_222200037.mp4"))
    next(frames)
    pictures = [np.frombuffer(frame, np.uint8).reshape(HEIGHT, WIDTH, 3) for frame in frames]
    assert len(pictures) == FRAMES
    stored = read_rgb(folder / "images" / "cam_222200037_000001.png")
    assert np.abs(pictures[1].astype(float) - stored).mean() < 5


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_interrupted_recordings_are_completed_and_sequences_share_a_calibration(root, tmp_path):
    run(options(tmp_path / "v1"))
    whole = hashes(root / "v1")
    assert hashes(tmp_path / "v1") == whole
    folder = tmp_path / "v1/001/EXP-1-head"
    for name in (
        "images/cam_222200037_000001.png",
        "landmark2d/face-alignment/221501007.npz",
        "ground_truth/vertices.npy",
    ):
        (folder / name).unlink()
    run(options(tmp_path / "v1"))
    assert hashes(tmp_path / "v1") == whole
    other = run(options(tmp_path / "v1", sequence="EMO-1-shout+laugh"))
    after = hashes(tmp_path / "v1")
    assert {name: after[name] for name in whole} == whole
    truth = [load_result(path / "ground_truth/tracked_flame_params_0.npz") for path in (folder, other)]
    np.testing.assert_array_equal(truth[0].shape, truth[1].shape)
    assert np.abs(truth[0].rotation - truth[1].rotation).max() > 0.01
    with pytest.raises(InputError, match=r"cameras of these options.*found others"):
        run(options(tmp_path / "v1", sequence="EXP-2-eyes", cameras=4))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cameras": 17}, "cameras"),
        ({"layout": "multiview", "cameras": 1}, "cameras"),
        ({"width": 20}, "width"),
        ({"width": 275, "videos": True}, "even"),
        ({"layout": "single_frame", "videos": True}, "videos"),
        ({"layout": "single_frame", "world": "similarity"}, "multiview only"),
        ({"world": "similarity"}, "multiview only"),
        ({"camera_file": "colmap"}, "multiview only"),
        ({"sequence": "a/b"}, "sequence"),
        ({"sequence": ".."}, "sequence"),
    ],
)
def test_options_out_of_range_write_nothing(change, match, tmp_path):
    with pytest.raises(InputError, match=match):
        run(options(tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()
