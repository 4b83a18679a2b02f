"""Options given as keywords become the same config as the command line's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vhap.config.export import ExportConfig
from vhap.config.keywords import from_keywords
from vhap.config.track import LossWeightConfig, MonocularTrackConfig, MultiviewTrackConfig
from vhap.util.errors import InputError

PLACE = {"root_folder": "root", "sequence": "clip"}


def test_names_of_groups_fields_are_enough() -> None:
    config = from_keywords(
        MonocularTrackConfig, {**PLACE, "head": "ict", "landmark": 3, "photometric": False, "seed": 4}
    )
    assert (config.data.root_folder, config.data.sequence) == (Path("root"), "clip")
    assert (config.model.head, config.w.landmark, config.exp.photometric, config.seed) == ("ict", 3.0, False, 4)


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
        ({"root_folder": "root"}, ("sequence",)),
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
        assert len(names) > 100
        assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
