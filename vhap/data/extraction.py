"""Pictures of a video in a sequence folder: whole or not at all, and only once."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from msgspec import Meta

from vhap.data.pictures import list_pictures, read_rgb, shrink, some_names, write_picture
from vhap.data.provenance import Origin, Provenance, content_digest
from vhap.data.video import VideoInfo, exact_rate, extraction_rate, probe_video, read_frames
from vhap.data.video_properties import conversions, shortcomings
from vhap.util.errors import InputError, shown
from vhap.util.files import make_folder, read_json, write_json
from vhap.util.log import get_logger
from vhap.util.progress import progress
from vhap.util.threads import each_in_threads

RECORD = "extraction.json"
UNFINISHED = ".extracting"
OWN_NAME = re.compile(r"\d{6}")
BYTES_PER_VALUE = {"jpg": 0.2, "png": 0.7}
"""Upper estimates of the size of a picture's file, per pixel and channel."""


Count = Annotated[int, Meta(ge=0, lt=10_000_000)]


Bytes = Annotated[int, Meta(ge=0)]


class _Source(TypedDict):
    video: str
    bytes: Bytes
    pictures: Count


class Source(_Source, total=False):
    """Of the pictures of one camera. Old records have no digest."""

    digest: str


class Record(TypedDict, total=False):
    """What extraction.json holds: of one camera what `Source` has, of a rig a source for each. fps: a fraction."""

    fps: str
    format: str
    video: str
    pictures: Count
    bytes: Bytes
    digest: str
    cameras: dict[str, Source]


def read_record(folder: Path) -> dict[str, Any]:
    """Of the extraction into a sequence folder; empty where there was none. InputError where it is damaged."""
    path = folder / RECORD
    return read_json(path, Record) if path.is_file() else {}


def extract_pictures(
    video: Path, folder: Path, target_fps: float, scales: tuple[int, ...] = (), suffix: str = "jpg"
) -> int:
    """Writes folder/images/%06d.<suffix>, first index 0, and images_<scale>; returns the number of pictures.

    Nothing is written where the pictures are complete already; an interrupted extraction is done again. All
    pictures appear when the whole video has been decoded. Raises InputError on a missing or damaged video, on
    a full disk, and where images/ holds pictures of another video or frame rate.
    """
    info = probe_video(video)
    fps = extraction_rate(info, target_fps)
    source = {**video_source(video), "fps": str(fps), "format": suffix}
    done = _finished_count(folder, source)
    if done is None:
        require_space(folder, [info], fps, suffix)
        log_conversions({video.name: info})
        done = decode_into(folder, video, fps, scales, suffix)
        write_json(folder / RECORD, {**source, "pictures": done})
        get_logger().info("%s: %d pictures at %.4g a second in %s", video.name, done, float(fps), folder / "images")
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    downsample_pictures(folder, scales)
    return done


def log_conversions(infos: Mapping[str, VideoInfo]) -> None:
    """One line for each thing that is done to the pictures of videos (by name), a warning for each that cannot be."""
    for level, said_of in ((logging.INFO, conversions), (logging.WARNING, shortcomings)):
        of: dict[str, list[str]] = {}
        for name, info in infos.items():
            for line in said_of(info.properties):
                of.setdefault(line, []).append(name)
        for line, names in of.items():
            get_logger().log(level, "%s: %s", some_names(names), line)


def downsample_pictures(folder: Path, scales: tuple[int, ...]) -> None:
    """Completes folder/images_<scale> from folder/images, as `downsample_folder` does."""
    for scale in scales:
        downsample_folder(folder / "images", folder / f"images_{scale}", scale, folder)


def downsample_folder(source: Path, target: Path, scale: int, sequence: Path) -> None:
    """Completes target from source's pictures; copies of ours whose picture has changed are made again, a user's own
    are kept. sequence: the folder with the record of what they were made from. InputError where target holds others."""
    images, there = list_pictures(source), list_pictures(target)
    if odd := sorted(there.keys() - images.keys()):
        raise InputError(
            f"expected only smaller copies of {source} in {target}, found {some_names(odd)}; remove the folder"
        )
    made = Provenance(sequence)
    if stale := set(made.stale(there, images)):
        get_logger().info("%d of %d pictures changed since %s was made of them", len(stale), len(there), target)
    names = [name for name in images if name not in there or name in stale]
    sources = made.sources({name: images[name] for name in names})

    def make(name: str) -> None:
        small, path = downsample(read_rgb(images[name]), scale), target / images[name].name
        if name in stale and there[name] != path:
            there[name].unlink()
        made.write(path, Origin(sources[name]), partial(write_picture, picture=small))

    each_in_threads(make, progress(names, f"downsampling by {scale}"))


def downsample(picture: np.ndarray, scale: int) -> np.ndarray:
    """The picture with 1 / scale of the width and height (rounded), each pixel the mean of its area."""
    height, width = picture.shape[:2]
    return shrink(picture, (max(1, round(height / scale)), max(1, round(width / scale))))


def video_source(video: Path) -> dict[str, Any]:
    """What the record of an extraction says about its video."""
    return {"video": video.name, "bytes": video.stat().st_size, "digest": content_digest(video)}


def agrees(record: Mapping[str, Any], source: Mapping[str, Any]) -> bool:
    """Whether a record is of this source; one of older versions has no digest."""
    return all(record.get(key) == value for key, value in source.items() if key != "digest" or key in record)


