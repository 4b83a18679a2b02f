"""Speed of exports by layout, against plain encoding of the same pictures.

    python bench/export_speed.py --run RUN --output OUT
    python bench/export_speed.py --run RUN --output OUT --layouts colmap insta --rounds 5

Each round exports the run anew, then encodes what its PNG and JPEG files hold, by the same threads, as OpenCV does by
itself; nothing is read or written there. The ratio is of the two within a round, of seconds and of the processor's: the
latter hardly depends on what else the machine does. Layouts that cannot hold the run are named.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import markdown_table

from vhap.cli import parse
from vhap.config.export import ExportConfig, Layout
from vhap.util.errors import InputError, exits_cleanly


@dataclass(frozen=True)
class ExportSpeedConfig:
    run: Path
    """Output folder of a tracking run."""
    output: Path
    """Where exports are written, in place of those of an earlier call."""
    layouts: tuple[Layout, ...] = (
        "gaussian_avatars", "metrical", "insta", "flashavatar", "imavatar", "hravatar", "gaussian_head_avatar",
        "nerfstudio", "instant_ngp", "colmap",
    )  # fmt: skip
    """Which of them."""
    rounds: int = 3
    """Of both, one after the other."""
    test_frames: int = 1
    """Of insta."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(ExportSpeedConfig, __doc__, args)
    rows, refused = [], []
    for layout in config.layouts:
        try:
            rows.append([layout, *cells(config, layout)])
        except InputError as error:
            refused.append(f"- {layout}: {error}")
    head = ["layout", "pictures", "a second", "times plain encoding", "of the processor", "files", "MB"]
    print(markdown_table(head, rows))
    print("\n".join(refused))


def cells(config: ExportSpeedConfig, layout: Layout) -> list[str]:
    from vhap.pipeline.export_as_nerf_dataset import run

    target = config.output / layout
    options = {"test_frames": config.test_frames} if layout == "insta" else {}
    export = ExportConfig(config.run, target, layout=layout, **options)
    run_in = job_of(export)
    rounds = []
    for _ in range(config.rounds):
        shutil.rmtree(target, ignore_errors=True)
        exported = timed(run_in)
        pictures = written_pictures(target)
        rounds.append((exported, timed(lambda pictures=pictures: encode(pictures)), len(pictures)))
    run(export)
    files = [path for path in target.rglob("*") if path.is_file()]
    ratios = [[mine[kind] / plain[kind] for mine, plain, _ in rounds] for kind in (0, 1)]
    count = rounds[0][2]
    return [
        str(count),
        f"{count / statistics.median(mine[0] for mine, _, _ in rounds):.1f}",
        *(f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in ratios),
        str(len(files)),
        f"{sum(path.stat().st_size for path in files) / 1e6:.1f}",
    ]


def job_of(export: ExportConfig) -> Callable[[], object]:
    """The export without what a command loads once: the head, the run, and the check for lost frames."""
    from vhap.pipeline.export_as_nerf_dataset import open_job
    from vhap.pipeline.export_layouts import write_layout

    job, target, mark = open_job(export)
    return lambda: write_layout(job, target, mark)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of the processor by all threads."""
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def written_pictures(target: Path) -> list[tuple[str, np.ndarray]]:
    """Ending and content of all pictures of the export, decoded."""
    import cv2

    paths = sorted(path for path in target.rglob("*") if path.suffix in (".png", ".jpg"))
    return [(path.suffix, cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) for path in paths]


def encode(pictures: list[tuple[str, np.ndarray]]) -> None:
    import cv2

    from vhap.export.parallel import for_each

    for_each(lambda picture: cv2.imencode(*picture), pictures)


if __name__ == "__main__":
    main()
