"""Pictures of a rig's synchronised videos in a sequence folder: each camera's whole or not at all, and only once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from vhap.data.extraction import RECORD, UNFINISHED, decode_into, require_space
from vhap.data.pictures import list_pictures, natural_order, some_names
from vhap.data.rig_recording import flat_name
from vhap.data.video import VideoInfo, extraction_rate, frame_times, probe_video
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json
from vhap.util.log import get_logger

SERIAL_NAME = re.compile(r"cam_(?P<serial>[^_]+)\.(mp4|mov)", re.IGNORECASE)
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")
NUMBER = re.compile(r"\d{6}")


def find_videos(folder: Path) -> dict[str, Path]:
    """Camera -> its video in the folder, or in its images/; empty where there are none of several cameras.

    Videos named cam_<serial>.mp4 are of the cameras <serial>, and others beside them are not the rig's. Where none has
    such a name, two or more videos of any name are those of cameras of that name, unless images/ holds pictures that
    did not come from them. InputError where a camera has two.
    """
    places = [place for place in (folder, folder / "images") if place.is_dir()]
    files = [path for place in places for path in place.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES]
    files = [path for path in sorted(files, key=lambda path: natural_order(path.name)) if path.name[0] != "."]
    by_serial = [(match["serial"], path) for path in files if (match := SERIAL_NAME.fullmatch(path.name))]
    if not by_serial and (len(files) < 2 or _has_own_pictures(folder)):
        return {}
    found: dict[str, Path] = {}
    for camera, path in by_serial or [(path.stem, path) for path in files]:
        if camera in found:
            raise InputError(
                f"expected one video of camera {camera} in {folder}, found {found[camera]} and {path}; remove one"
            )
        found[camera] = path
    return found


def extract_rig_pictures(
    videos: Mapping[str, Path], folder: Path, target_fps: float, scales: tuple[int, ...] = (), suffix: str = "jpg"
) -> int:
    """Writes folder/images/ and images_<scale>/; returns the timesteps.

    videos: as `find_videos` gives them. Pictures of cam_<serial>.mp4 are cam_<serial>_%06d.<suffix>, of others
    <camera>/%06d.<suffix>; first index 0. Cameras whose pictures are complete already are kept. Raises InputError,
    before anything is written, where videos are missing, damaged, or differ in frame rate or number of frames, where
    the disk is too small, and where images/ holds pictures of other videos, another frame rate, or a user's own.
    """
    infos = {serial: probe_video(path) for serial, path in videos.items()}
    fps = _common_rate(infos, target_fps, folder)
    record = _read_record(folder, videos, {"fps": str(fps), "format": suffix})
    missing = [serial for serial in videos if not _is_complete(folder, serial, record)]
    if missing:
        _require_equal_lengths(videos, folder)
        require_space(folder, [infos[serial] for serial in missing], fps, suffix)
        # From now on pictures that are there are known to be ours.
        write_json(folder / RECORD, record)
    for serial in missing:
        count = decode_into(folder, videos[serial], fps, scales, suffix, _beginning(serial, videos[serial].name))
        record["cameras"][serial] = {**_source(videos[serial]), "pictures": count}
        write_json(folder / RECORD, record)
        get_logger().info("%s: %d pictures at %.4g a second", videos[serial].name, count, float(fps))
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return next(iter(record["cameras"].values()))["pictures"]


def _has_own_pictures(folder: Path) -> bool:
    """Whether images/ holds pictures that were not extracted from a rig's videos."""
    if not _picture_names(folder / "images", is_nested=True):
        return False
    path = folder / RECORD
    return not path.is_file() or "cameras" not in read_json(path)


def _common_rate(infos: Mapping[str, VideoInfo], target_fps: float, folder: Path) -> Fraction:
    first = next(iter(infos))
    for serial, info in infos.items():
        if info.fps != infos[first].fps:
            raise InputError(
                f"expected synchronised videos in {folder}, found {float(infos[first].fps):g} frames a second from "
                f"camera {first} and {float(info.fps):g} from {serial}; move the odd ones away, or give one video"
            )
    return extraction_rate(infos[first], target_fps)


def _require_equal_lengths(videos: Mapping[str, Path], folder: Path) -> None:
    counts = {serial: len(frame_times(path)[0]) for serial, path in videos.items()}
    usual = max(set(counts.values()), key=list(counts.values()).count)
    odd = {serial: count for serial, count in counts.items() if count != usual}
    if odd:
        found = some_names([f"{count} from camera {serial}" for serial, count in odd.items()])
        raise InputError(
            f"expected synchronised videos of {usual} frames in {folder}, found {found}; copy these again, move them "
            "away, or give one video"
        )


def _read_record(folder: Path, videos: Mapping[str, Path], options: dict[str, str]) -> dict[str, Any]:
    """What was extracted before with these options; InputError where images/ holds anything else."""
    path = folder / RECORD
    record = read_json(path) if path.is_file() else {}
    sources = {camera: source["video"] for camera, source in record.get("cameras", {}).items()}
    sources |= {camera: video.name for camera, video in videos.items()}
    beginnings = [_beginning(camera, video) for camera, video in sources.items()]
    names = _picture_names(folder / "images", any(beginning.endswith("/") for beginning in beginnings))
    record = record if names and "cameras" in record else {**options, "cameras": {}}
    before = {name: record.get(name) for name in options}
    for serial, source in record["cameras"].items():
        if serial in videos and {key: source[key] for key in ("video", "bytes")} != _source(videos[serial]):
            before["video"] = f"{source['video']} of {source['bytes']} bytes"
    if before != options:
        raise InputError(
            f"expected {folder / 'images'} to come from these videos with {options}, found pictures of {before}; "
            "use the same options, or remove the pictures to extract again"
        )
    own = re.compile(f"({'|'.join(map(re.escape, beginnings))}){NUMBER.pattern}")
    if foreign := [name for name in names if not own.fullmatch(name)]:
        raise InputError(
            f"expected no pictures but those of the videos in {folder / 'images'}, found {some_names(foreign)}; move "
            "them away"
        )
    return record


def _beginning(camera: str, video: str) -> str:
    """Of the names of a video's pictures, below images/."""
    return flat_name(camera, "") if SERIAL_NAME.fullmatch(video) else f"{camera}/"


def _picture_names(images_folder: Path, is_nested: bool) -> list[str]:
    """Of all pictures in the folder, and where is_nested of those in its folders."""
    names = list(list_pictures(images_folder))
    if is_nested and images_folder.is_dir():
        folders = sorted(path for path in images_folder.iterdir() if path.is_dir())
        names += [f"{path.name}/{name}" for path in folders for name in list_pictures(path)]
    return names


def _is_complete(folder: Path, camera: str, record: dict[str, Any]) -> bool:
    if camera not in record["cameras"]:
        return False
    source = record["cameras"][camera]
    below, _, prefix = _beginning(camera, source["video"]).rpartition("/")
    there = {name for name in list_pictures(folder / "images" / below) if name.startswith(prefix)}
    return there == {f"{prefix}{index:06d}" for index in range(source["pictures"])}


def _source(video: Path) -> dict[str, Any]:
    return {"video": video.name, "bytes": video.stat().st_size}
