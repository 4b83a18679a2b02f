from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vhap.config.export import ExportConfig
from vhap.export.centred_result import centre
from vhap.export.head_files import pose_arrays
from vhap.export.nerf_dataset import ExportSource, export_dataset
from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.model import pose
from vhap.util.errors import InputError

PARAM_SHAPES = {
    "translation": (1, 3),
    "rotation": (1, 3),
    "neck_pose": (1, 3),
    "jaw_pose": (1, 3),
    "eyes_pose": (1, 6),
    "expr": (1, 3),
    "shape": (2,),
}
FRAME_KEYS = {
    "timestep_index",
    "timestep_index_original",
    "timestep_id",
    "camera_index",
    "camera_id",
    "cx",
    "cy",
    "fl_x",
    "fl_y",
    "h",
    "w",
    "camera_angle_x",
    "camera_angle_y",
    "transform_matrix",
    "file_path",
    "fg_mask_path",
}
SERIALS = ["222200042", "222200037", "222200044"]


def make_source(stage, head=None, count=4, cameras=None, alpha=True, extra=0, **changes) -> ExportSource:
    """A capture that shows the track through its cameras; `extra` timesteps before the first were not tracked."""
    head = head or stage.make_head()
    result = stage.make_result(head, count, first_index=extra, **changes)
    given = cameras
    cameras = cameras or [stage.camera()]
    track = centre(head, result, cameras)
    shots = [
        [stage.film(true_vertices(track, result, row), head.faces.numpy(), camera) for camera in cameras]
        for row in range(count)
    ]
    rgb = np.stack([[shot[0] for shot in row] for row in shots])
    mask = np.stack([[shot[1] for shot in row] for row in shots])
    ids = [f"unused_{k}" for k in range(extra)] + [str(name) for name in result.timestep_id]
    empty = np.zeros((extra, *rgb.shape[1:]), np.float32)
    capture = stage.MemoryCapture(
        rgb=np.concatenate([empty, rgb]),
        alpha=np.concatenate([empty[..., 0], mask]) if alpha else None,
        timestep_ids=ids,
        camera_ids=SERIALS[: len(cameras)] if given else ["0"],
    )
    return ExportSource(head, result, capture, cameras, list(range(len(cameras))), list(range(len(cameras))))


def true_vertices(track, result, row) -> np.ndarray:
    """(V, 3) as tracked, before export moves anything."""
    params = replace(track.params(row), translation=torch.from_numpy(result.translation[row]))
    if result.scale is not None:
        params = replace(params, scale=torch.tensor(float(result.scale)))
    return pose(track.head, params).numpy()


def rig(stage) -> list[Camera]:
    """Three cameras around the head, the third with its principal point off the centre."""
    cameras = []
    for yaw, shift in ((-0.5, 0), (0, 0), (0.4, 9.25)):
        rotation = axis_angle_to_matrix(torch.tensor([0.1, yaw, 0.0], dtype=torch.float64))
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] = rotation.T
        matrix[:3, 3] = torch.tensor([0.0, 0.0, -0.8])
        base = stage.camera()
        cameras.append(replace(base, T_camera_world=matrix, cx=base.cx + shift, cy=base.cy - shift / 2))
    return cameras


def run(source, target: Path, stage, fingerprint="one", backend=None, **options) -> dict:
    config = ExportConfig(src_folder=Path("run"), tgt_folder=target, **options)
    export_dataset(source, config, target, backend or stage.NoRenderer(), fingerprint)
    return json.loads((target / "transforms.json").read_text())


def picture(target: Path, frame: dict) -> np.ndarray:
    return cv2.imread(str(target / frame["file_path"]))[..., ::-1]


def mask(target: Path, frame: dict) -> np.ndarray:
    return cv2.imread(str(target / frame["fg_mask_path"]), cv2.IMREAD_UNCHANGED)


