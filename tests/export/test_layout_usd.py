"""USD's own library reads the head: it passes the validators, moves as it was tracked, and is seen where it was."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from layout_runs import COUNT, shown_row, write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from flame_like_builtin import write_builtin_as_flame
from rig_run import CAMERAS, FRAMES, make_capture, run_of, track_config, write_true_run
from subject_run import loaded_once

from vhap.api import export, open_run
from vhap.config.export import ExportConfig
from vhap.config.track import ModelConfig
from vhap.data.results import load_result, newest_run, save_result
from vhap.export.centred_result import CentredTrack, centre
from vhap.pipeline.export_as_nerf_dataset import open_job
from vhap.util.errors import InputError

LARGEST_ERROR_M, LARGEST_ERROR_PX = 2e-6, 1e-3
HEADS = ("builtin", "flame")


@pytest.fixture(autouse=True)
def one_head(monkeypatch) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)


@pytest.fixture(scope="module")
def run_folders(tmp_path_factory) -> dict[str, Path]:
    """The built-in head, which has no pose correctives, and one in FLAME's files, which has."""
    with pytest.MonkeyPatch.context() as patch:
        path = write_builtin_as_flame(tmp_path_factory.mktemp("flame"), patch)
    models = {"builtin": ModelConfig(head="builtin"), "flame": ModelConfig(head="flame", flame_model_path=path)}
    return {name: write_run(tmp_path_factory.mktemp(name), model) for name, model in models.items()}


@pytest.fixture(scope="module")
def rig_folder(tmp_path_factory) -> Path:
    """In a calibration's world that is neither metric nor upright."""
    root = tmp_path_factory.mktemp("rig")
    make_capture(root, "multiview")
    write_true_run(track_config(root, "multiview"))
    return run_of(root, "multiview")


def exported(run_folder: Path, target: Path, **options: Any) -> Any:
    """The stage of an export."""
    from pxr import Usd

    return Usd.Stage.Open(str(export(run_folder, target, layout="usd", **options) / "head.usdc"))


def tracked(run_folder: Path, target: Path, **options: Any) -> CentredTrack:
    """The same run in metres, in the world of tracking."""
    source = open_job(ExportConfig(run_folder, target, layout="usd", **options))[0].source
    return centre(source.head, source.result, source.cameras, to_origin=False)


def changed_run(source: Path, root: Path, **changes: Any) -> Path:
    """A copy of a run with another result; it shows the same pictures."""
    run = root / "out" / newest_run(source).name
    run.mkdir(parents=True)
    (run / "config.yml").write_bytes((newest_run(source) / "config.yml").read_bytes())
    old = next(newest_run(source).glob("*.npz"))
    save_result(run / old.name, replace(load_result(old), **changes))
    return root / "out"


def faults(path: Path) -> list[str]:
    """What USD's own checker finds."""
    from pxr import Sdr, Tf, Usd, UsdUtils

    if hasattr(UsdUtils, "ComplianceChecker"):
        knows_shaders = False
        # Wheels of 2024 come without the definitions of USD's own shaders, and say so once.
        with contextlib.suppress(Tf.ErrorException):
            knows_shaders = Sdr.Registry().GetNodeByIdentifier("UsdPreviewSurface") is not None
        checker = UsdUtils.ComplianceChecker(arkit=False, skipARKitRootLayerCheck=True)
        checker.CheckCompliance(str(path))
        found = [*checker.GetErrors(), *checker.GetFailedChecks(), *checker.GetWarnings()]
        return [fault for fault in found if knows_shaders or "invalid shader node" not in fault]
    from pxr import UsdValidation

    registry = UsdValidation.ValidationRegistry()
    validators = registry.GetOrLoadAllValidators()
    assert len(validators) > 10
    found = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(path)))
    return [f"{error.GetName()}: {error.GetMessage()}" for error in found]


