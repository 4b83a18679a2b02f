"""What each tracking script takes for granted."""

from pathlib import Path

import pytest

from vhap import cli
from vhap.config.data import NersembleDataConfig, NersembleV2DataConfig
from vhap.config.track import (
    ExperimentConfig,
    ModelConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    with_known_occlusions,
)
from vhap.util.errors import InputError

PLACE = ["--data.root_folder", "root", "--data.sequence", "EMO-1", "--exp.output_folder", "out"]
SUBJECT = [*PLACE, "--data.subject", "074"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [(NersembleTrackConfig, SUBJECT), (NersembleV2TrackConfig, SUBJECT), (MultiviewTrackConfig, PLACE)],
)
def test_rigs_change_the_defaults_that_users_know(kind, words):
    config = cli.parse(kind, None, words)
    told = (config.w.landmark, config.w.reg_expr, config.w.smooth_expr)
    assert told == (3, 1e-2, 0)
    assert not config.w.always_enable_jawline_landmarks
    plan = config.pipeline
    assert "texture" not in plan.rgb_sequential_tracking.optimizable_params
    assert "pose" not in plan.rgb_global_tracking.optimizable_params
    for stage in (plan.rgb_sequential_tracking, plan.rgb_global_tracking):
        assert "boundary" in stage.align_texture_except
        assert "boundary" in stage.align_boundary_except
        assert stage.disable_jawline_landmarks
    assert config.batch_size == 1
    assert config.data.calibrated


def test_what_rigs_do_not_change_is_as_with_one_camera():
    single = cli.parse(MonocularTrackConfig, None, PLACE)
    rig = cli.parse(NersembleTrackConfig, None, SUBJECT)
    assert rig.pipeline.rgb_init_all == single.pipeline.rgb_init_all
    assert (rig.w.photo, rig.w.reg_shape, rig.w.smooth_trans) == (single.w.photo, single.w.reg_shape, 300)


def test_scripts_of_the_dataset_differ_in_the_layout():
    assert cli.parse(NersembleTrackConfig, None, SUBJECT).data.layout == "v1"
    assert cli.parse(NersembleV2TrackConfig, None, SUBJECT).data.layout == "v2"
    assert cli.parse(NersembleV2TrackConfig, None, [*SUBJECT, "--data.layout", "v1"]).data.layout == "v1"


def occluded(subject: str, asked: tuple[str, ...] = (), kind: type = NersembleDataConfig, **options) -> tuple[str, ...]:
    data = kind(root_folder=Path("root"), sequence="EMO-1", subject=subject, **options)
    config = NersembleTrackConfig(data, ExperimentConfig(Path("out")), ModelConfig(occluded=asked))
    return with_known_occlusions(config).model.occluded


def test_known_subjects_have_hidden_regions():
    assert occluded("074") == ()
    assert [occluded(subject) for subject in ("018", "18", "218", "253")] == [("neck_lower",)] * 4
    assert occluded("251", kind=NersembleV2DataConfig) == ("neck_lower", "boundary")


def test_given_regions_and_tables_win():
    assert occluded("018", ("hair",)) == ("hair",)
    assert occluded("018", occluded_by_subject=()) == ()
    assert occluded("7", occluded_by_subject=("007:hair,ears",)) == ("hair", "ears")
    with pytest.raises(InputError, match="SUBJECT:REGION"):
        occluded("018", occluded_by_subject=("neck_lower",))


def test_hair_counts_as_hidden_where_no_offset_can_show_it():
    for words in (["--model.no_use_static_offset"], ["--model.no_use_static_offset", "--model.occluded", "hair"]):
        assert with_known_occlusions(cli.parse(MonocularTrackConfig, None, [*PLACE, *words])).model.occluded == (
            "hair",
        )
    config = cli.parse(NersembleTrackConfig, None, [*SUBJECT[:-1], "018", "--model.no_use_static_offset"])
    config = with_known_occlusions(config)
    assert config.model.occluded == ("neck_lower", "hair")
    assert with_known_occlusions(config) == config