def params(target: Path, frame: dict) -> dict[str, np.ndarray]:
    with np.load(target / frame["flame_param_path"]) as file:
        return dict(file)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_layout_and_keys(tmp_path: Path, stage) -> None:
    source = make_source(stage, count=10)
    content = run(source, tmp_path / "E", stage)
    frames = content["frames"]
    assert [frame["file_path"] for frame in frames[:2]] == ["images/00000_00.png", "images/00001_00.png"]
    assert all(set(frame) == FRAME_KEYS | {"flame_param_path"} for frame in frames)
    assert content["timestep_indices"] == list(range(10))
    assert content["camera_indices"] == [0]
    assert content["head_model"] == source.head.identity
    assert content["fl_x"] == pytest.approx(stage.focal * max(stage.size))
    assert content["camera_angle_x"] == pytest.approx(2 * math.atan(stage.size[1] / 2 / content["fl_x"]))
    assert [frame["timestep_index_original"] for frame in frames] == list(source.result.timestep_index)
    assert [frame["timestep_id"] for frame in frames] == list(source.result.timestep_id)
    for frame in frames:
        arrays = params(tmp_path / "E", frame)
        assert {k: v.shape for k, v in arrays.items()} == {
            **PARAM_SHAPES,
            "static_offset": (1, source.head.n_vertices, 3),
        }
        assert all(value.dtype == np.float32 for value in arrays.values())
        assert not arrays["static_offset"].any()
    written = {path.relative_to(tmp_path / "E").parts[0] for path in (tmp_path / "E").rglob("*") if path.is_file()}
    splits = {f"transforms_{name}.json" for name in ("train", "val", "test", "backup", "backup_flame")}
    assert written == splits | {
        "images", "fg_masks", "flame_param", "transforms.json", "canonical_flame_param.npz", "export.json"
    }  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"center_principal_point": True}])
@pytest.mark.parametrize("with_rig", [False, True])
def test_exported_head_lies_on_its_pictures(tmp_path: Path, stage, with_rig: bool, options: dict) -> None:
    offset = np.random.default_rng(0).standard_normal((1, stage.make_head().n_vertices, 3)).astype(np.float32) * 1e-3
    cameras = rig(stage) if with_rig else None
    source = make_source(stage, cameras=cameras, scale=np.array(1.2), static_offset=offset)
    frames = run(source, tmp_path / "E", stage, create_mask_from_mesh=False, **options)["frames"]
    assert len(frames) == (len(cameras) if cameras else 1) * len(source.result.timestep_id)
    for frame in frames:
        vertices = pose_arrays(source.head, params(tmp_path / "E", frame)).numpy()
        drawn = stage.fill(stage.project(vertices, frame), source.head.faces.numpy(), (frame["h"], frame["w"]))
        shown = mask(tmp_path / "E", frame)
        assert picture(tmp_path / "E", frame).shape[:2] == shown.shape == drawn.shape
        assert shown.max() == 255
        assert overlap(drawn > 0.5, shown > 127) > 0.98


def test_head_sits_at_the_origin_and_the_backup_keeps_the_tracked_world(tmp_path: Path, stage) -> None:
    source = make_source(stage)
    content = run(source, tmp_path / "E", stage)
    translations = np.concatenate([params(tmp_path / "E", f)["translation"] for f in content["frames"]])
    assert np.abs(translations.mean(0)).max() < 1e-6
    mean = source.result.translation.mean(0)
    place = np.array(content["frames"][0]["transform_matrix"])[:3, 3]
    np.testing.assert_allclose(place, np.array([0, 0, 1]) - mean, atol=1e-6)
    backup = json.loads((tmp_path / "E/transforms_backup.json").read_text())
    assert np.array(backup["frames"][0]["transform_matrix"])[:3, 3].tolist() == [0, 0, 1]
    assert not {"fg_mask_path", "flame_param_path"} & set(backup["frames"][0])
    assert json.loads((tmp_path / "E/transforms_backup_flame.json").read_text()) == content


