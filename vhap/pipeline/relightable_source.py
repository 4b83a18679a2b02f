"""What a subject's pictures are made from, whether they are there already, and how they take their place."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vhap.config.relightable import CropConfig
from vhap.data.extraction import video_source
from vhap.data.input_alpha import NONE, alpha_fault
from vhap.data.pictures import common_size, list_pictures, picture_size, some_names
from vhap.data.provenance import Provenance
from vhap.data.rig_extraction import VIDEO_SUFFIXES
from vhap.data.video import extraction_rate, probe_video
from vhap.pipeline.class_map_record import begin_maps, recorded_parsing, remember_maps
from vhap.relightable.crop import Crop
from vhap.relightable.crop_file import CropRecord, read_crop, write_crop
from vhap.relightable.subject_folder import TRAINERS_READ, SubjectFolder
from vhap.util.cached import read_cached
from vhap.util.errors import InputError
from vhap.util.files import make_folder, read_json, write_json
from vhap.util.log import get_logger

WORK = ".crop"
MADE = ("image", "mask", "seg")
ORIGINAL = "original"
AGAIN = "remove image/, mask/, seg/, albedo/ and crop.json there to make them again"
AUTO = "auto"
ALL_FRAMES = 10_000.0
"""Frames a second that no video has."""


@dataclass(frozen=True)
class Source:
    """A video, or a folder with own pictures. record: what crop.json says about it, with its digest."""

    path: Path
    is_video: bool
    record: dict[str, Any]


def find_source(subject: SubjectFolder, fps: float) -> Source:
    """Own pictures in image/ or images/, those put aside in original/, or the video. InputError without any."""
    folders = [subject.path / name for name in ("image", "images", ORIGINAL)]
    # Pictures that crop.json describes are what is made, not what it is made from.
    is_ours = subject.crop.is_file() and read_crop(subject.crop).options is not None
    filled = [folder for folder in folders if list_pictures(folder) and not (is_ours and folder == folders[0])]
    own = filled[0] if filled else None
    if own == folders[0] and folders[2] in filled:
        raise InputError(
            f"expected own pictures in one folder, found some in {folders[0]} and in {folders[2]}; remove one of them, "
            "with crop.json"
        )
    video = find_video(subject)
    if own is not None:
        if video is not None:
            get_logger().info("%s is not read: there are pictures in %s", video.name, own)
        return _of_pictures(own, subject)
    if video is None:
        raise InputError(
            f"expected a video at {subject.video} or pictures in {folders[0]}, found neither; correct --source or "
            "--name, or put it there"
        )
    return of_video(video, fps)


def find_video(subject: SubjectFolder) -> Path | None:
    """NAME.mp4, or the one video that is there. InputError where there are several others."""
    if subject.video.is_file():
        return subject.video
    found = sorted(path for path in subject.path.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    found = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if len(found) > 1:
        raise InputError(
            f"expected the video {subject.video.name} in {subject.path}, found {some_names([p.name for p in found])}; "
            "rename the one that is meant"
        )
    return found[0] if found else None


def of_video(video: Path, fps: float) -> Source:
    rate = extraction_rate(probe_video(video), ALL_FRAMES if fps == -1 else fps)
    return Source(video, True, {**video_source(video), "fps": str(rate)})


def _of_pictures(folder: Path, subject: SubjectFolder) -> Source:
    digests = Provenance(subject.path).digests(list_pictures(folder).values())
    whole = hashlib.blake2b(" ".join(digests.values()).encode(), digest_size=16).hexdigest()
    name = ORIGINAL if folder.name == "image" else folder.name
    return Source(folder, False, {"folder": name, "pictures": len(digests), "digest": whole})


def is_prepared(source: Source, config: CropConfig) -> bool:
    """Whether own pictures are a subject's as they are: with a matte as alpha channel, or there is nothing to do.
    InputError where some alone have an alpha channel."""
    if source.is_video or source.path.name == ORIGINAL:
        return False
    pictures = list(list_pictures(source.path).values())
    has_size = config.image_size in (CropConfig.image_size, common_size(pictures))
    has_work = config.matting or config.crop_image or config.crop_range is not None or not has_size
    fault = alpha_fault(pictures)
    if fault is not None and fault.startswith(f"{NONE} in"):
        raise InputError(
            f"expected an alpha channel in all pictures of {source.path} or in no one, found {fault}; make the others "
            "alike"
        )
    return fault is None or not has_work


def take_as_they_are(subject: SubjectFolder, source: Source, config: CropConfig) -> CropRecord:
    """Records own pictures as a subject's, whole."""
    pictures = list_pictures(source.path)
    size = common_size(list(pictures.values()))
    names = [path.name for path in pictures.values()]
    crop = Crop(size, (0, 0, size[1], size[0]), size)
    record = CropRecord(crop, names, list(names), source={"folder": source.path.name})
    if unread := [name for name in names if Path(name).suffix.lower() not in TRAINERS_READ]:
        get_logger().warning(
            "trainers find pictures named %s only, and not %d in %s (%s)",
            ", ".join(TRAINERS_READ), len(unread), source.path, some_names(unread),
        )  # fmt: skip
    _report_as_they_are(source.path, record, config)
    write_crop(subject.crop, record)
    return record


