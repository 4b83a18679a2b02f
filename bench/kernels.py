"""Every rendering kernel: its time against the floor that bytes and operations give, its values against float64.

    python bench/kernels.py                       # 4 pictures of 512 x 512, the built-in head
    python bench/kernels.py --size 256 --pictures 16 --threads 1

Times are medians of calls one after the other. The floor is the longer of moving a kernel's bytes once (at the rate of
a copy of as many bytes) and of its operations (at the rate of a float32 matrix product), both measured in the same run;
bench/kernel_costs.py counts them. Values and gradients are compared with vhap/render/reference.py in float64 on small
meshes that hide parts of themselves: the largest difference, in parts of the largest value.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

from kernel_costs import COSTS, Sizes
from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Count, Pixels
from vhap.util.errors import exits_cleanly

if TYPE_CHECKING:
    import torch
    from floor import Floor
    from kernel_scene import Operation

LAUNCHERS = (
    "rasterize",
    "interpolate",
    "texture",
    "light",
    "antialias",
    "surface_points",
    "point_derivatives",
    "eye_pixels",
)
"""Modules vhap.render.warp_* that launch kernels."""
TOLERANCE = 1e-3
"""Largest difference to float64 that counts as agreement."""


@dataclass(frozen=True)
class KernelsConfig:
    size: Pixels = 512
    """Side of the pictures."""
    pictures: Count = 4
    """Rendered at once."""
    texture: Pixels = 512
    """Side of the texture."""
    repeats: Count = 15
    """Timed calls, after one that does not count."""
    threads: Count | None = None
    """Of torch and of the kernels. None: as torch has by itself."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where kernels run."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(KernelsConfig, __doc__, args)
    import torch
    from floor import Floor
    from kernel_scene import head_scene, sizes_of, small_scene
    from point_operations import every_operation

    from vhap.util.threads import set_threads

    torch.set_num_threads(config.threads or torch.get_num_threads())
    set_threads(torch.get_num_threads())
    floor = Floor(torch.device(config.device))
    scene = head_scene(config.pictures, config.size, config.texture, floor.device)
    errors = {work.name: work.deviation() for work in every_operation(small_scene(floor.device))}
    timed = {work.name: timed_operation(work, config.repeats, floor.device) for work in every_operation(scene)}
    sizes = sizes_of(scene)
    print(f"{config.pictures} pictures of {config.size} x {config.size}, {sizes.covered} covered pixels, ", end="")
    print(f"{sizes.vertices} vertices, {config.device}, {torch.get_num_threads()} threads\n")
    print(rates_line(floor), end="\n\n")
    print(kernels_table(timed, sizes, floor), end="\n\n")
    print(operations_table(timed, errors))
    if wrong := [name for name, pair in errors.items() if not all(off <= TOLERANCE for off in pair)]:
        print(f"further than {TOLERANCE:g} from float64: {', '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


@dataclass(frozen=True)
class Timed:
    """Median seconds of an operation's two passes, NaN where it has no gradient; by kernel those inside launches."""

    forward: float
    backward: float
    kernels: dict[str, float]


def timed_operation(work: Operation, repeats: int, device: torch.device) -> Timed:
    import torch
    from kernel_scene import projection

    forward, backward = [], []
    with launches(device) as spent:
        for repeat in range(repeats + 1):
            if repeat == 1:
                spent.clear()
            started = now(device)
            value, leaves = work.value()
            forward.append(now(device) - started)
            if leaves:
                seed = projection(value)
                started = now(device)
                torch.autograd.grad(value, leaves, seed)
                backward.append(now(device) - started)
    kernels = {name: statistics.median(seconds) for name, seconds in grouped(spent, repeats).items()}
    return Timed(statistics.median(forward[1:]), statistics.median(backward[1:]) if backward[1:] else math.nan, kernels)


def grouped(spent: dict[str, list[float]], repeats: int) -> dict[str, list[float]]:
    """Kernel -> seconds of each repeat; a kernel may be launched several times in one."""
    sums = {}
    for name, seconds in spent.items():
        each = len(seconds) // repeats
        sums[name] = [sum(seconds[k * each : (k + 1) * each]) for k in range(repeats)]
    return sums


def now(device: torch.device) -> float:
    from floor import synchronize

    synchronize(device)
    return time.perf_counter()


@contextmanager
def launches(device: torch.device) -> Iterator[dict[str, list[float]]]:
    """Kernel -> seconds of each launch over all views while the block runs."""
    import importlib

    from vhap.render.warp_common import launch_ranges

    spent: defaultdict[str, list[float]] = defaultdict(list)

    def timed(kernel: Any, *arguments: Any) -> None:
        started = now(device)
        launch_ranges(kernel, *arguments)
        spent[kernel.key.rpartition(".")[2]].append(now(device) - started)

    with ExitStack() as patches:
        for name in LAUNCHERS:
            importlib.import_module(f"vhap.render.warp_{name}")
            patches.enter_context(patch(f"vhap.render.warp_{name}.launch_ranges", timed))
        yield spent


def rates_line(floor: Floor) -> str:
    copies = ", ".join(f"{floor.bytes_per_second(1 << k) / 1e9:.1f} GB/s ({1 << k >> 20} MiB)" for k in (20, 24, 28))
    return f"Copies: {copies}; matrix product {floor.operations_per_second() / 1e9:.0f} GFLOP/s."


def kernels_table(timed: dict[str, Timed], sizes: Sizes, floor: Floor) -> str:
    rows = []
    for name, cost in COSTS.items():
        seconds = timed[cost.operation].kernels.get(name)
        if seconds is None:
            continue
        moved, done = cost.moved(sizes), cost.operations(sizes)
        least = floor.seconds(moved, done)
        bound = "bytes" if moved / floor.bytes_per_second(moved) >= least else "operations"
        cells = [name, f"{1e3 * seconds:.3f}", f"{moved / 1e6:.2f}", f"{done / 1e6:.2f}", f"{1e3 * least:.3f}"]
        rows.append([*cells, bound, f"{seconds / least:.1f}"])
    return markdown_table(["kernel", "ms", "MB", "Mflop", "floor ms", "bound by", "ratio"], rows)


def operations_table(timed: dict[str, Timed], errors: dict[str, tuple[float, float]]) -> str:
    """Whole operations, with what torch does around the kernels."""

    def milliseconds(seconds: float) -> str:
        return "-" if math.isnan(seconds) else f"{1e3 * seconds:.3f}"

    rows = []
    for name, times in timed.items():
        value, gradient = errors[name]
        inside = milliseconds(sum(times.kernels.values()))
        cells = [name, milliseconds(times.forward), milliseconds(times.backward), inside, f"{value:.1e}"]
        rows.append([*cells, "-" if math.isnan(times.backward) else f"{gradient:.1e}"])
    header = ["operation", "value, ms", "gradient, ms", "of both in kernels, ms", "value off", "gradient off"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    main()
