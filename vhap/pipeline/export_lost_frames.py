"""Leaving pictures that show nothing of the head out of an export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vhap.config.track import TrackConfig
from vhap.data.lost_frames import NO_HEAD, NO_MATTE, small_pictures
from vhap.data.result_cameras import similarity_of
from vhap.export.centred_result import CentredTrack, centre
from vhap.export.nerf_dataset import ExportSource, capture_timesteps
from vhap.head.model import HeadModel
from vhap.pipeline.captures import read_capture
from vhap.pipeline.lost_frames import described, detected_rows, picture_reasons, with_rows_without_face
from vhap.pipeline.open_run import scene_of
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.log import get_logger

ROWS_CHECKED, CAMERAS_CHECKED = 8, 3
"""Pictures that are looked at anew, since mattes may have been made again after tracking."""


def without_lost_frames(source: ExportSource, file: Path, tracked: TrackConfig) -> ExportSource:
    """The source without the pictures that show nothing. file: the result's.

    InputError where no picture is left, or where most mattes are empty. The log names what is left out.
    """
    reasons = find_lost(source, file, tracked)
    lost = reasons != ""
    if not lost.any():
        return source
    names = [str(name) for name in source.result.timestep_id]
    cameras = [source.capture.camera_ids[index] for index in source.camera_indices]
    said = described(reasons, names, cameras)
    check_enough_is_left(reasons, said, source)
    get_logger().warning(
        "left out of %d pictures %d that show nothing of the head: %s",
        lost.size,
        int(lost.sum()),
        said,
    )
    rows = np.flatnonzero(~lost.all(1))
    return replace(
        source,
        result=source.result.select(rows.tolist()),
        visible=~lost[rows],
        lost_frames=lost_entries(source, reasons),
    )


def check_enough_is_left(reasons: np.ndarray, said: str, source: ExportSource) -> None:
    folder = source.capture.folder
    if 2 * (reasons == NO_MATTE).sum() > reasons.size:
        raise InputError(
            f"expected mattes of a head in {folder}, found most of {reasons.size} empty there: {said}; remove the "
            "alpha maps, then preprocess again with another --matting_method or --person, or export with "
            "--keep_lost_frames"
        )
    if (reasons != "").all():
        raise InputError(
            f"expected pictures of a head in {folder}, found none among {reasons.size}: {said}; check the pictures, or "
            "export with --keep_lost_frames"
        )


def lost_entries(source: ExportSource, reasons: np.ndarray) -> tuple[dict[str, Any], ...]:
    """What transforms.json says of each lost picture."""
    result = source.result
    return tuple(
        {
            "timestep_index_original": int(result.timestep_index[row]),
            "timestep_id": str(result.timestep_id[row]),
            "camera_index": source.camera_numbers[number],
            "camera_id": source.capture.camera_ids[source.camera_indices[number]],
            "reason": str(reasons[row, number]),
        }
        for row, number in np.argwhere(reasons != "").tolist()
    )


def find_lost(source: ExportSource, file: Path, tracked: TrackConfig) -> np.ndarray:
    """(T, C) why each exported picture shows nothing, empty where it does.

    As tracking found it, where some pictures that are looked at anew agree; else all are looked at.
    """
    track = centre(source.head, source.result, source.cameras, to_origin=False)
    recorded = recorded_reasons(source)
    count = len(source.result.timestep_id)
    if recorded is not None:
        rows, numbers = even_choice(count, ROWS_CHECKED), even_choice(len(source.cameras), CAMERAS_CHECKED)
        then = recorded[np.ix_(rows, numbers)]
        now, _ = reasons_of(source, track, rows, numbers)
        if (((then != "") == (now != "")) | (then == NO_HEAD)).all():
            return recorded
    reasons, covered = reasons_of(source, track, list(range(count)), list(range(len(source.cameras))))
    if recorded is not None:
        return np.where((reasons == "") & (recorded == NO_HEAD), NO_HEAD, reasons)
    return without_faceless_rows(reasons, covered, source, track.head, file, tracked)


def recorded_reasons(source: ExportSource) -> np.ndarray | None:
    """(T, C) of the exported cameras as tracking found them; None where it did not, or did not see all of them."""
    result = source.result
    if result.lost_reason is None or result.camera_id is None:
        return None
    columns = result.camera_id.tolist()
    wanted = [source.capture.camera_ids[index] for index in source.camera_indices]
    if not set(wanted) <= set(columns):
        return None
    return result.lost_reason[:, [columns.index(name) for name in wanted]]


def reasons_of(
    source: ExportSource, track: CentredTrack, rows: list[int], numbers: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """What the pictures of these rows by these of the exported cameras say by themselves, as `picture_reasons`."""
    timesteps = capture_timesteps(source.result, source.capture)
    cameras = [source.camera_indices[number] for number in numbers]
    pictures = small_pictures(source.capture, [timesteps[row] for row in rows], cameras)
    seen_by = [track.cameras[number] for number in numbers]
    return picture_reasons(track.head, lambda index: track.vertices(rows[index]), seen_by, pictures)


def without_faceless_rows(
    reasons: np.ndarray, covered: np.ndarray, source: ExportSource, head: HeadModel, file: Path, tracked: TrackConfig
) -> np.ndarray:
    """With the timesteps in which no landmarks are found and the tracked pictures do not look like the head, where the
    landmarks of tracking are still there."""
    try:
        capture = read_capture(tracked.data, cache_bytes=0)
    except InputError:
        return reasons
    found = detected_rows(capture, capture_timesteps(source.result, capture), tracked.data)
    if found is None or found.all():
        return reasons
    result = replace(source.result, T_tracked_given=similarity_of(capture, source.result))
    return with_rows_without_face(scene_of(file, -1, tracked, head, capture, result), reasons, covered, found)
