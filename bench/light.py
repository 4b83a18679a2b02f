"""Light told apart from albedo on films with a directed light, whose geometry is known.

python bench/light.py --output OUT
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.results import load_result, save_result
from vhap.evaluate.run_scene import RunScene
from vhap.fit.light_separation import shading_of
from vhap.fit.light_views import vertices_seen
from vhap.pipeline.light_of_run import light_of_run, posed_picture
from vhap.pipeline.make_synthetic_capture import run as make_film
from vhap.pipeline.open_run import open_run
from vhap.render.shading import shade, uniform_lights
from vhap.synthetic import person
from vhap.synthetic.person import directional_light
from vhap.util.files import read_json

FRAMES, SIZE = 16, 192
TURNS = {"turning": (35.0, 15.0, 10.0), "nearly still": (5.0, 3.0, 2.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    options = parser.parse_args()
    person.random_lights = directed_lights
    print("film, smallest correlation of the shading, error of the albedo / of the picture")
    for seed in options.seeds:
        for name, turns in TURNS.items():
            scene, lights = true_run(options.output / f"{seed}_{name.replace(' ', '_')}", seed, turns)
            print(f"{seed} {name}: {quality(scene, light_of_run(scene), lights)}", flush=True)


def directed_lights(random: np.random.Generator) -> Tensor:
    """(9, 3): two thirds of the light come from one side, slightly coloured."""
    azimuth, elevation = random.uniform(40, 80) * random.choice([-1, 1]), random.uniform(10, 40)
    key = directional_light(math.radians(azimuth), math.radians(elevation))
    lights = 0.35 * uniform_lights() + 0.65 * key[:, None] * torch.tensor([1.05, 1.0, 0.92])
    return lights / shade(person._facing_normals(), lights).max()


def true_run(folder: Path, seed: int, turns: tuple[float, float, float]) -> tuple[RunScene, Tensor]:
    """A film, a run whose result is the truth, and the true light."""
    yaw, pitch, roll = turns
    film = make_film(
        SyntheticConfig(
            folder / "film", frames=FRAMES, size=SIZE, seed=seed, landmark_source="face-alignment", max_yaw=yaw,
            max_pitch=pitch, max_roll=roll, supersampling=1, image_format="png",
        )
    )  # fmt: skip
    truth = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
    assert truth.lights is not None
    run = folder / "out" / "2026-01-02_03-04-05"
    if not run.is_dir():
        run.mkdir(parents=True)
        data = DataConfig(film.parent, film.name, use_landmark=False, landmark_source="face-alignment")
        save_config(run / "config.yml", TrackConfig(data, ExperimentConfig(run.parent), ModelConfig(head="builtin")))
        camera = next(iter(read_json(film / "ground_truth" / "cameras.json")["cameras"].values()))
        result = replace(truth, focal_length=np.float32([camera["fx"] / SIZE]))
        save_result(run / "tracked_flame_params_0.npz", result)
    return open_run(run, with_landmarks=False), torch.from_numpy(truth.lights).float()


def quality(scene: RunScene, found: Tensor, true: Tensor) -> str:
    """Over the vertices that every third picture shows; each channel of what is compared is scaled to the truth."""
    every = torch.ones(scene.model.n_vertices, dtype=torch.bool)
    views = [
        vertices_seen(scene.backend, scene.topology, posed_picture(scene, row, 0), every)
        for row in range(0, scene.n_rows, 3)
    ]
    normals, colours = (torch.cat([getattr(view, name) for view in views]) for name in ("normals", "colours"))
    shading, truth = shading_of(normals, found), shade(normals, true)
    pairs = [torch.stack([shading[:, k], truth[:, k]]) for k in range(3)]
    least = min(float(torch.corrcoef(pair)[0, 1]) for pair in pairs)
    albedo = colours / truth.clamp(min=0.05)
    return f"{least:.3f}, {error(colours / shading, albedo):.4f} / {error(colours, albedo):.4f}"


def error(colours: Tensor, albedo: Tensor) -> float:
    scale = (colours * albedo).sum(0) / (colours * colours).sum(0)
    return float((colours * scale - albedo).abs().mean())


if __name__ == "__main__":
    main()
