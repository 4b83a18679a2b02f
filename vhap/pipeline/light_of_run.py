"""The light of a finished run, separated from the albedo."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.pipeline.rendered_frames import RunScene
from vhap.tracking.light_file import LIGHT_FILE, light_in_tracked_axes
from vhap.tracking.light_views import MOST_PICTURES, PosedPicture, light_of_pictures
from vhap.util.choice import even_choice


def light_of_run(scene: RunScene) -> Tensor:
    """(9, 3) in the run's own world axes: what its light.json says, else separated anew. InputError where that file is
    damaged."""
    path = scene.folder / LIGHT_FILE
    if path.is_file():
        return light_in_tracked_axes(path, scene.result.T_tracked_given).to(scene.device)
    places = [(row, view) for row in range(scene.n_rows) for view in range(scene.n_views)]
    pictures = (posed_picture(scene, *places[index]) for index in even_choice(len(places), MOST_PICTURES))
    return light_of_pictures(scene.model, scene.backend, scene.topology, pictures).lights


@torch.no_grad()
def posed_picture(scene: RunScene, row: int, view: int) -> PosedPicture:
    """One picture of a run with its head."""
    return PosedPicture(scene.vertices(row), scene.camera(view).expand(1), scene.load(row, view))
