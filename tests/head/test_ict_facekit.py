import os
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import KDTree

from vhap.geometry.meshes import barycentric_points, face_normals, open_edges, unique_edges
from vhap.head import ict_facekit
from vhap.head.ict_facekit import load_ict_facekit
from vhap.head.model import HeadParams, pose, zero_params
from vhap.head.regions import faces_of_region, region_mask
from vhap.util.errors import InputError
from vhap.util.files import write_json, write_npz

FOLDER = os.environ.get("VHAP_ICT_FACEKIT")
needs_ict = pytest.mark.skipif(not FOLDER, reason="VHAP_ICT_FACEKIT does not name a folder FaceXModel")

NAMES = [*ict_facekit.FITTED_EXPRESSIONS, "browDown_L"]


@pytest.fixture(scope="module")
def ict():
    return load_ict_facekit(FOLDER)


def params(head, **changes):
    return HeadParams(**{**zero_params(head).__dict__, **changes})


@needs_ict
def test_size_units_and_origin(ict):
    assert 10_000 <= len(ict.faces) <= 20_000
    assert (ict.n_shape, ict.n_expr) == (100, 53)
    assert ict.expr_names[0] == "browDown_L"
    low, high = ict.template.amin(0), ict.template.amax(0)
    assert 0.2 < float(high[1] - low[1]) < 0.5
    ears = ict.template[ict.regions["ears"]]
    assert ears.mean(0)[[0, 1]].abs().max() < 0.03
    assert ict.template[ict.regions["nose"], 2].mean() > 0.05


@needs_ict
def test_surface_stays_sound(ict):
    """Closed but for neck and gums, no edge with three faces, no sliver, no uncovered texture corner."""
    pairs = torch.cat([ict.faces[:, [0, 1]], ict.faces[:, [1, 2]], ict.faces[:, [2, 0]]]).sort(1).values
    assert torch.unique(pairs, dim=0, return_counts=True)[1].max() == 2
    assert len(open_edges(ict.faces)) < 220
    assert torch.equal(ict.faces.unique(), torch.arange(ict.n_vertices))
    area = face_normals(ict.template, ict.faces).norm(dim=-1) / 2
    assert area.min() > 1e-10
    edges = unique_edges(ict.faces)
    length = (ict.template[edges[:, 0]] - ict.template[edges[:, 1]]).norm(dim=-1)
    assert length.max() < 0.05
    assert ict.uvs.min() >= 0
    assert ict.uvs.max() <= 1


@needs_ict
def test_thinned_face_lies_on_the_full_one(ict):
    """Every vertex of the full narrow face is near the thinned surface."""
    neutral = ict_facekit._read_vertices(Path(FOLDER) / ict_facekit.NEUTRAL)
    first, end, _ = ict_facekit.PARTS["wide_face"]
    sideways = neutral[first:end, 0]
    ears = neutral[first:end][[sideways.argmin(), sideways.argmax()]].mean(0)
    full = (neutral[:6706:13] - ears) * 0.01
    corners = ict.template[ict.faces].double().numpy()
    _, near = KDTree(corners.mean(1)).query(full, k=32)
    places = trimesh.triangles.closest_point(corners[near.ravel()], np.repeat(full, 32, 0)).reshape(-1, 32, 3)
    gap = np.linalg.norm(places - full[:, None], axis=-1).min(1)
    assert np.quantile(gap, 0.95) < 2e-4
    assert gap.max() < 1.5e-3


@needs_ict
def test_texture_charts_do_not_cross_between_parts(ict):
    owner = torch.full((len(ict.uvs),), -1)
    owner[ict.uv_faces] = ict.faces
    assert torch.equal(owner[ict.uv_faces], ict.faces)
    eye = ict.uvs[ict.uv_faces[faces_of_region(ict, "left_eyeball")]]
    other = ict.uvs[ict.uv_faces[~faces_of_region(ict, "eyeballs")]].mean(1)
    low, high = eye.flatten(0, 1).amin(0), eye.flatten(0, 1).amax(0)
    assert not ((other > low) & (other < high)).all(-1).any()


@needs_ict
def test_landmarks_are_in_ibug_order(ict):
    marks = ict.landmarks["ibug"]
    places = barycentric_points(ict.template, ict.faces, marks.face_ids, marks.barycentrics)
    assert places.shape == (70, 3)
    assert places[0, 0] < -0.05
    assert places[16, 0] > 0.05
    assert places[8, 1] < places[57, 1] < places[33, 1] < places[27, 1]
    assert places[68, 0] < 0 < places[69, 0]
    for iris, lids in ((68, range(36, 42)), (69, range(42, 48))):
        assert (places[iris] - places[list(lids)].mean(0)).norm() < 0.012


