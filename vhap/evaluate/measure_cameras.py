"""How well a run explains the pictures of each of its cameras, and which cameras it explains worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vhap.evaluate.measure_pictures import FrameMeasures, detected_share, mean_nme_percent, picture_values
from vhap.util.choice import worst

WORST_NAMED = 3
LARGER_IS_WORSE = {"landmark_nme_percent": True, "psnr_face_db": False, "psnr_head_db": False, "silhouette_iou": False}


def per_camera(camera_ids: Sequence[str], measures: Sequence[FrameMeasures]) -> dict[str, list]:
    """Name -> a value for each camera, over all its frames; NaN where it has nothing to measure."""
    rows = []
    for view, name in enumerate(camera_ids):
        pictures = [measured.pictures[view] for measured in measures]
        told = {"detected_fraction": detected_share(pictures), "landmark_nme_percent": mean_nme_percent(pictures)}
        rows.append({"camera_id": name, **told, **picture_values(pictures)})
    return {name: [row[name] for row in rows] for name in rows[0]}


def worst_cameras(cameras: Mapping[str, list]) -> dict[str, list[str]]:
    """Measure -> names of the worst cameras, the worst first: WORST_NAMED, of few cameras up to half."""
    names = cameras["camera_id"]
    count = min(WORST_NAMED, len(names) // 2)
    return {
        measure: [names[view] for view in worst(_gaps(cameras[measure]), count, larger_is_worse)]
        for measure, larger_is_worse in LARGER_IS_WORSE.items()
    }


def worst_line(worst_by_measure: Mapping[str, list[str]]) -> str | None:
    """One sentence; None where no camera is named."""
    told = [f"{measure} {', '.join(names)}" for measure, names in worst_by_measure.items() if names]
    return f"Worst cameras: {'; '.join(told)}." if told else None


def camera_table(cameras: Mapping[str, list]) -> str:
    """The values in columns, a line for each camera."""
    columns = [[name, *map(_cell, values)] for name, values in cameras.items()]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in zip(*columns))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
