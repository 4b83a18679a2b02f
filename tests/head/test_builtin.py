"""The built-in head: a sound mesh, independent smooth modes, lids that close, lips that part, right joints."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch

from vhap.geometry.meshes import face_normals, open_edges, unique_edges
from vhap.head.builtin import load_builtin
from vhap.head.builtin.features import cast_ray
from vhap.head.builtin.surface import EYE_RADIUS
from vhap.head.model import JOINT_NAMES, HeadModel, landmark_points, pose, zero_params

BASE_REGIONS = [
    *("face", "scalp", "neck", "boundary", "nose", "forehead", "lips", "lip_inside", "eyelids", "eye_region"),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("ear", "eyeball", "eye_region", "iris")),
]


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_builtin()


def posed(head: HeadModel, expr: dict[str, float] | None = None, **changes: list[float]) -> torch.Tensor:
    params = zero_params(head)
    for name, value in (expr or {}).items():
        params.expr[head.expr_names.index(name)] = value
    for name, value in changes.items():
        getattr(params, name)[:] = torch.tensor(value)
    return pose(head, params)


def mirror_distance(points: torch.Tensor) -> float:
    mirrored = points * torch.tensor([-1.0, 1.0, 1.0])
    return float(torch.cdist(points, mirrored, compute_mode="donot_use_mm_for_euclid_dist").min(1).values.max())


def test_sizes_are_a_humans(head: HeadModel) -> None:
    face = head.template[torch.cat([head.regions["scalp"], head.regions["face"]])]
    low, high = face.min(0).values, face.max(0).values
    assert 0.225 < float(high[1] - low[1]) < 0.25
    skull = head.template[head.regions["scalp"]]
    assert 0.145 < float(skull[:, 0].max() - skull[:, 0].min()) < 0.165
    left, right = head.joint_template[3], head.joint_template[4]
    assert float(left[0] - right[0]) == pytest.approx(0.063, abs=1e-6)
    assert 8_000 <= len(head.faces) <= 14_000
    assert torch.isfinite(head.template).all()


def test_mesh_is_closed_but_for_the_bottom(head: HeadModel) -> None:
    edges = open_edges(head.faces)
    rim = torch.unique(edges)
    assert len(edges) == len(rim), "one open loop: as many edges as vertices"
    assert set(rim.tolist()) <= set(head.regions["boundary"].tolist())
    assert float(head.template[rim, 1].max()) < -0.15


def test_winding_is_consistent(head: HeadModel) -> None:
    faces = head.faces
    directed = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(torch.unique(directed, dim=0)) == len(directed), "each directed edge once"


def test_normals_point_outwards(head: HeadModel) -> None:
    normals = face_normals(head.template, head.faces)
    centres = head.template[head.faces].mean(1)
    scalp = torch.isin(head.faces, head.regions["scalp"]).all(1)
    assert ((normals[scalp] * centres[scalp]).sum(1) > 0).all()
    for joint, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        ball = torch.isin(head.faces, head.regions[name]).all(1)
        assert ((normals[ball] * (centres[ball] - head.joint_template[joint])).sum(1) > 0).all()
    volume = (head.template[head.faces[:, 0]] * normals).sum() / 6
    assert float(volume) > 0


def test_no_degenerate_faces_and_all_vertices_used(head: HeadModel) -> None:
    areas = face_normals(head.template, head.faces).norm(dim=1) / 2
    assert float(areas.min()) > 1e-8
    assert len(torch.unique(head.faces)) == head.n_vertices
    a, b = unique_edges(head.faces).T
    assert float((head.template[a] - head.template[b]).norm(dim=1).max()) < 0.03


def test_neutral_is_mirror_symmetric(head: HeadModel) -> None:
    assert mirror_distance(head.template) < 1e-6
    assert mirror_distance(head.template + head.shape_basis.sum(-1)) < 1e-5


def test_uvs_are_in_range_and_islands_apart(head: HeadModel) -> None:
    assert float(head.uvs.min()) >= 0
    assert float(head.uvs.max()) <= 1
    corners = head.uvs[head.uv_faces]
    a, b, c = corners.unbind(1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs() / 2
    assert float(area.min()) > 0
    points = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    assert int(count_cover(points, corners).max()) == 1


def count_cover(points: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """How many of the triangles (F, 3, 2), their edges left out, cover each of the points (N, 2)."""
    edges = corners.roll(-1, 1) - corners
    sides = []
    for k in range(3):
        offset = points[:, None] - corners[None, :, k]
        sides.append(edges[None, :, k, 0] * offset[..., 1] - edges[None, :, k, 1] * offset[..., 0])
    signs = torch.stack(sides, -1)
    slack = 1e-7
    return ((signs > slack).all(-1) | (signs < -slack).all(-1)).sum(1)


def test_weights_sum_to_one_and_eyes_are_rigid(head: HeadModel) -> None:
    assert head.weights.shape == (head.n_vertices, len(JOINT_NAMES))
    assert float(head.weights.min()) >= 0
    torch.testing.assert_close(head.weights.sum(1), torch.ones(head.n_vertices))
    for joint, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        assert (head.weights[head.regions[name], joint] == 1).all()


def test_joints_are_where_they_belong(head: HeadModel) -> None:
    root, neck, jaw, left, right = head.joint_template
    assert root[1] < neck[1] < jaw[1] < left[1]
    for centre, name in ((left, "left_eyeball"), (right, "right_eyeball")):
        radii = (head.template[head.regions[name]] - centre).norm(dim=1)
        assert float(radii.max() - radii.min()) < 1e-6
    shapes = torch.linspace(-2, 2, head.n_shape)
    moved = head.joint_template + head.joint_shape_basis @ shapes
    ball = (head.template + head.shape_basis @ shapes)[head.regions["left_eyeball"]]
    radii = (ball - moved[3]).norm(dim=1)
    assert float(radii.max() - radii.min()) < 1e-5


def test_eyes_turn_without_moving_anything_else(head: HeadModel) -> None:
    turned = posed(head, eyes_pose=[0.0, 0.3, 0.0, 0.0, 0.3, 0.0])
    still = torch.ones(head.n_vertices, dtype=torch.bool)
    for name, x in (("left_iris", 0.0315), ("right_iris", -0.0315)):
        assert float(turned[head.regions[name], 0].mean()) > x + 0.002
    still[torch.cat([head.regions["left_eyeball"], head.regions["right_eyeball"]])] = False
    torch.testing.assert_close(turned[still], head.template[still])


@pytest.mark.parametrize("side", ["left", "right"])
def test_lids_close_and_never_cross_the_eyeball(head: HeadModel, side: str) -> None:
    mode, sign = ("eyeBlink_L", 1) if side == "left" else ("eyeBlink_R", -1)
    centre = head.joint_template[3 if side == "left" else 4]
    points = landmark_points(head, posed(head, {mode: 1.0}), "ibug")
    upper, lower = ([43, 44], [47, 46]) if side == "left" else ([37, 38], [41, 40])
    assert float((points[upper] - points[lower]).norm(dim=1).max()) < 5e-5
    inside = torch.isin(head.regions["eyelids"], torch.unique(head.faces[_ring_faces(head)]))
    lids = head.regions["eyelids"][~inside]
    lids = lids[head.template[lids, 0] * sign > 0]
    for amount in torch.linspace(0, 1, 6):
        closed = posed(head, {mode: float(amount)})[lids]
        assert float((closed - centre).norm(dim=1).min()) > EYE_RADIUS * 1e-3
    closed = posed(head, {mode: 1.0}).double().numpy()
    ball = set(head.regions[f"{side}_eyeball"].tolist())
    faces = head.faces.numpy()
    near = np.flatnonzero(np.linalg.norm(closed[faces].mean(1)[:, :2] - centre[:2].numpy(), axis=1) < 0.03)
    for x in np.linspace(-0.011, 0.011, 9):
        for y in np.linspace(-0.005, 0.007, 9):
            start = np.array([centre[0] + x, centre[1] + y, 0.3])
            face, _ = cast_ray(closed, faces, near, start, np.array([0.0, 0.0, -1.0]))
            assert not set(faces[face].tolist()) <= ball, f"the eyeball shows at {x:.4f}, {y:.4f}"


def _ring_faces(head: HeadModel) -> torch.Tensor:
    """Faces of the pockets behind the lids: eyelid faces that look at or lie within the eyeball."""
    centres = head.template[head.faces].mean(1)
    eyes = head.joint_template[3:]
    lid = torch.isin(head.faces, head.regions["eyelids"]).all(1)
    return lid & (torch.cdist(centres, eyes).min(1).values < EYE_RADIUS * 1e-3)


def test_jaw_parts_the_lips_and_spares_the_rest(head: HeadModel) -> None:
    gaps = []
    for angle in (0.0, 0.1, 0.2, 0.3):
        points = landmark_points(head, posed(head, jaw_pose=[angle, 0.0, 0.0]), "ibug")
        gaps.append(float((points[62] - points[66]).norm()))
    assert gaps[0] < 1e-5
    assert all(later - earlier > 0.006 for earlier, later in itertools.pairwise(gaps))
    opened = posed(head, jaw_pose=[0.3, 0.0, 0.0])
    moved = (opened - head.template).norm(dim=1)
    assert float(moved[head.regions["scalp"]].max()) < 1e-6
    assert float(moved[head.regions["nose"]].max()) < 2e-3
    assert float(moved[head.regions["boundary"]].max()) < 1e-6
    chin = landmark_points(head, opened, "ibug")[8] - landmark_points(head, head.template, "ibug")[8]
    assert float(chin[1]) < -0.015


def test_modes_are_named_independent_and_smooth(head: HeadModel) -> None:
    assert len(head.shape_names) == head.n_shape >= 12
    assert len(head.expr_names) == head.n_expr >= 16
    assert len({*head.shape_names, *head.expr_names}) == head.n_shape + head.n_expr
    for basis in (head.shape_basis, head.expr_basis):
        flat = basis.reshape(-1, basis.shape[-1]).double()
        unit = flat / flat.norm(dim=0)
        assert float(torch.linalg.cond(unit.T @ unit)) < 300
        largest = basis.norm(dim=1).max(0).values
        assert float(largest.min()) > 1e-3
        assert float(largest.max()) < 12e-3


def test_modes_keep_the_mesh_sound(head: HeadModel) -> None:
    generator = torch.Generator().manual_seed(4)
    neutral = face_normals(head.template, head.faces)
    scale = neutral.norm(dim=1)
    for _ in range(4):
        shaped = head.template + head.shape_basis @ torch.randn(head.n_shape, generator=generator)
        normals = face_normals(shaped, head.faces)
        turned = ((normals * neutral).sum(1) < 0) & (scale > 2e-7)
        assert float(turned.float().mean()) < 2e-3


@pytest.mark.parametrize("pair", ["eyeBlink", "browDown", "browOuterUp", "mouthSmile", "mouthFrown", "noseSneer"])
def test_left_and_right_modes_mirror_each_other(head: HeadModel, pair: str) -> None:
    both = sum(head.expr_basis[..., head.expr_names.index(f"{pair}_{side}")] for side in "LR")
    assert mirror_distance(head.template + both) < 1e-5
    left = head.expr_basis[..., head.expr_names.index(f"{pair}_L")].norm(dim=1)
    x = head.template[:, 0]
    assert float(left[x > 0.005].square().sum()) > 9 * float(left[x < -0.005].square().sum())


def test_regions_are_there_and_on_their_sides(head: HeadModel) -> None:
    for name in BASE_REGIONS:
        ids = head.regions[name]
        assert len(ids) > 20, name
        assert (ids.sort().values == ids).all()
        if name.startswith(("left", "right")):
            x = head.template[ids, 0] * (1 if name.startswith("left") else -1)
            assert float(x.min()) > 0, name
    named = torch.unique(torch.cat([head.regions[name] for name in BASE_REGIONS]))
    assert len(named) > 0.97 * head.n_vertices
    assert not set(head.regions["scalp"].tolist()) & set(head.regions["lips"].tolist())


def test_landmarks_sit_on_their_features(head: HeadModel) -> None:
    found = head.landmarks["ibug"]
    assert found.detector_ids.tolist() == list(range(70))
    torch.testing.assert_close(found.barycentrics.sum(1), torch.ones(70))
    p = landmark_points(head, head.template, "ibug")
    mirrored = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
    ]
    mirrored += [37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65, 69, 68]
    assert float((p * torch.tensor([-1.0, 1, 1]) - p[mirrored]).norm(dim=1).max()) < 1e-3
    assert (p[:17, 0].diff() > 0).all(), "jaw line from the picture's left to its right"
    assert (p[17:27, 0].diff() > 0).all()
    assert (p[27:31, 1].diff() < 0).all(), "down the nose"
    assert int(p[:, 2].argmax()) == 30, "the nose tip is foremost"
    assert float(p[8, 1]) < float(p[57, 1]) < float(p[66, 1]) <= float(p[62, 1]) < float(p[51, 1]) < float(p[33, 1])
    for corners, lids in (((36, 39), range(36, 42)), ((42, 45), range(42, 48))):
        assert p[corners[0], 0] == p[list(lids), 0].min()
        assert p[corners[1], 0] == p[list(lids), 0].max()
    assert float(p[19, 1] - p[37, 1]) > 0.015
    iris = head.template[head.regions["left_iris"]]
    assert float((p[69] - iris[iris[:, 2].argmax()]).norm()) < 1e-6


def test_base_texture_has_the_features_colours(head: HeadModel) -> None:
    texture = head.base_texture
    assert texture is not None
    assert texture.shape[2] == 3
    assert float(texture.min()) >= 0
    assert float(texture.max()) <= 1
    lightness = {
        name: colours_of(head, name).mean().item() for name in ("scalp", "forehead", "left_eyeball", "lip_inside")
    }
    assert lightness["lip_inside"] < 0.35 > lightness["scalp"]
    assert lightness["forehead"] > 0.5
    assert lightness["left_eyeball"] > 0.7
    lips, skin = colours_of(head, "lips").mean(0), colours_of(head, "forehead").mean(0)
    assert float(lips[0] / lips[1]) > 1.2 * float(skin[0] / skin[1])


def colours_of(head: HeadModel, region: str) -> torch.Tensor:
    texture = head.base_texture
    assert texture is not None
    inside = torch.isin(head.faces, head.regions[region]).all(1)
    uv = head.uvs[head.uv_faces[inside]].mean(1)
    rows = ((1 - uv[:, 1]) * texture.shape[0]).long()
    return texture[rows, (uv[:, 0] * texture.shape[1]).long()]


def test_same_bits_every_time(head: HeadModel) -> None:
    code = "from vhap.head.builtin import load_builtin; h = load_builtin()\n"
    code += "print(h.asset_hash, h.template.double().sum().item())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert other == [head.asset_hash, str(head.template.double().sum().item())]
    assert head.identity == f"builtin:{head.asset_hash}"