class SkinnedMesh:
    """What UsdSkel makes of the file, by its own queries."""

    def __init__(self, stage: Any) -> None:
        from pxr import Usd, UsdGeom, UsdSkel

        self.stage = stage  # Prims do not keep it.
        self.mesh = UsdGeom.Mesh.Get(stage, "/World/Head/Mesh")
        root, cache = UsdSkel.Root.Get(stage, "/World/Head"), UsdSkel.Cache()
        cache.Populate(root, Usd.PrimDefaultPredicate)
        self.skeleton = cache.GetSkelQuery(UsdSkel.Skeleton.Get(stage, "/World/Head/Skeleton"))
        self.skinning = cache.GetSkinningQuery(self.mesh.GetPrim())
        self.shapes = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(self.mesh.GetPrim()))
        self.points = self.mesh.GetPointsAttr().Get()

    def vertices(self, code: float) -> np.ndarray:
        """(V, 3) in the world."""
        from pxr import Vt

        points = Vt.Vec3fArray(self.points)
        weights = self.skeleton.GetAnimQuery().ComputeBlendShapeWeights(code)
        mapper = self.skinning.GetBlendShapeMapper()
        if mapper is not None:
            weights = mapper.Remap(weights)
        parts = self.shapes.ComputeSubShapeWeights(weights)
        indices, offsets = self.shapes.ComputeBlendShapePointIndices(), self.shapes.ComputeSubShapePointOffsets()
        assert self.shapes.ComputeDeformedPoints(*parts, indices, offsets, points)
        transforms = self.skeleton.ComputeSkinningTransforms(code)
        assert self.skinning.ComputeSkinnedPoints(transforms, points, code)
        return np.array(points, np.float64)


@pytest.mark.parametrize("head", HEADS)
def test_the_checker_finds_nothing(tmp_path, run_folders, head) -> None:
    pytest.importorskip("pxr")
    stage = exported(run_folders[head], tmp_path / "out")
    assert faults(Path(stage.GetRootLayer().realPath)) == []


@pytest.mark.parametrize("head", HEADS)
def test_usd_skel_moves_the_head_as_it_was_tracked(tmp_path, run_folders, head) -> None:
    pytest.importorskip("pxr")
    from pxr import UsdSkel

    stage = exported(run_folders[head], tmp_path / "out")
    track, skinned = tracked(run_folders[head], tmp_path / "out"), SkinnedMesh(stage)
    extent = UsdSkel.Root.Get(stage, "/World/Head").GetExtentAttr()
    assert (track.head.pose_basis is None) == (head == "builtin")
    assert COUNT > 10
    for row in range(COUNT):
        vertices = skinned.vertices(row)
        difference = vertices - track.vertices(row).numpy()
        assert np.linalg.norm(difference, axis=1).max() < LARGEST_ERROR_M
        bounds = np.array(extent.Get(row))
        np.testing.assert_allclose(bounds, [vertices.min(0), vertices.max(0)], atol=LARGEST_ERROR_M)


def test_offsets_are_in_the_mesh_and_of_those_that_move_their_mean(tmp_path, run_folders, caplog) -> None:
    pytest.importorskip("pxr")
    count = tracked(run_folders["builtin"], tmp_path / "out").head.n_vertices
    rng = np.random.default_rng(2)
    still = (0.002 * rng.standard_normal((1, count, 3))).astype(np.float32)
    moving = (0.001 * rng.standard_normal((COUNT, count, 3))).astype(np.float32)
    for name, dynamic in (("still", None), ("moving", moving)):
        source = changed_run(run_folders["builtin"], tmp_path / name, static_offset=still, dynamic_offset=dynamic)
        caplog.clear()
        skinned = SkinnedMesh(exported(source, tmp_path / f"{name}_usd"))
        track = tracked(source, tmp_path / f"{name}_usd")
        distance = np.linalg.norm(skinned.vertices(4) - track.vertices(4).numpy(), axis=1)
        if dynamic is None:
            assert distance.max() < LARGEST_ERROR_M
            assert "moving offsets" not in caplog.text
            continue
        expected = 1000 * np.linalg.norm(moving - moving.mean(0), axis=-1)
        np.testing.assert_allclose(1000 * distance, expected[4], atol=0.02)  # Blended turns shorten.
        assert f"lie {expected.mean():.2f} mm from the tracked ones on average, and at most" in caplog.text


