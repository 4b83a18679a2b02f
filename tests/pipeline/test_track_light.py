"""A run keeps its light in light.json; a light that is given stays as it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import DataConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import (
    EpochStageConfig,
    ExperimentConfig,
    ModelConfig,
    PipelineConfig,
    RenderConfig,
    StepStageConfig,
    TrackConfig,
)
from vhap.data.results import load_result, result_path
from vhap.fit.light_file import LIGHT_FILE, read_light
from vhap.fit.light_separation import shading_of
from vhap.geometry.meshes import vertex_normals
from vhap.pipeline import track
from vhap.pipeline.light_of_run import light_of_run
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.open_run import open_run
from vhap.render.shading import uniform_lights
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json

PLACE = ("pose", "joints", "expr")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> TrackConfig:
    root = tmp_path_factory.mktemp("root")
    film = make_capture(
        SyntheticConfig(root / "clip", frames=4, size=96, landmark_source="face-alignment", supersampling=1)
    )
    one = StepStageConfig(1, PLACE)
    plan = PipelineConfig(
        rgb_init_texture=one,
        rgb_init_all=one,
        rgb_sequential_tracking=one,
        rgb_global_tracking=EpochStageConfig(1, ("lights", "static_offset")),
    )
    return TrackConfig(
        DataConfig(film.parent, film.name, landmark_source="face-alignment"),
        ExperimentConfig(root / "out", report=False),
        ModelConfig(head="builtin", tex_resolution=64),
        pipeline=plan,
        device="cpu",
    )


@pytest.fixture(scope="module")
def run(config) -> Path:
    return track.run(config)


def lights_of(folder: Path) -> np.ndarray:
    lights = load_result(result_path(folder)).lights
    assert lights is not None
    return lights


def test_the_file_agrees_with_the_result_and_serves_what_comes_after(run):
    lights, axes = read_light(run / LIGHT_FILE)
    assert axes == "tracked"
    assert np.array_equal(lights.float().numpy(), lights_of(run))
    told = read_json(run / LIGHT_FILE)
    assert (told["method"], told["pictures"]) == ("separated", 4)
    scene = open_run(run, with_landmarks=False)
    assert np.array_equal(light_of_run(scene).numpy(), lights_of(run))
    # Separated anew from the result it is nearly the same: the head moved a little after it was found.
    anew = light_of_run(replace(scene, folder=run.parent / "elsewhere"))
    normals = vertex_normals(scene.vertices(0), scene.model.faces)
    one, other = (shading_of(normals[normals[:, 2] > 0.3], light) for light in (anew, lights.float()))
    assert float((one - other).abs().mean()) < 0.05


def test_a_given_light_stays(config, run, tmp_path):
    studio = tmp_path / "studio.json"
    told = read_json(run / LIGHT_FILE)
    told["coefficients"][3] = [0.7, 0.6, 0.5]
    write_json(studio, told)
    known = replace(config, model=replace(config.model, light_path=studio), exp=ExperimentConfig(tmp_path / "out"))
    known = replace(known, exp=replace(known.exp, report=False))
    folder = track.run(known)
    assert np.array_equal(lights_of(folder), read_light(studio)[0].float().numpy())
    assert read_json(folder / LIGHT_FILE)["method"] == "given"


def test_a_light_that_is_none_ends_before_anything_is_written(config, tmp_path):
    studio = tmp_path / "studio.json"
    studio.write_text("{}")
    output = ExperimentConfig(tmp_path / "out")
    wrong = replace(config, exp=output, model=replace(config.model, light_path=studio))
    with pytest.raises(InputError, match=r"studio\.json"):
        track.run(wrong)
    with pytest.raises(InputError, match="light_path"):
        track.run(replace(wrong, render=RenderConfig(lighting_type="constant")))
    told = {"axes": "given", "coefficients": uniform_lights().tolist()}
    for change, words in (
        ({}, 'found "given"'),
        ({"coefficients": (0.05 * uniform_lights()).tolist()}, "mean shading"),
    ):
        write_json(studio, {**told, **change})
        with pytest.raises(InputError, match=words):
            track.run(wrong)
    assert not output.output_folder.exists()


def test_the_last_stage_again_with_a_given_light(config, run, tmp_path):
    """Begun from the values of the run beside it, whose light was another."""
    studio = tmp_path / "studio.json"
    told = read_json(run / LIGHT_FILE)
    told["coefficients"][3] = [0.4, 0.3, 0.2]
    write_json(studio, told)
    known = replace(config, model=replace(config.model, light_path=studio), begin_stage="rgb_global_tracking")
    folder = track.run(known)
    assert np.array_equal(lights_of(folder), read_light(studio)[0].float().numpy())
    one, other = (load_result(result_path(place)) for place in (run, folder))
    assert np.array_equal(one.rotation, other.rotation)
    assert np.array_equal(one.shape, other.shape)