@pytest.mark.parametrize(("count", "train"), [(1, 1), (2, 2), (10, 7), (11, 8)])
def test_split_in_time(tmp_path: Path, stage, count: int, train: int) -> None:
    run(make_source(stage, count=count), tmp_path / "E", stage)
    parts = {s: json.loads((tmp_path / f"E/transforms_{s}.json").read_text()) for s in ("train", "val", "test")}
    assert parts["train"]["timestep_indices"] == list(range(train))
    assert parts["val"]["frames"] == []
    assert parts["test"]["timestep_indices"] == list(range(train, count))


def test_split_of_a_rig_holds_out_the_front_view_by_serial(tmp_path: Path, stage) -> None:
    run(make_source(stage, cameras=rig(stage), count=4), tmp_path / "E", stage)
    parts = {s: json.loads((tmp_path / f"E/transforms_{s}.json").read_text()) for s in ("train", "val", "test")}
    seen = {s: {(f["timestep_index"], f["camera_id"]) for f in part["frames"]} for s, part in parts.items()}
    assert seen["val"] == {(t, "222200037") for t in range(3)}
    assert seen["train"] == {(t, serial) for t in range(3) for serial in (SERIALS[0], SERIALS[2])}
    assert seen["test"] == {(3, serial) for serial in SERIALS}


def test_frames_are_found_by_name_in_a_longer_capture(tmp_path: Path, stage) -> None:
    source = make_source(stage, extra=3)
    content = run(source, tmp_path / "E", stage, create_mask_from_mesh=False)
    assert [frame["timestep_index_original"] for frame in content["frames"]] == [3, 5, 7, 9]
    assert {t for t, _ in source.capture.loads} == {3, 4, 5, 6}
    np.testing.assert_array_equal(
        mask(tmp_path / "E", content["frames"][0]) / np.float32(255), source.capture.alpha[3, 0]
    )


def test_missing_pictures_are_named(tmp_path: Path, stage) -> None:
    source = make_source(stage)
    source.capture.timestep_ids[2] = "other"
    with pytest.raises(InputError, match=str(source.result.timestep_id[2])):
        run(source, tmp_path / "E", stage)
    assert not (tmp_path / "E").exists()


@pytest.mark.parametrize(("colour", "level"), [("white", 255), ("black", 0)])
def test_background_is_mixed_in_once_from_the_raw_picture(tmp_path: Path, stage, colour: str, level: int) -> None:
    source = make_source(stage, count=1)
    options = {"background_color": colour, "create_mask_from_mesh": False, "clean_rim": False}
    (frame,) = run(source, tmp_path / "E", stage, **options)["frames"]
    alpha = source.capture.alpha[0, 0][..., None]
    expected = source.capture.rgb[0, 0] * 255 * alpha + level * (1 - alpha)
    shown = picture(tmp_path / "E", frame).astype(float)
    assert np.abs(shown - expected).max() <= 0.5 + 1e-3
    edge = (alpha[..., 0] > 0.02) & (alpha[..., 0] < 0.5)
    assert edge.sum() > 20
    if colour == "black":
        assert shown[edge].max() < stage.filmed.max() / 2 + 30


def test_rim_has_the_person_s_own_colour(tmp_path: Path, stage) -> None:
    source = make_source(stage, count=1)
    alpha = source.capture.alpha[0, 0][..., None]
    expected = stage.filmed * alpha + 255 * (1 - alpha)
    rim = (alpha[..., 0] > 0.02) & (alpha[..., 0] < 0.98)
    errors = []
    for clean in (False, True):
        options = {"create_mask_from_mesh": False, "clean_rim": clean}
        (frame,) = run(source, tmp_path / str(clean), stage, **options)["frames"]
        errors.append(np.abs(picture(tmp_path / str(clean), frame).astype(float) - expected)[rim].mean())
    assert errors[0] > 8
    assert errors[1] < 0.2 * errors[0]


