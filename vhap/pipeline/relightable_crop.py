"""From a video to a subject's pictures: the head cut out of all pictures by one box, without background and clothes.

Work is done in the subject's folder in the hidden folder `.crop`, which goes when everything is in its place: frames/
has the video's full-size pictures, pictures/ the same cut and scaled with alpha maps and landmarks, image/, mask/ and
seg/ what will take its place. All files appear whole, so that a run that was killed goes on there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from vhap.config.relightable import CropConfig, SubjectMatting
from vhap.data.extraction import extract_pictures
from vhap.data.foreground import own_colors
from vhap.data.input_alpha import takes_input_alpha, write_alpha_maps
from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.data.pictures import common_size, list_pictures, read_alpha, read_rgb, some_names, write_picture
from vhap.data.provenance import Provenance, content_digest
from vhap.data.sequence_folder import SequenceFolder
from vhap.detect.clothes import ClothesModel
from vhap.detect.ibug import with_visible_jaw
from vhap.detect.landmarks import require_detector
from vhap.detect.matte_check import MatteCheck, warn_of
from vhap.detect.matting import Matting, MattingThroughTime, make_matting, matte_pictures, matting_options
from vhap.detect.person import person_options
from vhap.detect.tracked_faces import TrackedFaces, faces_of_sequence
from vhap.pipeline.parsed_clothes import ParsedClothes, learn_from_some
from vhap.pipeline.relightable_faces import by_stem, find_faces
from vhap.pipeline.relightable_masks import NETWORK, complete_masks, require_run, run_of_classes
from vhap.pipeline.relightable_parsing import NetworkParser, Parser, open_parser
from vhap.pipeline.relightable_source import (
    ALL_FRAMES,
    AUTO,
    MADE,
    Source,
    begin,
    find_source,
    finished_pictures,
    holds,
    is_prepared,
    publish,
    remove_finished_work,
    require_no_masks,
    take_as_they_are,
)
from vhap.relightable.crop import Box, Crop
from vhap.relightable.crop_file import CropRecord, read_crop
from vhap.relightable.head_box import crop_of_all, crop_of_first, crop_of_whole, stands_apart
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.progress import progress

AnyMatting = Matting | MattingThroughTime | Literal["input"] | None
"""What makes alpha maps; input: the alpha channel of the video."""


def run(config: CropConfig) -> Path:
    """Completes what is missing and returns the subject's folder. Raises InputError, as far as possible at once."""
    check_options(config)
    for line in lines_without_effect(config):
        get_logger().warning(line)
    subject = SubjectFolder(config.source / config.name)
    if not subject.path.is_dir():
        raise InputError(f"expected the subject's folder at {subject.path}, found none; correct --source or --name")
    subject = SubjectFolder(subject.path.resolve())
    options = decisive_options(config)
    with folder_lock(subject.path):
        record = finished_pictures(subject, options, config)
        if config.parsing == "mesh":
            require_run(subject)
        tracked = None if record is None else run_of_classes(subject, record, config)
        if record is None or lacks_masks(subject, record, config, tracked):
            record = _make(subject, options, as_recorded(config, subject))
            tracked = run_of_classes(subject, record, config)
        elif record.options is not None:
            remove_finished_work(subject)
        if config.keep_masks:
            complete_masks(subject, record, config, tracked)
    return subject.path


def _make(subject: SubjectFolder, options: dict[str, Any], config: CropConfig) -> CropRecord:
    """Makes what is missing of the pictures and their masks."""
    source = find_source(subject, config.fps)
    if is_prepared(source, config):
        return take_as_they_are(subject, source, config)
    if config.keep_masks:
        require_no_masks(subject)
    require_detector("mediapipe")
    matting, options = _matting(config, source, options)
    parser = None
    if config.matting:
        parser = open_parser(config.parsing, config.parsing_weights, device=config.device)
        options |= {"parsing": NETWORK if isinstance(parser, NetworkParser) else "mediapipe"}
    work, source = begin(subject, source, options)
    job = _Job(config, subject, source, work)
    record = job.record(options)
    _compose(job, record, matting, parser)
    made_by = None if parser is None else f"{parser.identity} and the colours of clothes"
    publish(subject, work, record, [name for name in MADE if (work / name).is_dir()], made_by)
    get_logger().info(
        "%d pictures of %dx%d in %s", len(record.pictures), *config.image_size[::-1], subject.path / "image"
    )
    return record