def _report_as_they_are(folder: Path, record: CropRecord, config: CropConfig) -> None:
    """A warning that names the given options without effect on pictures that are taken as they are."""
    names = ("fps", "crop_image", "mask_clothes", "crop_range", "crop_box", "bbox_scale", "premultiplied")
    names += ("matting_method", "person")
    given = [f"--{name}" for name in names if getattr(config, name) != getattr(CropConfig, name)]
    height, width = record.crop.size
    if config.image_size not in (CropConfig.image_size, record.crop.size):
        given.append("--image_size")
    what = f"{len(record.pictures)} pictures of {width}x{height} in {folder} are taken as they are"
    if given:
        has = "have" if len(given) > 1 else "has"
        get_logger().warning("%s: %s %s no effect on them", what, ", ".join(given), has)
    else:
        get_logger().info("%s", what)


def finished_pictures(subject: SubjectFolder, options: Mapping[str, Any], config: CropConfig) -> CropRecord | None:
    """The record of the pictures, if crop.json's pictures are there and are what is asked for; else None. InputError
    where they were made with other options, or of another video."""
    if not subject.crop.is_file():
        return None
    record = read_crop(subject.crop)
    if record.options is None:
        return _finished_as_they_are(subject, record, config)
    _require_same(record, options, subject)
    _require_source(record, subject, config.fps)
    return record if holds(subject.path / "image", record.pictures) else None


def _finished_as_they_are(subject: SubjectFolder, record: CropRecord, config: CropConfig) -> CropRecord | None:
    folder = subject.image_folder
    if {path.name for path in list_pictures(folder).values()} != set(record.pictures):
        return None
    if not is_prepared(Source(folder, False, record.source), config):
        return None
    _report_as_they_are(folder, record, config)
    return record


def holds(folder: Path, names: list[str]) -> bool:
    """Whether pictures of all these names are there and can be read."""
    return set(names) <= _readable(folder)


def _require_same(record: CropRecord, options: Mapping[str, Any], subject: SubjectFolder) -> None:
    before = record.options or {}
    # What `auto` came to is for the record to say.
    other = [name for name in options if options[name] != AUTO and before.get(name) != options[name]]
    other += [name for name in before if name not in options]
    if other:
        had = ", ".join(f"{name} {_text(before.get(name))}" for name in other)
        given = ", ".join(f"{name} {_text(options.get(name))}" for name in other)
        raise InputError(
            f"expected the options of the pictures in {subject.path / 'image'} ({had}), found {given}; give those, or "
            f"{AGAIN}"
        )


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _require_source(record: CropRecord, subject: SubjectFolder, fps: float) -> None:
    """InputError where what the pictures are made from, or the video's rate, is another one now; it may have gone."""
    name = record.source.get("video") or record.source.get("folder")
    path = subject.path / str(name)
    if "video" in record.source and not path.exists() and (other := find_video(subject)) is not None:
        raise InputError(
            f"expected the pictures in {subject.path / 'image'} to be of the video that is there, {other.name}, found "
            f"them to be of {name}; remove that video, or {AGAIN}"
        )
    if path.is_dir() and list_pictures(path):
        now = _of_pictures(path, subject).record
    elif path.is_file():
        now = of_video(path, fps).record
    else:
        return
    if differing := [key for key in now if record.source.get(key) != now[key]]:
        key = "fps" if "fps" in differing else "digest"
        raise InputError(
            f"expected the pictures in {subject.path / 'image'} to be of {name} with {key} {now[key]}, found "
            f"{record.source.get(key)}; give that one, or {AGAIN}"
        )


