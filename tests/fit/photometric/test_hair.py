"""Hair that stands off the skull is found from mattes, and moves nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d
from tracked_heads import builtin_head, frame_batch, in_picture, moving_params, scene

from vhap.fit.params import TrackParams
from vhap.fit.photometric.hair import grow_hair
from vhap.fit.photometric.pictures import GreyPicture, grey_pictures
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import pose

SIZE, TEXTURE, FRAMES = (160, 160), 64, 6
LENGTH_M = 0.012


def bald() -> TrackParams:
    return replace(moving_params(FRAMES, TEXTURE), static_offset=torch.zeros_like(builtin_head().template))


def haired(length_m: float = LENGTH_M) -> TrackParams:
    """Hair that stands off further at the top of the head, on a skull of this person's."""
    head, params = builtin_head(), bald()
    skull = head.template + head.shape_basis @ params.shape
    height = skull[:, 1] - skull[head.regions["ears"], 1].max()
    stands = torch.zeros(head.n_vertices)
    hair = head.regions["hair"]
    stands[hair] = length_m * (height[hair] / height.max()).clamp(0, 1).sqrt()
    return replace(params, static_offset=stands[:, None] * vertex_normals(skull[None], head.faces)[0])


def observed_pictures(
    params: TrackParams, shown: TrackParams, matted: bool = True
) -> list[tuple[TrackParams, GreyPicture]]:
    batch = frame_batch(shown, SIZE)
    batch = batch if matted else replace(batch, alpha=None)
    rows = torch.arange(FRAMES).split(1)
    return [(params.rows(row), picture) for row, picture in zip(rows, grey_pictures(batch, range(FRAMES)))]


def overlap(params: TrackParams, shown: TrackParams) -> float:
    """Intersection over union of the head's silhouettes."""
    stage = scene(SIZE, TEXTURE)

    def covered(which: TrackParams) -> Tensor:
        cameras = which.cameras(None, SIZE, torch.zeros(FRAMES))
        clip = cameras.to_clip(pose(stage.head, which.head()))
        return stage.backend.rasterize(clip, stage.topology, *SIZE).mask

    ours, theirs = covered(params), covered(shown)
    return float((ours & theirs).sum() / (ours | theirs).sum())


def test_hair_grows_to_the_border_of_the_matte_and_nothing_else_moves():
    start, truth = bald(), haired()
    grown = grow_hair(scene(SIZE, TEXTURE), start, observed_pictures(start, truth))
    assert grown.static_offset is not None
    assert truth.static_offset is not None
    assert 1 - overlap(grown, truth) < 0.35 * (1 - overlap(start, truth))
    top = torch.tensor([int(builtin_head().template[:, 1].argmax())])
    error = (grown.static_offset - truth.static_offset)[top].norm(dim=-1)
    assert float(error) < 0.35 * LENGTH_M
    still = torch.ones(builtin_head().n_vertices, dtype=torch.bool)
    still[builtin_head().regions["hair"]] = False
    assert bool((grown.static_offset[still] == 0).all())
    for name in ("shape", "rotation", "translation", "expr", "focal_length"):
        assert torch.equal(getattr(grown, name), getattr(start, name)), name


def test_a_head_whose_matte_it_fills_stays_as_it_is():
    start = bald()
    grown = grow_hair(scene(SIZE, TEXTURE), start, observed_pictures(start, start))
    assert grown.static_offset is not None
    assert float(grown.static_offset.norm(dim=-1).max()) < 1e-3


def test_hair_that_hangs_beside_the_head_is_let_go():
    """As a curtain from the ears down, seen in profile."""
    head, start, size = builtin_head(), bald(), (320, 320)
    start = replace(start, rotation=torch.tensor([[0.0, 1.2, 0.0]]).expand(FRAMES, 3))
    batch = frame_batch(start, size)
    assert batch.alpha is not None
    ears = in_picture(start, size)[:, head.regions["ears"], 1].amin(1)
    below = torch.arange(size[0])[:, None] > ears[:, None, None]
    wider = max_pool2d(batch.alpha[:, None], 25, 1, 12)[:, 0]
    batch = replace(batch, alpha=torch.where(below, wider, batch.alpha))
    rows = torch.arange(FRAMES).split(1)
    shown = [(start.rows(row), picture) for row, picture in zip(rows, grey_pictures(batch, range(FRAMES)))]
    grown = grow_hair(scene(size, TEXTURE), start, shown)
    assert grown.static_offset is not None
    assert float(grown.static_offset.norm(dim=-1).max()) < 0.006


@pytest.mark.parametrize("missing", ["matte", "offsets", "free hair"])
def test_without_a_matte_or_offsets_or_free_hair_nothing_changes(missing):
    start, stage = bald(), scene(SIZE, TEXTURE)
    start = replace(start, static_offset=None) if missing == "offsets" else start
    fixed = torch.ones(builtin_head().n_vertices, dtype=torch.bool) if missing == "free hair" else None
    assert grow_hair(stage, start, observed_pictures(start, haired(), missing != "matte"), fixed) is start
