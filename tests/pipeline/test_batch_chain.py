"""Two films of one person through the whole chain as a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_tree import planned

from vhap.config.batch import RunConfig, StepOptions
from vhap.config.synthetic import SyntheticConfig
from vhap.data.results import load_result
from vhap.pipeline import batch_run, make_synthetic_capture
from vhap.pipeline.batch_manifest import write_manifest
from vhap.pipeline.batch_steps import Steps
from vhap.util.files import read_json

TRACK = "--model.head builtin --log.interval_media 0 --log.max_eval_frames 0 --exp.no_report"


@pytest.mark.slow
def test_two_films_of_one_person_have_one_identity_and_a_union(tmp_path: Path) -> None:
    for name, motion in (("anna_talk", 5), ("anna_quick", 6)):
        place = tmp_path / "data" / name
        film = SyntheticConfig(output=place, head="builtin", frames=8, size=96, seed=1, motion_seed=motion)
        make_synthetic_capture.run(film)
    manifest = replace(planned(tmp_path / "data", tmp_path), options=StepOptions(track=TRACK))
    write_manifest(tmp_path / "batch.yaml", manifest)
    text, is_well = batch_run.run(RunConfig(tmp_path / "batch.yaml"))
    assert is_well, text
    steps = Steps(manifest)
    first, second = (load_result(steps.result_of(name)) for name in ("anna_quick", "anna_talk"))
    person = load_result(steps.person_result("anna"))
    assert person.focal_length is not None
    assert first.focal_length is None
    np.testing.assert_array_equal(first.shape, second.shape)
    np.testing.assert_array_equal(first.shape, person.shape)
    assert first.static_offset is not None
    assert second.static_offset is not None
    np.testing.assert_array_equal(first.static_offset, second.static_offset)
    assert np.abs(first.rotation - second.rotation).max() > 0.01
    union = read_json(tmp_path / "results" / "export" / "anna_union" / "transforms_train.json")
    assert len(union["frames"]) == 8
