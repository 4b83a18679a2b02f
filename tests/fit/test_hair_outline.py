"""Hair before a background of exactly its colour: the pictures say nothing of where it ends, the matte does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor
from tracked_heads import builtin_head, frame_batch, scene, still_params, texel_mask

from vhap.data.sample import FrameBatch
from vhap.fit.params import TrackParams
from vhap.fit.photometric.hair import grow_hair
from vhap.fit.photometric.pictures import grey_pictures
from vhap.fit.scene import Scene
from vhap.geometry.cameras import camera_from_focal
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import pose
from vhap.render.scene import Alignment, Rendering, render_head

SIZE, TEXTURE = (128, 128), 128
HAIR = torch.tensor([0.25, 0.18, 0.12])
SEEN_DEG, UNSEEN_DEG = [-60.0, -30.0, 0.0, 30.0, 60.0], [-45.0, -15.0, 15.0, 45.0]


def turned(yaws_deg: list[float], offset: Tensor) -> TrackParams:
    params = still_params(len(yaws_deg), TEXTURE)
    params.rotation[:, 1] = torch.deg2rad(torch.tensor(yaws_deg))
    return replace(params, static_offset=offset)


@cache
def evenly_haired() -> Scene:
    """The built-in head with hair of one colour."""
    stage = scene(SIZE, TEXTURE)
    hair = texel_mask(stage.backend, stage.head, stage.topology, ("hair",), TEXTURE)[..., None].float()
    return replace(stage, base_texture=stage.base_texture * (1 - hair) + HAIR * hair)


def thicker_hair(metres: float) -> Tensor:
    """(V, 3) offsets of the hair along its normals."""
    head = builtin_head()
    normals = vertex_normals(head.template[None], head.faces)[0]
    inside = torch.zeros(head.n_vertices, 1)
    inside[head.regions["hair"]] = metres
    return normals * inside


def shown(params: TrackParams, size: tuple[int, int]) -> Rendering:
    stage, camera = evenly_haired(), camera_from_focal(params.focal_length[0], *size)
    behind = HAIR.expand(params.n_timesteps, *size, 3).contiguous()
    vertices = pose(stage.head, params.head())
    with torch.no_grad():
        return render_head(
            stage.backend, vertices, stage.topology, stage.head.uvs, stage.base_texture, params.lights, camera, behind,
            alignment=Alignment(coverage=True),
        )  # fmt: skip


def film(truth: TrackParams) -> FrameBatch:
    picture = shown(truth, SIZE)
    return replace(frame_batch(truth, SIZE), rgb=picture.picture, alpha=picture.coverage)


def outline_error_mm(offset: Tensor, truth: Tensor, truth_m: float, yaws_deg: list[float]) -> float:
    """Area between the outlines, in units of that of the head without offsets, whose hair is truth_m away."""
    found, true, bare = (shown(turned(yaws_deg, x), (384, 384)).raster.mask for x in (offset, truth, 0 * truth))
    return 1000 * abs(truth_m) * float((found ^ true).sum() / (bare ^ true).sum())


@pytest.mark.parametrize("truth_m", [0.008, -0.008], ids=["scalp too small", "scalp too large"])
def test_matte_brings_the_hair_to_its_place_where_colours_cannot(truth_m):
    """8 mm are two pixels. In fitted views, and between them."""
    stage, truth = evenly_haired(), thicker_hair(truth_m)
    start = turned(SEEN_DEG, torch.zeros_like(truth))
    batch = film(turned(SEEN_DEG, truth))
    pictures = [
        (start.rows(torch.tensor([row])), picture)
        for row in range(len(SEEN_DEG))
        for picture in grey_pictures(batch, [row])
    ]
    found = grow_hair(stage, start, pictures)
    assert found.static_offset is not None
    assert outline_error_mm(found.static_offset, truth, truth_m, SEEN_DEG) < 2.5
    assert outline_error_mm(found.static_offset, truth, truth_m, UNSEEN_DEG) < 4