def as_recorded(config: CropConfig, subject: SubjectFolder) -> CropConfig:
    """The options with which pictures are completed: what `auto` came to before. A tracked head makes no pictures."""
    record = read_crop(subject.crop) if subject.crop.is_file() else None
    before = {} if record is None or record.options is None else record.options
    changed = {}
    if config.parsing in (AUTO, "mesh"):
        changed["parsing"] = NETWORK if before.get("parsing") == NETWORK else "mediapipe" if before else AUTO
    if config.matting_method == AUTO and before.get("matting_method") in get_args(SubjectMatting):
        changed["matting_method"] = before["matting_method"]
    return replace(config, **changed)


def lacks_masks(subject: SubjectFolder, record: CropRecord, config: CropConfig, tracked: Path | None) -> bool:
    """Whether masks are asked for that the pictures' making has to give; those of pictures taken as they are, and class
    maps by the head of a run, are none of these."""
    if not config.keep_masks or record.options is None:
        return False
    folders = [subject.mask_folder] if tracked is not None else [subject.mask_folder, subject.class_folder]
    return not all(holds(folder, record.pictures) for folder in folders)


def decisive_options(config: CropConfig) -> dict[str, Any]:
    """What decides the pictures beside their source, as JSON has it: options without effect are left out."""
    whom = person_options(config.person) or {}
    options: dict[str, Any] = {"image_size": list(config.image_size), "crop_image": config.crop_image}
    options |= {"matting": config.matting, "crop_range": config.crop_range and list(config.crop_range)}
    options |= {"person": whom.get("person", "")}
    if config.crop_image:
        options |= {"crop_box": config.crop_box, "bbox_scale": config.bbox_scale}
    if config.matting:
        options |= {"mask_clothes": config.mask_clothes, "premultiplied": config.premultiplied}
        # A tracked head makes class maps of pictures that are there, and decides none of them.
        options |= {"parsing": AUTO if config.parsing == "mesh" else config.parsing}
        if config.parsing_weights is not None:
            options |= {"parsing_weights": content_digest(config.parsing_weights)}
        made_by = matting_options(config.matting_method, config.matting_weights, Path())
        options |= {"matting_method": config.matting_method} | {k: v for k, v in made_by.items() if k == "weights"}
    return options


@dataclass(frozen=True)
class _Job:
    """One subject's pictures, in the making."""

    config: CropConfig
    subject: SubjectFolder
    source: Source
    work: Path

    @property
    def sequence(self) -> Path:
        """Folder of the pictures that are cut and scaled, with their alpha maps and landmarks."""
        return self.work / "pictures"

    def record(self, options: Mapping[str, Any]) -> CropRecord:
        """Cuts all pictures; what crop.json will say."""
        frames = _frames(self)
        size = common_size(list(frames.values()))
        region = _region(self.config, size)
        faces = _faces(self, frames, region)
        crop = _choose_crop(self.config, faces, region, size)
        cut = {name: self.sequence / "images" / f"{index:05d}.png" for index, name in enumerate(frames)}
        for name, path in progress(cut.items(), "cutting", len(cut)):
            if not path.is_file():
                write_picture(path, crop.cut(read_rgb(frames[name])))
        found = _landmarks_of_cut(faces, crop, list(cut.values()), self)
        without = [path.name for path, seen in zip(cut.values(), found.detected) if not seen]
        if without:
            get_logger().warning("no head in %d of %d pictures: %s", len(without), len(cut), some_names(without))
        names = [path.name for path in cut.values()]
        return CropRecord(crop, names, list(frames), without, self.source.record, dict(options))


