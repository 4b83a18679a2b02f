"""GNM's format on a stand-in: the published file cannot be had here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gnm_like
import numpy as np
import pytest
import torch
from gnm_formula import gnm_forward
from gnm_like import Like, make_gnm, write_gnm, write_landmarks

from vhap.head.gnm import gnm_coefficients, kept_vertices, load_gnm
from vhap.head.gnm.checks import examine
from vhap.head.gnm.file import SKIN, read_gnm
from vhap.head.gnm.pose import posed_vertices
from vhap.head.head_file import load_head_file, save_head
from vhap.head.model import HeadModel, HeadParams, landmark_points, map_tensors, pose
from vhap.head.regions import faces_of_region, region_mask

JOINTS = ("neck", "head", "left_eye", "right_eye")


@pytest.fixture(scope="module")
def like() -> Like:
    return make_gnm()


@pytest.fixture(scope="module")
def path(like: Like, tmp_path_factory) -> Path:
    return write_gnm(tmp_path_factory.mktemp("gnm"), like)


@pytest.fixture(scope="module")
def head(path: Path) -> HeadModel:
    return load_gnm(path)


def values(like: Like, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "identity": random.normal(size=len(like.arrays["identity_names"])),
        "expression": random.normal(size=len(like.arrays["expression_names"])),
        "rotations": random.normal(0, 0.4, (4, 3)),
        "translation": random.normal(0, 0.1, 3),
    }


def params_of(head: HeadModel, like: Like, given: dict[str, np.ndarray]) -> HeadParams:
    """The file's parameters as the tracker has them."""

    def kept(names: str, array: str, wanted: tuple[str, ...]) -> torch.Tensor:
        order = [like.arrays[names].tolist().index(name) for name in wanted]
        return torch.from_numpy(given[array][order])

    neck, skull, left, right = torch.from_numpy(given["rotations"])
    return HeadParams(
        shape=kept("identity_names", "identity", head.shape_names),
        expr=kept("expression_names", "expression", head.expr_names),
        rotation=neck,
        translation=torch.from_numpy(given["translation"]),
        neck_pose=skull,
        jaw_pose=torch.tensor([0.3, 0.1, 0.2], dtype=torch.double),
        eyes_pose=torch.cat([left, right]),
    )


