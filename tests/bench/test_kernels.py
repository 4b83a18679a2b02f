import importlib
import pkgutil
from dataclasses import replace

import pytest
import torch
import warp as wp
from floor import Floor, median_seconds
from kernel_costs import COSTS
from kernel_scene import head_scene, sizes_of, small_scene
from kernels import TOLERANCE, kernels_table, main, timed_operation
from point_operations import every_operation

import vhap.render.kernels
from vhap.util.threads import get_threads, set_threads

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _threads_stay():
    before = get_threads()
    yield
    set_threads(before)


@pytest.fixture(scope="module")
def scene():
    return head_scene(2, 64, 64, CPU)


def test_every_kernel_has_its_cost():
    found = set()
    for module in pkgutil.iter_modules(vhap.render.kernels.__path__):
        values = vars(importlib.import_module(f"vhap.render.kernels.{module.name}")).values()
        found |= {value.key.rpartition(".")[2] for value in values if isinstance(value, wp.Kernel)}
    assert found == COSTS.keys()


def test_operations_agree_with_float64_and_a_wrong_one_does_not():
    works = every_operation(small_scene(CPU))
    assert {work.name for work in works} == {cost.operation for cost in COSTS.values()}
    for work in works:
        assert max(work.deviation()) < TOLERANCE, work.name
    light = next(work for work in works if work.name == "light")
    wrong = replace(light, function=lambda b, *inputs: light.function(b, *inputs) * (1.01 if b.name == "warp" else 1))
    assert min(wrong.deviation()) > TOLERANCE


def test_timing_meets_every_kernel(scene):
    timed = {work.name: timed_operation(work, 2, CPU) for work in every_operation(scene)}
    met = {kernel: name for name, times in timed.items() for kernel in times.kernels}
    assert met == {kernel: cost.operation for kernel, cost in COSTS.items()}
    for times in timed.values():
        whole = sum(value for value in (times.forward, times.backward) if value > 0)
        assert 0 < sum(times.kernels.values()) <= 1.5 * whole


def test_costs_are_positive_and_grow_with_the_pictures(scene):
    small, large = sizes_of(scene), sizes_of(head_scene(2, 128, 64, CPU))
    assert large.covered > 3 * small.covered
    assert large.crossings > 1.5 * small.crossings
    for name, cost in COSTS.items():
        if name not in (
            "slopes_forward",
            "shrink",
            "grow",
            "skin_vertices",
            "blend_rotations",
            "to_clip",
            "fan_normals",
        ):
            assert 0 < cost.moved(small) < cost.moved(large), name
        assert 0 < cost.operations(small) <= cost.operations(large), name


def test_floor_is_sane():
    floor = Floor()
    for exponent in (18, 24):
        assert 1e8 < floor.bytes_per_second(1 << exponent) < 1e13
    assert 1e8 < floor.operations_per_second() < 1e14
    assert floor.seconds(1 << 24, 1) == pytest.approx((1 << 24) / floor.bytes_per_second(1 << 24))
    assert floor.seconds(1, 1e12) == pytest.approx(1e12 / floor.operations_per_second())
    assert floor.seconds(1 << 26, 0) > floor.seconds(1 << 20, 0)


def test_a_copy_takes_its_floor():
    floor = Floor()
    source, target = torch.ones(1 << 22), torch.empty(1 << 22)
    seconds = median_seconds(lambda: target.copy_(source), CPU, repeats=15)
    assert 0.2 < seconds / floor.seconds(2 * 4 * len(source), 0) < 8


def test_program_prints_both_tables(capsys):
    main(["--size", "48", "--pictures", "1", "--texture", "32", "--repeats", "2"])
    out = capsys.readouterr().out
    assert "| find_silhouettes | " in out
    assert "| antialias | " in out
    assert "GFLOP/s" in out


def test_ratio_is_time_over_floor(scene):
    floor, sizes = Floor(), sizes_of(scene)
    timed = {work.name: timed_operation(work, 1, CPU) for work in every_operation(scene)}
    least = floor.seconds(COSTS["light_forward"].moved(sizes), COSTS["light_forward"].operations(sizes))
    timed["light"].kernels["light_forward"] = 7 * least
    (row,) = [line for line in kernels_table(timed, sizes, floor).splitlines() if "light_forward" in line]
    assert row.endswith("| 7.0 |")