def test_every_picture_is_read_once(tmp_path: Path, stage) -> None:
    source = make_source(stage, cameras=rig(stage))
    run(source, tmp_path / "E", stage)
    probes = 1
    assert len(source.capture.loads) == 4 * 3 + probes
    assert len(set(source.capture.loads)) == 12


def test_an_interrupted_export_completes_only_what_is_missing(tmp_path: Path, stage) -> None:
    source = make_source(stage, count=5)
    run(source, tmp_path / "E", stage)
    untouched = {path: path.stat().st_mtime_ns for path in (tmp_path / "E/images").iterdir()}
    before = {path.name: path.read_bytes() for path in (tmp_path / "E").rglob("*.png")}
    (tmp_path / "E/fg_masks/00003_00.png").unlink()
    (tmp_path / "E/flame_param/00001.npz").unlink()
    (tmp_path / "E/transforms.json").unlink()
    (tmp_path / "E/images/.tmp_killed.png").write_bytes(b"half")
    source.capture.loads.clear()
    run(source, tmp_path / "E", stage)
    assert set(source.capture.loads) == {(0, 0), (3, 0)}
    assert {path.name: path.read_bytes() for path in (tmp_path / "E").rglob("*.png")} == before
    changed = [p.name for p, time in untouched.items() if p.stat().st_mtime_ns != time]
    assert changed == ["00003_00.png"]
    assert (tmp_path / "E/flame_param/00001.npz").exists()


def test_an_export_with_other_options_replaces_all_files(tmp_path: Path, stage) -> None:
    run(make_source(stage, count=5), tmp_path / "E", stage)
    (tmp_path / "E/notes.txt").write_text("mine")
    (frame, _) = run(make_source(stage, count=2), tmp_path / "E", stage, "two", background_color="black")["frames"]
    assert sorted(path.name for path in (tmp_path / "E/images").iterdir()) == ["00000_00.png", "00001_00.png"]
    assert picture(tmp_path / "E", frame)[0, 0].tolist() == [0, 0, 0]
    assert (tmp_path / "E/notes.txt").read_text() == "mine"


def test_a_folder_with_other_files_is_never_written_into(tmp_path: Path, stage) -> None:
    (tmp_path / "capture/images").mkdir(parents=True)
    with pytest.raises(InputError, match="folder with other files"):
        run(make_source(stage), tmp_path / "capture", stage)
    assert [path.name for path in (tmp_path / "capture").rglob("*")] == ["images"]


def test_a_file_at_the_target_is_refused(tmp_path: Path, stage) -> None:
    (tmp_path / "E").write_text("mine")
    with pytest.raises(InputError):
        run(make_source(stage), tmp_path / "E", stage)


def test_frames_in_memory_are_bounded(tmp_path: Path, stage) -> None:
    source = make_source(stage, count=30)
    lock, held, most = threading.Lock(), [0], [0]
    load = source.capture.load

    def counted(*arguments):
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        try:
            return load(*arguments)
        finally:
            with lock:
                held[0] -= 1

    source.capture.load = counted
    run(source, tmp_path / "E", stage)
    assert most[0] <= 8


def test_an_unreadable_picture_stops_the_export_before_the_transforms(tmp_path: Path, stage) -> None:
    source = make_source(stage, count=6)
    frame = source.capture.frame

    def failing(timestep, camera):
        if timestep == 4:
            raise InputError("expected a picture")
        return frame(timestep, camera)

    source.capture.frame = failing
    with pytest.raises(InputError, match="expected a picture"):
        run(source, tmp_path / "E", stage)
    assert not (tmp_path / "E/transforms.json").exists()