def in_double(head: HeadModel) -> HeadModel:
    return map_tensors(head, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def posed_by_tracker(head: HeadModel, like: Like, given: dict[str, np.ndarray]) -> np.ndarray:
    return pose(in_double(head), params_of(head, like, given)).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_the_forward_function_is_the_formula(path, like, head, seed):
    given = values(like, seed)
    expected = gnm_forward(like.arrays, **given)
    kept = kept_vertices(read_gnm(path))
    assert len(kept) == head.n_vertices < len(expected)
    assert np.abs(posed_by_tracker(head, like, given) - expected[kept]).max() < 1e-6
    assert np.abs(posed_vertices(read_gnm(path), *given.values()) - expected).max() < 2e-6
    moved = gnm_forward(like.arrays, **{**given, "rotations": given["rotations"] * [[1], [1], [0], [0]]})
    eyes = like.mesh.inside("eyes")
    assert np.abs(moved - expected)[eyes].max() > 1e-3 > np.abs(moved - expected)[~eyes].max()


def test_translation_comes_after_rotation_about_the_neck_that_identity_moves(like, head):
    given = values(like) | {"expression": np.zeros(len(like.arrays["expression_names"]))}
    given["rotations"] = given["rotations"] * [[1], [0], [0], [0]]
    still = given | {"rotations": np.zeros((4, 3)), "translation": np.zeros(3)}
    rest, posed = (posed_by_tracker(head, like, each) for each in (still, given))
    neck = like.arrays["template_joint_positions"][0] + given["identity"] @ like.arrays["joint_identity_basis"][:, 0]
    assert np.linalg.norm(neck - like.arrays["template_joint_positions"][0]) > 1e-4
    lengths = [
        np.linalg.norm(points - origin, axis=1)
        for points, origin in ((rest, neck), (posed, neck + given["translation"]))
    ]
    assert np.abs(lengths[0] - lengths[1]).max() < 1e-5


def test_pose_correctives_of_head_and_eyes_are_kept(tmp_path, like):
    def change(arrays: dict[str, np.ndarray]) -> None:
        correctives = np.random.default_rng(1).normal(0, 1e-3, arrays["pose_correctives_regressor"].shape)
        correctives[:9] = 0
        arrays["pose_correctives_regressor"] = correctives.astype(np.float32)

    file = write_gnm(tmp_path, like, change)
    changed = replace(like, arrays=dict(like.arrays))
    change(changed.arrays)
    given, kept = values(like), kept_vertices(read_gnm(file))
    expected = gnm_forward(changed.arrays, **given)[kept]
    assert np.abs(posed_by_tracker(load_gnm(file), like, given) - expected).max() < 1e-6
    assert np.abs(expected - gnm_forward(like.arrays, **given)[kept]).max() > 1e-3


def test_the_order_is_that_of_the_reach_on_the_skin(path, like, head):
    skin = read_gnm(path).group(SKIN)
    for names, array, known, basis in (
        ("identity_names", "vertex_identity_basis", head.shape_names, head.shape_basis),
        ("expression_names", "expression_basis", head.expr_names, head.expr_basis),
    ):
        assert sorted(known) == sorted(like.arrays[names].tolist())
        rows = [like.arrays[names].tolist().index(name) for name in known]
        reach = np.sqrt(np.square(like.arrays[array][rows][:, skin]).sum(-1).mean(1))
        first = [k for k, name in enumerate(known) if not name.startswith("teeth")]
        assert first == list(range(len(first))), "teeth come last"
        assert (np.diff(reach[first]) <= 1e-3 * reach[first][:-1] + 1e-12).all()
        kept = kept_vertices(read_gnm(path))
        np.testing.assert_array_equal(basis[..., 1].numpy(), like.arrays[array][rows[1], kept])
    assert {name.split("_")[0] for name in head.expr_names[-5:]} == {"tongue", "pupils"}
    assert {name.rpartition("_")[0] for name in head.expr_names[:18]} >= {"lower_face_region", "left_eye_region"}


def test_results_go_back_into_the_file_s_order(path, like, head):
    given = values(like)
    params = params_of(head, like, given)
    few = head.keep_coefficients(7, 9)
    identity, expression = gnm_coefficients(head, path, params.shape.numpy(), params.expr.numpy()[None])
    np.testing.assert_array_equal(identity, given["identity"])
    np.testing.assert_array_equal(expression[0], given["expression"])
    identity, expression = gnm_coefficients(few, path, params.shape.numpy()[:7], params.expr.numpy()[:9])
    assert ((identity != 0).sum(), (expression != 0).sum()) == (7, 9)
    assert (few.n_shape, few.n_expr, len(few.expr_names)) == (7, 9, 9)
    assert max(few.open_mouth) < 9


def test_the_identity_is_that_of_the_numbers_and_their_order(tmp_path, path, like, head):
    same = load_gnm(write_gnm(tmp_path / "a", like, compressed=True))
    assert same.identity == head.identity
    assert head.name == "gnm"

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["expression_basis"] = arrays["expression_basis"].copy()
        arrays["expression_basis"][0, 0, 0] += 1e-4

    other = load_gnm(write_gnm(tmp_path / "b", like, change))
    assert other.identity != head.identity


def test_shells_and_triangles_without_area_are_left_out(path, like, head):
    gnm = read_gnm(path)
    assert gnm.group("eye_exteriors").sum() == len(gnm["template_vertex_positions"]) - head.n_vertices > 0
    assert (head.faces != head.faces.roll(1, 1)).all()
    bare = (like.arrays["triangles"] == np.roll(like.arrays["triangles"], 1, 1)).any(1).sum()
    assert bare > 0
    assert head.faces.unique().numel() == head.n_vertices


def test_parts_have_tiles_of_their_own(like, head):
    regions = {"skin": None, "left": "left_eyeball", "right": "right_eyeball", "teeth": "teeth"}
    balls = {name: faces_of_region(head, region) for name, region in regions.items() if region}
    tongue = region_mask(head, torch.arange(head.n_vertices))[head.faces].all(1)
    new_id = np.cumsum(~like.mesh.inside("eye_exteriors")) - 1
    in_tongue = region_mask(head, torch.from_numpy(new_id[like.mesh.inside("tongue")]))
    balls["tongue"] = tongue & in_tongue[head.faces].all(1)
    boxes = {name: head.uvs[head.uv_faces[faces]].flatten(0, 1) for name, faces in balls.items()}
    spans = {name: (uvs.amin(0), uvs.amax(0)) for name, uvs in boxes.items()}
    names = list(spans)
    apart = 0
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            assert ((spans[one][1] <= spans[other][0]) | (spans[other][1] <= spans[one][0])).any(), (one, other)
            apart += 1
    assert apart == 6
    assert 0 <= float(head.uvs.min()) < float(head.uvs.max()) <= 1
    # The skin keeps its charts: corners of one vertex on two of them have two places.
    corner = torch.stack([head.faces.flatten(), head.uv_faces.flatten()], 1).unique(dim=0)
    assert len(corner) == len(head.uvs) > head.n_vertices


def test_regions_are_the_groups_and_what_the_mesh_allows(head):
    wanted = (
        "face", "scalp", "neck", "boundary", "bottomline", "left_ear", "right_ear", "left_eye_region", "eyeballs",
        "left_iris", "right_iris", "sclerae", "eyelids", "left_eyelids", "nose", "forehead", "lips", "lips_tight",
        "lip_inside", "teeth_upper", "teeth_lower", "skin", "hair", "crown", "neck_left_point", "neck_upper",
        "front_middle_bottom_point_boundary",
    )  # fmt: skip
    assert all(len(head.regions.get(name, ())) for name in wanted)
    height = {name: float(head.template[head.regions[name], 1].amax()) for name in wanted}
    assert height["boundary"] < height["neck"] < height["nose"] < height["forehead"] < height["scalp"]
    assert (head.template[head.regions["left_iris"], 0] > 0).all()
    assert (head.template[head.regions["right_ear"], 0] < 0).all()
    at_rim = set(head.regions["bottomline"].tolist())
    assert at_rim <= set(head.regions["boundary"].tolist())
    others = ("scalp", "neck", "boundary", "left_ear", "eyeballs", "teeth")
    face = set(head.regions["face"].tolist())
    assert all(not face & set(head.regions[name].tolist()) for name in others)


def test_the_mouth_opens_by_expressions_alone(head):
    assert not head.has_jaw
    assert not head.has_activations
    assert len(head.open_mouth) > 1
    expr = torch.zeros(head.n_expr)
    for index, value in head.open_mouth.items():
        expr[index] = value
    names = {head.expr_names[index].rpartition("_")[0] for index in head.open_mouth}
    assert names == {"lower_face_region"}
    moved = head.expr_basis @ expr
    lips = head.regions["lips"]
    spread = moved[lips, 1].max() - moved[lips, 1].min()
    assert 0.01 < spread < 0.06


@pytest.mark.parametrize("revision", ["older", "newer", "older by its mesh"])
def test_landmarks_of_both_revisions_are_the_same_points(tmp_path, like, head, revision):
    rows = like.landmarks.copy()
    if revision == "newer":
        rows[2:7] = rows[2:7][::-1].copy()
    if revision == "older by its mesh":
        # Weights that tell nothing.
        rows[:, 1::2] = [0.9, 0.05, 0.05]
    file = write_gnm(tmp_path, replace(like, landmarks=rows))
    found = load_gnm(file)
    points, usual = (landmark_points(each, each.template, "ibug") for each in (found, head))
    assert points.shape == (70, 3)
    assert (points - usual).norm(dim=1).max() < (2e-3 if "mesh" in revision else 1e-6)
    assert (points[1:17, 0] > points[:16, 0]).all()
    donor = gnm_like.builtin_donor()
    true = landmark_points(donor, donor.template, "ibug")[:68] + torch.from_numpy(like.mesh.shift).float()
    assert (points[:68] - true).norm(dim=1).max() < 5e-3


def test_points_between_vertices_that_share_no_triangle_lie_on_the_surface(tmp_path, like):
    rows = like.landmarks.copy()
    far = rows[31, 0]
    rows[30] = [rows[30, 0], 0.9, far, 0.05, far, 0.05]
    file = write_gnm(tmp_path, replace(like, landmarks=rows))
    head = load_gnm(file)
    point = landmark_points(head, head.template, "ibug")[30].numpy()
    wanted = like.arrays["template_vertex_positions"][rows[30, 0::2].astype(int)]
    assert np.linalg.norm(point - rows[30, 1::2] @ wanted) < 3e-3


def test_without_landmarks_the_head_has_all_regions_and_no_points(tmp_path, like, head):
    bare = load_gnm(write_gnm(tmp_path, like, landmarks=False))
    assert not bare.landmarks
    assert bare.regions.keys() == head.regions.keys()
    assert bare.identity == head.identity


def test_landmarks_are_found_by_the_environment(tmp_path, monkeypatch, like, head):
    file = write_gnm(tmp_path / "head", like, landmarks=False)
    write_landmarks(tmp_path / "points.txt", like.landmarks)
    monkeypatch.setenv("VHAP_GNM_LANDMARKS", str(tmp_path / "points.txt"))
    assert torch.equal(load_gnm(file).landmarks["ibug"].face_ids, head.landmarks["ibug"].face_ids)


def test_the_face_follows_from_landmarks_where_its_group_is_missing(tmp_path, like):
    names = like.arrays["vertex_group_names"].tolist()

    def change(arrays: dict[str, np.ndarray]) -> None:
        kept = [k for k, name in enumerate(names) if name not in ("hockey_mask", "ears", "scalp")]
        arrays["vertex_groups"] = arrays["vertex_groups"][kept]
        arrays["vertex_group_names"] = arrays["vertex_group_names"][kept]

    found = load_gnm(write_gnm(tmp_path, like, change))
    assert all(len(found.regions[name]) for name in ("face", "scalp", "neck", "boundary", "left_ear"))


def test_lips_are_found_under_either_name(tmp_path, like, head):
    def change(arrays: dict[str, np.ndarray]) -> None:
        names = [
            f"{name}_region" if name in ("upper_lip", "lower_lip") else name for name in arrays["vertex_group_names"]
        ]
        arrays["vertex_group_names"] = np.array(names)

    found = load_gnm(write_gnm(tmp_path, like, change))
    assert torch.equal(found.regions["lips"], head.regions["lips"])
    assert found.open_mouth == head.open_mouth


def test_earlier_names_and_other_sentinels_are_read(tmp_path, like, head, caplog):
    def change(arrays: dict[str, np.ndarray]) -> None:
        old = [name.replace("left_eye_region_", "left_eye_").replace("right_eye_region_", "right_eye_")
               .replace("lower_face_region_", "mouth_").replace("pupils_", "eyeballs_")
               for name in arrays["expression_names"].tolist()]  # fmt: skip
        arrays["expression_names"] = np.array(old)
        arrays["identity_names"] = np.char.replace(arrays["identity_names"], "eyes_", "eyeballs_")
        arrays["joint_parent_indices"] = np.array([0, 0, 1, 1], np.uint8)
        arrays["more"] = np.zeros(3)

    with caplog.at_level("INFO"):
        found = load_gnm(write_gnm(tmp_path, like, change))
    assert (found.expr_names, found.shape_names) == (head.expr_names, head.shape_names)
    assert torch.equal(found.expr_basis, head.expr_basis)
    (line,) = [record.message for record in caplog.records if "is used" in record.message]
    assert "not read: more" in line
    assert "former names" in line


def test_a_head_of_its_file_can_be_saved_as_one_s_own(tmp_path, head):
    saved = save_head(tmp_path / "mine.npz", replace(head, name="mine"))
    again = load_head_file(saved)
    assert (again.expr_names, again.unit_variance, again.has_activations) == (head.expr_names, True, False)
    assert again.open_mouth.keys() == head.open_mouth.keys()


def test_a_good_stand_in_keeps_all_that_is_promised(path):
    findings = examine(read_gnm(path))
    assert len(findings) == 20
    assert {finding.name: finding.text for finding in findings if finding.state == "broken"} == {}
    assert {finding.name for finding in findings if finding.state == "note"} == {"sizes", "units"}