def seen_by(stage: Any, path: str, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, 3) -> (N, 2) px by the frustum of a camera of the stage."""
    from pxr import Gf, UsdGeom

    frustum = UsdGeom.Camera.Get(stage, path).GetCamera(0).frustum
    matrix = np.array(frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix())
    clip = np.concatenate([points, np.ones((len(points), 1))], 1) @ matrix
    assert isinstance(frustum, Gf.Frustum)
    ndc = clip[:, :2] / clip[:, 3:]
    return np.stack([(ndc[:, 0] + 1) / 2 * size[1], (1 - ndc[:, 1]) / 2 * size[0]], 1)


def camera_paths(stage: Any) -> list[str]:
    from pxr import UsdGeom

    return [str(prim.GetPath()) for prim in stage.Traverse() if prim.IsA(UsdGeom.Camera)]


def test_all_cameras_of_a_rig_see_the_head_where_the_tracked_ones_do(tmp_path, rig_folder) -> None:
    pytest.importorskip("pxr")
    from pxr import UsdGeom

    stage, track = exported(rig_folder, tmp_path / "out"), tracked(rig_folder, tmp_path / "out")
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    skinned, paths = SkinnedMesh(stage), camera_paths(stage)
    assert len(paths) == len(track.cameras) == CAMERAS
    for row in range(FRAMES):
        vertices = skinned.vertices(float(track.result.timestep_index[row]))
        assert 0.1 < np.ptp(vertices[:, 1]) < 0.5
        for path, camera in zip(paths, track.cameras):
            pixels = seen_by(stage, path, vertices, (camera.height, camera.width))
            wanted = camera.project(track.vertices(row))[0].numpy()
            assert np.abs(pixels - wanted).max() < LARGEST_ERROR_PX * 10
    assert faults(Path(stage.GetRootLayer().realPath)) == []


def test_an_excentric_camera_of_oblong_pixels_is_held(tmp_path) -> None:
    pxr_sdf = pytest.importorskip("pxr.Sdf")
    from pxr import Usd

    from vhap.export.usd_cameras import add_camera
    from vhap.export.usd_stage import usd_modules
    from vhap.geometry.cameras import Camera
    from vhap.geometry.rotations import axis_angle_to_matrix

    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = axis_angle_to_matrix(torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64))
    pose[:3, 3] = torch.tensor([0.1, 0.2, -1.3])
    fx, fy, cx, cy = (torch.tensor(value, dtype=torch.float64) for value in (700.0, 650.0, 210.0, 330.0))
    camera = Camera(fx, fy, cx, cy, pose, 480, 640)
    stage = Usd.Stage.Open(pxr_sdf.Layer.CreateAnonymous(".usda"))
    add_camera(usd_modules(), stage, "/Camera", camera, "left")
    points = torch.from_numpy(0.2 * np.random.default_rng(0).standard_normal((50, 3)))
    pixels = seen_by(stage, "/Camera", points.numpy(), (480, 640))
    assert np.abs(pixels - camera.project(points)[0].numpy()).max() < LARGEST_ERROR_PX
    assert stage.GetPrimAtPath("/Camera").GetDisplayName() == "left"


def test_uvs_texture_and_names_are_the_head_s(tmp_path, run_folders) -> None:
    pytest.importorskip("pxr")
    from pxr import UsdGeom, UsdShade, UsdSkel

    stage, track = exported(run_folders["builtin"], tmp_path / "out"), tracked(run_folders["builtin"], tmp_path / "out")
    mesh, head = UsdGeom.Mesh.Get(stage, "/World/Head/Mesh"), track.head
    faces = np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    np.testing.assert_array_equal(faces, head.faces.numpy())
    st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
    assert st.GetInterpolation() == "faceVarying"
    np.testing.assert_array_equal(np.array(st.ComputeFlattened()), head.uvs.numpy()[head.uv_faces.numpy().reshape(-1)])
    material, _ = UsdShade.MaterialBindingAPI(mesh.GetPrim()).ComputeBoundMaterial()
    surface = material.ComputeSurfaceSource()[0]
    texture = surface.GetInput("diffuseColor").GetConnectedSources()[0][0].source
    file = UsdShade.Shader(texture.GetPrim()).GetInput("file").Get()
    assert Path(file.resolvedPath) == tmp_path / "out" / "head.png"
    written = cv2.imread(file.resolvedPath)[..., ::-1]
    np.testing.assert_array_equal(written, open_run(run_folders["builtin"]).scene.albedo_bytes())
    names = list(UsdSkel.BindingAPI(mesh.GetPrim()).GetBlendShapesAttr().Get())
    assert len(set(names)) == len(names)
    assert [name for name in names if not name.endswith("_minus")] == list(head.expr_names)
    normals = np.array(mesh.GetNormalsAttr().Get())
    assert normals.shape == (head.n_vertices, 3)


@pytest.mark.parametrize("head", HEADS)
def test_weights_run_from_0_to_1_and_stand_for_the_coefficients(tmp_path, run_folders, head) -> None:
    """Blender cuts off weights beyond."""
    pytest.importorskip("pxr")
    from pxr import UsdSkel

    result = load_result(next(newest_run(run_folders[head]).glob("*.npz")))
    source = changed_run(run_folders[head], tmp_path / "large", expr=8 * result.expr)
    stage, track = exported(source, tmp_path / "out"), tracked(source, tmp_path / "out")
    animation = UsdSkel.Animation.Get(stage, "/World/Head/Animation")
    names = list(animation.GetBlendShapesAttr().Get())
    weights = np.array([animation.GetBlendShapeWeightsAttr().Get(row) for row in range(COUNT)])
    assert weights.min() >= 0
    assert 0.9 < weights.max() <= 1
    shapes = [stage.GetPrimAtPath(f"/World/Head/Mesh/{name}") for name in names]
    values = weights * [shape.GetCustomDataByKey("coefficient") for shape in shapes]
    plain = [name for name in names if not name.endswith("_minus")]
    found = np.zeros((COUNT, len(plain)))
    for name, column in zip(names, values.T):
        found[:, plain.index(name.removesuffix("_minus"))] += column
    np.testing.assert_allclose(found[:, : track.head.n_expr], track.result.expr, atol=1e-5)
    difference = SkinnedMesh(stage).vertices(7) - track.vertices(7).numpy()
    assert np.linalg.norm(difference, axis=1).max() < 2 * LARGEST_ERROR_M


def test_time_codes_are_the_recording_s_frames_and_planes_show_its_pictures(tmp_path, run_folders) -> None:
    pytest.importorskip("pxr")
    from pxr import UsdGeom, UsdShade, UsdSkel

    stage = exported(run_folders["builtin"], tmp_path / "out", subset="ti2tj9_ts3", fps=30.0)
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode(), stage.GetTimeCodesPerSecond()) == (2, 8, 30)
    animation = UsdSkel.Animation.Get(stage, "/World/Head/Animation")
    assert animation.GetRotationsAttr().GetTimeSamples() == [2, 5, 8]
    (path,) = camera_paths(stage)
    plane = UsdGeom.Mesh.Get(stage, f"{path}/Picture")
    assert plane.GetPurposeAttr().Get() == "guide"
    size = tuple(tracked(run_folders["builtin"], tmp_path / "out").result.image_size)
    corners = np.array(plane.GetPointsAttr().Get())
    # The camera of a video stands at (0, 0, 1) and looks along -z.
    corners[:, 2] += 1
    pixels = seen_by(stage, path, corners, size)
    np.testing.assert_allclose(pixels, np.array([[0, 1], [1, 1], [1, 0], [0, 0]]) * size[::-1], atol=0.01)
    vertices = SkinnedMesh(stage).vertices(5)
    assert vertices[:, 2].min() > corners[:, 2].max()
    file = UsdShade.Shader.Get(stage, f"{path}/Picture_material/Texture").GetInput("file")
    found = []
    for code in (2, 4, 5, 8):
        picture = cv2.imread(file.Get(code).resolvedPath)[..., ::-1].astype(int)
        person = (picture[..., 0] > 120) & (abs(picture[..., 1] - 120) < 20)
        found.append(shown_row(np.median(picture[person][:, 0])))
    assert found == [2, 2, 5, 8]


def test_pictures_that_show_nothing_are_left_out_of_the_planes(tmp_path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom

    from vhap.export.usd_cameras import add_picture_plane
    from vhap.export.usd_stage import usd_modules
    from vhap.geometry.cameras import camera_from_focal

    stage, camera = Usd.Stage.CreateInMemory(), camera_from_focal(torch.tensor(2.0), 48, 64)
    pictures = {0.0: "images/a.jpg", 1.0: None, 2.0: "images/b.jpg"}
    add_picture_plane(usd_modules(), stage, "/Picture", camera, 1.5, pictures)
    visibility = UsdGeom.Imageable.Get(stage, "/Picture").GetVisibilityAttr()
    assert [visibility.Get(code) for code in (0, 1, 2)] == ["inherited", "invisible", "inherited"]


def test_a_stopped_export_goes_on_and_a_second_one_changes_nothing(tmp_path, run_folders) -> None:
    pytest.importorskip("pxr")
    target = export(run_folders["builtin"], tmp_path / "out", layout="usd")
    kept = target / "images/00001_00.jpg"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in target.rglob("*.*")}
    (target / "head.usdc").unlink()
    (target / "images/00002_00.jpg").unlink()
    export(run_folders["builtin"], target, layout="usd")
    assert kept.stat().st_mtime_ns == before[kept][1]
    files = [path for path in target.rglob("*.*") if path.name != "export_usd.json"]
    assert len(files) == COUNT + 2
    for path in files:
        assert path.read_bytes() == before[path][0]
    export(run_folders["builtin"], target, layout="usd", subset="ti0tj1")
    assert sorted(path.name for path in (target / "images").iterdir()) == ["00000_00.jpg", "00001_00.jpg"]


def test_dry_runs_write_nothing(tmp_path, run_folders, capsys) -> None:
    pytest.importorskip("pxr")
    export(run_folders["builtin"], tmp_path / "out", layout="usd", dry_run=True)
    said = capsys.readouterr().out.splitlines()
    assert not (tmp_path / "out").exists()
    target = export(run_folders["builtin"], tmp_path / "out", layout="usd")
    files = [path for path in target.rglob("*.*") if path.name != "export_usd.json"]
    assert said[-1].startswith(f"in all: {len(files)} files, about")
    number, unit = said[-1].split()[-2:]
    size = sum(path.stat().st_size for path in files)
    assert float(number) * {"kB": 1e3, "MB": 1e6}[unit] == pytest.approx(size, rel=0.1)


def test_without_usd_core_it_says_how_to_get_it(tmp_path, run_folders, monkeypatch) -> None:
    for name in [name for name in sys.modules if name == "pxr" or name.startswith("pxr.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(InputError, match=r'pip install "vhap\[usd\]"'):
        export(run_folders["builtin"], tmp_path / "out", layout="usd")
    assert not (tmp_path / "out").exists()
