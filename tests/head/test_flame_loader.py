import os
import pickle

import flame_files
import numpy as np
import pytest
import torch

from vhap.geometry.meshes import barycentric_points
from vhap.head.flame import load_flame
from vhap.head.flame_pickle import read_object_array, read_pickle
from vhap.head.landmark_files import orient_jaw_line, read_ibug
from vhap.head.model import HeadParams, JawLine, pose, zero_params
from vhap.util.errors import InputError


@pytest.fixture(scope="module")
def flame_path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return flame_files.write_flame(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture(scope="module")
def flame(flame_path):
    return load_flame(flame_path)


def test_reads_the_arrays_behind_stand_in_classes(flame_path, flame):
    content = read_pickle(flame_path)
    count = len(content["v_template"])
    directions = np.asarray(content["shapedirs"])
    assert content["names"] == {"a", "b"}
    assert torch.equal(flame.template[:count], torch.from_numpy(content["v_template"]).float())
    assert np.array_equal(flame.shape_basis[:count].numpy(), directions[..., :300])
    assert np.array_equal(flame.expr_basis[:count].numpy(), directions[..., 300:])
    assert flame.parents == (-1, 0, 1, 1, 1)
    assert (flame.n_shape, flame.n_expr) == (300, 100)


def test_joints_are_the_regressor_of_the_shaped_template(flame_path, flame):
    content = read_pickle(flame_path)
    shape = np.random.default_rng(3).standard_normal(300)
    shaped = content["v_template"] + np.asarray(content["shapedirs"])[..., :300] @ shape
    expected = np.asarray(content["J_regressor"]) @ shaped
    joints = flame.joint_template + flame.joint_shape_basis @ torch.from_numpy(shape).float()
    assert np.allclose(joints.numpy(), expected, atol=1e-5)


def test_pose_correctives_vanish_at_rest_and_act_elsewhere(flame):
    rest = zero_params(flame)
    assert torch.allclose(pose(flame, rest), flame.template, atol=1e-7)
    turned = HeadParams(**{**rest.__dict__, "jaw_pose": torch.tensor([0.3, 0.0, 0.0])})
    moved = (pose(flame, turned) - flame.template).norm(dim=-1)
    assert moved[flame.regions["face"]].max() > 1e-4
    assert moved[flame.regions["teeth_lower"]].min() > 1e-3
    assert moved[flame.regions["teeth_upper"]].max() < 1e-7


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("generic_model.pkl", {}, "flame2020"),
        ("flame2023.pkl", {}, "flame2023"),
        ("flame2023_Open.pkl", {"supr_expression_metadata": {"n": 1}}, "flame2023_open"),
    ],
)
def test_versions_have_different_identities(tmp_path, monkeypatch, name, more, expected):
    head = load_flame(flame_files.write_flame(tmp_path, monkeypatch, name, **more), with_teeth=False)
    assert head.name == expected
    assert head.identity == f"{expected}:{head.asset_hash}"
    assert len(head.asset_hash) == 16


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_refused_by_name(tmp_path, protocol):
    path, target = tmp_path / "flame2023.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"f": Malicious(target)}, protocol=protocol))
    with pytest.raises(InputError, match=r"system.*could run code"):
        load_flame(path)
    assert not target.exists()


def test_code_in_a_landmark_file_is_refused_by_name(tmp_path):
    target = tmp_path / "ran"
    np.save(tmp_path / "a.npy", np.array({"a": Malicious(target)}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="system"):
        read_object_array(tmp_path / "a.npy")
    assert not target.exists()


def test_code_in_a_nested_tensor_is_refused(tmp_path):
    target = tmp_path / "ran"
    inner = pickle.dumps(Malicious(target), protocol=2)

    class Storage:
        def __reduce__(self):
            return torch.storage._load_from_bytes, (inner,)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Storage(), protocol=4))
    with pytest.raises(InputError, match=r"system.*could run code"):
        read_pickle(tmp_path / "a.pkl")
    assert not target.exists()