@needs_ict
def test_eyes_turn_about_their_centres_and_nothing_else_moves(ict):
    eyes = torch.zeros(6)
    eyes[1] = 0.4
    moved = pose(ict, params(ict, eyes_pose=eyes)) - ict.template
    left = region_mask(ict, ict.regions["left_eyeball"])
    assert moved[~left].abs().max() < 1e-6
    assert moved[left].norm(dim=-1).max() > 0.004
    assert moved[left].mean(0).norm() < 0.002
    assert moved[ict.regions["left_iris"], 0].mean() > 0.003


@needs_ict
def test_neck_turns_the_head_and_leaves_the_shoulders(ict):
    moved = (pose(ict, params(ict, neck_pose=torch.tensor([0.0, 0.3, 0.0]))) - ict.template).norm(dim=-1)
    assert moved[ict.regions["bottomline"]].max() < 1e-6
    assert moved[ict.regions["nose"]].mean() > 0.02
    assert ((ict.weights >= 0) & (ict.weights <= 1)).all()
    assert torch.allclose(ict.weights.sum(1), torch.ones(ict.n_vertices))
    assert not ict.has_jaw
    assert ict.weights[:, 2].abs().max() == 0


@needs_ict
def test_joints_follow_the_shape(ict):
    generator = torch.Generator().manual_seed(0)
    shape = torch.randn(100, generator=generator)
    shaped = ict.template + ict.shape_basis @ shape
    eye = shaped[ict.regions["left_eyeball"]]
    joint = ict.joint_template[3] + ict.joint_shape_basis[3] @ shape
    radius = (eye - joint).norm(dim=-1)
    assert radius.std() / radius.mean() < 0.05


@needs_ict
def test_open_mouth_parts_the_lips(ict):
    (index, value), *_ = ict.open_mouth.items()
    assert ict.expr_names[index] == "jawOpen"
    expression = torch.zeros(53)
    expression[index] = value
    opened = pose(ict, params(ict, expr=expression))
    marks = ict.landmarks["ibug"]
    inner = barycentric_points(opened, ict.faces, marks.face_ids[[62, 66]], marks.barycentrics[[62, 66]])
    assert float(inner[0, 1] - inner[1, 1]) > 0.008


@needs_ict
def test_the_cache_is_read_and_nothing_is_converted_again(ict, monkeypatch):
    # The conversion takes half a minute.
    monkeypatch.setattr(ict_facekit, "convert", lambda folder: pytest.fail("converted again"))
    again = load_ict_facekit(FOLDER)
    assert torch.equal(again.template, ict.template)
    assert again.identity == ict.identity


def test_missing_folder_says_where_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"FaceXModel.*github.com"):
        load_ict_facekit(tmp_path / "none")


def test_folder_without_the_mesh_is_named(tmp_path):
    with pytest.raises(InputError, match=r"generic_neutral_mesh\.obj"):
        load_ict_facekit(tmp_path)


