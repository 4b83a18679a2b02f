"""Pictures of a step rendered some at a time: the same value, the same gradients, less memory."""

from __future__ import annotations

import weakref
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from tracked_heads import builtin_head, frame_batch, moving_params, scene

from vhap.config.track import LossWeightConfig
from vhap.data.sample import FrameBatch
from vhap.fit.accumulation import accumulated
from vhap.fit.energy import Energy, EnergyValue, Neighbours
from vhap.fit.params import TrackParams
from vhap.fit.scene import Scene
from vhap.fit.stages import Stage
from vhap.geometry.cameras import Camera
from vhap.render.appearance_prior import AppearancePrior
from vhap.synthetic.rig import look_from

SIZE, TEXTURE, CAMERAS, TIMESTEPS = (96, 72), 64, 5, 2
CLUSTERS = ("skin", "hair", "boundary", "lips_tight", "teeth", "sclerae", "irises")
STAGE = Stage("all", (), True, True, True, 1, None, False, True, fixed_texture=("hair",), fixed_outline=("boundary",))


def small_rig() -> Camera:
    """On an arc of 80 degrees, a metre away; the outer ones do not have the head in the middle."""
    azimuths = torch.linspace(-0.7, 0.7, CAMERAS).double()
    places = torch.stack([azimuths.sin(), 0.1 * azimuths, azimuths.cos()], -1).numpy()
    poses = torch.stack([torch.from_numpy(look_from(place)).float() for place in places])
    focal = torch.linspace(150, 250, CAMERAS)
    return Camera(focal, focal, 36 + 20 * azimuths.float(), torch.full((CAMERAS,), 48.0), poses, *SIZE)


def params_of(count: int) -> TrackParams:
    params, random = moving_params(count, TEXTURE), torch.Generator().manual_seed(3)

    def some(scale: float, *shape: int) -> Tensor:
        return scale * torch.randn(*shape, generator=random)

    n_vertices = builtin_head().n_vertices
    return replace(
        params,
        # Brighter than one somewhere, so that the brightest pixel of all pictures counts.
        lights=1.1 * params.lights + some(0.2, 9, 3),
        residual_texture=some(0.1, 1, TEXTURE, TEXTURE, 3),
        neck_pose=some(0.1, count, 3),
        eyes_pose=some(0.1, count, 6),
        static_offset=some(1e-3, n_vertices, 3),
        dynamic_offset=some(1e-3, count, n_vertices, 3),
    )


def in_noise(timesteps: Tensor, cameras: Tensor) -> FrameBatch:
    """Pictures, mattes and landmarks that fit nothing, so that all terms pull."""
    random, count = torch.Generator().manual_seed(1), len(timesteps)
    like = frame_batch(moving_params(1, seed=1), SIZE)
    return FrameBatch(
        timesteps=timesteps,
        cameras=cameras,
        rgb=torch.rand(count, *SIZE, 3, generator=random),
        alpha=torch.rand(count, *SIZE, generator=random),
        landmarks_px=like.landmarks_px + 5 * torch.randn(count, *like.landmarks_px.shape[1:], generator=random),
        confidence=torch.rand(count, like.confidence.shape[1], generator=random),
    )


def rig_batch() -> tuple[Scene, TrackParams, FrameBatch]:
    timesteps = torch.arange(TIMESTEPS).repeat_interleave(CAMERAS)
    batch = in_noise(timesteps, torch.arange(CAMERAS).repeat(TIMESTEPS))
    return replace(scene(SIZE, TEXTURE), given=small_rig()), params_of(TIMESTEPS), batch


def film_batch() -> tuple[Scene, TrackParams, FrameBatch]:
    count = CAMERAS * TIMESTEPS
    return scene(SIZE, TEXTURE), params_of(count), in_noise(torch.arange(count), torch.zeros(count, dtype=torch.long))


def evaluated(which: Scene, params: TrackParams, batch: FrameBatch, at_once: int) -> tuple[EnergyValue, dict]:
    """The energy and its gradients by unknown, with the appearance prior's random numbers starting anew."""
    prior = AppearancePrior(which.face_clusters(CLUSTERS), 0.5, 0.5, torch.Generator().manual_seed(0))
    weights = replace(LossWeightConfig(), smooth_eyes=1.0, reg_light=1.0)
    energy = Energy(which, weights, prior=prior, micro_batch_size=at_once)
    shifted = params.mapped(lambda _, value: value + 0.01)
    leaves = params.mapped(lambda _, value: value.clone().requires_grad_())
    value = energy(leaves, Neighbours(shifted, torch.arange(params.n_timesteps) > 0), batch, STAGE)
    held = "rig_scale" if which.given is None else "focal_length"
    names = [f.name for f in fields(leaves) if f.name != held]
    found = torch.autograd.grad(value.total, [getattr(leaves, name) for name in names])
    return value, dict(zip(names, found))


@pytest.mark.parametrize("make", [rig_batch, film_batch], ids=["rig", "film"])
@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_gradient_of_every_unknown_is_the_same_however_many_pictures_are_rendered_at_once(make, at_once):
    which, params, batch = make()
    (whole, right), (value, found) = (evaluated(which, params, batch, count) for count in (100, at_once))
    assert value.picture is not None
    assert whole.picture is not None
    assert float(value.total.detach()) == pytest.approx(float(whole.total.detach()), rel=1e-6)
    for name, term in whole.terms.items():
        assert float(value.terms[name].detach()) == pytest.approx(float(term.detach()), rel=1e-5), name
    for name, gradient in right.items():
        assert (found[name] - gradient).norm() <= 1e-5 * gradient.norm() > 0, name
    torch.testing.assert_close(value.picture, whole.picture, rtol=0, atol=0)


def test_graph_of_a_part_is_gone_when_the_next_one_begins():
    value, alive = torch.ones(3, requires_grad=True), []

    def evaluate(factor: float, values: Tensor) -> Tensor:
        assert not any(reference() is not None for reference in alive)
        squares = values.square()
        alive.append(weakref.ref(squares))
        return factor * squares.sum()

    total = 2 * accumulated(evaluate, [1.0, 2.0, 3.0], value)
    assert float(total.detach()) == 36
    assert torch.equal(torch.autograd.grad(total, value)[0], torch.full((3,), 24.0))


def test_sum_without_gradient_is_the_sum():
    with torch.no_grad():
        total = accumulated(lambda factor, value: factor * value.sum(), [1.0, 2.0], torch.ones(2, requires_grad=True))
    assert float(total) == 6
    assert not total.requires_grad
