"""Pictures of a rig's synchronised videos in a sequence folder: each camera's whole or not at all, and only once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from vhap.data.extraction import (
    RECORD,
    UNFINISHED,
    agrees,
    decode_into,
    log_conversions,
    read_record,
    require_space,
    video_source,
)
from vhap.data.pictures import list_pictures, natural_order, some_names
from vhap.data.rig_recording import find_rig_recording, flat_name
from vhap.data.video import VideoInfo, count_frames, extraction_rate, probe_video
from vhap.util.errors import InputError
from vhap.util.files import write_json
from vhap.util.log import get_logger
from vhap.util.paths import inside
from vhap.util.progress import progress

SERIAL_NAME = re.compile(r"cam_(?P<serial>[^_]+)\.(mp4|mov)", re.IGNORECASE)
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")
AGAIN = "remove the pictures in images*/, alpha_maps/ and landmark2d/ to extract again"


def find_videos(folder: Path) -> dict[str, Path]:
    """Camera -> its video in the folder, or in its images/; empty where there are none of several cameras.

    Videos named cam_<serial>.mp4 are of the cameras <serial>. Where none has such a name, two or more videos are those
    of cameras of their names, unless images/ holds pictures of one camera. InputError where a camera has two, and where
    names begin with cam_ but have another form.
    """
    files = _list_videos(folder)
    by_serial = [(match["serial"], path) for path in files if (match := SERIAL_NAME.fullmatch(path.name))]
    like = [
        path.name for path in files if path.name.lower().startswith("cam_") and not SERIAL_NAME.fullmatch(path.name)
    ]
    if by_serial and like:
        raise InputError(
            f"expected names cam_<serial>.mp4, without another _, of all videos in {folder} that begin with cam_, "
            f"found {some_names(like)}; rename them, or move them away"
        )
    if not by_serial and (len(files) < 2 or _is_of_one_camera(folder)):
        return {}
    found: dict[str, Path] = {}
    for camera, path in by_serial or [(path.stem, path) for path in files]:
        if camera in found:
            raise InputError(
                f"expected one video of camera {camera} in {folder}, found {found[camera]} and {path}; remove one"
            )
        found[camera] = path
    return found


def videos_that_count(folder: Path) -> dict[str, Path]:
    """As `find_videos`, but none where images/ holds a rig's pictures that did not come from them; says what it leaves
    alone."""
    videos = find_videos(folder)
    if videos and find_rig_recording(folder) is not None and not _recorded(folder):
        names = some_names(_picture_names(folder / "images"))
        get_logger().info(
            "%s holds pictures that were not extracted here (%s): they count, and the %d videos do not; move them away "
            "to extract", folder / "images", names, len(videos),
        )  # fmt: skip
        return {}
    if ignored := [path.name for path in _list_videos(folder) if videos and path not in videos.values()]:
        get_logger().info("not of the rig, since others are named cam_<serial>.mp4: %s", some_names(ignored))
    return videos


def extract_rig_pictures(
    videos: Mapping[str, Path], folder: Path, target_fps: float, scales: tuple[int, ...] = (), suffix: str = "jpg"
) -> int:
    """Writes folder/images/, and images_<scale>/ of videos that it decodes; returns the timesteps.

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
        _require_equal_lengths(videos, folder, fps)
        require_space(folder, [infos[serial] for serial in missing], fps, suffix)
        log_conversions({videos[serial].name: infos[serial] for serial in missing})
    for serial in missing:
        video = videos[serial]
        # Pictures are known to be ours by the record, which therefore comes first.
        remember = partial(_remember, folder, record, serial, video)
        count = decode_into(folder, video, fps, scales, suffix, _beginning(serial, video.name), remember)
        get_logger().info("%s: %d pictures at %.4g a second", video.name, count, float(fps))
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return next(iter(record["cameras"].values()))["pictures"]


def _list_videos(folder: Path) -> list[Path]:
    places = [place for place in (folder, folder / "images") if place.is_dir()]
    files = [path for place in places for path in place.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES]
    return [path for path in sorted(files, key=lambda path: natural_order(path.name)) if path.name[0] != "."]


def _is_of_one_camera(folder: Path) -> bool:
    """Whether images/ holds pictures, and these are not a rig's."""
    return bool(list_pictures(folder / "images")) and not _recorded(folder) and find_rig_recording(folder) is None


def _recorded(folder: Path) -> dict[str, Any]:
    """What a pass over a rig's videos wrote down about each camera's; empty where there was none."""
    cameras = read_record(folder).get("cameras", {})
    for camera in cameras:
        inside(folder / "images", camera, folder / RECORD)
    return cameras