def test_unlike_mesh_is_refused_and_nothing_is_cached(tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    write_json(folder / "vertex_indices.json", {"expressions": NAMES, "idx_to_landmark_verts": [0] * 68})
    (folder / "generic_neutral_mesh.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(InputError, match=r"expected 26719 vertices.*found 2"):
        load_ict_facekit(folder)
    assert not list((tmp_path / "cache").rglob("*.npz"))


def face_lines(*changed: str) -> list[str]:
    return ["usemtl M_Face", *(f"vt {u} {v}" for u, v in ((0, 0), (1, 0), (1, 1))), "f 1/1 2/2 3/3", *changed]


def read_faces(folder, lines):
    path = folder / "generic_neutral_mesh.obj"
    path.write_text("\n".join(lines))
    return ict_facekit._read_faces(path, np.random.default_rng(0).random((ict_facekit.N_VERTICES, 3)))


def test_faces_of_an_obj_file(tmp_path):
    faces, uv_faces, uvs = read_faces(tmp_path, face_lines())
    assert (faces.tolist(), uv_faces.tolist()) == ([[0, 1, 2]], [[0, 1, 2]])
    assert uvs.shape == (3, 2)


@pytest.mark.parametrize(
    "line",
    [
        "f 1/1 2/2 x/3",
        "f 1 2 3",
        "f 1/1 2/2 3/9",
        "f 0/1 1/2 2/3",
        "f 1/1 2/2 99999999/3",
        "f 1/1 2/2",
        "f " + "1/1 " * 7,
        "vt a b",
        "vt 0 nan\nf 1/1 2/2 3/4",
        "usemtl M_Other\nf 1/1 2/2 3/3",
    ],
)
def test_damaged_faces_are_one_line(tmp_path, line):
    with pytest.raises(InputError, match=r"generic_neutral_mesh\.obj.*github"):
        read_faces(tmp_path, face_lines(line))


@pytest.mark.parametrize("line", ["v 1 2 x", "v 1 2", "v 1 2 nan", "v 1 2 1e300"])
def test_damaged_vertices_are_one_line(tmp_path, line):
    path = tmp_path / "identity000.obj"
    path.write_text("\n".join(["v 1 2 3"] * (ict_facekit.N_VERTICES - 1) + [line]))
    with pytest.raises(InputError, match=r"identity000\.obj"):
        ict_facekit._read_vertices(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"expressions": [*NAMES, "../../outside"]},
        {"expressions": [*NAMES, "/etc/passwd"]},
        {"expressions": [*NAMES, "jawOpen"]},
        {"expressions": ["browDown_L"]},
        {"expressions": [1]},
        {"expressions": "jawOpen"},
        {"idx_to_landmark_verts": [0] * 67},
        {"idx_to_landmark_verts": [-1] * 68},
        {"idx_to_landmark_verts": [ict_facekit.N_VERTICES] * 68},
        {"idx_to_landmark_verts": ["a"] * 68},
    ],
)
def test_damaged_indices_are_one_line(tmp_path, changes):
    path = tmp_path / "vertex_indices.json"
    sound = {"expressions": NAMES, "idx_to_landmark_verts": list(range(68)), "other": None}
    write_json(path, sound)
    assert ict_facekit._read_indices(path)[0] == NAMES
    write_json(path, {**sound, **changes})
    with pytest.raises(InputError, match=r"vertex_indices\.json"):
        ict_facekit._read_indices(path)


def converted(**changes) -> dict[str, np.ndarray]:
    """Arrays of a cache, of the form that the converter gives them."""
    sound = {
        "asset_hash": np.array("0"),
        "template": np.zeros((6, 3), np.float32),
        "faces": np.array([[0, 1, 2], [3, 4, 5]]),
        "basis": np.zeros((6, 3, ict_facekit.N_IDENTITIES + len(NAMES)), np.float32),
        "uvs": np.zeros((3, 2), np.float32),
        "uv_faces": np.array([[0, 1, 2], [0, 1, 2]]),
        "vertex_ids": np.arange(6),
        "landmarks": np.zeros(70, np.int64),
        "expr_names": np.array(NAMES),
    }
    return {name: value for name, value in {**sound, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"faces": None},
        {"faces": np.array([[0, 1, 6], [3, 4, 5]])},
        {"faces": np.array([[0, 1, -1], [3, 4, 5]])},
        {"uv_faces": np.array([[0, 1, 3], [0, 1, 2]])},
        {"uv_faces": np.array([[0, 1, 2]])},
        {"template": np.full((6, 3), np.nan)},
        {"vertex_ids": np.full(6, ict_facekit.N_VERTICES)},
        {"landmarks": np.full(70, 6)},
        {"landmarks": np.zeros(68, np.int64)},
        {"basis": np.zeros((6, 3, 100), np.float32)},
        {"expr_names": np.array(["a"] * len(NAMES))},
    ],
)
def test_a_damaged_cache_is_converted_again(tmp_path, monkeypatch, changes):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    for name in (ict_facekit.NEUTRAL, ict_facekit.INDICES):
        (tmp_path / name).touch()
    monkeypatch.setattr(ict_facekit, "convert", lambda _: converted())
    monkeypatch.setattr(ict_facekit, "_build", lambda arrays: arrays)
    load_ict_facekit(tmp_path)
    (cached,) = (tmp_path / "cache" / "models").iterdir()
    write_npz(cached, converted(template=np.ones((6, 3))))
    assert load_ict_facekit(tmp_path)["template"].max() == 1, "a sound one is read"
    write_npz(cached, converted(**changes))
    assert load_ict_facekit(tmp_path)["template"].max() == 0
    assert load_ict_facekit(tmp_path).keys() == converted().keys()


def test_another_way_of_thinning_is_another_head():
    """Results and cached points of one mesh are not for another one of the same files."""
    same = [ict_facekit._mesh_hash(converted()) for _ in range(2)]
    assert len(set(same)) == 1
    other = ict_facekit._mesh_hash(converted(vertex_ids=np.arange(1, 7)))
    turned = ict_facekit._mesh_hash(converted(faces=np.array([[0, 1, 2], [3, 5, 4]])))
    assert len({same[0], other, turned}) == 3