def require_no_masks(subject: SubjectFolder) -> None:
    """InputError where mask/ or seg/ are not those of pictures that were made before: they would stay."""
    if subject.crop.is_file() and read_crop(subject.crop).options is not None:
        return
    for folder in (subject.mask_folder, subject.class_folder):
        if list_pictures(folder):
            raise InputError(
                f"expected no {folder.name}/ of other pictures in {subject.path} with --keep_masks, found one; move it "
                "away, or leave --keep_masks out"
            )


def begin(subject: SubjectFolder, source: Source, options: Mapping[str, Any]) -> tuple[Path, Source]:
    """The folder of unfinished work, emptied where that was on something else, and the source where it lies now."""
    work, state = subject.path / WORK, {"source": source.record, "options": dict(options)}
    if read_cached(work / "state.json", read_json) != state:
        shutil.rmtree(work, ignore_errors=True)
        write_json(make_folder(work) / "state.json", state)
    if subject.crop.is_file() and read_crop(subject.crop).options is None:
        # Of own pictures as they were; what is made of them has another.
        subject.crop.unlink()
    if not source.is_video and source.path.name == "image":
        # Own pictures are never changed: those that are made take their place, under its name.
        source.path.rename(subject.path / ORIGINAL)
        get_logger().info("own pictures are moved from %s to %s", source.path, subject.path / ORIGINAL)
        source = replace(source, path=subject.path / ORIGINAL)
    return work, source


def publish(subject: SubjectFolder, work: Path, record: CropRecord, folders: list[str], made_by: str | None) -> None:
    """Moves what is finished in work to its place; what is there stays, but for class maps that were made in another
    way than made_by says. crop.json comes first: pictures without it would be a user's own."""
    if not subject.crop.is_file():
        write_crop(subject.crop, record)
    for name in folders:
        if name == "seg" and made_by is not None:
            _record_class_maps(subject, record, made_by, work / name)
        _move(work / name, subject.path / name)
    shutil.rmtree(work)


def remove_finished_work(subject: SubjectFolder) -> None:
    """Removes the folder of work of a run that was killed when all was in its place. What lies there and has no place
    yet, a run that asks for it goes on with."""
    work = subject.path / WORK
    if work.is_dir() and all(_readable(work / name) <= _readable(subject.path / name) for name in MADE):
        shutil.rmtree(work)
        get_logger().info("removed %s, which a killed run had left", work)


def _record_class_maps(subject: SubjectFolder, record: CropRecord, made_by: str, made: Path) -> None:
    """image/ and mask/ are in their places. Maps that nothing is recorded of are another tool's, and stay so."""
    folder = subject.class_folder
    if recorded_parsing(folder) is None and list_pictures(folder):
        return
    pictures = {Path(name).stem: subject.path / "image" / name for name in record.pictures}
    alphas = {name: subject.mask_folder / f"{name}.png" for name in pictures}
    remember_maps(begin_maps(pictures, alphas, folder, made_by), made)


def _move(source: Path, target: Path) -> None:
    if not target.exists():
        source.rename(target)
        return
    there = _readable(target)
    for path in source.iterdir():
        if path.name not in there:
            os.replace(path, target / path.name)


def _readable(folder: Path) -> set[str]:
    """Names of pictures that can be read."""
    names = set()
    for path in list_pictures(folder).values():
        try:
            picture_size(path)
        except InputError:
            continue
        names.add(path.name)
    return names
