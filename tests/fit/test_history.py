"""The losses of a run: what is kept, how much of it, and in which file."""

from copy import deepcopy
from types import SimpleNamespace

import pytest

from vhap.fit.callbacks import StageTimes
from vhap.fit.history import MOST_POINTS, LossHistory, read_losses, read_seconds
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json


def event(stage: str, cost: float):
    return SimpleNamespace(stage=SimpleNamespace(name=stage), cost=cost)


def run_stage(history: LossHistory, name: str, count: int, cost: float = 1.0) -> None:
    for step in range(count):
        history.on_step(event(name, cost / (step + 1)))
    history.on_stage_end(SimpleNamespace(name=name), None)


def test_costs_of_all_rounds_by_stage(tmp_path):
    history = LossHistory(tmp_path / "losses.json")
    run_stage(history, "init", 3, 2.0)
    run_stage(history, "tracking", 2, 4.0)
    written = read_json(tmp_path / "losses.json")
    assert [stage["name"] for stage in written["stages"]] == ["init", "tracking"]
    assert [stage["total"] for stage in written["stages"]] == [[2.0, 1.0, pytest.approx(2 / 3)], [4.0, 2.0]]
    for stage in written["stages"]:
        assert stage["steps"] == list(range(1, stage["count"] + 1))
    assert list(tmp_path.iterdir()) == [tmp_path / "losses.json"]


def test_long_stages_are_thinned_evenly_and_keep_their_start(tmp_path):
    history = LossHistory(tmp_path / "losses.json")
    run_stage(history, "long", 10 * MOST_POINTS + 7)
    stage = read_json(tmp_path / "losses.json")["stages"][0]
    steps = stage["steps"]
    assert MOST_POINTS / 2 <= len(steps) <= MOST_POINTS
    assert steps == [1 + stage["stride"] * index for index in range(len(steps))]
    assert stage["count"] - steps[-1] < stage["stride"]
    assert stage["total"] == pytest.approx([1 / step for step in steps])


def test_infinite_costs_are_gaps(tmp_path):
    history = LossHistory(tmp_path / "losses.json")
    history.on_step(event("mixed", 10.0))
    history.on_step(event("mixed", float("inf")))
    history.on_stage_end(SimpleNamespace(name="mixed"), None)
    stage = read_json(tmp_path / "losses.json")["stages"][0]
    assert stage["total"] == [10.0, None]


def test_a_run_that_goes_on_keeps_earlier_stages_and_replaces_those_that_run_again(tmp_path):
    path = tmp_path / "losses.json"
    first = LossHistory(path)
    run_stage(first, "init", 4)
    run_stage(first, "tracking", 9)
    run_stage(LossHistory(path), "tracking", 2)
    assert [(stage["name"], stage["count"]) for stage in read_json(path)["stages"]] == [("init", 4), ("tracking", 2)]


def test_a_stage_without_steps_is_not_there(tmp_path):
    history = LossHistory(tmp_path / "losses.json")
    history.on_stage_end(SimpleNamespace(name="empty"), None)
    assert not (tmp_path / "losses.json").exists()


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ((), {"weights": {}}),
        (("stages", 0, "total"), [1.0]),
        (("stages", 0, "total", 0), "large"),
        (("stages", 0, "steps", 0), -1),
        (("stages", 0, "stride"), 0),
        (("stages", 0), {"name": "init"}),
    ],
)
def test_damaged_losses_are_one_line(tmp_path, keys, value):
    path = tmp_path / "losses.json"
    run_stage(LossHistory(path), "init", 4)
    content = deepcopy(read_losses(path))
    place = content
    for key in keys[:-1]:
        place = place[key]
    if keys:
        place[keys[-1]] = value
    write_json(path, content if keys else value)
    with pytest.raises(InputError, match=r"losses\.json"):
        read_losses(path)
    run_stage(LossHistory(path), "tracking", 2)
    assert [stage["name"] for stage in read_losses(path)["stages"]] == ["tracking"], "a run goes on without it"


def test_losses_of_a_run_without_them_and_keys_of_other_releases(tmp_path):
    path = tmp_path / "losses.json"
    assert read_losses(path) == {"stages": []}
    run_stage(LossHistory(path), "init", 4)
    content = read_json(path)
    content["weights"] = {"photo": 30.0}
    content["stages"][0]["later"] = 1
    write_json(path, content)
    assert LossHistory(path).stages[0].name == "init"


@pytest.mark.parametrize("content", [[], {"init": "2"}, {"init": None}, {"init": 10**300}, {"init": {"a": 1}}])
def test_damaged_seconds_are_one_line(tmp_path, content):
    path = tmp_path / "seconds.json"
    assert read_seconds(path) == {}
    write_json(path, content)
    with pytest.raises(InputError, match=r"seconds\.json"):
        read_seconds(path)
    StageTimes(path, {"tracking": 2.0}).report()
    assert read_seconds(path) == {"tracking": 2.0}, "a run goes on without it"
