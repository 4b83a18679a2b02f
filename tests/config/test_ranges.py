"""Every number that is an option has a range, held when options are parsed and when a config is read back."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vhap import cli
from vhap.config import benchmark
from vhap.config.batch import PlanConfig, RunConfig, StepConfig
from vhap.config.convert import ConvertConfig
from vhap.config.data import DataConfig
from vhap.config.demo import DemoConfig
from vhap.config.detect import DetectConfig
from vhap.config.doctor import DoctorConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import CombineConfig, ExportConfig, MeshExportConfig
from vhap.config.fetch_models import FetchModelsConfig
from vhap.config.live import LiveConfig
from vhap.config.loading import load_config, save_config
from vhap.config.nersemble import DownloadConfig, ListConfig
from vhap.config.person import MonocularPersonConfig, NersembleV2PersonConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.ranges import Range, check_ranges, numbers_without_range
from vhap.config.relightable import (
    AlbedoConfig,
    CropConfig,
    IrisConfig,
    KeypointConfig,
    OptimizeConfig,
    ReconstructConfig,
    RelightableConfig,
)
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import (
    ExperimentConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    SingleFrameTrackConfig,
    TrackConfig,
)
from vhap.config.translate import options_of
from vhap.config.view import ViewConfig
from vhap.util.errors import InputError, exits_cleanly

PLACE = ("--data.root_folder", "r", "--data.sequence", "s")
REQUIRED = {
    PreprocessConfig: ("--input", "i"),
    MonocularTrackConfig: PLACE,
    NersembleTrackConfig: (*PLACE, "--data.subject", "074"),
    NersembleV2TrackConfig: (*PLACE, "--data.subject", "074"),
    MultiviewTrackConfig: PLACE,
    SingleFrameTrackConfig: PLACE,
    MonocularPersonConfig: PLACE,
    NersembleV2PersonConfig: (*PLACE, "--data.subject", "074"),
    ExportConfig: ("--src_folder", "a", "--tgt_folder", "b"),
    MeshExportConfig: ("--src_folder", "a", "--tgt_folder", "b"),
    CombineConfig: ("--src_folders", "a", "--tgt_folder", "b"),
    LiveConfig: (),
    SyntheticConfig: ("--output", "o"),
    EvaluateConfig: ("--run", "r"),
    ReportConfig: ("--run", "r"),
    ConvertConfig: ("--run", "r"),
    ViewConfig: ("--paths", "r"),
    DetectConfig: ("--input", "i"),
    ListConfig: (),
    DownloadConfig: ("--folder", "f"),
    PlanConfig: ("--data", "d"),
    RunConfig: ("--manifest", "m"),
    StepConfig: ("--manifest", "m", "--step", "track", "--target", "a_b"),
    benchmark.ListConfig: (),
    benchmark.DownloadConfig: ("--folder", "f", "--benchmark", "nvs"),
    benchmark.ValidateConfig: ("--zip", "z"),
    benchmark.CamerasConfig: ("--folder", "f", "--participant", "388"),
    DemoConfig: (),
    DoctorConfig: (),
    FetchModelsConfig: (),
    CropConfig: ("--source", "s", "--name", "n"),
    KeypointConfig: ("--path", "s"),
    IrisConfig: ("--path", "s"),
    OptimizeConfig: ("--path", "s"),
    RelightableConfig: ("--source", "s", "--name", "n"),
    AlbedoConfig: ("--input_dir", "s/image", "--output_dir", "s/albedo"),
    ReconstructConfig: ("--inputpath", "i", "--savefolder", "s"),
}
BAD = ("nan", "inf", "-inf", "1e300", "-1e300", "9" * 400, "9" * 5000, "-7" * 20)


def test_every_command_is_here():
    heads = {kind.__module__ for kind in REQUIRED}
    for module in cli.COMMANDS.values():
        used = {value.__module__ for value in vars(importlib.import_module(module)).values() if isinstance(value, type)}
        assert used & heads, module


@pytest.mark.parametrize("kind", REQUIRED)
def test_every_number_has_a_range(kind):
    assert numbers_without_range(kind) == []


def numeric_options(kind: type) -> list[str]:
    return [name for name, known in options_of(kind) if "Range(" in str(known.hint)]


def changed(config: Any, name: str, value: Any) -> Any:
    """The config with another value of one option, by its dotted name; in a tuple, of its first element."""
    first, _, rest = name.partition(".")
    old = getattr(config, first)
    if rest:
        return replace(config, **{first: changed(old, rest, value)})
    return replace(config, **{first: (value, *old[1:]) if isinstance(old, tuple) else value})


@pytest.mark.parametrize("kind", [kind for kind in REQUIRED if numeric_options(kind)])
def test_no_number_of_any_command_is_without_bounds(kind):
    config, names = cli.parse(kind, None, REQUIRED[kind]), numeric_options(kind)
    assert names
    for name in names:
        for bad in (float("nan"), float("inf"), -float("inf"), 1e300, -1e300, 10**400, -(10**400), -123_457):
            with pytest.raises(InputError, match=re.escape(f"for --{name}, found")) as stop:
                check_ranges(changed(config, name, bad))
            assert len(str(stop.value)) < 400


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["target_fps", "downsample_scales", "landmark_detector_njobs"])
def test_what_is_typed_is_held_to_the_range(capsys, name, bad):
    with pytest.raises(SystemExit) as stop:
        exits_cleanly(cli.parse)(PreprocessConfig, None, ["--input", "i", f"--{name}", bad])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line.replace("-", "_")
    assert len(line) < 2100


@pytest.mark.parametrize("kind", REQUIRED)
def test_defaults_keep_their_ranges(kind):
    cli.parse(kind, None, REQUIRED[kind])


def test_bounds_are_in_or_out_as_they_say():
    assert Range(0, 1).holds(0)
    assert Range(0, 1).holds(1)
    assert not Range(0, 1, above=True).holds(0)
    assert not any(Range(-1e9, 1e9).holds(value) for value in (float("nan"), float("inf"), -(10**400), 10**400))


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\x1b[31mb", "\x7f"])
def test_text_with_control_characters_is_named_without_them(text):
    for config in (DataConfig(Path("r"), text), DataConfig(Path(text), "s")):
        with pytest.raises(InputError, match="without control characters") as stop:
            check_ranges(config)
        assert str(stop.value).isprintable()


@pytest.mark.parametrize("text", ["Jürgen", "\u3000", "\udcff", "+ shout"])
def test_other_names_are_taken_and_read_back(tmp_path, text):
    config = TrackConfig(DataConfig(Path(text), text), ExperimentConfig(Path("out")))
    save_config(tmp_path / "config.yml", config)
    assert load_config(tmp_path / "config.yml", TrackConfig) == config


@pytest.mark.parametrize("value", [".nan", ".inf", "-1", "1" + "0" * 400, "1" + "0" * 5000])
def test_a_config_with_a_number_out_of_range_is_refused(tmp_path, value):
    path = tmp_path / "config.yml"
    save_config(path, TrackConfig(DataConfig(Path("r"), "s"), ExperimentConfig(Path("out"))))
    path.write_text(path.read_text().replace("photo: 30.0", f"photo: {value}"))
    with pytest.raises(InputError, match="expected") as stop:
        load_config(path, TrackConfig)
    assert len(str(stop.value)) < 500


def test_a_config_with_aliases_is_refused(tmp_path):
    path = tmp_path / "config.yml"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefghij", "bcdefghijk")]
    path.write_text("\n".join(["schema_version: 1", *lines]))
    with pytest.raises(InputError, match="alias"):
        load_config(path, TrackConfig)
