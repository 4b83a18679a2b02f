from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.head.builtin import load_builtin
from vhap.head.regions import complete_regions, faces_of_region
from vhap.head.texture import BROWS, COLOURS, LASHES, PUPIL, fill_outside, region_texture
from vhap.head.uv import cylinder_layout, largest_gap, match_corners


@pytest.fixture(scope="module")
def head():
    return complete_regions(load_builtin())


@pytest.fixture(scope="module")
def texture(head):
    return region_texture(head, 512)


def colour_at(texture, uv):
    size = texture.shape[0]
    column = (uv[:, 0] * size).long().clamp(0, size - 1)
    row = ((1 - uv[:, 1]) * size).long().clamp(0, size - 1)
    return texture[row, column]


@pytest.mark.parametrize("name", ["lip_inside", "hair", "boundary", "sclerae"])
def test_each_region_has_its_colour_where_its_faces_are(head, texture, name):
    inner = head.uvs[head.uv_faces[faces_of_region(head, name)]].mean(1)
    off = (colour_at(texture, inner) - torch.tensor(COLOURS[name])).abs().amax(-1)
    assert (off < 1e-5).float().mean() > 0.9


def test_texture_is_in_range_deterministic_and_without_holes(head, texture):
    assert texture.shape == (512, 512, 3)
    assert texture.min() > 0
    assert texture.max() <= 1
    assert torch.equal(texture, region_texture(head, 512))


def test_pupils_are_drawn_in_the_irises_only(head, texture):
    dark = (texture - torch.tensor(PUPIL)).abs().amax(-1) < 1e-5
    assert 0 < int(dark.sum()) < 0.02 * 512 * 512
    plain = region_texture(replace(head, regions={"skin": head.regions["skin"]}), 128)
    assert not ((plain - torch.tensor(PUPIL)).abs().amax(-1) < 1e-5).any()


def test_brows_and_upper_lids_are_drawn_along_their_landmarks(head, texture):
    """iBUG's points lie on these lines; without dark lashes a detector sees no closed lids in plain skin."""
    points = head.landmarks["ibug"]
    uv = (head.uvs[head.uv_faces[points.face_ids]] * points.barycentrics[..., None]).sum(1)

    def share(ids, colour):
        return float(((colour_at(texture, uv[ids]) - torch.tensor(colour)).abs().amax(-1) < 1e-5).float().mean())

    assert share([37, 38, 43, 44], LASHES) == 1
    assert share([18, 19, 20, 23, 24, 25], BROWS) == 1
    dark = (texture - torch.tensor(LASHES)).abs().amax(-1) < 1e-5
    assert int(dark.sum()) < 0.02 * 512 * 512


def test_outside_takes_the_nearest_colour():
    picture = np.zeros((4, 6, 3), np.float32)
    covered = np.zeros((4, 6), bool)
    picture[1, 0], picture[2, 5] = 0.25, 0.75
    covered[1, 0] = covered[2, 5] = True
    filled = fill_outside(picture, covered)
    assert (filled[:, :2] == 0.25).all()
    assert (filled[:, 4:] == 0.75).all()


def test_largest_gap_is_free_and_large():
    corners = np.array([[[0, 0], [1, 0], [0, 0.5]], [[1, 0], [1, 0.5], [0, 0.5]]], float)
    left, bottom, width, height = largest_gap(corners)
    assert bottom > 0.5
    assert left + width <= 1
    assert bottom + height <= 1
    assert width * height > 0.45


def test_cylinder_layout_repeats_the_cut_on_both_sides():
    turn = np.linspace(-np.pi, np.pi, 12, endpoint=False)
    points = np.concatenate([np.stack([np.sin(turn), np.full(12, y), np.cos(turn)], -1) for y in (0.0, 1.0)])
    faces = np.array([[i, (i + 1) % 12, 12 + i] for i in range(12)])
    uvs, uv_faces = cylinder_layout(points, faces, [])
    u = uvs[uv_faces][..., 0]
    assert (u.max(1) - u.min(1)).max() < 0.1 + 1 / 12
    assert (uvs[:, 0] == 1).any()


def test_corners_match_across_orders_and_missing_triangles_are_told():
    faces = np.array([[0, 1, 2], [2, 1, 3]])
    other = np.array([[3, 2, 1], [1, 2, 0]])
    assert match_corners(faces, other, other * 10).tolist() == (faces * 10).tolist()
    assert match_corners(faces, other[:1], other[:1]) is None
