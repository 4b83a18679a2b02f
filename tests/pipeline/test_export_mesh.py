"""From a run folder to mesh files, through the command; read back by trimesh and by a glTF reader of our own."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import trimesh
from glb_reader import read_glb
from scipy.spatial.transform import Rotation
from small_run import COUNT, make_result, make_run, write_run

from vhap import cli
from vhap.data.pictures import read_alpha
from vhap.data.results import TrackResult
from vhap.evaluate.run_scene import RunScene
from vhap.geometry.meshes import barycentric_points
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline.open_run import open_run


@pytest.fixture(scope="module")
def head() -> HeadModel:
    torch.set_num_threads(1)
    return load_head("builtin", n_shape=5)


@pytest.fixture(autouse=True)
def one_head(monkeypatch, head) -> None:
    use_head(monkeypatch, head)


def use_head(monkeypatch, head: HeadModel) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, head) -> Path:
    return make_run(tmp_path_factory.mktemp("data"), head, moving_result(head))


def moving_result(head: HeadModel, **changes) -> TrackResult:
    """Everything that poses a head differs from its neutral value and moves, all joints included."""
    random = np.random.default_rng(4)

    def rows(width: int, size: float) -> np.ndarray:
        return random.uniform(-size, size, (COUNT, width)).astype(np.float32)

    values = {
        "rotation": rows(3, 0.4),
        "neck_pose": rows(3, 0.3),
        "jaw_pose": np.abs(rows(3, 0.2)),
        "eyes_pose": rows(6, 0.3),
        "expr": rows(head.n_expr, 1.2),
        "albedo": random.integers(0, 256, (3, 32, 32)).astype(np.float32) / 255,
        "static_offset": random.normal(0, 5e-4, (1, head.n_vertices, 3)).astype(np.float32),
        "scale": np.array(1.1, np.float32),
    }
    return replace(make_result(head), **values | changes)


def export(source: Path, target: Path, *options: str) -> Path:
    cli.main(["export-mesh", "--src_folder", str(source), "--tgt-folder", str(target), *options])
    return target


def tracked(source: Path) -> RunScene:
    return open_run(source)


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3) of an OBJ file, by its lines."""
    lines = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    faces = np.array([[int(corner.split("/")[0]) for corner in line[1:]] for line in lines if line[0] == "f"]) - 1
    return vertices, faces


def project(cameras: Path, points: np.ndarray) -> np.ndarray:
    """(N, 3) -> (N, 2) pixels, by the formula that the documentation gives for cameras.json."""
    (camera,) = json.loads(cameras.read_text())["cameras"]
    x, y, z, _ = np.array(camera["world_to_camera"]) @ np.c_[points, np.ones(len(points))].T
    return np.stack([camera["fl_x"] * x / -z + camera["cx"], camera["cy"] - camera["fl_y"] * y / -z], -1)


def test_obj_keeps_vertices_uvs_faces_and_texture(tmp_path, run_folder, head) -> None:
    target = export(run_folder, tmp_path / "M")
    names = [f"frame_{row:05d}.obj" for row in range(COUNT)]
    rest = ["blendshapes.csv", "cameras.json", "export_mesh.json", "head.mtl", "head.png"]
    assert sorted(path.name for path in target.iterdir()) == sorted([*names, *rest])
    scene = tracked(run_folder)
    for row, name in enumerate(names):
        vertices, faces = read_obj(target / name)
        np.testing.assert_allclose(vertices, scene.vertices(row).numpy(), atol=1e-5)
        np.testing.assert_array_equal(faces, head.faces.numpy())
        mesh = trimesh.load(target / name, process=False)
        np.testing.assert_allclose(mesh.triangles, scene.vertices(row)[head.faces].numpy(), atol=1e-5)
        np.testing.assert_allclose(mesh.visual.uv[mesh.faces], head.uvs[head.uv_faces].numpy(), atol=1e-5)
        np.testing.assert_array_equal(np.asarray(mesh.visual.material.image), albedo(scene))


def albedo(scene: RunScene) -> np.ndarray:
    assert scene.result.albedo is not None
    return np.rint(scene.result.albedo.transpose(1, 2, 0) * 255).astype(np.uint8)


def test_obj_vertices_project_onto_pictures_and_landmarks(tmp_path, run_folder, head) -> None:
    target = export(run_folder, tmp_path / "M")
    scene = tracked(run_folder)
    frames = json.loads((target / "cameras.json").read_text())["frames"]
    assert [frame["timestep_index"] for frame in frames] == list(range(COUNT))
    marks = head.landmarks["ibug"]
    for row, frame in enumerate(frames):
        vertices, faces = read_obj(target / frame["meshes"][0])
        filmed = read_alpha(run_folder.parent / f"person/alpha_maps/{frame['timestep_id']}.png") > 127
        drawn = np.zeros(filmed.shape, np.uint8)
        for triangle in np.round((project(target / "cameras.json", vertices) - 0.5) * 16).astype(np.int32)[faces]:
            cv2.fillConvexPoly(drawn, triangle, 1, shift=4)
        assert (filmed & (drawn > 0)).sum() / (filmed | (drawn > 0)).sum() > 0.93
        points = barycentric_points(torch.tensor(vertices), head.faces, marks.face_ids, marks.barycentrics).numpy()
        np.testing.assert_allclose(
            project(target / "cameras.json", points), scene.landmarks_px(row).numpy().reshape(-1, 2), atol=0.01
        )


