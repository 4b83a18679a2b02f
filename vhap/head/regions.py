"""Named parts of a head: what the model's files name, completed from the mesh itself.

Names: face, scalp, hair, crown (the hair above the ears), neck, neck_upper, neck_lower, boundary, bottomline,
left_ear, right_ear, ears,
left_eye_region, right_eye_region, eye_region, left_eyeball, right_eyeball, eyeballs, left_iris, right_iris, irises,
sclerae, left_eyelids, right_eyelids, eyelids, left_eye, right_eye, nose, forehead, lips, lips_tight, lip_inside,
teeth, teeth_upper, teeth_lower, skin, left_half, right_half; and the single vertices neck_left_point,
neck_right_point, front_middle_bottom_point_boundary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from vhap.geometry.meshes import open_edges, unique_edges, vertex_normals
from vhap.head.model import HeadModel
from vhap.head.region_bases import bases_from_landmarks

IRIS_RADIUS_M = 0.0059
"""The human iris is 11.8 mm across, with little variation between people."""
LID_THICKNESS_M = 0.0045
LIP_RINGS_INSIDE = 2

Masks = Mapping[str, Tensor]
Rule = tuple[str, tuple[str, ...], Callable[[HeadModel, Masks], Tensor]]


def complete_regions(model: HeadModel) -> HeadModel:
    """The same head with every region that its own ones and its mesh allow; given regions are kept as they are.

    Without masks of face, scalp, neck and so on they come from the 68 landmarks and the head's proportions.
    A region whose ingredients are missing is left out.
    """
    masks = {name: region_mask(model, ids) for name, ids in model.regions.items()}
    for name, mask in bases_from_landmarks(model, masks).items():
        masks.setdefault(name, mask)
    for name, needed, derive in RULES:
        if name not in masks and all(need in masks for need in needed):
            mask = derive(model, masks)
            if mask.any():
                masks[name] = mask
    return replace(model, regions={name: mask.nonzero()[:, 0] for name, mask in masks.items()})


def region_mask(model: HeadModel, ids: Tensor) -> Tensor:
    """(V,) bool, True at the given vertices."""
    mask = torch.zeros(model.n_vertices, dtype=torch.bool, device=model.template.device)
    mask[ids] = True
    return mask


def faces_of_region(model: HeadModel, name: str) -> Tensor:
    """(F,) bool: faces all of whose three vertices are in the region. KeyError for an unknown name."""
    return region_mask(model, model.regions[name])[model.faces].all(-1)


def grow(mask: Tensor, faces: Tensor, rings: int) -> Tensor:
    """(V,) bool grown by its neighbours along edges, rings times."""
    edges = unique_edges(faces)
    for _ in range(rings):
        touched = edges[mask[edges].any(-1)]
        mask = mask.clone()
        mask[touched.reshape(-1)] = True
    return mask


def open_loops(model: HeadModel) -> list[Tensor]:
    """Vertex ids of each connected rim of the mesh, the lowest rim first."""
    edges = open_edges(model.faces).cpu().numpy()
    if not len(edges):
        return []
    size = (model.n_vertices, model.n_vertices)
    links = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=size)
    _, label = connected_components(links, directed=False)
    used = np.unique(edges)
    loops = [torch.from_numpy(used[label[used] == part]) for part in np.unique(label[used])]
    return sorted(loops, key=lambda ids: float(model.template[ids, 1].mean()))


def _union(*names: str) -> Callable[[HeadModel, Masks], Tensor]:
    return lambda _, masks: torch.stack([masks[name] for name in names]).any(0)


def _without(whole: str, *parts: str) -> Callable[[HeadModel, Masks], Tensor]:
    return lambda _, masks: masks[whole] & ~torch.stack([masks[name] for name in parts]).any(0)


def _iris(side: str) -> Callable[[HeadModel, Masks], Tensor]:
    def derive(model: HeadModel, masks: Masks) -> Tensor:
        centre, _ = _eyeball(model, masks[f"{side}_eyeball"])
        offset = model.template - centre
        return masks[f"{side}_eyeball"] & (offset[:, :2].norm(dim=-1) <= IRIS_RADIUS_M) & (offset[:, 2] > 0)

    return derive


def _eyelids(side: str) -> Callable[[HeadModel, Masks], Tensor]:
    """Skin of the eye region that lies on the eyeball's front."""

    def derive(model: HeadModel, masks: Masks) -> Tensor:
        centre, radius = _eyeball(model, masks[f"{side}_eyeball"])
        offset = model.template - centre
        near = (offset.norm(dim=-1) < radius + LID_THICKNESS_M) & (offset[:, 2] > 0)
        return masks[f"{side}_eye_region"] & ~masks[f"{side}_eyeball"] & near

    return derive


