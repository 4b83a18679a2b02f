"""Options given as keywords become the same config as the command line's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import DataConfig
from vhap.config.export import ExportConfig
from vhap.config.keywords import from_keywords, from_keywords_with_lines
from vhap.config.legacy import REMOVED
from vhap.config.track import (
    LossWeightConfig,
    ModelConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
)
from vhap.util.errors import InputError

PLACE = {"root_folder": "root", "sequence": "clip"}


def test_names_of_groups_fields_are_enough() -> None:
    config = from_keywords(
        MonocularTrackConfig, {**PLACE, "head": "ict", "landmark": 3, "photometric": False, "batch_size": 4}
    )
    assert (config.data.root_folder, config.data.sequence) == (Path("root"), "clip")
    assert (config.model.head, config.w.landmark, config.exp.photometric, config.batch_size) == ("ict", 3.0, False, 4)


def test_a_group_given_whole_and_single_options_of_it_that_count_more() -> None:
    weights = LossWeightConfig(landmark=1.0, photo=2.0)
    assert from_keywords(MonocularTrackConfig, {**PLACE, "w": weights}).w == weights
    both = from_keywords(MonocularTrackConfig, {**PLACE, "w": weights, "photo": 5})
    assert (both.w.landmark, both.w.photo) == (1.0, 5.0)
    nested = from_keywords(MonocularTrackConfig, {**PLACE, "pipeline": {"rgb_global_tracking": {"num_epochs": 3}}})
    assert nested.pipeline.rgb_global_tracking.num_epochs == 3


def test_what_is_not_given_keeps_the_default_of_the_kind_of_run() -> None:
    rig = from_keywords(MultiviewTrackConfig, {**PLACE, "photo": 5})
    assert (rig.w.landmark, rig.w.photo, rig.batch_size) == (3.0, 5.0, 1)


def test_lists_and_text_become_tuples_and_paths() -> None:
    config = from_keywords(MonocularTrackConfig, {**PLACE, "occluded": ["hair"], "output_folder": "out"})
    assert (config.model.occluded, config.exp.output_folder) == (("hair",), Path("out"))


def test_removed_options_are_named_once_and_change_nothing(caplog: pytest.LogCaptureFixture) -> None:
    usual = from_keywords(MonocularTrackConfig, PLACE)
    given = {"n_tex": 100, "keyframes": [0], "division": "train", "async_func": True, "w": {"blur_iter": 2}}
    given["pipeline"] = {"lmk_init_all": {"align_texture_except": ()}}
    assert from_keywords(MonocularTrackConfig, {**PLACE, **given}) == usual
    named = [line.partition(" has no effect: ")[0] for line in caplog.messages]
    assert named == [
        "n_tex=100", "keyframes=[0]", "division='train'", "async_func=True", "blur_iter=2", "align_texture_except=()"
    ]  # fmt: skip
    config, lines = from_keywords_with_lines(MonocularTrackConfig, {**PLACE, "tex_extra": False, "photo": 5})
    assert (config.w.photo, len(lines), len(caplog.messages)) == (5.0, 1, 6)


def test_a_group_that_was_removed_whole_is_taken_with_and_without_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REMOVED, "gone.rate", "nothing needs it")
    monkeypatch.setitem(REMOVED, "gone.head", "nothing needs it")
    usual = from_keywords(MonocularTrackConfig, PLACE)
    for given in ({"rate": 1}, {"gone": {"rate": 1}}, {"gone": {"head": 2}}):
        config, lines = from_keywords_with_lines(MonocularTrackConfig, {**PLACE, **given})
        assert config == usual
        (line,) = lines
        assert line.endswith("has no effect: nothing needs it")
    # A name that an option of today has is that option.
    assert from_keywords(MonocularTrackConfig, {**PLACE, "head": "ict"}).model.head == "ict"
    with pytest.raises(InputError, match="found 'gone'"):
        from_keywords(MonocularTrackConfig, {**PLACE, "gone": {"rate": 1, "other": 2}})


def test_an_option_of_another_kind_of_capture_counts_where_it_is_one() -> None:
    config, lines = from_keywords_with_lines(NersembleTrackConfig, {**PLACE, "subject": "074", "division": "train"})
    assert (config.data.division, lines) == ("train", [])


def test_removed_options_of_a_group_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert from_keywords(ModelConfig, {"head": "builtin", "n_tex": 100}) == ModelConfig("builtin")
    assert from_keywords(DataConfig, {**PLACE, "camera_convention_conversion": "opencv->opengl"}) == DataConfig(
        Path("root"), "clip"
    )
    assert len(caplog.messages) == 2
    for kind in (ModelConfig, ExportConfig):
        with pytest.raises(InputError, match="'blur_iter'"):
            from_keywords(kind, {"blur_iter": 2})


def test_numbers_of_numpy_are_numbers() -> None:
    config = from_keywords(MonocularTrackConfig, {**PLACE, "n_expr": np.int64(20), "photo": np.float32(2)})
    assert (config.model.n_expr, config.w.photo) == (20, 2.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({**PLACE, "hed": "ict"}, ("'hed'", "try head")),
        ({**PLACE, "head": "smpl"}, ("model.head", "'smpl'", "builtin")),
        ({**PLACE, "n_expr": 0}, ("model.n_expr", "found 0")),
        ({**PLACE, "n_expr": "many"}, ("model.n_expr", "'many'")),
        ({**PLACE, "w": {"landmarks": 1}}, ("of w", "'landmarks'", "try landmark")),
        ({**PLACE, "target_fps": 0}, ("data.target_fps", "found 0")),
    ],
)
def test_a_wrong_option_is_one_line(options: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        from_keywords(MonocularTrackConfig, options)
    assert all(word in str(error.value) for word in words), error.value
    assert "\n" not in str(error.value)


def test_required_options_are_named() -> None:
    with pytest.raises(InputError, match="tgt_folder"):
        from_keywords(ExportConfig, {"src_folder": "run"})


def test_names_are_unique_in_every_kind_of_run() -> None:
    """So that no keyword needs its group."""
    import dataclasses
    import typing

    from vhap.api import TRACKING

    for kind in TRACKING.values():
        names: list[str] = []
        for name, hint in typing.get_type_hints(kind).items():
            names += (
                [name, *(field.name for field in dataclasses.fields(hint))]
                if dataclasses.is_dataclass(hint)
                else [name]
            )
        assert len(names) > 80
        assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
