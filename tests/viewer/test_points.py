"""Points of .ply files, as programs write them."""

import numpy as np
import pytest
import trimesh

from vhap.util.errors import InputError
from vhap.viewer.points import BAND_0, read_points

GAUSSIAN = ("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "rot_0")


def write_gaussians(path, rows: np.ndarray, order: str = "<") -> None:
    """As trainers of 3D Gaussians write point_cloud.ply."""
    form = "binary_little_endian" if order == "<" else "binary_big_endian"
    lines = ["ply", f"format {form} 1.0", f"element vertex {len(rows)}", *(f"property float {n}" for n in GAUSSIAN)]
    path.write_bytes(("\n".join([*lines, "end_header"]) + "\n").encode() + rows.astype(f"{order}f4").tobytes())


@pytest.mark.parametrize("order", ["<", ">"])
def test_gaussians_are_points_in_their_colours_without_those_nobody_sees(tmp_path, order):
    rows = np.zeros((3, len(GAUSSIAN)))
    rows[:, :3] = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    rows[:, 6:9] = [(np.array([1, 0.5, 0]) - 0.5) / BAND_0] * 3
    rows[:, 9] = [5, -9, 0]
    write_gaussians(tmp_path / "point_cloud.ply", rows, order)
    found = read_points(tmp_path / "point_cloud.ply")
    np.testing.assert_allclose(found.points, [[0, 1, 2], [6, 7, 8]])
    np.testing.assert_allclose(found.colors.astype(int), [[255, 128, 0]] * 2, atol=1)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_coloured_points_of_another_program(tmp_path, encoding):
    points = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    rgb = np.random.default_rng(1).integers(0, 255, (20, 4)).astype(np.uint8)
    cloud = trimesh.PointCloud(points, colors=rgb)
    (tmp_path / "cloud.ply").write_bytes(trimesh.exchange.ply.export_ply(cloud, encoding=encoding))
    found = read_points(tmp_path / "cloud.ply")
    np.testing.assert_allclose(found.points, points, atol=1e-6)
    np.testing.assert_array_equal(found.colors, rgb[:, :3])


def test_a_mesh_gives_its_vertices(tmp_path):
    mesh = trimesh.creation.box()
    (tmp_path / "box.ply").write_bytes(trimesh.exchange.ply.export_ply(mesh))
    found = read_points(tmp_path / "box.ply")
    np.testing.assert_allclose(found.points, mesh.vertices)
    assert len({tuple(rgb) for rgb in found.colors.tolist()}) == 1


HEADER = b"ply\nformat binary_little_endian 1.0\nelement vertex 2\n"
XYZ = b"property float x\nproperty float y\nproperty float z\nend_header\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"solid",
        b"ply\nformat ascii 1.0\nend_header\n",
        HEADER + XYZ + b"\0" * 20,
        HEADER + b"property float x\nproperty float y\nend_header\n" + b"\0" * 16,
        HEADER + b"property list uchar int x\nend_header\n" + b"\0" * 16,
        HEADER.replace(b"vertex 2", b"vertex -2") + XYZ,
        HEADER.replace(b"vertex 2", b"vertex 99999999999999999999") + XYZ,
        HEADER.replace(b"binary_little_endian", b"binary_other") + XYZ + b"\0" * 24,
        HEADER.replace(b"binary_little_endian", b"ascii") + XYZ + b"0 0 0\n1 a 2\n",
        HEADER.replace(b"binary_little_endian", b"ascii") + XYZ + b"0 0 0\n",
        HEADER + XYZ + np.full(6, np.nan, np.float32).tobytes(),
    ],
)
def test_damaged_files_are_one_line(tmp_path, content):
    (tmp_path / "bad.ply").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.ply"):
        read_points(tmp_path / "bad.ply")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        read_points(tmp_path / "none.ply")
