"""Exported datasets as files: cameras, moments, splits, unions, and names that lead elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest

from vhap.data.pictures import write_picture
from vhap.util.errors import InputError
from vhap.viewer.export_files import read_export, read_obj

POSES = np.tile(np.eye(4), (2, 1, 1))
POSES[:, :3, 3] = [[0, 0, 1], [0.5, 0, 1]]


def frame(timestep: int, camera: int, prefix: str = "") -> dict:
    return {
        "timestep_index": timestep, "camera_index": camera, "camera_id": f"cam{camera}", "cx": 20.0, "cy": 15.0,
        "fl_x": 90.0, "fl_y": 80.0, "h": 30, "w": 40, "camera_angle_x": 0.4, "camera_angle_y": 0.3,
        "transform_matrix": POSES[camera].tolist(), "file_path": f"{prefix}images/{timestep:05d}_{camera:02d}.png",
        "fg_mask_path": f"{prefix}fg_masks/{timestep:05d}_{camera:02d}.png",
        "mesh_path": f"{prefix}meshes/{timestep:05d}.obj",
    }  # fmt: skip


def write_export(folder: Path) -> Path:
    """Two cameras, of which one is for training, and three timesteps, of which the last is for testing."""
    frames = [frame(timestep, camera) for timestep in range(3) for camera in range(2)]
    for entry in frames:
        number = 10 * entry["timestep_index"] + entry["camera_index"]
        write_picture(folder / entry["file_path"], np.full((30, 40, 3), number, np.uint8))
        write_picture(folder / entry["fg_mask_path"], np.full((30, 40, 3), 200 + number, np.uint8))
        mesh = folder / entry["mesh_path"]
        mesh.parent.mkdir(exist_ok=True)
        mesh.write_text(f"v 0 0 {entry['timestep_index']}\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1\n")
    write(folder / "transforms.json", frames)
    write(folder / "transforms_train.json", [entry for entry in frames if entry["timestep_index"] < 2][::2])
    write(folder / "transforms_val.json", [])
    write(folder / "transforms_test.json", frames[4:])
    return folder


def write(path: Path, frames: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"head_model": "builtin:0", "frames": frames}))


def test_cameras_moments_and_splits(tmp_path):
    found = read_export(write_export(tmp_path / "anna"))
    assert [camera.name for camera in found.cameras] == ["cam0", "cam1"]
    assert [camera.is_held_out for camera in found.cameras] == [False, True]
    np.testing.assert_allclose([camera.centre for camera in found.cameras], POSES[:, :3, 3], atol=1e-12)
    # Seen from the front: what is above in the world is above in the picture, whose rows go down.
    camera = found.cameras[0]
    seen = camera.K @ (camera.T_camera_world[:3, :3] @ [0.1, 0.1, 0] + camera.T_camera_world[:3, 3])
    np.testing.assert_allclose(seen[:2] / seen[2], [29, 7])
    assert found.moments == ["00000", "00001", "00002"]
    assert found.parts == [("train",), ("train",), ("test",)]
    assert found.head_model == "builtin:0"


def test_files_of_a_moment(tmp_path):
    found = read_export(write_export(tmp_path / "anna"))
    picture, mask, vertices = found.picture(2, 1), found.mask(2, 1), found.vertices(2, None)
    assert picture is not None
    assert mask is not None
    assert vertices is not None
    assert (np.unique(picture).tolist(), np.unique(mask).tolist()) == ([21], [221])
    np.testing.assert_array_equal(vertices, [[0, 0, 2], [1, 0, 0], [0, 1, 0]])
    assert found.faces().tolist() == [[0, 1, 2]]


def test_parameters_are_posed_where_there_are_no_meshes(tmp_path):
    folder = write_export(tmp_path / "anna")
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    for entry in frames:
        del entry["mesh_path"]
        entry["flame_param_path"] = "flame_param/0.npz"
    write(folder / "transforms.json", frames)
    (folder / "flame_param").mkdir()
    np.savez(folder / "flame_param" / "0.npz", translation=np.ones((1, 3)))
    found = read_export(folder)
    assert found.faces() is None
    assert found.vertices(0, None) is None
    np.testing.assert_array_equal(found.vertices(0, lambda arrays: arrays["translation"]), [[1, 1, 1]])


def test_a_union_points_into_the_exports_beside_it(tmp_path):
    for name in ("first", "second"):
        write_export(tmp_path / name)
    write(tmp_path / "union" / "transforms_train.json", [frame(0, 0, "../first/"), frame(1, 0, "../first/")])
    write(tmp_path / "union" / "transforms_test.json", [frame(0, 0, "../second/")])
    found = read_export(tmp_path / "union")
    assert found.moments == ["first 00000", "first 00001", "second 00000"]
    assert found.parts == [("train",), ("train",), ("test",)]
    assert found.picture(1, 0) is not None
    assert found.vertices(2, None) is not None


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../elsewhere/a.png", "..", "images/../../../a.png", "", "C:\\a.png"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    write(tmp_path / "anna" / "transforms.json", [{**frame(0, 0), "file_path": name}])
    with pytest.raises(InputError, match="expected names of files"):
        read_export(tmp_path / "anna")


def test_an_export_without_frames_is_one_line(tmp_path):
    write(tmp_path / "anna" / "transforms.json", [])
    with pytest.raises(InputError, match="expected frames in"):
        read_export(tmp_path / "anna")


@pytest.mark.parametrize("text", ["", "v 0 0\nf 1 1 1\n", "v 0 0 0\nf 1 2 3\n", "v a b c\nf 1 1 1\n", "v 0 0 0\n"])
def test_damaged_meshes_are_one_line(tmp_path, text):
    (tmp_path / "a.obj").write_text(text)
    with pytest.raises(InputError, match=r"a\.obj"):
        read_obj(tmp_path / "a.obj")
