from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from vhap.export.mask import NeckLine, Silhouettes, fade_below, neck_line, neck_point_ids
from vhap.export.meshes import ObjWriter, write_material
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.util.errors import InputError


def turned(vertices: torch.Tensor, *axis_angle: float) -> torch.Tensor:
    return vertices @ axis_angle_to_matrix(torch.tensor(axis_angle, dtype=torch.float64)).T


def test_line_goes_through_the_bottom_point_parallel_to_the_neck(stage) -> None:
    head, camera = stage.make_head(), stage.camera()
    ids = neck_point_ids(head.regions)
    for roll in (0.0, 0.4, -1.2, 3.0):
        vertices = turned(head.template.double(), 0, 0, roll)
        line = neck_line(vertices, ids, camera)
        left, right, bottom, middle = camera.project(torch.cat([vertices[ids], vertices.mean(0)[None]]))[0].numpy()
        np.testing.assert_allclose(line.point, bottom)
        assert abs(line.normal @ (left - right)) < 1e-9
        assert np.linalg.norm(line.normal) == pytest.approx(1)
        assert line.normal @ (middle - line.point) < 0


@pytest.mark.parametrize("yaw", [1.45, np.pi / 2, 1.65, np.pi])
def test_seen_from_the_side_or_behind_the_torso_still_fades(stage, yaw: float) -> None:
    head = stage.make_head()
    vertices = turned(head.template.double(), 0, yaw, 0)
    line = neck_line(vertices, neck_point_ids(head.regions), stage.camera())
    assert line.normal[1] > 0.7


def faded(size: tuple[int, int], line: NeckLine, window_px: float) -> np.ndarray:
    """(H, W): what is left of a mask of ones."""
    fade, whole = fade_below(size, line, window_px), np.ones(size, np.float32)
    whole[fade.rows] *= fade.values
    return whole


def test_fade_is_one_above_zero_below_and_as_wide_as_asked() -> None:
    line = NeckLine(np.array([15.0, 20.0]), np.array([0.0, 1.0]))
    fade = faded((40, 30), line, 6)
    assert fade_below((40, 30), line, 6).rows == slice(17, 40)
    assert (fade[:17] == 1).all()
    assert (fade[23:] == 0).all()
    assert fade[19, 0] == pytest.approx(1 - fade[20, 0])
    assert np.allclose(np.diff(fade[17:23, 3]), -1 / 6)


def test_fade_is_the_box_blur_of_the_step_at_a_slanted_line() -> None:
    normal = np.array([0.6, 0.8])
    fade = faded((50, 50), NeckLine(np.array([25.0, 25.0]), normal), 10)
    centre = np.array([20.5, 27.5])
    steps = [(centre + t * normal - 25) @ normal < 0 for t in np.linspace(-5, 5, 2001)]
    assert fade[27, 20] == pytest.approx(np.mean(steps), abs=1e-3)


def test_a_head_without_neck_points_is_refused(stage) -> None:
    with pytest.raises(InputError, match="neck_left_point"):
        neck_point_ids({**stage.make_head().regions, "neck_left_point": torch.zeros(0, dtype=torch.long)})


def test_silhouette_is_where_the_head_projects(stage) -> None:
    head, camera = stage.make_head(), stage.camera()
    topology = build_topology(head.faces, head.uv_faces)
    vertices = head.template.double()
    drawn = Silhouettes(get_backend("auto"), topology).draw(vertices, camera)
    wide = replace(camera, **{n: getattr(camera, n) * 8 for n in ("fx", "fy", "cx", "cy")}, height=768, width=1024)
    fine = stage.fill(wide.project(vertices)[0].numpy(), head.faces.numpy(), (768, 1024)) > 0.5
    expected = fine.reshape(96, 8, 128, 8).mean((1, 3))
    assert drawn.shape == (96, 128)
    assert np.abs(drawn - expected).max() <= 0.5
    assert np.abs(drawn - expected).mean() < 0.005
    assert 0 < (drawn[(drawn > 0) & (drawn < 1)]).size < 300


def test_meshes_keep_vertex_order_uvs_and_faces(tmp_path, stage) -> None:
    head = stage.make_head()
    uv_faces = head.faces.flip(0)
    path = tmp_path / "a.obj"
    ObjWriter(head.faces.numpy(), head.uvs.numpy(), uv_faces.numpy()).write(path, head.template.numpy())
    lines = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    uvs = np.array([line[1:] for line in lines if line[0] == "vt"], float)
    corners = np.array([[c.split("/") for c in line[1:]] for line in lines if line[0] == "f"], int) - 1
    np.testing.assert_allclose(vertices, head.template.numpy(), atol=1e-6)
    np.testing.assert_allclose(uvs, head.uvs.numpy(), atol=1e-6)
    np.testing.assert_array_equal(corners[..., 0], head.faces.numpy())
    np.testing.assert_array_equal(corners[..., 1], uv_faces.numpy())


def test_textured_mesh_names_its_texture(tmp_path, stage) -> None:
    head = stage.make_head()
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[:4] = [250, 0, 0]
    writer = ObjWriter(head.faces.numpy(), head.uvs.numpy(), head.uv_faces.numpy())
    write_material(tmp_path / "head.mtl", texture)
    writer.write(tmp_path / "m.obj", head.template.numpy(), tmp_path / "head.mtl")
    mesh = trimesh.load(tmp_path / "m.obj", process=False)
    assert mesh.visual.material.image.size == (8, 8)
    colours = mesh.visual.to_color().vertex_colors[:, 0].astype(int)
    upper = mesh.visual.uv[:, 1] > 0.7
    assert colours[upper].min() > 200
    assert colours[mesh.visual.uv[:, 1] < 0.3].max() < 50


@pytest.mark.parametrize(("scale", "decimals"), [(1.0, 6), (0.001, 9), (0.2, 7), (1000.0, 3), (8.0, 6)])
def test_meshes_are_written_to_a_micrometre_in_any_unit(tmp_path, stage, scale, decimals) -> None:
    head = stage.make_head()
    vertices = head.template.numpy().astype(np.float64) * scale
    ObjWriter(head.faces.numpy(), scale=scale).write(tmp_path / "m.obj", vertices)
    rows = [line.split()[1:] for line in (tmp_path / "m.obj").read_text().splitlines() if line.startswith("v ")]
    assert len(rows[0][0].split(".")[1]) == decimals
    np.testing.assert_allclose(np.array(rows, float), vertices, rtol=0, atol=1e-6 * scale)
