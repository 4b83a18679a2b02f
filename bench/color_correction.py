"""Time of the polynomial colour correction of a uint8 picture, ours and colour-science's, and their difference.

python bench/color_correction.py --threads 2
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vhap.cli import parse
from vhap.util.errors import exits_cleanly


@dataclass(frozen=True)
class ColorConfig:
    height: int = 1604
    """Of the picture, in pixels."""
    width: int = 1100
    """Of the picture, in pixels."""
    terms: tuple[int, ...] = (10, 22)
    """Numbers of polynomial terms."""
    repeats: int = 15
    """Timed runs of each, in turns, after one to warm up."""
    threads: int = os.cpu_count() or 1
    """Threads that ours uses; colour-science uses one."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(ColorConfig, __doc__, args)
    print(f"{config.width} x {config.height}, threads: {config.threads}; medians of {config.repeats}")
    print("| terms | colour-science, ms | ours, ms | times faster | largest difference, 1/255 |")
    print("|---|---|---|---|---|")
    for terms in config.terms:
        print(compare(config, terms))


def compare(config: ColorConfig, terms: Any) -> str:
    """One row of the table."""
    import colour
    import numpy as np
    from colour.characterisation import apply_matrix_colour_correction_Cheung2004

    from vhap.data.color import correct_polynomial
    from vhap.util.threads import set_threads

    set_threads(config.threads)
    rng = np.random.default_rng(terms)
    picture = rng.integers(0, 256, (config.height, config.width, 3), dtype=np.uint8)
    matrix = np.eye(3, terms) + 0.2 * rng.uniform(-1, 1, (3, terms))

    def theirs() -> np.ndarray:
        linear = apply_matrix_colour_correction_Cheung2004(colour.cctf_decoding(picture / 255), matrix, terms=terms)
        return np.clip(colour.cctf_encoding(linear) * 255, 0, 255)

    def theirs_rounded() -> np.ndarray:
        return np.round(theirs()).astype(np.uint8)

    def ours() -> np.ndarray:
        return correct_polynomial(picture, matrix)

    difference = np.abs(ours() - theirs()).max()
    seconds = [(time_of(theirs_rounded), time_of(ours)) for _ in range(config.repeats)]
    slow, fast = (1000 * statistics.median(column) for column in zip(*seconds))
    return f"| {terms} | {slow:.1f} | {fast:.1f} | {slow / fast:.1f} | {difference:.2f} |"


def time_of(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
