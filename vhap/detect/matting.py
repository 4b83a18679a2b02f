"""Alpha maps of all pictures of a recording, by one of the matting methods."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from vhap.config.preprocess import MattingMethod
from vhap.data.pictures import list_pictures, picture_size, read_rgb, some_names, write_picture
from vhap.data.provenance import Origin, Provenance, content_digest
from vhap.detect.clean_plate import find_background
from vhap.detect.clip import Clip
from vhap.detect.person import PERSON
from vhap.detect.tracked_faces import TrackedFaces
from vhap.detect.tracked_person import boxes_through_time, keep_person
from vhap.detect.weights import ANOTHER_MATTING
from vhap.util.log import get_logger
from vhap.util.optional import import_or_explain
from vhap.util.progress import progress
from vhap.util.threads import in_threads, one_thread_each

NEED_BACKGROUND = ("background_difference", "background_matting_v2")
"""Methods that need a picture of the empty scene."""
SINGLE = "single"
"""Says of maps by mediapipe that this method was chosen. Those without it may be of the time when it was the default,
and do not stand in for those of today's."""


class Matting(Protocol):
    """Tells the person from the background. is_recurrent: a result depends on the pictures shown before."""

    is_recurrent: bool

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the next of the video -> (H, W) uint8, 255 where the person is."""
        ...


@runtime_checkable
class MattingThroughTime(Protocol):
    """Looks at a video's pictures together. reach: how many before and after one its alpha map depends on."""

    is_recurrent: bool
    reach: int

    def open(self, clip: Clip) -> ClipMatting: ...


class ClipMatting(Protocol):
    def alpha(self, index: int) -> np.ndarray:
        """(H, W) uint8 of a picture of the video, 255 where the person with the face is."""
        ...


@runtime_checkable
class MattingAroundFace(Protocol):
    """Can do better where it knows the person's face."""

    def alpha_around(self, picture: np.ndarray, face: np.ndarray) -> np.ndarray:
        """As `Matting.alpha`; face: (4,) x0 y0 x1 y1 px."""
        ...


def make_matting(
    method: MattingMethod,
    weights: Path | None,
    background_folder: Path,
    device: str = "auto",
    allow_unknown_weights: bool = False,
) -> Matting | MattingThroughTime | None:
    """The method, loaded; None for `none`; `auto` is mediapipe_video here.

    allow_unknown_weights: TorchScript files that are not the published ones are loaded, which runs what they hold.

    Raises InputError where weights, packages or the background are missing.
    """
    if method in ("auto", "mediapipe_video"):
        import_or_explain("cv2")
        from vhap.detect.video_matting import VideoMatting

        return VideoMatting()
    if method == "mediapipe":
        import_or_explain("cv2")
        from vhap.detect.mediapipe_matting import MediapipeMatting

        return MediapipeMatting()
    if method == "robust_video_matting":
        from vhap.detect.robust_video_matting import RobustVideoMatting

        return RobustVideoMatting(weights, device, allow_unknown_weights, _without_weights(background_folder))
    if method == "background_difference":
        import_or_explain("cv2")
        from vhap.detect.background_difference import BackgroundDifference

        return BackgroundDifference(background_folder)
    if method == "background_matting_v2":
        from vhap.detect.background_matting import BackgroundMatting

        otherwise = _without_weights(background_folder)
        return BackgroundMatting(background_folder, weights, device, allow_unknown_weights, otherwise)
    return None


def _without_weights(background_folder: Path) -> str:
    """What an error about missing weights advises: the method that does as much without any."""
    has_plate = background_folder.is_file() or bool(list_pictures(background_folder))
    return "take --matting_method background_difference, which needs no weights" if has_plate else ANOTHER_MATTING


def matting_options(method: MattingMethod, weights: Path | None, background: Path) -> dict[str, str]:
    """What decides alpha maps beside the pictures, for the record. background: picture of the empty scene, or the
    folder with one."""
    options = {"method": "mediapipe_video" if method == "auto" else method}
    if options["method"] == "mediapipe":
        options["pictures"] = SINGLE
    if options["method"] == "mediapipe_video":
        from vhap.detect.video_matting import VERSION

        options["version"] = VERSION
    if method in NEED_BACKGROUND:
        options["background"] = content_digest(find_background(background))
    if weights is not None:
        options["weights"] = content_digest(weights.expanduser())
    return options


