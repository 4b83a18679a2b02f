"""Which part of one head is matched to which part of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel
from vhap.head.regions import grow, open_loops, region_mask

RIGID = ("left_eyeball", "right_eyeball", "teeth_upper", "teeth_lower")
"""Bodies of their own, which are laid on each other by their boxes."""
MARGIN = MappingProxyType({"left_ear": 3, "right_ear": 3, "left_eye_region": 4, "right_eye_region": 4, "mouth": 4})
"""Parts of the skin, and how many rings of vertices beyond them the other head's part may reach: masks of heads are
drawn alike, not equal."""
HIDDEN = ("teeth", "eyeballs", "eye_sockets")
"""Never matched to skin."""
POCKET_M = 0.006
"""How far from an eyeball the skin behind its lids may be."""
INSIDE_M = 0.0003
"""How far below the eyeball's surface skin is in it, not on it."""
INNER_RINGS = 2
"""How far into the mouth heads are matched: what lies deeper some have and others have not."""


@dataclass(frozen=True)
class Part:
    """vertices (V,) bool: of this head that look for counterparts; faces (F,) bool: where those of another head may
    lie."""

    vertices: Tensor
    faces: Tensor


def skin_parts(model: HeadModel) -> Mapping[str, Part]:
    """Ears, eye regions, mouth, and `rest`, which is all other skin. A part that the head does not name is left out."""
    masks = _masks(model)
    hidden = torch.zeros(model.n_vertices, dtype=torch.bool)
    for name in HIDDEN:
        if name in model.regions:
            hidden |= region_mask(model, model.regions[name])
    parts, taken = {}, hidden | deep_mouth(model) | eye_pockets(model)
    hidden = taken.clone()
    for name, mask in masks.items():
        wide = grow(mask, model.faces, MARGIN[name])
        parts[name] = Part(mask & ~hidden, (wide & ~hidden)[model.faces].all(1))
        taken |= mask
    core = hidden | region_mask(model, model.regions.get("lip_inside", torch.zeros(0, dtype=torch.long)))
    for name in ("left_ear", "right_ear"):
        if name in masks:
            core |= ~grow(~masks[name], model.faces, MARGIN[name])
    parts["rest"] = Part(~taken, ~core[model.faces].any(1))
    return parts


def rigid_part(model: HeadModel, name: str) -> Tensor | None:
    """(N,) vertex ids of one of RIGID; None where the head has none."""
    ids = model.regions.get(name)
    return None if ids is None or not len(ids) else ids


def _masks(model: HeadModel) -> dict[str, Tensor]:
    names = {name: (name,) for name in MARGIN if name != "mouth"} | {"mouth": ("lips", "lip_inside")}
    masks = {}
    for name, regions in names.items():
        found = [region_mask(model, model.regions[region]) for region in regions if region in model.regions]
        if found and bool(torch.stack(found).any()):
            masks[name] = torch.stack(found).any(0)
    return masks


def cut_edge(model: HeadModel) -> Tensor:
    """(V,) bool: where the head ends, below the neck. What is nearest to that edge has no counterpart."""
    loops = open_loops(model)
    return region_mask(model, loops[0] if loops else torch.zeros(0, dtype=torch.long))


def eye_pockets(model: HeadModel) -> Tensor:
    """(V,) bool: skin behind the lids, which faces the eyeball or lies in it. Some heads have it."""
    found = torch.zeros(model.n_vertices, dtype=torch.bool)
    normals = vertex_normals(model.template, model.faces)
    for side in ("left", "right"):
        ball = model.regions.get(f"{side}_eyeball")
        if ball is None or not len(ball):
            continue
        low, high = model.template[ball].amin(0), model.template[ball].amax(0)
        inwards = (low + high) / 2 - model.template
        # Of most of the ball: its cornea stands out.
        distance = inwards.norm(dim=-1)
        radius = distance[ball].median()
        facing = (distance < radius + POCKET_M) & ((normals * inwards).sum(-1) > 0)
        found |= (facing | (distance < radius - INSIDE_M)) & ~region_mask(model, ball)
    return found


def deep_mouth(model: HeadModel) -> Tensor:
    """(V,) bool: the inside of the mouth but its rim."""
    if not {"lips", "lip_inside"} <= model.regions.keys():
        return torch.zeros(model.n_vertices, dtype=torch.bool)
    rim = grow(region_mask(model, model.regions["lips"]), model.faces, INNER_RINGS)
    return region_mask(model, model.regions["lip_inside"]) & ~rim
