"""Recordings of one person under lights of their own, solved together."""

from __future__ import annotations

from dataclasses import replace

import torch
from test_photometric_solver import ANY_MOTION, SIZE, error_mm, error_px, perturbed, problem_of, solved, turning_clip
from torch.nn.functional import normalize
from tracked_heads import frame_batch

from vhap.fit.light_separation import PointViews
from vhap.fit.light_views import albedo_of_views
from vhap.fit.params import TrackParams
from vhap.fit.photometric.problem import grouped
from vhap.fit.photometric.solver import open_task
from vhap.render.shading import shade, uniform_lights
from vhap.synthetic.person import directional_light

FRAMES = 6
RECORDINGS = torch.tensor([0, 0, 0, 1, 1, 1])


def from_the_side() -> torch.Tensor:
    return 0.5 * uniform_lights() + 0.5 * directional_light(1.2, 0.2)[:, None]


def lit_differently(truth: TrackParams) -> tuple[TrackParams, torch.Tensor]:
    """The truth with a light for each frame, and its pictures."""
    other = replace(truth, lights=from_the_side())
    rgb = torch.cat([frame_batch(truth, SIZE).rgb[:3], frame_batch(other, SIZE).rgb[3:]])
    lights = torch.stack([truth.lights] * 3 + [other.lights] * 3)
    return replace(truth, lights=lights), rgb


def test_a_light_of_each_recording_keeps_the_person() -> None:
    truth, rgb = lit_differently(turning_clip(FRAMES))
    batch = replace(frame_batch(turning_clip(FRAMES), SIZE), rgb=rgb)
    problem = problem_of(turning_clip(FRAMES), batch, ANY_MOTION)
    start = perturbed(turning_clip(FRAMES))
    together = solved(problem, start)
    each = solved(replace(problem, recordings=RECORDINGS), replace(start, lights=truth.lights))
    assert error_px(each, truth).mean() < 0.2
    assert error_px(each, truth).mean() < 0.7 * error_px(together, truth).mean()
    assert error_mm(each, truth).mean() < error_mm(together, truth).mean()
    # What changes of the lights is one for all.
    change = each.lights - truth.lights
    torch.testing.assert_close(change, change[:1].expand_as(change), atol=1e-5, rtol=0)


def test_pictures_show_the_points_of_their_own_recording() -> None:
    truth = turning_clip(FRAMES)
    problem = replace(problem_of(truth), recordings=RECORDINGS)
    task = open_task(problem, replace(truth, lights=truth.lights.expand(FRAMES, -1, -1)), torch.arange(FRAMES))
    assert task is not None
    recording = task.points.recording
    assert recording is not None
    assert recording.unique().tolist() == [0, 1]
    shown = [(frame, one) for batch in task.batches for (frame, _), one in zip(batch.indices, batch.shown.each)]
    assert len(shown) == FRAMES
    assert all(bool((recording[one.index] == RECORDINGS[frame]).all()) for frame, one in shown)
    assert [{int(RECORDINGS[frame]) for frame, _ in batch.indices} for batch in task.batches] == [{0}, {1}]


def test_points_of_a_recording_count_as_all_points_would() -> None:
    truth = turning_clip(FRAMES)
    rows = torch.arange(FRAMES)
    alone = open_task(problem_of(truth), truth, rows)
    each = open_task(
        replace(problem_of(truth), recordings=RECORDINGS), replace(truth, lights=truth.lights.expand(6, -1, -1)), rows
    )
    assert alone is not None
    assert each is not None
    shown = [[one for batch in task.batches for one in batch.shown.each] for task in (alone, each)]
    sums = [sum(float(one.counts.points) for one in of_task) for of_task in shown]
    # Chosen in its own pictures, more of them are seen.
    assert 0.9 < sums[1] / sums[0] < 1.5


def test_pictures_of_two_recordings_are_not_worked_on_together() -> None:
    indices = [(frame, 0) for frame in range(12)]
    assert [len(group) for group, _, _ in grouped(indices)] == [8, 4]
    parts = grouped(indices, [0] * 3 + [1] * 9)
    assert [(len(group), frames) for group, frames, _ in parts] == [
        (3, slice(0, 3)), (8, slice(3, 11)), (1, slice(11, 12)),
    ]  # fmt: skip


def test_one_albedo_under_two_lights() -> None:
    random = torch.Generator().manual_seed(0)
    normals = normalize(torch.randn(50, 3, generator=random) + torch.tensor([0.0, 0.0, 1.5]), dim=-1)
    albedo, lights = 0.3 + 0.4 * torch.rand(50, 3, generator=random), [uniform_lights(), from_the_side()]
    ids = torch.arange(50)
    views = [[PointViews(ids, albedo * shade(normals, light).clamp(min=0.15), normals)] for light in lights]
    torch.testing.assert_close(albedo_of_views(views, lights, 50), albedo, atol=1e-4, rtol=0)
