import flame_files
import pytest
import torch

from vhap.geometry.meshes import face_normals
from vhap.head.flame import load_flame
from vhap.head.teeth import add_teeth


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return load_flame(flame_files.write_flame(tmp_path_factory.mktemp("flame"), patch), with_teeth=False)


@pytest.fixture(scope="module")
def toothed(bare):
    return add_teeth(bare)


def test_counts_of_the_file_format(bare, toothed):
    assert toothed.n_vertices == bare.n_vertices + 120
    assert len(toothed.faces) == len(bare.faces) + 168
    assert len(toothed.uv_faces) == len(toothed.faces)
    assert torch.equal(toothed.faces[: len(bare.faces)], bare.faces)
    for name in ("template", "shape_basis", "expr_basis", "pose_basis", "weights"):
        assert len(getattr(toothed, name)) == toothed.n_vertices, name


def test_rows_stand_behind_the_lips_above_each_other(toothed):
    upper = toothed.template[toothed.regions["teeth_upper"]]
    lower = toothed.template[toothed.regions["teeth_lower"]]
    lips = toothed.template[toothed.regions["lips"]]
    assert upper[:, 1].mean() > lower[:, 1].mean()
    assert max(upper[:, 2].max(), lower[:, 2].max()) < lips[:, 2].max()
    assert abs(float(upper[:, 0].mean())) < 5e-3
    assert lips[:, 0].min() < upper[:, 0].min()
    assert upper[:, 0].max() < lips[:, 0].max()


def test_front_faces_look_outward(bare, toothed):
    normals = face_normals(toothed.template, toothed.faces)[len(bare.faces) :]
    middles = toothed.template[toothed.faces[len(bare.faces) :]].mean(1)
    front = middles[:, 2] > middles[:, 2].max() - 0.002
    looks = normals[front, 2] > 0
    upright = normals[front, 1].abs() < normals[front].norm(dim=-1) * 0.5
    assert (upright & looks).sum() > 0
    assert not (upright & ~looks).any()


def test_no_texture_room_is_shared(bare, toothed):
    own = toothed.uvs[len(bare.uvs) :]
    corners = bare.uvs[bare.uv_faces]
    middles = corners.mean(1)
    inside = ((middles >= own.amin(0)) & (middles <= own.amax(0))).all(-1)
    assert not inside.any()


def test_teeth_follow_shape_smoothly_and_no_expression(toothed):
    teeth = toothed.regions["teeth"]
    assert toothed.expr_basis[teeth].abs().max() == 0
    assert toothed.shape_basis[teeth].abs().max() > 0
    assert toothed.weights[teeth].sum(-1).eq(1).all()


def test_a_head_with_teeth_stays_as_it_is(toothed):
    assert add_teeth(toothed) is toothed
