"""The light of a finished run, separated from the albedo."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.evaluate.run_scene import RunScene
from vhap.fit.light_file import LIGHT_FILE
from vhap.fit.light_views import MOST_PICTURES, PosedPicture, light_of_pictures
from vhap.util.choice import even_choice


def light_of_run(scene: RunScene) -> Tensor:
    """(9, 3) in the run's own world axes: the result's, where light.json says that it is without the albedo, else
    separated here."""
    if scene.lights is not None and (scene.folder / LIGHT_FILE).is_file():
        return scene.lights
    places = [(row, view) for row in range(scene.n_rows) for view in range(scene.n_views)]
    pictures = (posed_picture(scene, *places[index]) for index in even_choice(len(places), MOST_PICTURES))
    return light_of_pictures(scene.model, scene.backend, scene.topology, pictures).lights


@torch.no_grad()
def posed_picture(scene: RunScene, row: int, view: int) -> PosedPicture:
    """One picture of a run with its head."""
    return PosedPicture(scene.vertices(row), scene.camera(view).expand(1), scene.load(row, view))