def test_landmark_file_with_tensors_gives_ibug_and_jaw_line(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    written = flame_files.write_landmarks(tmp_path, 70, len(flame_files.head_mesh()[1]))
    head = load_flame(path)
    marks = head.landmarks["ibug"]
    assert marks.face_ids[:68].tolist() == written["full_lmk_faces_idx"][0, :68].tolist()
    irises = barycentric_points(head.template, head.faces, marks.face_ids[68:], marks.barycentrics[68:])
    assert irises[0, 0] < irises[1, 0]
    assert head.jaw_line is not None
    assert np.array_equal(head.jaw_line.face_ids.numpy(), written["dynamic_lmk_faces_idx"])
    assert head.jaw_line.barycentrics.shape == (79, 17, 3)


def test_missing_irises_are_the_front_of_the_eyeballs(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    flame_files.write_landmarks(tmp_path, 68, len(flame_files.head_mesh()[1]))
    head = load_flame(path)
    marks = head.landmarks["ibug"]
    irises = barycentric_points(head.template, head.faces, marks.face_ids[68:], marks.barycentrics[68:])
    x, y, z = flame_files.EYE_PLACE
    expected = torch.tensor([[-x, y, z + flame_files.EYE_RADIUS], [x, y, z + flame_files.EYE_RADIUS]])
    assert torch.allclose(irises, expected, atol=2e-3)


def test_mediapipe_file_is_used_and_checked(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    ids = np.arange(105) * 4
    arrays = {"lmk_face_idx": ids, "lmk_b_coords": np.full((105, 3), 1 / 3), "landmark_indices": ids}
    np.savez(tmp_path / "mediapipe_landmark_embedding.npz", **arrays)
    points = load_flame(path).landmarks["mediapipe"]
    assert points.detector_ids.tolist() == ids.tolist()
    np.savez(tmp_path / "mediapipe_landmark_embedding.npz", **{**arrays, "lmk_face_idx": ids + 10**6})
    with pytest.raises(InputError, match=r"whole numbers from 0 to .* as lmk_face_idx"):
        load_flame(path)


def test_texture_layout_of_the_obj_is_found_whatever_the_order_of_faces(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    points, faces = flame_files.head_mesh()
    lines = [f"v {x} {y} {z}" for x, y, z in points] + [f"vt {0.8 * i / len(points)} 0.25" for i in range(len(points))]
    shuffled = np.roll(faces[::-1], 1, axis=1) + 1
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in shuffled]
    (tmp_path / "head_template_mesh.obj").write_text("\n".join(lines))
    head = load_flame(path, with_teeth=False)
    assert torch.equal(head.uv_faces, head.faces)
    assert torch.allclose(head.uvs[:, 0], 0.8 * torch.arange(len(points)) / len(points))


def test_texture_space_file_is_used_without_reading_its_basis(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    points, faces = flame_files.head_mesh()
    uvs = np.random.default_rng(0).random((len(points), 2))
    np.savez(tmp_path / "FLAME_texture.npz", vt=uvs, ft=faces, tex_dir=np.array({}, dtype=object))
    head = load_flame(path, with_teeth=False)
    assert torch.equal(head.uv_faces, torch.from_numpy(faces))
    assert np.allclose(head.uvs.numpy(), uvs, atol=1e-7)


def test_generated_layout_stays_inside_and_has_no_face_across_the_cut(flame):
    corners = flame.uvs[flame.uv_faces]
    assert corners.min() >= 0
    assert corners.max() <= 1
    assert (corners[..., 0].amax(1) - corners[..., 0].amin(1)).max() <= 0.5
    assert flame.base_texture is not None
    assert flame.base_texture.shape == (1024, 1024, 3)


def test_masks_are_needed_and_named(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    (tmp_path / "FLAME_masks.pkl").unlink()
    with pytest.raises(InputError, match=r"FLAME_masks.pkl.*flame.is.tue.mpg.de"):
        load_flame(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2])])
def test_unlike_files_are_one_line_errors(tmp_path, content):
    (tmp_path / "flame2023.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"flame2023\.pkl"):
        load_flame(tmp_path / "flame2023.pkl")


def test_wrong_shapes_are_named(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path, monkeypatch, weights=np.zeros((7, 5)))
    with pytest.raises(InputError, match="weights"):
        load_flame(path)


def test_jaw_line_rows_are_brought_into_our_sense_of_yaw() -> None:
    template = torch.tensor([[0.05, 0.0, 0.0], [0.05, 0.0, 0.08], [-0.05, 0.0, 0.0], [-0.05, 0.0, 0.08]])
    faces = torch.tensor([[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]])
    middle, left_forward, right_forward = [2] * 8 + [0] * 9, [2] * 8 + [1] * 9, [3] * 8 + [0] * 9
    rows = torch.tensor([middle, *[left_forward] * 39, *[right_forward] * 39])
    ours = JawLine(rows, torch.tensor([1.0, 0, 0]).expand(79, 17, 3))
    theirs = JawLine(torch.cat([rows[:1], rows[40:], rows[1:40]]), ours.barycentrics)
    assert torch.equal(orient_jaw_line(ours, template, faces).face_ids, rows)
    assert torch.equal(orient_jaw_line(theirs, template, faces).face_ids, rows)


def broken(array, index, value):
    array = np.array(array)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("f", lambda f: broken(f, 0, 10**6), "as f in"),
        ("f", lambda f: f[:, :2], "f of shape"),
        ("f", lambda f: f[:0], "f of shape"),
        ("v_template", lambda v: broken(v.astype(float), 0, np.nan), "numbers as v_template"),
        ("v_template", lambda v: broken(v.astype(float), 0, 1e300), "numbers as v_template"),
        ("v_template", lambda v: 3.5, "v_template of shape"),
        ("v_template", lambda v: "vertices", "numbers as v_template"),
        ("weights", lambda w: [*w.tolist()[:-1], [1]], "numbers as weights"),
        ("kintree_table", lambda k: broken(k, (0, 2), 4), "parent before it"),
        ("kintree_table", lambda k: None, "numbers as kintree_table"),
    ],
)
def test_damaged_arrays_of_the_model_are_named(tmp_path, monkeypatch, name, change, message):
    sound = flame_files.model_content(monkeypatch)[name]
    path = flame_files.write_flame(tmp_path, monkeypatch, **{name: change(sound)})
    with pytest.raises(InputError, match=message):
        load_flame(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lips": np.zeros(0, int)}, "in the masks lips"),
        ({"lips": np.ones(9, bool)}, "truth values"),
        ({"lips": np.array([10**6])}, "whole numbers from 0"),
        ({"lips": np.array([0.5])}, "whole numbers from 0"),
        ({"scalp": {"a": 1}}, "numbers as scalp"),
    ],
)
def test_damaged_masks_are_named(tmp_path, monkeypatch, change, message):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    masks = flame_files.masks(flame_files.head_mesh()[0])
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps({**masks, **change}))
    with pytest.raises(InputError, match=message):
        load_flame(path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("full_lmk_faces_idx", lambda ids: ids + 10**6, "whole numbers from 0"),
        ("full_lmk_faces_idx", lambda ids: ids[:, :60], "three weights"),
        ("full_lmk_bary_coords", lambda weights: weights * np.inf, "numbers as full_lmk_bary_coords"),
        ("dynamic_lmk_faces_idx", lambda ids: ids[:40], "dynamic landmarks of shape"),
        ("dynamic_lmk_bary_coords", lambda weights: None, "numbers as dynamic_lmk_bary_coords"),
    ],
)
def test_damaged_landmark_files_are_named(tmp_path, name, change, message):
    written = flame_files.write_landmarks(tmp_path, 70, 500)
    path = tmp_path / "landmark_embedding_with_eyes.npy"
    np.save(path, np.array({**written, name: change(written[name])}, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_ibug(path, 500)


def test_landmark_files_without_a_full_set_put_the_jaw_line_first(tmp_path):
    written = flame_files.write_landmarks(tmp_path, 68, 500)
    parts = {name: array for name, array in written.items() if not name.startswith("full")}
    path = tmp_path / "landmark_embedding_with_eyes.npy"
    np.save(path, np.array(parts, dtype=object), allow_pickle=True)
    marks, _ = read_ibug(path, 500)
    expected = [*written["dynamic_lmk_faces_idx"][0], *written["static_lmk_faces_idx"]]
    assert marks.face_ids.tolist() == expected
    assert marks.detector_ids.tolist() == list(range(68))


@pytest.mark.parametrize(
    "text", ["vt a b\nf 1/1 2/2 3/3", "f 1/99999999999999999999 2/2 3/3", "vt 0\nf 1/1", "f 1/x", ""]
)
def test_template_that_cannot_be_read_leaves_the_generated_layout(tmp_path, monkeypatch, text):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    (tmp_path / "head_template_mesh.obj").write_text(text)
    assert load_flame(path, with_teeth=False).uvs.max() <= 1


@pytest.mark.parametrize("change", [lambda faces: faces + 10**6, lambda faces: faces - 1])
def test_texture_space_that_names_no_coordinates_is_not_used(tmp_path, monkeypatch, change):
    path = flame_files.write_flame(tmp_path, monkeypatch)
    points, faces = flame_files.head_mesh()
    np.savez(tmp_path / "FLAME_texture.npz", vt=np.zeros((len(points), 2)), ft=change(faces))
    assert load_flame(path, with_teeth=False).uvs.max() > 0
