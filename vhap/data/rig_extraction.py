"""Pictures of a rig's synchronised videos in a sequence folder: each camera's whole or not at all, and only once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from vhap.data.extraction import RECORD, UNFINISHED, decode_into, downsample_pictures, require_space
from vhap.data.pictures import list_pictures, natural_order, some_names
from vhap.data.rig_recording import flat_name
from vhap.data.video import VideoInfo, extraction_rate, frame_times, probe_video
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json
from vhap.util.log import get_logger

VIDEO_NAME = re.compile(r"cam_(?P<serial>[^_]+)\.(mp4|mov)", re.IGNORECASE)
OWN_NAME = re.compile(r"cam_(?P<serial>[^_]+)_\d{6}")


def find_videos(folder: Path) -> dict[str, Path]:
    """Serial -> cam_<serial>.mp4 in the folder, or in its images/; empty where there are none.

    InputError where a camera has two.
    """
    found: dict[str, Path] = {}
    places = [place for place in (folder, folder / "images") if place.is_dir()]
    files = [path for place in places for path in place.iterdir()]
    for path in sorted(files, key=lambda path: natural_order(path.name)):
        match = VIDEO_NAME.fullmatch(path.name)
        if match is None:
            continue
        serial = match["serial"]
        if serial in found:
            raise InputError(
                f"expected one video of camera {serial} in {folder}, found {found[serial]} and {path}; remove one"
            )
        found[serial] = path
    return found


def extract_rig_pictures(
    videos: Mapping[str, Path], folder: Path, target_fps: float, scales: tuple[int, ...] = (), suffix: str = "jpg"
) -> int:
    """Writes folder/images/cam_<serial>_%06d.<suffix>, first index 0, and images_<scale>; returns the timesteps.

    Cameras whose pictures are complete already are kept. Raises InputError, before anything is written, where videos
    are missing, damaged, or differ in frame rate or number of frames, where the disk is too small, and where images/
    holds pictures of other videos, another frame rate, or a user's own.
    """
    infos = {serial: probe_video(path) for serial, path in videos.items()}
    fps = _common_rate(infos, target_fps, folder)
    record = _read_record(folder, videos, {"fps": str(fps), "format": suffix})
    missing = [serial for serial in videos if not _is_complete(folder, serial, record)]
    if missing:
        _require_equal_lengths(videos, folder)
        require_space(folder, [infos[serial] for serial in missing], fps, suffix)
    for serial in missing:
        count = decode_into(folder, videos[serial], fps, scales, suffix, flat_name(serial, ""))
        record["cameras"][serial] = {**_source(videos[serial]), "pictures": count}
        write_json(folder / RECORD, record)
        get_logger().info("%s: %d pictures at %.4g a second", videos[serial].name, count, float(fps))
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    downsample_pictures(folder, scales)
    return next(iter(record["cameras"].values()))["pictures"]


def _common_rate(infos: Mapping[str, VideoInfo], target_fps: float, folder: Path) -> Fraction:
    first = next(iter(infos))
    for serial, info in infos.items():
        if info.fps != infos[first].fps:
            raise InputError(
                f"expected synchronised videos in {folder}, found {float(infos[first].fps):g} frames a second from "
                f"camera {first} and {float(info.fps):g} from {serial}; move the odd ones away"
            )
    return extraction_rate(infos[first], target_fps)


def _require_equal_lengths(videos: Mapping[str, Path], folder: Path) -> None:
    counts = {serial: len(frame_times(path)[0]) for serial, path in videos.items()}
    usual = max(set(counts.values()), key=list(counts.values()).count)
    odd = {serial: count for serial, count in counts.items() if count != usual}
    if odd:
        found = some_names([f"{count} from camera {serial}" for serial, count in odd.items()])
        raise InputError(
            f"expected synchronised videos of {usual} frames in {folder}, found {found}; copy these "
            "again or move them away"
        )


def _read_record(folder: Path, videos: Mapping[str, Path], options: dict[str, str]) -> dict[str, Any]:
    """What was extracted before with these options; InputError where images/ holds anything else."""
    names = list_pictures(folder / "images")
    path = folder / RECORD
    record = read_json(path) if path.is_file() and names else {}
    record = record if "cameras" in record else {**options, "cameras": {}}
    before = {name: record.get(name) for name in options}
    for serial, source in record["cameras"].items():
        if serial in videos and {key: source[key] for key in ("video", "bytes")} != _source(videos[serial]):
            before["video"] = f"{source['video']} of {source['bytes']} bytes"
    if before != options:
        raise InputError(
            f"expected {folder / 'images'} to come from these videos with {options}, found pictures of {before}; "
            "use the same options, or remove the pictures to extract again"
        )
    known = {*videos, *record["cameras"]}
    matches = {name: OWN_NAME.fullmatch(name) for name in names}
    if foreign := [name for name, match in matches.items() if match is None or match["serial"] not in known]:
        raise InputError(
            f"expected no pictures but those of the videos in {folder / 'images'}, found {some_names(foreign)}; move "
            "them away"
        )
    return record


def _is_complete(folder: Path, serial: str, record: dict[str, Any]) -> bool:
    if serial not in record["cameras"]:
        return False
    prefix = flat_name(serial, "")
    there = {name for name in list_pictures(folder / "images") if name.startswith(prefix)}
    return there == {f"{prefix}{index:06d}" for index in range(record["cameras"][serial]["pictures"])}


def _source(video: Path) -> dict[str, Any]:
    return {"video": video.name, "bytes": video.stat().st_size}