def test_centred_principal_point_moves_pictures_and_intrinsics_alike(tmp_path: Path, stage) -> None:
    source = make_source(stage, cameras=rig(stage), count=1)
    plain = run(source, tmp_path / "A", stage, create_mask_from_mesh=False)["frames"]
    moved = run(source, tmp_path / "B", stage, create_mask_from_mesh=False, center_principal_point=True)["frames"]
    for before, after in zip(plain, moved):
        assert (after["cx"], after["cy"]) == (after["w"] / 2, after["h"] / 2)
        assert after["w"] % 2 == 0
        assert after["fl_x"] == before["fl_x"]
        dx, dy = after["cx"] - before["cx"], after["cy"] - before["cy"]
        moments = []
        for target, frame in ((tmp_path / "A", before), (tmp_path / "B", after)):
            weights = mask(target, frame).astype(float)
            rows, columns = np.indices(weights.shape) + 0.5
            moments.append([(columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()])
        np.testing.assert_allclose(np.subtract(*moments[::-1]), [dx, dy], atol=0.02)
    assert picture(tmp_path / "B", moved[0])[0, 0].tolist() == [255, 255, 255]


def test_canonical_head_opens_its_mouth(tmp_path: Path, stage) -> None:
    run(make_source(stage), tmp_path / "A", stage)
    jaw = dict(np.load(tmp_path / "A/canonical_flame_param.npz"))
    np.testing.assert_allclose(jaw["jaw_pose"], [[0.3, 0, 0]])
    for name in ("rotation", "translation", "neck_pose", "eyes_pose", "expr"):
        assert not jaw[name].any()
    assert jaw["shape"].any()
    source = make_source(stage, head=stage.make_head("ict", has_jaw=False))
    run(source, tmp_path / "B", stage)
    jawless = dict(np.load(tmp_path / "B/canonical_flame_param.npz"))
    assert not jawless["jaw_pose"].any()
    np.testing.assert_allclose(jawless["expr"], [[0, 0.7, 0]])
    assert str(jawless["head_model"]) == source.head.identity


def test_mesh_mode_writes_meshes_that_lie_on_the_pictures(tmp_path: Path, stage) -> None:
    source = make_source(stage)
    frames = run(source, tmp_path / "E", stage, flame_mode="mesh", create_mask_from_mesh=False)["frames"]
    assert all(set(frame) == FRAME_KEYS | {"mesh_path", "exp_path"} for frame in frames)
    assert (tmp_path / "E/canonical.obj").exists()
    for row, frame in enumerate(frames):
        lines = (tmp_path / "E" / frame["mesh_path"]).read_text().splitlines()
        vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
        drawn = stage.fill(stage.project(vertices, frame), source.head.faces.numpy(), stage.size)
        assert overlap(drawn > 0.5, mask(tmp_path / "E", frame) > 127) > 0.98
        np.testing.assert_allclose(np.loadtxt(tmp_path / "E" / frame["exp_path"]), source.result.expr[row], rtol=1e-6)


def test_heads_that_trainers_cannot_pose_come_with_meshes(tmp_path: Path, stage) -> None:
    (frame, *_) = run(make_source(stage, head=stage.make_head("ict")), tmp_path / "E", stage)["frames"]
    assert (frame["flame_param_path"], frame["mesh_path"]) == ("flame_param/00000.npz", "meshes/00000.obj")
    assert (tmp_path / "E/meshes/00003.obj").exists()


def test_dynamic_offsets_are_written_where_used(tmp_path: Path, stage) -> None:
    dynamic = np.random.default_rng(1).standard_normal((4, stage.make_head().n_vertices, 3)).astype(np.float32) * 1e-3
    frames = run(make_source(stage, dynamic_offset=dynamic), tmp_path / "E", stage)["frames"]
    np.testing.assert_array_equal(params(tmp_path / "E", frames[2])["dynamic_offset"], dynamic[2:3])
    assert not np.load(tmp_path / "E/canonical_flame_param.npz")["dynamic_offset"].any()


def test_a_head_with_too_few_coefficients_is_refused(tmp_path: Path, stage) -> None:
    source = make_source(stage)
    with pytest.raises(InputError, match="expected at most 1 shape"):
        run(replace(source, head=source.head.keep_coefficients(1, 3)), tmp_path / "E", stage)