def _frames(job: _Job) -> dict[str, Path]:
    """The full-size pictures by name: of a video its numbers."""
    if not job.source.is_video:
        return {path.name: path for path in list_pictures(job.source.path).values()}
    fps = ALL_FRAMES if job.config.fps == -1 else job.config.fps
    extract_pictures(job.source.path, job.work / "frames", fps, (), "png")
    return list_pictures(job.work / "frames" / "images")


def _faces(job: _Job, frames: Mapping[str, Path], region: Box) -> Landmarks:
    """Of MediaPipe, in px of the full-size pictures (confidence 0 where nothing was found)."""
    folder, pictures = job.work / "frames", frames
    x0, y0, x1, y1 = region
    if job.config.crop_range is not None:
        folder = job.work / "range"
        pictures = {name: folder / "images" / f"{Path(name).stem}.png" for name in frames}
        for name, path in pictures.items():
            if not path.is_file():
                write_picture(path, np.ascontiguousarray(read_rgb(frames[name])[y0:y1, x0:x1]))
    found = find_faces(folder, pictures.values(), "mediapipe", job.config.person, job.config.n_jobs)
    points = found.points.astype(np.float64)
    points[..., :2] = points[..., :2] * (x1 - x0, y1 - y0) + (x0, y0)
    return replace(found, points=points)


def _choose_crop(config: CropConfig, faces: Landmarks, region: Box, source_size: tuple[int, int]) -> Crop:
    """InputError where a box is asked for and no picture shows a face."""
    if not config.crop_image:
        return crop_of_whole(region, source_size, config.image_size)
    points = [with_visible_jaw(face)[:68, :2] for face in faces.points[faces.detected]]
    if not points:
        raise InputError(
            f"expected a face in some of {len(faces.points)} pictures of {config.source / config.name}, found none; "
            "check that they show one, or leave --crop_image out"
        )
    if config.crop_box == "first":
        return crop_of_first(points[0], region, source_size, config.image_size, config.bbox_scale)
    apart = stands_apart(points)
    if apart.any():
        rows = np.flatnonzero(faces.detected)[apart]
        get_logger().warning(
            "faces in %d pictures stand apart from those before and after, and do not widen the box: %s",
            len(rows), some_names([f"{row:05d}.png" for row in rows]),
        )  # fmt: skip
        points = [face for face, is_apart in zip(points, apart) if not is_apart]
    return crop_of_all(points, region, source_size, config.image_size, config.bbox_scale)


def _landmarks_of_cut(faces: Landmarks, crop: Crop, pictures: list[Path], job: _Job) -> Landmarks:
    """The faces in the cut pictures, written as their landmark file; one outside is not there."""
    points = faces.points.copy()
    points[..., :2] = crop.cut_points(points[..., :2]) / crop.size[::-1]
    middle = points[..., :2].mean(1)
    is_inside = faces.detected & (middle > 0).all(1) & (middle < 1).all(1)
    points[~is_inside] = (-1, -1, 0)
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    boxes = np.column_stack([low, high, is_inside.astype(float)])
    named = by_stem(pictures)
    sources = list(Provenance(job.sequence).sources(named).values())
    options = person_options(job.config.person) or {}
    found = Landmarks(points, np.where(is_inside[:, None], boxes, (-1, -1, -1, -1, 0)), list(named), sources, options)
    save_landmarks(job.sequence / "landmark2d" / "mediapipe.npz", found)
    return found