def _eyeball(model: HeadModel, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Middle of the box around an eyeball and its radius, metres."""
    points = model.template[mask]
    low, high = points.amin(0), points.amax(0)
    return (low + high) / 2, (high - low)[:2].mean() / 2


def _lip_inside(model: HeadModel, masks: Masks) -> Tensor:
    """Vertices near the mouth's open rim, and lip vertices that look backwards into the mouth."""
    rim = torch.zeros_like(masks["lips"])
    for loop in open_loops(model):
        inside = loop[masks["lips"][loop]]
        rim[inside] = len(inside) > len(loop) // 2
    backwards = vertex_normals(model.template, model.faces)[:, 2] < -0.2
    return masks["lips"] & (grow(rim, model.faces, LIP_RINGS_INSIDE) | backwards) if rim.any() else rim


def _bottomline(model: HeadModel, masks: Masks) -> Tensor:
    loops = open_loops(model)
    rim = region_mask(model, loops[0]) if loops else torch.zeros_like(masks["boundary"])
    return rim & masks["boundary"]


def _neck_half(upper: bool) -> Callable[[HeadModel, Masks], Tensor]:
    """The neck cut where half of its vertices lie above, along the axis from root joint to neck joint."""

    def derive(model: HeadModel, masks: Masks) -> Tensor:
        axis = torch.nn.functional.normalize(model.joint_template[1] - model.joint_template[0], dim=0)
        along = model.template @ axis
        above = along >= along[masks["neck"]].median()
        return masks["neck"] & (above if upper else ~above)

    return derive


def _neck_point(side: int) -> Callable[[HeadModel, Masks], Tensor]:
    """The outermost vertex of the neck where its halves meet, on the subject's left (+1) or right (-1)."""

    def derive(model: HeadModel, masks: Masks) -> Tensor:
        border = grow(masks["neck_upper"], model.faces, 1) & grow(masks["neck_lower"], model.faces, 1)
        sideways = (side * model.template[:, 0]).masked_fill(~(border & masks["neck"]), -torch.inf)
        return region_mask(model, sideways.argmax()[None])

    return derive


def _front_bottom(model: HeadModel, masks: Masks) -> Tensor:
    x, _, z = model.template.unbind(-1)
    ahead = z > z[masks["bottomline"]].mean()
    off_centre = x.abs().masked_fill(~(masks["bottomline"] & ahead), torch.inf)
    return region_mask(model, off_centre.argmin()[None])


def _crown(model: HeadModel, masks: Masks) -> Tensor:
    return masks["hair"] & (model.template[:, 1] > model.template[masks["ears"], 1].max())


def _half(side: int) -> Callable[[HeadModel, Masks], Tensor]:
    return lambda model, _: side * model.template[:, 0] >= -1e-5


def _teeth_row(upper: bool) -> Callable[[HeadModel, Masks], Tensor]:
    """Connected parts of the teeth, sorted by whether their middle is above that of all teeth."""

    def derive(model: HeadModel, masks: Masks) -> Tensor:
        edges = unique_edges(model.faces[masks["teeth"][model.faces].all(-1)]).cpu().numpy()
        size = (model.n_vertices, model.n_vertices)
        links = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=size)
        label = torch.from_numpy(connected_components(links, directed=False)[1]).long()
        height = model.template[:, 1]
        count = torch.bincount(label, minlength=len(label))
        mean = torch.zeros_like(height).index_add(0, label, height)[label] / count[label]
        used = masks["teeth"]
        middle = (mean[used].min() + mean[used].max()) / 2
        return used & ((mean >= middle) if upper else (mean < middle))

    return derive


def _skin(model: HeadModel, masks: Masks) -> Tensor:
    other = torch.zeros(model.n_vertices, dtype=torch.bool, device=model.template.device)
    for name in ("eyeballs", "hair", "lips_tight", "boundary", "teeth"):
        if name in masks:
            other = other | masks[name]
    return ~other


RULES: tuple[Rule, ...] = (
    ("ears", ("left_ear", "right_ear"), _union("left_ear", "right_ear")),
    ("eye_region", ("left_eye_region", "right_eye_region"), _union("left_eye_region", "right_eye_region")),
    ("eyeballs", ("left_eyeball", "right_eyeball"), _union("left_eyeball", "right_eyeball")),
    ("left_iris", ("left_eyeball",), _iris("left")),
    ("right_iris", ("right_eyeball",), _iris("right")),
    ("irises", ("left_iris", "right_iris"), _union("left_iris", "right_iris")),
    ("sclerae", ("eyeballs", "irises"), _without("eyeballs", "irises")),
    ("left_eyelids", ("left_eyeball", "left_eye_region"), _eyelids("left")),
    ("right_eyelids", ("right_eyeball", "right_eye_region"), _eyelids("right")),
    ("eyelids", ("left_eyelids", "right_eyelids"), _union("left_eyelids", "right_eyelids")),
    ("left_eye", ("left_eyeball", "left_eyelids"), _union("left_eyeball", "left_eyelids")),
    ("right_eye", ("right_eyeball", "right_eyelids"), _union("right_eyeball", "right_eyelids")),
    ("lip_inside", ("lips",), _lip_inside),
    ("lips_tight", ("lips", "lip_inside"), _union("lips", "lip_inside")),
    ("lips_tight", ("lips",), _union("lips")),
    ("hair", ("scalp", "face", "neck"), _without("scalp", "face", "neck")),
    ("crown", ("hair", "ears"), _crown),
    ("bottomline", ("boundary",), _bottomline),
    ("neck_upper", ("neck",), _neck_half(True)),
    ("neck_lower", ("neck",), _neck_half(False)),
    ("neck_left_point", ("neck", "neck_upper", "neck_lower"), _neck_point(1)),
    ("neck_right_point", ("neck", "neck_upper", "neck_lower"), _neck_point(-1)),
    ("front_middle_bottom_point_boundary", ("bottomline",), _front_bottom),
    ("teeth_upper", ("teeth",), _teeth_row(True)),
    ("teeth_lower", ("teeth",), _teeth_row(False)),
    ("left_half", (), _half(1)),
    ("right_half", (), _half(-1)),
    ("skin", (), _skin),
)
"""Name, the regions it needs, how it is made; in the order of making."""