def extracted_fps(folder: Path) -> float | None:
    """Frames a second of the pictures in a sequence folder; None where they were not extracted from a video."""
    record = read_record(folder)
    if "fps" not in record:
        return None
    try:
        return float(exact_rate(float(Fraction(record["fps"]))))
    except (ValueError, ArithmeticError, InputError) as error:
        raise InputError(
            f"expected frames a second as fps in {folder / RECORD}, found {shown(record['fps'])}; correct it, or "
            f"remove {folder} to extract again"
        ) from error


def _finished_count(folder: Path, source: dict[str, Any]) -> int | None:
    """The number of pictures of a complete extraction of this source, else None."""
    names = set(list_pictures(folder / "images"))
    if not names:
        return None
    record = read_record(folder)
    if not record:
        _require_own_names(folder, names)
        return None
    if not agrees(record, source) or "pictures" not in record:
        raise InputError(
            f"expected {folder / 'images'} to come from {source}, found pictures of {shown(record)}; use the same "
            f"options, or remove the folder {folder} to extract again"
        )
    expected = {f"{index:06d}" for index in range(record["pictures"])}
    if names == expected:
        return record["pictures"]
    _require_own_names(folder, names - expected)
    return None


def _require_own_names(folder: Path, names: Iterable[str]) -> None:
    """Pictures that extraction cannot have written are a user's own, and stay."""
    if foreign := sorted(name for name in names if not OWN_NAME.fullmatch(name)):
        raise InputError(
            f"expected no pictures but extracted ones in {folder / 'images'}, found {some_names(foreign)}; "
            f"give --input {folder} to use them, or move them away"
        )


def decode_into(
    folder: Path,
    video: Path,
    fps: Fraction,
    scales: tuple[int, ...],
    suffix: str,
    beginning: str = "",
    announce: Callable[[int], None] = lambda count: None,
) -> int:
    """Writes images[_N]/<beginning>%06d.<suffix> of a whole video, or nothing; returns the number of pictures.

    beginning: of the names, with a folder before them where it has a slash. announce: hears the number before the first
    picture takes its place. Pictures that are there and begin so are replaced. InputError where there are more than the
    video has.
    """
    unfinished = folder / UNFINISHED
    below, _, prefix = beginning.rpartition("/")
    is_new = not folder.exists()
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        frames = progress(read_frames(video, fps), f"extracting {video.name}")
        count = _write_frames(frames, unfinished, beginning, scales, suffix)
        own = [name for name in list_pictures(folder / "images" / below) if name.startswith(prefix)]
        surplus = [name for name in own if int(name.removeprefix(prefix)) >= count]
        if surplus:
            raise InputError(
                f"expected at most {count} pictures of {video} in {folder / 'images' / below}, found also "
                f"{some_names(surplus)}; "
                "remove the folder to extract again"
            )
        announce(count)
        _remember_copies(folder, unfinished)
        for source in sorted(unfinished.iterdir(), reverse=True):
            _move_into_place(source / below, folder / source.name / below)
        return count
    except BaseException as error:
        shutil.rmtree(folder if is_new else unfinished, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(
                f"expected room for the pictures in {folder}, found the disk full; free some space"
            ) from error
        raise


def _write_frames(
    frames: Iterable[np.ndarray], folder: Path, beginning: str, scales: tuple[int, ...], suffix: str
) -> int:
    """Writes images[_N]/<beginning>%06d.<suffix> on all cores; returns the number of frames."""
    count = itertools.count()

    def write(numbered: tuple[np.ndarray, int]) -> None:
        frame, index = numbered
        name = f"{beginning}{index:06d}.{suffix}"
        write_picture(folder / "images" / name, frame)
        for scale in scales:
            write_picture(folder / f"images_{scale}" / name, downsample(frame, scale))

    each_in_threads(write, zip(frames, count))
    return next(count)


def _remember_copies(folder: Path, unfinished: Path) -> None:
    """Records what the smaller copies were made from, which all take their place in folder next."""
    made = Provenance(folder)
    for copies in sorted(unfinished.glob("images_*")):
        for path in sorted(found for found in copies.rglob("*") if found.is_file()):
            name = path.relative_to(copies)
            source = f"{Path('images', name).as_posix()} {content_digest(unfinished / 'images' / name)}"
            made.remember(folder / copies.name / name, content_digest(path), Origin(source))


def _move_into_place(source: Path, target: Path) -> None:
    if not target.exists():
        make_folder(target.parent)
        source.rename(target)
        return
    others = {path.stem: path for path in target.iterdir() if path.suffix != next(source.iterdir()).suffix}
    for path in source.iterdir():
        os.replace(path, target / path.name)
        if path.stem in others:
            others[path.stem].unlink()


def require_space(folder: Path, infos: Sequence[VideoInfo], fps: Fraction, suffix: str) -> None:
    """InputError where the disk has no room for the pictures of these videos."""
    values = sum(info.size[0] * info.size[1] * 3 * float(fps) * info.duration_s for info in infos)
    needed = int(values * BYTES_PER_VALUE[suffix])
    free = shutil.disk_usage(make_folder(folder.parent)).free
    if needed > free:
        raise InputError(
            f"expected about {needed >> 20} MiB for the pictures in {folder}, found {free >> 20} MiB free; "
            "free some space, or lower --target_fps"
        )