def test_ply_has_the_vertices_in_their_order(tmp_path, run_folder, head) -> None:
    target = export(run_folder, tmp_path / "M", "--format", "ply", "--subset", "ti1tj2")
    assert sorted(path.name for path in target.glob("frame_*")) == ["frame_00000.ply", "frame_00001.ply"]
    mesh = trimesh.load(target / "frame_00001.ply", process=False)
    np.testing.assert_allclose(mesh.vertices, tracked(run_folder).vertices(2).numpy(), atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, head.faces.numpy())
    frames = json.loads((target / "cameras.json").read_text())["frames"]
    assert [(frame["timestep_id"], frame["meshes"]) for frame in frames] == [
        ("000001", ["frame_00000.ply"]),
        ("000002", ["frame_00001.ply"]),
    ]


@pytest.mark.parametrize("animation", ["blendshapes", "frames"])
def test_glb_moves_as_the_run(tmp_path, run_folder, head, animation) -> None:
    target = export(run_folder, tmp_path / "M", "--format", "gltf", "--gltf_animation", animation, "--fps", "50")
    glb = read_glb(target / "head.glb")
    scene = tracked(run_folder)
    assert_moves(glb, scene)
    np.testing.assert_allclose(glb.times(), np.arange(COUNT) / 50, atol=1e-6)
    names = glb.tree["meshes"][0]["extras"]["targetNames"]
    frames = [f"frame_{row:05d}" for row in range(COUNT)]
    assert names == (list(head.expr_names) if animation == "blendshapes" else frames)
    uvs = head.uvs[head.uv_faces].numpy().reshape(-1, 2)
    of_corner = glb.accessor(glb.primitive["indices"])[:, 0]
    np.testing.assert_allclose(glb.attribute("TEXCOORD_0")[of_corner], np.c_[uvs[:, 0], 1 - uvs[:, 1]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, atol=1e-5)


def assert_moves(glb, scene: RunScene) -> None:
    """Every corner of every triangle is where the run has it, at all times."""
    of_corner = glb.accessor(glb.primitive["indices"])[:, 0]
    for row in range(scene.n_rows):
        expected = scene.vertices(row)[scene.model.faces].numpy().reshape(-1, 3)
        np.testing.assert_allclose(glb.vertices(row)[of_corner], expected, atol=2e-6)


def test_glb_shows_the_neutral_head_in_trimesh(tmp_path, run_folder, head) -> None:
    target = export(run_folder, tmp_path / "M", "--format", "gltf", "obj")
    assert (target / "frame_00004.obj").exists()
    scene = tracked(run_folder)
    (mesh,) = trimesh.load(target / "head.glb", process=False).geometry.values()
    offset = torch.from_numpy(scene.result.static_offset[0])
    neutral = head.template + head.shape_basis @ torch.from_numpy(scene.result.shape) + offset
    np.testing.assert_allclose(mesh.triangles, neutral[head.faces].numpy(), atol=1e-6)
    material = mesh.visual.material
    np.testing.assert_array_equal(np.asarray(material.baseColorTexture)[..., :3], albedo(scene))


def test_glb_of_a_head_with_pose_correctives_and_five_joints_at_a_vertex(monkeypatch, tmp_path, head) -> None:
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(head.n_vertices, 5, generator=generator)
    rich = replace(
        head,
        pose_basis=torch.randn(head.n_vertices, 3, 36, generator=generator) * 0.01,
        weights=weights / weights.sum(1, keepdim=True),
        expr_names=(),
    )
    use_head(monkeypatch, rich)
    source = make_run(tmp_path, rich, moving_result(rich))
    glb = read_glb(export(source, tmp_path / "M", "--format", "gltf") / "head.glb")
    assert_moves(glb, tracked(source))
    names = glb.tree["meshes"][0]["extras"]["targetNames"]
    assert names == [f"expr_{k:03d}" for k in range(rich.n_expr)] + [f"pose_{k:02d}" for k in range(36)]
    assert not (tmp_path / "M/blendshapes.csv").exists()


def test_offsets_that_move_go_into_frames_only(monkeypatch, tmp_path, run_folder, head, capsys) -> None:
    moving = np.random.default_rng(6).normal(0, 1e-3, (COUNT, head.n_vertices, 3)).astype(np.float32)
    source = write_run(tmp_path / "out", run_folder.parent, moving_result(head, dynamic_offset=moving))
    assert "take --gltf_animation frames" in refused(capsys, source, tmp_path / "M", "--format", "gltf")
    assert not (tmp_path / "M").exists()
    options = ("--format", "gltf", "obj", "--gltf-animation", "frames")
    target = export(source, tmp_path / "M", *options)
    scene = tracked(source)
    assert_moves(read_glb(target / "head.glb"), scene)
    np.testing.assert_allclose(read_obj(target / "frame_00003.obj")[0], scene.vertices(3).numpy(), atol=1e-5)


def test_blendshapes_are_the_coefficients_by_arkit_names(tmp_path, run_folder, head) -> None:
    target = export(run_folder, tmp_path / "M", "--format", "ply", "--subset", "ti3tj4", "--fps", "2")
    with open(target / "blendshapes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    result = tracked(run_folder).result
    assert [row["Timecode"] for row in rows] == ["00:00:01:01.000", "00:00:02:00.000"]
    for row, tracked_row in zip(rows, (3, 4)):
        assert len(row) == 63
        assert row["BlendShapeCount"] == "61"
        coefficient = dict(zip(head.expr_names, result.expr[tracked_row]))
        for column, name in (("EyeBlinkLeft", "eyeBlink_L"), ("MouthUpperUpRight", "mouthUpperUp")):
            assert float(row[column]) == pytest.approx(float(np.clip(coefficient[name], 0, 1)), abs=1e-6)
        assert float(row["TongueOut"]) == 0
        skull = Rotation.from_rotvec(result.rotation[tracked_row]) * Rotation.from_rotvec(result.neck_pose[tracked_row])
        eye = Rotation.from_rotvec(result.eyes_pose[tracked_row, 3:])
        for part, rotation in (("Head", skull), ("RightEye", eye)):
            angles = [float(row[f"{part}{angle}"]) for angle in ("Yaw", "Pitch", "Roll")]
            np.testing.assert_allclose(angles, rotation.as_euler("YXZ"), atol=1e-5)


def test_the_frame_rate_is_the_one_of_extraction(tmp_path, head) -> None:
    source = make_run(tmp_path, head, moving_result(head))
    (tmp_path / "person/extraction.json").write_text('{"fps": "30000/1001"}')
    target = export(source, tmp_path / "M")
    frames = json.loads((target / "cameras.json").read_text())["frames"]
    assert frames[3]["time_s"] == pytest.approx(3 * 1001 / 30000)


def test_a_second_export_completes_or_replaces_the_first(tmp_path, run_folder) -> None:
    target = export(run_folder, tmp_path / "M")
    kept, lost = target / "frame_00001.obj", target / "frame_00002.obj"
    before, content = kept.stat().st_mtime_ns, lost.read_text()
    lost.unlink()
    export(run_folder, target)
    assert lost.read_text() == content
    assert kept.stat().st_mtime_ns == before
    export(run_folder, target, "--format", "gltf")
    assert sorted(path.name for path in target.iterdir()) == [
        *("blendshapes.csv", "cameras.json", "export_mesh.json", "head.glb"),
    ]


def test_the_last_epoch_stands_for_one_that_was_not_needed(tmp_path, run_folder) -> None:
    export(run_folder, tmp_path / "M", "--format", "ply", "--subset", "ti0", "--epoch", "30")
    assert [path.name for path in (tmp_path / "M_epoch30").glob("*.ply")] == ["frame_00000.ply"]
    assert open_run(run_folder, 30).epoch == 0, "which evaluation and report name"


def refused(capsys, source: Path, target: Path, *options: str) -> str:
    """The one line that a wrong call ends with."""
    with pytest.raises(SystemExit) as stopped:
        export(source, target, *options)
    assert stopped.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    return line


def test_bad_input_is_one_line_and_exit_status_2(tmp_path, run_folder, capsys) -> None:
    (tmp_path / "file").write_text("mine")
    cases = [
        (tmp_path / "none", tmp_path / "M", [], "expected a tracking output folder"),
        (tmp_path, tmp_path / "M", [], "track first"),
        (run_folder, tmp_path / "M", ["--epoch", "7"], "found epochs [0]"),
        (run_folder, tmp_path / "file", [], "choose another folder"),
        (run_folder, run_folder.parent / "person", [], "folder with other files"),
        (run_folder, tmp_path / "M", ["--format", "fbx"], "fbx"),
        (run_folder, tmp_path / "M", ["--format"], "--format"),
        (run_folder, tmp_path / "M", ["--fps", "0"], "above 0 and at most 10000 for --fps"),
        (run_folder, tmp_path / "M", ["--subset", "ti9"], "expected indices from 0 to 4"),
    ]
    for source, target, options, message in cases:
        assert message in refused(capsys, source, target, *options)
    assert not (tmp_path / "M").exists()
    assert (tmp_path / "file").read_text() == "mine"
