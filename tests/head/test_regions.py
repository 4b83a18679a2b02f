from dataclasses import replace

import flame_files
import pytest
import torch

from vhap.geometry.meshes import open_edges
from vhap.head.builtin import load_builtin
from vhap.head.flame import load_flame
from vhap.head.regions import RULES, complete_regions, faces_of_region, grow, open_loops, region_mask

EVERYWHERE = {
    *("face", "scalp", "hair", "neck", "neck_upper", "neck_lower", "boundary", "bottomline", "ears", "left_ear"),
    *("right_ear", "eyeballs", "sclerae", "irises", "left_iris", "right_iris", "eyelids", "left_eye", "right_eye"),
    *("nose", "forehead", "lips", "lips_tight", "skin", "left_half", "right_half", "eye_region"),
    *("neck_left_point", "neck_right_point", "front_middle_bottom_point_boundary"),
}


@pytest.fixture(scope="module")
def flame(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return load_flame(flame_files.write_flame(tmp_path_factory.mktemp("flame"), patch))


@pytest.fixture(scope="module")
def bare_builtin():
    """The built-in head with nothing named but its eyeballs: all else must come from landmarks and proportions."""
    head = load_builtin()
    kept = {name: ids for name, ids in head.regions.items() if name in ("left_eyeball", "right_eyeball", "lip_inside")}
    return complete_regions(replace(head, regions=kept))


@pytest.fixture(scope="module")
def builtin():
    return complete_regions(load_builtin())


@pytest.fixture(params=["flame", "bare_builtin", "builtin"])
def head(request):
    return request.getfixturevalue(request.param)


def masks_of(head):
    return {name: region_mask(head, ids) for name, ids in head.regions.items()}


def test_every_name_is_there_and_filled(head):
    assert head.regions.keys() >= EVERYWHERE
    for name in EVERYWHERE:
        ids = head.regions[name]
        assert len(ids) > 0, name
        assert ids.dtype == torch.int64
        assert len(ids.unique()) == len(ids), name


def test_points_are_single_vertices_in_their_regions(head):
    masks = masks_of(head)
    for side, name in ((1, "neck_left_point"), (-1, "neck_right_point")):
        assert len(head.regions[name]) == 1
        assert (masks[name] & masks["neck"]).any()
        assert side * float(head.template[head.regions[name][0], 0]) > 0
    middle = head.regions["front_middle_bottom_point_boundary"]
    assert (masks["bottomline"][middle]).all()
    assert head.template[middle, 2] > head.template[head.regions["bottomline"], 2].mean()
    assert head.template[middle, 0].abs() < 0.01


def test_set_relations(head):
    masks = masks_of(head)
    assert torch.equal(masks["eyeballs"], masks["sclerae"] | masks["irises"])
    assert not (masks["sclerae"] & masks["irises"]).any()
    assert not (masks["hair"] & (masks["face"] | masks["neck"])).any()
    assert torch.equal(masks["neck"], masks["neck_upper"] | masks["neck_lower"])
    assert (masks["left_half"] | masks["right_half"]).all()
    for other in ("eyeballs", "hair", "lips_tight", "boundary"):
        assert not (masks["skin"] & masks[other]).any(), other
    rim = torch.zeros_like(masks["skin"])
    rim[open_edges(head.faces).reshape(-1)] = True
    assert (rim | ~masks["bottomline"]).all()


def test_sides_and_heights(head):
    x, y, _ = head.template.unbind(-1)
    for side, name in ((1, "left"), (-1, "right")):
        for part in ("iris", "eyeball", "ear", "eye", "eyelids"):
            assert (side * x[head.regions[f"{name}_{part}"]] > 0).all(), (name, part)
    means = [
        float(y[head.regions[name]].mean()) for name in ("scalp", "face", "neck_upper", "neck_lower", "bottomline")
    ]
    assert means == sorted(means, reverse=True)
    assert y[head.regions["forehead"]].min() > y[head.regions["lips"]].max()


def test_derived_regions_agree_with_drawn_ones(builtin, bare_builtin):
    for name, share in (("face", 0.7), ("neck", 0.35), ("scalp", 0.6), ("lips", 0.5), ("nose", 0.4)):
        drawn, derived = (
            region_mask(head, head.regions[name]) & ~region_mask(head, head.regions["lip_inside"])
            for head in (builtin, bare_builtin)
        )
        assert float((drawn & derived).sum() / (drawn | derived).sum()) > share, name


def test_given_regions_are_kept(flame):
    ids = torch.tensor([1, 2, 3])
    assert complete_regions(replace(flame, regions={"nose": ids, "hair": ids})).regions["hair"].tolist() == [1, 2, 3]


def test_a_mesh_without_names_or_landmarks_gets_what_it_allows(flame):
    regions = complete_regions(replace(flame, regions={}, landmarks={})).regions
    assert {"left_half", "right_half", "skin"} <= regions.keys()
    assert "hair" not in regions


def test_a_face_belongs_when_all_its_vertices_do(flame):
    inside = faces_of_region(flame, "lips")
    lips = set(flame.regions["lips"].tolist())
    assert 0 < int(inside.sum()) < len(inside)
    assert inside.tolist() == [set(face) <= lips for face in flame.faces.tolist()]


def test_teeth_rows_are_told_apart_by_height(flame):
    without = {name: ids for name, ids in flame.regions.items() if name not in ("teeth_upper", "teeth_lower")}
    again = complete_regions(replace(flame, regions=without))
    for name in ("teeth_upper", "teeth_lower"):
        assert set(again.regions[name].tolist()) == set(flame.regions[name].tolist())


def test_loops_come_lowest_first_and_growing_adds_one_ring(flame):
    loops = open_loops(flame)
    heights = [float(flame.template[loop, 1].mean()) for loop in loops]
    assert heights == sorted(heights)
    assert len(loops[0]) == flame_files.COLUMNS
    apex = flame_files.COLUMNS * flame_files.ROWS
    ring = grow(region_mask(flame, torch.tensor([apex])), flame.faces, 1)
    assert int(ring.sum()) == 1 + flame_files.COLUMNS


def test_rules_need_only_what_comes_before_or_from_files():
    made: set[str] = set()
    from_files = {"left_ear", "right_ear", "left_eye_region", "right_eye_region", "left_eyeball", "right_eyeball"}
    from_files |= {"lips", "scalp", "face", "neck", "boundary", "teeth"}
    for name, needed, _ in RULES:
        assert set(needed) <= made | from_files, name
        made.add(name)