def _common_rate(infos: Mapping[str, VideoInfo], target_fps: float, folder: Path) -> Fraction:
    first = next(iter(infos))
    for serial, info in infos.items():
        if info.fps != infos[first].fps:
            raise InputError(
                f"expected synchronised videos in {folder}, found {float(infos[first].fps):g} frames a second from "
                f"camera {first} and {float(info.fps):g} from {serial}; move the odd ones away, or give one video as "
                "--input"
            )
    return extraction_rate(infos[first], target_fps)


def _require_equal_lengths(videos: Mapping[str, Path], folder: Path, fps: Fraction) -> None:
    """By decoding: a container may count frames that it does not hold, and time decides how many pictures come."""
    found = {serial: count_frames(path, fps) for serial, path in progress(videos.items(), "counting frames")}
    _require_equal({serial: counts.decoded for serial, counts in found.items()}, "frames", folder)
    what = f"pictures at {float(fps):.4g} a second"
    _require_equal({serial: counts.pictures for serial, counts in found.items()}, what, folder)


def _require_equal(counts: Mapping[str, int], what: str, folder: Path) -> None:
    usual = max(set(counts.values()), key=list(counts.values()).count)
    odd = {serial: count for serial, count in counts.items() if count != usual}
    if odd:
        found = some_names([f"{count} from camera {serial}" for serial, count in odd.items()])
        raise InputError(
            f"expected synchronised videos of {usual} {what} in {folder}, found {found}; copy these again, move them "
            "away, or give one video as --input"
        )


def _read_record(folder: Path, videos: Mapping[str, Path], options: dict[str, str]) -> dict[str, Any]:
    """What was extracted before with these options; InputError where images/ holds anything else."""
    images, pictures = folder / "images", _picture_names(folder / "images")
    cameras = _recorded(folder) if pictures else {}
    record = {**read_record(folder), "cameras": cameras} if cameras else {**options, "cameras": {}}
    before = {name: record.get(name) for name in options}
    for serial, source in cameras.items():
        if serial in videos and not agrees(source, video_source(videos[serial])):
            before["video"] = f"{source['video']} of {source['bytes']} bytes, digest {source.get('digest')}"
    if before != options:
        raise InputError(
            f"expected {images} to come from these videos with {options}, found pictures of {before}; use the same "
            f"options, or {AGAIN}"
        )
    beginnings = {_beginning(camera, source["video"]) for camera, source in cameras.items()}
    own = re.compile(f"({'|'.join(map(re.escape, beginnings))})\\d{{6}}\\.{record['format']}")
    if foreign := [name for name in pictures if not beginnings or not own.fullmatch(name)]:
        raise InputError(
            f"expected no pictures but those of the videos in {images}, found {some_names(foreign)}; move them away"
        )
    forms = {beginning.endswith("/") for beginning in beginnings}
    if forms - {_beginning(camera, video.name).endswith("/") for camera, video in videos.items()}:
        old = some_names([source["video"] for source in cameras.values()])
        raise InputError(f"expected {images} to come from these videos, found pictures of {old}; {AGAIN}")
    return record


def _beginning(camera: str, video: str) -> str:
    """Of the names of a video's pictures, below images/."""
    return flat_name(camera, "") if SERIAL_NAME.fullmatch(video) else f"{camera}/"


def _picture_names(images_folder: Path) -> list[str]:
    """Of all pictures in the folder, and in the folders there that are not hidden."""
    if not images_folder.is_dir():
        return []
    folders = sorted(path for path in images_folder.iterdir() if path.is_dir() and path.name[0] != ".")
    found = [path for folder in (images_folder, *folders) for path in list_pictures(folder).values()]
    return [path.relative_to(images_folder).as_posix() for path in found]


def _is_complete(folder: Path, camera: str, record: dict[str, Any]) -> bool:
    if camera not in record["cameras"]:
        return False
    source = record["cameras"][camera]
    below, _, prefix = _beginning(camera, source["video"]).rpartition("/")
    there = {name for name in list_pictures(folder / "images" / below) if name.startswith(prefix)}
    return there == {f"{prefix}{index:06d}" for index in range(source["pictures"])}


def _remember(folder: Path, record: dict[str, Any], camera: str, video: Path, pictures: int) -> None:
    record["cameras"][camera] = {**video_source(video), "pictures": pictures}
    write_json(folder / RECORD, record)
