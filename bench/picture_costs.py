"""Processor time of one picture in the second-order estimator: what it shows, and its equations.

    OMP_NUM_THREADS=1 python bench/picture_costs.py                        # the built-in head, 8 pictures of 384 x 384
    OMP_NUM_THREADS=1 python bench/picture_costs.py --head ict --size 512

One thread, milliseconds of processor time a picture, the least of several calls: other work on the machine only adds to
it. Pictures are rendered from the head itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Count, Pixels
from vhap.util.errors import exits_cleanly

if TYPE_CHECKING:
    from torch import Tensor

    from vhap.fit.params import TrackParams
    from vhap.fit.photometric.problem import Task
    from vhap.fit.scene import Scene
    from vhap.head.model import HeadModel

TEXTURE = 256
ALL = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr", "shape", "focal_length", "lights")


@dataclass(frozen=True)
class PictureCostsConfig:
    head: Literal["builtin", "ict", "gnm", "flame"] = "builtin"
    """Its files come from the usual places."""
    size: Pixels = 384
    """Side of the pictures."""
    pictures: Count = 8
    """Frames, one picture each."""
    repeats: Count = 15
    """Timed calls, after one that does not count."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(PictureCostsConfig, __doc__, args)
    import torch

    from vhap.fit.params import PER_FRAME
    from vhap.fit.photometric.equations import equations_of
    from vhap.fit.photometric.problem import evaluate, views_of
    from vhap.fit.photometric.solver import open_task
    from vhap.head.load import load_head
    from vhap.util.threads import set_threads

    torch.set_num_threads(1)
    set_threads(1)
    with torch.no_grad():
        task = task_of(load_head(config.head), config)
        now = evaluate(task, task.start)
        works: dict[str, Callable[[], object]] = {
            "choosing points, and which of them are shown": lambda: open_task(task.problem, task.start, task.rows),
            "what pictures show": lambda: views_of(task, task.start),
            "that, and what it costs": lambda: evaluate(task, task.start),
            "equations of all unknowns": lambda: equations_of(task, now, ALL),
            "equations of the frames' own": lambda: equations_of(task, now, PER_FRAME),
        }
        times = {name: seconds_of(work, config.repeats) / config.pictures for name, work in works.items()}
    shown = sum(len(view.index) for view in now.views) // config.pictures
    print(f"{config.head}, {config.pictures} pictures of {config.size} x {config.size}, {shown} points seen\n")
    print(markdown_table(["work", "ms a picture"], [[name, f"{1e3 * each:.2f}"] for name, each in times.items()]))


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """The least processor time of several calls."""
    work()
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def task_of(head: HeadModel, config: PictureCostsConfig) -> Task:
    """Frames of a head that turns and talks a little, where they really are."""
    import torch

    from vhap.data.sample import FrameBatch
    from vhap.fit.photometric.pictures import Pictures
    from vhap.fit.photometric.problem import PhotometricProblem
    from vhap.fit.photometric.solver import open_task
    from vhap.fit.residuals.landmark_problem import LandmarkProblem
    from vhap.head.model import landmark_head

    scene, rows = scene_of(head, config.size), torch.arange(config.pictures)
    params = params_of(head, config.pictures)
    rgb, alpha, landmarks_px = filmed(scene, params)

    def load(some: Tensor) -> FrameBatch:
        ones = torch.ones(len(some), landmarks_px.shape[1])
        return FrameBatch(some, torch.zeros_like(some), rgb[some], alpha[some], landmarks_px[some], ones)

    weight = torch.ones(config.pictures, 1, landmarks_px.shape[1])
    landmarks = LandmarkProblem(
        landmark_head(head, "ibug"), "ibug", landmarks_px[:, None], weight, rows, scene.size, None
    )
    problem = PhotometricProblem(scene, landmarks, Pictures(load))
    task = open_task(problem, params, rows)
    assert task is not None
    return task


def scene_of(head: HeadModel, side: int) -> Scene:
    import torch

    from vhap.fit.scene import Scene
    from vhap.render.backend import get_backend
    from vhap.render.topology import build_topology

    texture = 0.5 + 0.1 * torch.randn(1, TEXTURE, TEXTURE, 3, generator=torch.Generator().manual_seed(0))
    return Scene(
        head=head,
        landmark_set="ibug",
        size=(side, side),
        given=None,
        backend=get_backend("warp"),
        topology=build_topology(head.faces, head.uv_faces),
        base_texture=texture,
    )


def params_of(head: HeadModel, frames: int) -> TrackParams:
    import torch

    from vhap.fit.params import initial_params
    from vhap.render.shading import uniform_lights

    random = torch.Generator().manual_seed(1)
    params = initial_params(head, frames, TEXTURE, uniform_lights())
    params.rotation[:, 1] = torch.linspace(-0.4, 0.4, frames)
    params.expr[:] = 0.2 * torch.rand(params.expr.shape, generator=random)
    params.shape[:] = 0.3 * torch.randn(params.shape.shape, generator=random)
    params.focal_length.fill_(2.0)
    return params


def filmed(scene: Scene, params: TrackParams) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (T, H, W, 3), mattes (T, H, W) and landmarks (T, L, 2)."""
    import torch

    from vhap.head.model import landmark_points, pose
    from vhap.render.scene import render_head

    vertices, frames = pose(scene.head, params.head()), params.n_timesteps
    cameras = params.cameras(None, scene.size, torch.zeros(frames, dtype=torch.long))
    behind, albedo = torch.full((frames, *scene.size, 3), 0.4), scene.albedo(params.residual_texture)
    rendering = render_head(
        scene.backend, vertices, scene.topology, scene.head.uvs, albedo, params.lights, cameras, behind
    )
    return (
        rendering.picture,
        rendering.raster.mask.float(),
        cameras.project(landmark_points(scene.head, vertices, "ibug"))[0],
    )


if __name__ == "__main__":
    main()