def matte_pictures(
    pictures: dict[str, Path],
    folder: Path,
    matting: Matting | MattingThroughTime,
    sequence: Path | None = None,
    options: Mapping[str, str] | None = None,
    keep_methods: bool = False,
    faces: TrackedFaces | None = None,
    look: Callable[[str, np.ndarray], None] | None = None,
) -> int:
    """Writes folder/<name>.png for every picture that has no alpha map yet, or one of ours that was made of another
    picture or with other options; returns how many were written. A user's own maps are kept.

    pictures: name -> file, in video order. sequence: the folder with the record of what was made from what; None: the
    parent of folder. options: what decides the maps beside the pictures, the method among it. keep_methods: maps that
    another method made of these pictures are kept, but for those of a former default. faces: of these pictures, in
    their order: the maps hold the person with these faces alone, and what touches that person; None: whatever the
    method finds. look(name, alpha): is shown every map that is written. Pictures are matted on all cores, and maps
    appear in any order. A recurrent network sees one after the other from the first on, also those whose maps are
    there, so that a pass completed later gives what a single run gives.
    """
    made = Provenance(sequence or folder.parent)
    decisive = {**(options or {}), **(faces.options if faces else {})}
    origins = _origins(made.sources(pictures), decisive, matting)
    done = _finished(pictures, folder, made, origins, keep_methods)
    missing = [name for name in pictures if name not in done]
    if not missing:
        return 0
    alpha_of = _alpha_of(matting, pictures, faces.points if faces else None)
    wanted = set(missing)

    def matte(name: str) -> None:
        # A recurrent network is shown pictures whose maps are there.
        alpha = alpha_of(name)
        if name in wanted:
            made.write(folder / f"{name}.png", origins[name], partial(write_picture, picture=alpha))
            if look is not None:
                look(name, alpha)

    if matting.is_recurrent:
        for name in progress(list(pictures)[: list(pictures).index(missing[-1]) + 1], "matting"):
            matte(name)
    else:
        with one_thread_each():
            for _ in progress(in_threads(matte, missing, first_alone=True), "matting", len(missing)):
                pass
    get_logger().info("alpha maps of %d pictures in %s", len(missing), folder)
    return len(missing)


def _person_alpha(matting: Matting, picture: np.ndarray, face: np.ndarray | None) -> np.ndarray:
    """(H, W) uint8 of the person with the face, (4,) x / width, y / height; None: of all that the method finds."""
    if face is None:
        return matting.alpha(picture)
    height, width = picture.shape[:2]
    box = np.asarray(face) * np.array([width, height, width, height])
    around = isinstance(matting, MattingAroundFace)
    return keep_person(matting.alpha_around(picture, box) if around else matting.alpha(picture), box)


def _alpha_of(
    matting: Matting | MattingThroughTime, pictures: dict[str, Path], points: np.ndarray | None
) -> Callable[[str], np.ndarray]:
    """What makes the alpha (H, W) uint8 of a picture by its name. points: of the face in each picture."""
    index_of = {name: index for index, name in enumerate(pictures)}
    if isinstance(matting, MattingThroughTime):
        opened = matting.open(Clip(list(pictures.values()), points))
        return lambda name: opened.alpha(index_of[name])
    boxes = None if points is None else boxes_through_time(points)
    return lambda name: _person_alpha(
        matting, read_rgb(pictures[name]), None if boxes is None else boxes[index_of[name]]
    )


def _origins(
    sources: Mapping[str, str], options: Mapping[str, str], matting: Matting | MattingThroughTime
) -> dict[str, Origin]:
    """What the map of each picture is made from; of a recurrent network all pictures before it, too, and of one that
    looks through time those around it."""
    past, origins = hashlib.blake2b(digest_size=16), {}
    digests = [source.rpartition(" ")[2] for source in sources.values()]
    for index, (name, source) in enumerate(sources.items()):
        decisive = dict(options)
        if isinstance(matting, MattingThroughTime):
            around = digests[max(0, index - matting.reach) : index + matting.reach + 1]
            decisive["around"] = hashlib.blake2b(" ".join(around).encode(), digest_size=16).hexdigest()
        elif matting.is_recurrent:
            decisive["past"] = past.hexdigest()
        origins[name] = Origin(source, decisive)
        past.update(digests[index].encode())
    return origins


def _is_chosen(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether a map was made by another method than now, and not by a former default."""
    method = before.get("method")
    return method != now.get("method") and (method != "mediapipe" or before.get("pictures") == SINGLE)


def _finished(
    pictures: dict[str, Path], folder: Path, made: Provenance, wanted: Mapping[str, Origin], keep_methods: bool
) -> set[str]:
    """Names whose alpha map is there, whose header can be read, and that is not known to be of something else."""
    maps = list_pictures(folder)
    there = {name: maps[name] for name in pictures if name in maps and picture_size(maps[name])}
    before = made.origins(there)
    options = {name: origin.options for name, origin in wanted.items()}
    for name, origin in before.items():
        found = options[name]
        if keep_methods and _is_chosen(origin.options, found):
            options[name] = {key: found[key] for key in found if key == PERSON}
    if stale := made.stale(there, pictures, options):
        get_logger().info(
            "%d of %d alpha maps in %s were made of other pictures or with other options (%s): matting again",
            len(stale), len(there), folder, some_names(stale),
        )  # fmt: skip
    return there.keys() - set(stale)
