import math
from dataclasses import replace

import pytest
import torch

from vhap.evaluate.measure_eyes_and_mouth import MEASURES, EyesAndMouth
from vhap.head.load import load_head
from vhap.head.model import HeadModel, pose, zero_params
from vhap.head.teeth import add_teeth


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return add_teeth(load_head("builtin"))


def measure_eyes_and_mouth(head: HeadModel, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, float]:
    measured = EyesAndMouth(head)
    for vertices, exact in pairs:
        measured.add(vertices, exact)
    return measured.means()


def with_teeth_ahead(head: HeadModel, vertices: torch.Tensor, ahead_m: float) -> torch.Tensor:
    moved = vertices.clone()
    moved[head.regions["teeth"], 2] += ahead_m
    return moved


def test_teeth_behind_closed_lips_are_inside_and_come_out_by_as_much_as_they_move_further(head):
    still = pose(head, zero_params(head))
    assert measure_eyes_and_mouth(head, [(still, still)])["teeth_outside_mm"] == 0
    near, far = (with_teeth_ahead(head, still, ahead) for ahead in (0.02, 0.025))
    values = [measure_eyes_and_mouth(head, [(vertices, still)]) for vertices in (near, far)]
    assert values[0]["teeth_outside_mm"] > 1
    assert values[1]["teeth_outside_mm"] - values[0]["teeth_outside_mm"] == pytest.approx(5, abs=0.01)
    assert values[1]["teeth_outside_mm_truth"] == 0
    both = measure_eyes_and_mouth(head, [(near, still), (still, still)])
    assert both["teeth_outside_mm"] == pytest.approx(values[0]["teeth_outside_mm"] / 2)


def test_what_a_head_lacks_or_no_frame_shows_is_not_a_number(head):
    bare = replace(head, landmarks={}, regions={})
    still = pose(head, zero_params(head))
    assert all(math.isnan(value) for value in measure_eyes_and_mouth(bare, [(still, still)]).values())
    assert all(math.isnan(measure_eyes_and_mouth(head, [])[name]) for name in MEASURES)
    assert math.isnan(measure_eyes_and_mouth(head, [(still, still)])["closed_lid_gap"])
