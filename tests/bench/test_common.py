import math
from dataclasses import fields

import pytest
from common import MEASURES, mean_measures, measure_cells, stage_counts
from tables import markdown_table, number

from vhap.config.track import PipelineConfig


def test_table_is_markdown():
    table = markdown_table(["seed", "error"], [["0", "1.20"], ["1", "-"]])
    assert table.splitlines() == ["| seed | error |", "|---|---|", "| 0 | 1.20 |", "| 1 | - |"]


def test_table_refuses_rows_of_another_length():
    with pytest.raises(ValueError, match="2 cells"):
        markdown_table(["seed", "error"], [["0", "1.20"], ["1"]])


@pytest.mark.parametrize(("value", "text"), [(1.005e3, "1005.00"), (0.126, "0.13"), (None, "-"), (math.nan, "-")])
def test_numbers(value, text):
    assert number(value) == text


def test_cells_stand_in_the_order_of_the_columns():
    values = {name: float(k) for k, names in enumerate(MEASURES.values()) for name in names}
    cells = dict(zip(MEASURES, measure_cells(values)))
    assert cells["face mean, mm"] == "0.00"
    assert cells["jitter / true, mm"] == "7.00 / 7.00"
    assert cells["seconds"] == "8.00"


def test_mean_leaves_out_what_is_not_known():
    means = mean_measures([{"seconds": 1.0, "psnr_head_db": None}, {"seconds": 4.0, "psnr_head_db": 30.0}])
    assert means["seconds"] == 2.5
    assert means["psnr_head_db"] == 30
    assert math.isnan(means["jitter_mm"])


def test_counts_name_an_option_of_every_stage():
    counts = stage_counts(3)
    assert counts.keys() == {stage.name for stage in fields(PipelineConfig)}
    assert counts["rgb_init_all"] == {"num_steps": 3}
    assert counts["rgb_global_tracking"] == {"num_epochs": 3}
    assert stage_counts(None) == {}
