"""The alpha channel that a video or pictures bring along, as alpha maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from vhap.data.alpha_videos import AlphaVideo
from vhap.data.pictures import list_pictures, picture_size, some_names, unreadable, write_picture
from vhap.data.provenance import Origin, Provenance
from vhap.data.video import probe_video, read_alpha_frames
from vhap.data.video_properties import can_decode_alpha
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain
from vhap.util.progress import progress
from vhap.util.threads import each_in_threads

OPAQUE = 250
"""From here on, of 255: lossy codecs do not keep 255 exactly."""
SOLID = 128
NONE = "none"
OPTIONS = {"method": "input"}
AlphaSource = Path | AlphaVideo | list[Path]
"""A video whose channel counts, a video of its own, or pictures."""
PIL_MODES = ("RGBA", "LA", "PA", "RGBa", "La")


def takes_input_alpha(method: str, sources: Mapping[str, AlphaSource]) -> bool:
    """Whether the alpha channels of these videos or lists of pictures, by name, or their alpha videos, are the mattes.

    method: as --matting_method: `input` asks for it, `auto` takes it where all have one. Raises InputError where it is
    asked for and one has none, or none that says anything.
    """
    if method not in ("auto", "input"):
        return False
    for name, source in sources.items():
        fault = alpha_fault(source)
        if fault is None:
            continue
        if method == "input":
            raise InputError(
                f"expected an alpha channel in {name} for --matting_method input, found {fault}; choose another "
                "--matting_method"
            )
        if fault != NONE or name != next(iter(sources)):
            get_logger().info("alpha channels are not taken as mattes: %s has %s", name, fault)
        return False
    get_logger().info("the alpha channel is the matte: %s", some_names(list(sources)))
    return True


def alpha_fault(source: AlphaSource) -> str | None:
    """Why the alpha channel of a video, an alpha video, or the channel of pictures is no matte; None where it is one.

    A matte lets something through somewhere, and not everything everywhere. Decodes until both have been met, mostly in
    the first frame.
    """
    if isinstance(source, AlphaVideo):
        maps: Iterable[np.ndarray] = source.maps(probe_video(source.path).fps)
    elif isinstance(source, Path):
        info = probe_video(source)
        if not can_decode_alpha(info.properties):
            return "one that this ffmpeg does not read" if info.properties.has_alpha else NONE
        maps = read_alpha_frames(source, info.fps)
    else:
        pictures = list(source)
        if without := [path.name for path in pictures if not has_alpha(path)]:
            return NONE if len(without) == len(pictures) else f"none in {some_names(without)}"
        maps = map(read_own_alpha, pictures)
    lowest, highest = 255, 0
    for alpha in maps:
        lowest, highest = min(lowest, int(alpha.min())), max(highest, int(alpha.max()))
        if lowest < OPAQUE and highest >= SOLID:
            return None
    return "one that is opaque everywhere" if lowest >= OPAQUE else "one that is transparent everywhere"


def has_alpha(path: Path) -> bool:
    """Whether a picture has an alpha channel, or a transparent colour, by its header."""
    pil = import_or_explain("PIL.Image", "pip install pillow")
    try:
        with pil.open(path) as picture:
            return picture.mode in PIL_MODES or "transparency" in picture.info
    except (OSError, SyntaxError, ValueError) as error:
        raise unreadable(path) from error


def read_own_alpha(path: Path) -> np.ndarray:
    """(H, W) uint8 of a picture that `has_alpha`, upright; palettes and 16 bits included."""
    pil, operations = import_or_explain("PIL.Image"), import_or_explain("PIL.ImageOps")
    try:
        with pil.open(path) as picture:
            return np.array(operations.exif_transpose(picture).convert("RGBA").getchannel("A"))
    except (OSError, SyntaxError, ValueError) as error:
        raise unreadable(path) from error


def write_alpha_maps(
    pictures: Mapping[str, Path],
    folder: Path,
    sequence: Path,
    video: Path | AlphaVideo | None = None,
    fps: Fraction | None = None,
    keep_methods: bool = False,
) -> int:
    """Writes folder/<name>.png for each picture that has no map yet, or one of ours that was made of another picture or
    by another method; returns how many. A user's own maps are kept.

    pictures: name -> file, in order of time; they stay as they are. sequence: the folder with the record of what was
    made from what. video: where the pictures were taken from at `fps`, or its alpha video; None: their own alpha is
    read. keep_methods: maps that another method made of these pictures are kept. Raises InputError where the video has
    fewer frames.
    """
    made = Provenance(sequence)
    there = {name: path for name, path in list_pictures(folder).items() if name in pictures and picture_size(path)}
    options = video.options if isinstance(video, AlphaVideo) else OPTIONS
    origins = made.origins(there)
    # Another method's maps may stay; ours of another alpha video may not.
    own = [name for name in origins if not keep_methods or origins[name].options.get("method") == options["method"]]
    stale = made.stale(there, pictures, dict.fromkeys(own, options))
    done = there.keys() - set(stale)
    if len(done) == len(pictures):
        return 0
    maps = _maps(video, fps) if video and fps else _of_pictures(pictures, done)
    sources = made.sources(pictures)
    came: list[str] = []

    def write(named: tuple[str, np.ndarray]) -> None:
        name, alpha = named
        came.append(name)
        if name not in done:
            made.write(folder / f"{name}.png", Origin(sources[name], options), partial(write_picture, picture=alpha))

    each_in_threads(write, zip(pictures, progress(maps, "alpha maps", len(pictures))))
    if (count := len(came)) < len(pictures):
        raise InputError(
            f"expected an alpha map of each of {len(pictures)} pictures from "
            f"{video.path if isinstance(video, AlphaVideo) else video}, found {count}; restore the video, and remove "
            "images/ and alpha_maps/*.png to extract again"
        )
    get_logger().info("alpha maps of %d pictures in %s", len(pictures) - len(done), folder)
    return len(pictures) - len(done)


def _maps(video: Path | AlphaVideo, fps: Fraction) -> Iterator[np.ndarray]:
    return video.maps(fps) if isinstance(video, AlphaVideo) else read_alpha_frames(video, fps)


def _of_pictures(pictures: Mapping[str, Path], done: set[str]) -> Iterator[np.ndarray]:
    for name, path in pictures.items():
        yield np.zeros((1, 1), np.uint8) if name in done else read_own_alpha(path)