def _compose(job: _Job, record: CropRecord, matting: AnyMatting, parser: Parser | None) -> None:
    """Writes image/, mask/ and seg/ in the folder of work."""
    pictures, config = list_pictures(job.sequence / "images"), job.config
    if matting is None:
        for path in progress(list(pictures.values()), "pictures"):
            if not (job.work / "image" / path.name).is_file():
                write_picture(job.work / "image" / path.name, read_rgb(path))
        return
    faces, maps = _tracked(job, pictures), job.sequence / "alpha_maps"
    check = MatteCheck(list(pictures), faces.points)
    if matting == "input":
        _cut_input_alpha(job, record, maps)
    else:
        options = matting_options(config.matting_method, config.matting_weights, Path())
        matte_pictures(pictures, maps, matting, job.sequence, options, faces=faces, look=check.look)
    warn_of(check.of(maps), len(pictures), job.subject.path / "image")
    points, inside = _points_px(faces, record.crop), record.crop.inside()
    assert parser is not None
    alphas, faces_px = {name: maps / f"{name}.png" for name in pictures}, dict(zip(pictures, points))
    learned = None
    if not isinstance(parser, NetworkParser):
        learned = learn_from_some(pictures, alphas, lambda name, *_: faces_px[name])
    clothes = ParsedClothes(parser, learned)
    for row, (name, path) in enumerate(progress(pictures.items(), "pictures", len(pictures))):
        _compose_one(job, path, maps / f"{name}.png", clothes, points[row], inside)


def _cut_input_alpha(job: _Job, record: CropRecord, maps: Path) -> None:
    """The alpha channel of the video, cut as its pictures."""
    folder = job.work / "frames"
    frames = list_pictures(folder / "images")
    fps = Fraction(job.source.record["fps"])
    write_alpha_maps(frames, folder / "alpha_maps", folder, job.source.path, fps)
    for name, frame in zip(record.pictures, frames):
        if not (maps / name).is_file():
            write_picture(maps / name, record.crop.cut(read_alpha(folder / "alpha_maps" / f"{frame}.png")))


def _compose_one(
    job: _Job, path: Path, map_path: Path, clothes: ClothesModel, face: np.ndarray | None, inside: np.ndarray
) -> None:
    """image/ last: where that is, mask/ and seg/ are, unless they were not to be kept until now."""
    names = ("mask", "seg", "image") if job.config.keep_masks else ("image",)
    target = job.work / "image" / path.name
    if all((job.work / name / path.name).is_file() for name in names):
        return
    picture, alpha = read_rgb(path), np.where(inside, read_alpha(map_path), 0).astype(np.uint8)
    if job.config.keep_masks:
        write_picture(job.work / "mask" / path.name, alpha)
        write_picture(job.work / "seg" / path.name, clothes.classes(picture, alpha, face))
    keep = clothes.keep(picture, alpha, face) if job.config.mask_clothes else 1.0
    if not job.config.premultiplied:
        # What older tools wrote was the mixture as filmed; a trainer that composites shows its background as a rim.
        own = own_colors(picture.astype(np.float32) / 255, alpha.astype(np.float32) / 255)
        picture = np.round(255 * own).astype(np.uint8)
    write_picture(target, with_alpha(picture, alpha * keep, job.config.premultiplied))


def with_alpha(picture: np.ndarray, alpha: np.ndarray, premultiplied: bool) -> np.ndarray:
    """(H, W, 3) uint8 and (H, W) alpha up to 255 -> (H, W, 4) uint8: straight colours, black where alpha is 0, or
    colours times alpha, cut to whole numbers as older tools did."""
    share = alpha.astype(np.float32) / 255
    if premultiplied:
        colours, opacity = np.floor(picture * share[..., None]), np.floor(255 * share + 1e-3)
    else:
        opacity = np.round(255 * share)
        colours = picture * (opacity > 0)[..., None]
    return np.dstack([colours, opacity]).astype(np.uint8)


def _tracked(job: _Job, pictures: dict[str, Path]) -> TrackedFaces:
    person = (person_options(job.config.person) or {}).get("person")
    return faces_of_sequence(SequenceFolder(job.sequence, pictures, pictures, 1), "mediapipe", person)


