"""Checkpoints: what was kept comes back bit for bit; the unit before takes the place of a damaged one."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.fit.callbacks import Checkpoints
from vhap.fit.checkpoint import (
    CHECKPOINT,
    PREVIOUS,
    VERSION,
    Checkpoint,
    OtherVersionError,
    Progress,
    checkpoint_in,
    load_checkpoint,
    save_checkpoint,
)
from vhap.fit.params import initial_params
from vhap.fit.photometric.point_albedo import PointAlbedo
from vhap.fit.photometric.problem import FixedAlbedo
from vhap.fit.photometric.surface_points import SurfacePoints
from vhap.head.load import load_head
from vhap.render.shading import uniform_lights
from vhap.util.errors import InputError

CPU = torch.device("cpu")


def some_albedo(count: int) -> FixedAlbedo:
    corners = torch.randint(0, 9, (count, 3))
    points = SurfacePoints(corners, torch.rand(count, 3), torch.rand(count), torch.rand(count, 2))
    return FixedAlbedo(points, PointAlbedo(*torch.rand(3, count), torch.tensor(2.5)))


@pytest.fixture(scope="module")
def unit() -> Checkpoint:
    params = initial_params(load_head("builtin"), 3, 1, uniform_lights())
    return Checkpoint(
        replace(params, expr=torch.rand_like(params.expr)),
        Progress(2, 5),
        7,
        torch.ones(3, 1, dtype=torch.bool),
        [0, 2],
        1.5,
        0.1,
        {"fine": some_albedo(5)},
        False,
    )


def kept(folder: Path, *units: Checkpoint) -> Path:
    for unit in units:
        save_checkpoint(folder / CHECKPOINT, unit)
    return folder


def test_what_was_kept_comes_back(tmp_path, unit):
    assert not checkpoint_in(tmp_path)
    found = load_checkpoint(kept(tmp_path, unit), CPU)
    assert checkpoint_in(tmp_path)
    for f in fields(unit.params):
        expected, value = getattr(unit.params, f.name), getattr(found.params, f.name)
        assert expected is value is None or torch.equal(expected, value), f.name
    assert (found.step, found.init_frames) == (7, [0, 2])
    torch.testing.assert_close(found.known["fine"].tensors(), unit.known["fine"].tensors(), rtol=0, atol=0)
    assert (found.progress.stage, found.progress.done, found.finished) == (2, 5, False)


def test_any_damage_is_found_and_the_unit_before_is_taken(tmp_path, unit, caplog):
    folder = kept(tmp_path, unit, replace(unit, step=8))
    assert load_checkpoint(folder, CPU).step == 8
    whole = (folder / CHECKPOINT).read_bytes()
    generator = np.random.default_rng(0)
    positions = [0, 5, 8, 39, 40, len(whole) - 1, *generator.integers(0, len(whole), 60).tolist()]
    for position in positions:
        content = bytearray(whole)
        content[position] ^= 1 << int(generator.integers(8))
        (folder / CHECKPOINT).write_bytes(content)
        assert load_checkpoint(folder, CPU).step == 7, position
    for length in (0, 1, 20, 40, 1000, len(whole) - 1):
        (folder / CHECKPOINT).write_bytes(whole[:length])
        assert load_checkpoint(folder, CPU).step == 7, length
    (folder / CHECKPOINT).unlink()
    assert checkpoint_in(folder)
    assert load_checkpoint(folder, CPU).step == 7
    (folder / PREVIOUS).write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"expected a whole checkpoint at .*checkpoint\.pt, found no such file"):
        load_checkpoint(folder, CPU)


def test_a_damaged_file_does_not_take_the_place_of_the_whole_one_before_it(tmp_path, unit):
    folder = kept(tmp_path, unit, replace(unit, step=8))
    (folder / CHECKPOINT).write_bytes(b"damaged")
    Checkpoints(folder / CHECKPOINT).on_checkpoint(replace(unit, step=9))
    (folder / CHECKPOINT).write_bytes(b"damaged again")
    assert load_checkpoint(folder, CPU).step == 7


def test_each_unit_leaves_the_one_before_it(tmp_path, unit):
    callback = Checkpoints(tmp_path / CHECKPOINT)
    for step in (1, 2, 3):
        callback.on_checkpoint(replace(unit, step=step))
    assert load_checkpoint(tmp_path, CPU).step == 3
    (tmp_path / CHECKPOINT).unlink()
    assert load_checkpoint(tmp_path, CPU).step == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [PREVIOUS]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_kept(tmp_path, unit, value):
    folder = kept(tmp_path, unit)
    before = (folder / CHECKPOINT).read_bytes()
    expr = unit.params.expr.clone()
    expr[1, 2] = value
    for broken, name in (
        (replace(unit, params=replace(unit.params, expr=expr)), "params.expr"),
        (replace(unit, beside_pixels=value), "beside_pixels"),
    ):
        with pytest.raises(InputError, match=f"NaN or infinity in {name}"):
            save_checkpoint(folder / CHECKPOINT, broken)
    assert (folder / CHECKPOINT).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [CHECKPOINT]


def test_another_release_is_not_damage(tmp_path, unit):
    folder = kept(tmp_path, unit, unit)
    torch.save({"version": VERSION - 1}, folder / CHECKPOINT)
    with pytest.raises(OtherVersionError, match=f"found version {VERSION - 1}"):
        load_checkpoint(folder, CPU)
