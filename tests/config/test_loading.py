from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from vhap import cli
from vhap.config import legacy
from vhap.config.data import (
    DataConfig,
    MultiviewDataConfig,
    NersembleDataConfig,
    NersembleV2DataConfig,
    SingleFrameDataConfig,
)
from vhap.config.legacy import without_removed
from vhap.config.loading import load_config, save_config, to_plain
from vhap.config.track import (
    ExperimentConfig,
    LossWeightConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    SingleFrameTrackConfig,
    TrackConfig,
)
from vhap.util.errors import InputError


def some_config() -> TrackConfig:
    data = DataConfig(root_folder=Path("somewhere"), sequence="obama", n_downsample_rgb=2)
    return TrackConfig(data=data, exp=ExperimentConfig(Path("out")), w=LossWeightConfig(landmark=3))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    save_config(path, some_config())
    assert load_config(path, TrackConfig) == some_config()


def test_code_in_a_config_is_refused_and_not_run(tmp_path: Path) -> None:
    path, victim = tmp_path / "config.yml", tmp_path / "victim"
    path.write_text(f"schema_version: 1\ndata: !!python/object/apply:os.mkdir ['{victim}']\n")
    with pytest.raises(InputError, match="plain YAML"):
        load_config(path, TrackConfig)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("batch_size: 16", "batch_size: many", "expected int"),
        ("batch_size: 16", "batch_sise: 16", "batch_sise"),
        ("schema_version: 1", "schema_version: 99", "schema_version"),
        ("head: auto", "head: horse", "expected one of"),
        ("head: auto", "head: " + "x" * 5000, r"found 'x{20,80}\.\.\."),
        ("landmark: 3", "landmark: .nan", "finite number"),
        ("landmark: 3", "landmark: 1" + "0" * 400, "finite number"),
        ("sequence: obama", "sequence: [a]", "expected str"),
        ("root_folder: somewhere", 'root_folder: "a\\0b"', "expected Path"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "config.yml"
    save_config(path, some_config())
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(InputError, match=message):
        load_config(path, TrackConfig)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema_version: 1\ndata: &a [x]\nexp: *a\n", "alias 'a'"),
        ("schema_version: 1\n<<: *b\n", "alias"),
        ("[" * 40 + "]" * 40, "nested deeper"),
        ("[" * 5000 + "]" * 5000, "plain YAML"),
        ("schema_version: 1\nbatch_size: 1\nbatch_size: 2\n", "'batch_size' stands twice"),
        ("schema_version: 2001-99-99\n", "plain YAML"),
        ("schema_version: 1" + "0" * 5000, "plain YAML"),
        ("? [1, 2]\n: 3\n", "plain YAML"),
        ("schema_version: [1\n", "plain YAML"),
        ("", "schema_version"),
        ("schema_version: 1\n7: 2\nx: 3\n", "found 7, 'x'"),
    ],
)
def test_other_than_plain_yaml_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_config(path, TrackConfig)
    assert len(str(caught.value)) < 500


def test_aliases_that_would_fill_the_memory_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    rows = ["schema_version: 1", "a: &a0 [x, x]", *(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 10}]" for n in range(1, 20))]
    path.write_text("\n".join(rows))
    with pytest.raises(InputError, match="aliases are not read"):
        load_config(path, TrackConfig)


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(b"schema_version: \xff")
    with pytest.raises(InputError, match="plain YAML"):
        load_config(tmp_path / "config.yml", TrackConfig)


PLACE = {"root_folder": Path("somewhere"), "sequence": "EMO-1"}
RUN = ExperimentConfig(Path("out"))


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (MonocularTrackConfig(DataConfig(**PLACE), RUN), DataConfig),
        (
            NersembleTrackConfig(NersembleDataConfig(**PLACE, subject="74", cameras=("a", "b")), RUN),
            NersembleDataConfig,
        ),
        (NersembleV2TrackConfig(NersembleV2DataConfig(**PLACE, subject="74"), RUN), NersembleDataConfig),
        (MultiviewTrackConfig(MultiviewDataConfig(**PLACE, calibration=Path("sparse")), RUN), MultiviewDataConfig),
        (SingleFrameTrackConfig(SingleFrameDataConfig(**PLACE), RUN), SingleFrameDataConfig),
    ],
)
def test_a_run_of_any_capture_is_read_back_with_its_options(tmp_path: Path, config: TrackConfig, kind: type) -> None:
    path = tmp_path / "config.yml"
    save_config(path, config)
    read = load_config(path, TrackConfig)
    assert type(read.data) is kind
    assert to_plain(read) == to_plain(config)


def test_a_wrong_value_of_a_rig_is_named_and_not_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    save_config(path, NersembleTrackConfig(NersembleDataConfig(**PLACE, subject="74"), RUN))
    path.write_text(path.read_text().replace("layout: v1", "layout: v3"))
    with pytest.raises(InputError, match=r"expected one of \['v1', 'v2'\] at .*:data:layout, found 'v3'"):
        load_config(path, TrackConfig)


EARLIER = Path(__file__).parent / "earlier_runs"
"""Configs of runs with all defaults, as they were written when the options of REMOVED were fields still."""


@pytest.mark.parametrize(("name", "kind"), [("video", MonocularTrackConfig), ("nersemble", NersembleTrackConfig)])
def test_a_run_from_before_options_were_removed_is_read(name: str, kind: type[TrackConfig]) -> None:
    plain = yaml.safe_load((EARLIER / f"{name}.yml").read_text())
    assert plain["model"]["n_tex"] == 100
    assert plain["pipeline"]["lmk_init_all"]["align_texture_except"] == []
    place = ["--data.root_folder", "somewhere", "--data.sequence", "clip"]
    words = [*place, "--data.subject", "074"] if name == "nersemble" else place
    read, today = load_config(EARLIER / f"{name}.yml", TrackConfig), cli.parse(kind, None, words)
    # Stages of the surface had other groups.
    stages = {stage: getattr(today.pipeline, stage) for stage in ("rgb_init_offset", "rgb_global_tracking")}
    assert to_plain(replace(read, pipeline=replace(read.pipeline, **stages))) == to_plain(today)


def test_options_that_no_version_had_are_refused_beside_removed_ones(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text((EARLIER / "video.yml").read_text().replace("  n_tex: 100", "  n_tex: 100\n  n_text: 100"))
    with pytest.raises(InputError, match="found 'n_text'"):
        load_config(path, TrackConfig)


def test_a_group_of_which_all_options_were_removed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "REMOVED", {"old.a": "", "old.inner.b": ""})
    plain = {"old": {"a": 1, "inner": {"b": 2}}, "data": {"a": 1}, "empty": {}}
    assert without_removed(plain) == {"data": {"a": 1}, "empty": {}}


def test_a_config_from_before_an_option_was_there_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    save_config(path, some_config())
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "unordered" not in line and "cx:" not in line))
    assert load_config(path, TrackConfig) == some_config()
