"""What a run says of options without effect is so: stages do not hear of them, and results keep every bit."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vhap import cli
from vhap.config.data import DataConfig, MultiviewDataConfig
from vhap.config.loading import load_config
from vhap.config.no_effect import NO_EFFECT, lines_of_no_effect, traits_of
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import (
    ExperimentConfig,
    LogConfig,
    ModelConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    TrackConfig,
)
from vhap.data.results import result_epochs
from vhap.fit.stages import Stage, build_stages
from vhap.pipeline import track
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.files import read_npz

HEAD = ModelConfig(head="builtin", tex_resolution=64)
KINDS = [(MonocularTrackConfig, True), (MonocularTrackConfig, False), (MultiviewTrackConfig, True)]


def plain(kind: type, photometric: bool = True) -> TrackConfig:
    data = MultiviewDataConfig if kind is MultiviewTrackConfig else DataConfig
    return kind(data(Path("root"), "s"), ExperimentConfig(Path("out"), photometric=photometric), HEAD)


def other(value: Any) -> Any:
    """Another value of an option of stages or weights."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return ("hair",) if value != ("hair",) else ()
    return 7 if value is None else 2 * value + 1


def leaves(config: Any, group: str) -> list[str]:
    found = []
    for field in fields(getattr(config, group)):
        value = getattr(getattr(config, group), field.name)
        names = [f"{field.name}.{leaf.name}" for leaf in fields(value)] if is_dataclass(value) else [field.name]
        found += [f"{group}.{name}" for name in names]
    return found


def changed(config: Any, name: str) -> Any:
    """The options with another value of one."""
    first, _, rest = name.partition(".")
    value = getattr(config, first)
    return replace(config, **{first: changed(value, rest) if rest else other(value)})


def heard(stages: list[Stage]) -> list[Stage]:
    """Without what stages of landmarks do not look at."""
    blind = {"fixed_texture": (), "fixed_outline": ()}
    return [replace(stage, **blind) if not stage.photometric else stage for stage in stages]


@pytest.mark.parametrize(("kind", "photometric"), KINDS)
@pytest.mark.parametrize("static_offset", [True, False])
def test_stages_hear_of_all_options_but_those_that_are_named(kind, photometric, static_offset):
    usual = plain(kind, photometric)
    model = replace(usual.model, use_static_offset=static_offset)
    usual = replace(usual, model=model, w=replace(usual.w, always_enable_jawline_landmarks=False))
    stages = heard(build_stages(usual))
    names = leaves(usual, "pipeline")
    assert len(names) > 20
    for name in names:
        config = changed(usual, name)
        named = lines_of_no_effect(config, traits_of(config))
        assert bool(named) == (heard(build_stages(config)) == stages), name


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root") / "clip"
    return make_capture(
        SyntheticConfig(
            folder, frames=4, size=64, image_format="png", landmark_source="face-alignment", supersampling=1
        )
    )


def short_run(film: Path, output: Path, photometric: bool) -> TrackConfig:
    config = MonocularTrackConfig(
        DataConfig(film.parent, film.name, landmark_source="face-alignment"),
        ExperimentConfig(output, photometric=photometric),
        HEAD,
        log=LogConfig(max_eval_frames=0),
        device="cpu",
    )
    plan = config.pipeline
    few = {
        name: replace(getattr(plan, name), **count)
        for name, count in (
            ("rgb_init_texture", {"num_steps": 1}),
            ("rgb_init_all", {"num_steps": 1}),
            ("rgb_sequential_tracking", {"num_steps": 1}),
            ("rgb_global_tracking", {"num_epochs": 2}),
        )
    }
    return replace(config, pipeline=replace(plan, **few)) if photometric else config


@pytest.mark.parametrize("photometric", [True, False])
def test_results_keep_every_bit_and_the_log_names_each_once(film, tmp_path, photometric):
    usual = short_run(film, tmp_path / "usual", photometric)
    traits = traits_of(usual)
    patterns = [pattern for entry in NO_EFFECT if traits.issuperset(entry.traits) for pattern in entry.options]
    leaf_names = [name for group in ("w", "pipeline", "log") for name in leaves(usual, group)]
    names = [name for name in leaf_names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    odd = replace(usual, exp=replace(usual.exp, output_folder=tmp_path / "odd"))
    for name in names:
        odd = changed(odd, name)
    runs = [track.run(config) for config in (usual, odd)]
    said = [(run / "log.txt").read_text() for run in runs]
    assert "no effect" not in said[0]
    assert said[1].count("has no effect") == len(names) > 6
    expected, found = ([read_npz(path) for path in result_epochs(run).values()] for run in runs)
    assert expected
    for one, two in zip(expected, found, strict=True):
        for key, value in one.items():
            np.testing.assert_array_equal(two[key], value, err_msg=key)


def test_the_log_and_the_config_say_what_was_mapped_and_what_is_hidden(film, tmp_path, monkeypatch):
    monkeypatch.setattr(track, "track_into", lambda *arguments: None)
    words = ["--data.root_folder", str(film.parent), "--data.sequence", film.name, "--data.landmark_source"]
    words += ["face-alignment", "--model.head", "builtin", "--device", "cpu", "--exp.output_folder", str(tmp_path)]
    words += ["--async_func", "--w.reg_expr", "None", "--model.no_use_static_offset", "--exp.no-report"]
    cli.run_tracking(MonocularTrackConfig, None, words)
    (run,) = tmp_path.glob("*-*")
    said = (run / "log.txt").read_text()
    assert "--async_func has no effect: " in said
    assert "--w.reg_expr None is taken as --w.reg_expr 0" in said
    assert "model.occluded is hair (no static offset)" in said
    assert load_config(run / "config.yml", TrackConfig).model.occluded == ("hair",)