def _points_px(faces: TrackedFaces, crop: Crop) -> list[np.ndarray | None]:
    """(478, 2) px of the cut pictures; where no face was found, that of the nearest picture with one."""
    if faces.points is None:
        return [None] * len(faces.pictures)
    found = np.flatnonzero((faces.points[..., 2] > 0).any(1))
    middles = (found[:-1] + found[1:]) / 2
    nearest = found[np.searchsorted(middles, np.arange(len(faces.points)))]
    return list(faces.points[nearest][..., :2] * crop.size[::-1])


def _region(config: CropConfig, size: tuple[int, int]) -> Box:
    """x0, y0, x1, y1 of what counts in pictures of a size (height, width). InputError where they end before it."""
    height, width = size
    if config.crop_range is None:
        return 0, 0, width, height
    y0, y1, x0, x1 = config.crop_range
    if y1 > height or x1 > width:
        raise InputError(
            f"expected --crop_range y0 y1 x0 x1 within pictures of {width}x{height}, found {y0} {y1} {x0} {x1}; "
            "correct it"
        )
    return x0, y0, x1, y1


def check_options(config: CropConfig) -> None:
    """InputError for options that contradict each other, before any file is looked at."""
    person_options(config.person)
    if config.fps != -1 and config.fps <= 0:
        raise InputError(f"expected --fps above 0, or -1 for all of the video, found {config.fps:g}; correct it")
    if config.crop_range is not None:
        y0, y1, x0, x1 = config.crop_range
        if y0 >= y1 or x0 >= x1:
            raise InputError(
                f"expected --crop_range y0 y1 x0 x1 with y0 < y1 and x0 < x1, found {y0} {y1} {x0} {x1}; correct it"
            )
    if config.parsing_weights is not None and not config.parsing_weights.expanduser().is_file():
        raise InputError(f"expected weights at --parsing_weights {config.parsing_weights}, found none; correct it")
    if config.keep_masks and not config.matting:
        raise InputError("expected --matting with --keep_masks, found none; give it, or leave --keep_masks out")
    if config.parsing == "mesh" and not config.keep_masks:
        raise InputError(
            "expected --keep_masks with --parsing mesh, which makes class maps alone, found none; give it, or take "
            "another --parsing"
        )


def lines_without_effect(config: CropConfig) -> list[str]:
    """What the log says of options that are given without the one that they belong to."""
    needed = {
        "--matting": (config.matting, ("premultiplied", "parsing", "parsing_weights", "matting_method")),
        "--crop_image": (config.crop_image, ("crop_box", "bbox_scale")),
        "--parsing auto or face-parsing": (config.parsing in (AUTO, NETWORK), ("parsing_weights",)),
        "--matting_method robust_video_matting": (
            config.matting_method == "robust_video_matting",
            ("matting_weights",),
        ),
    }
    return [
        f"--{name} has no effect without {other}"
        for other, (is_given, names) in needed.items()
        for name in names
        if not is_given and getattr(config, name) != getattr(CropConfig, name)
    ]


def _matting(config: CropConfig, source: Source, options: dict[str, Any]) -> tuple[AnyMatting, dict[str, Any]]:
    """What makes alpha maps, `input` for the video's alpha channel, and the options with what `auto` came to."""
    if not config.matting:
        return None, options
    if source.is_video and takes_input_alpha(config.matting_method, {source.path.name: source.path}):
        return "input", options | {"matting_method": "input"}
    if config.matting_method == "input":
        raise InputError(
            f"expected a video with an alpha channel for --matting_method input, found pictures in {source.path} "
            "without one; choose another --matting_method"
        )
    method = "mediapipe_video" if config.matting_method == "auto" else config.matting_method
    return make_matting(method, config.matting_weights, Path(), config.device), options | {"matting_method": method}
