"""Every head on a film of its own: accuracy against the truth, and the time a frame takes.

    python bench/heads.py --output OUT
    python bench/heads.py --output OUT --heads builtin gnm --frames 60 --size 512 --landmarks noisy478

A film shows its head in the same motion as the others, by the seed; people and looks are the heads' own. FLAME, GNM and
ICT-FaceKit are found as the tracker finds them (`VHAP_FLAME_MODEL`, `VHAP_GNM_HEAD`, `VHAP_ICT_FACEKIT`); heads whose
files are missing are named. Seconds are the processor's, of the first guess and all stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from common import FilmOptions, Landmarks, film_data, make_film, run_config, track
from tables import markdown_table, number

from vhap.cli import parse
from vhap.util.errors import InputError, exits_cleanly

COLUMNS = {
    "face mean, mm": "face_vertex_error_mm_mean",
    "face p95, mm": "face_vertex_error_mm_p95",
    "head mean, mm": "head_vertex_error_mm_mean",
    "lids, eye widths": "lid_gap_error",
    "closed lids": "closed_lid_gap",
    "gaze, degrees": "gaze_error_deg_mean",
    "focal length, %": "focal_error_percent",
    "psnr of the head, dB": "psnr_head_db",
}


@dataclass(frozen=True)
class HeadsConfig(FilmOptions):
    heads: tuple[Literal["builtin", "ict", "flame", "gnm"], ...] = ("builtin", "ict", "flame", "gnm")
    """Which of them, in place of --head."""
    frames: int = 32
    size: int = 384
    seed: int = 0
    """Of motion, camera, light and person."""
    landmarks: Landmarks = "detector"
    """Where the landmarks come from."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(HeadsConfig, __doc__, args)
    rows, missing = [], []
    for head in config.heads:
        try:
            rows.append(row(replace(config, head=head)))
        except InputError as error:
            missing.append(f"- {head}: {error}")
    print(markdown_table(["head", *COLUMNS, "processor seconds a frame"], rows))
    print("\n".join(missing))


def row(config: HeadsConfig) -> list[str]:
    film = make_film(config, config.seed)
    data = film_data(config, film, config.landmarks)
    values: dict[str, Any] = track(run_config(config, data, f"{film.name}_{config.landmarks}"), film)
    cells = [number(values.get(name)) for name in COLUMNS.values()]
    return [config.head, *cells, number(values["processor_seconds"] / config.frames)]


if __name__ == "__main__":
    main()
