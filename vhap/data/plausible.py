"""Whether users' files can mean what their format says: landmarks, alpha maps and colour corrections, by their values.

Files of other tools hold the right numbers in other units, orders or axes, and nothing else would tell. What is refused
here no detector, matte or camera gives; heads that are partly out of the picture, turned away or hidden pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vhap.data.pictures import read_stored, some_names
from vhap.util.choice import even_choice
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.log import get_logger

NO_DETECTION = -1.0
FARTHEST = 10.0
"""Picture sides from the corner: no detector puts a point there."""
MIDDLE_FARTHEST = 1.5
"""The same of the median point."""
MOST_NEGATIVE = 0.6
"""Share of points left of the picture or above it, which half of the points have in coordinates from -1 to 1."""
LARGEST_CONFIDENCE, MOST_DEPTHS = 2.0, 0.01
"""Heat maps exceed 1 a little. Share of confidences below 0 from which they are depths."""

FACE_PARTS = {
    "ibug": (list(range(36, 42)), list(range(42, 48)), list(range(48, 68))),
    "mediapipe": ([33, 133, 159, 145], [362, 263, 386, 374], [61, 291, 13, 14]),
}
"""Points of the eye on the picture's left, of the other one, and of the mouth."""
SMALLEST_FACE_PX = 1e-3
LARGEST_EYE = 0.5
"""Of the face's extent; 0.1 to 0.25 on faces. Points in another order spread over all of it."""
SURE_TURN, MOST_MIRRORED = 0.3, 0.7
"""Sine between the lines eye to eye and eyes to mouth below which a view from the side decides nothing; share of the
other faces that may be mirror images."""
EYES_TO_MOUTH = (0.45, 4.0)
"""In distances between the eyes: 1 to 1.2 from the front, up to 3 from the side, down to 0.55 from above or below."""

LOOKED_AT = 16
"""Alpha maps of a recording."""
COLOURED, COLOURED_SHARE = 40, 0.02
"""Grey values between channels, and share of the pixels, from which a map is no grey picture."""
HIGHEST_LABEL = 32
"""Masks whose values end here are 0/1 or labels."""

BRIGHTER = 32
"""Grey values between the levels, and of the step in one channel, at which colour corrections are tried."""


class FaceError(InputError):
    """Landmarks show no face."""


def check_landmarks(points: np.ndarray, boxes: np.ndarray, path: str | Path) -> None:
    """InputError where points (T, N, 3) or boxes (T, 5) of a file are not x / width, y / height, confidence."""
    placed = ~(points[..., :2] == NO_DETECTION).all(-1)
    _check_confidence(points[..., 2][placed], path)
    found = points[placed & (points[..., 2] > 0)][:, :2]
    if len(found):
        _check_coordinates(found, "landmarks", path)
    used = boxes[(boxes[:, :4] != NO_DETECTION).any(1), :4]
    if len(used):
        _check_coordinates(used.reshape(-1, 2), "bounding_box", path)
        if (flipped := (used[:, 2:] < used[:, :2]).any(1)).any():
            x0, y0, x1, y1 = used[flipped][0]
            raise InputError(
                f"expected bounding_box x0 y0 x1 y1 with x0 <= x1 and y0 <= y1 in {path}, found {x0:.3g} {y0:.3g} "
                f"{x1:.3g} {y1:.3g}, which look like a corner, width and height; write both corners"
            )


def _check_confidence(confidence: np.ndarray, path: str | Path) -> None:
    if not confidence.size:
        return
    below = (confidence < 0) & (confidence != NO_DETECTION)
    if below.mean() > MOST_DEPTHS:
        raise InputError(
            f"expected confidences from 0 to 1 in the third column of face_landmark_2d in {path}, found values down to "
            f"{confidence.min():.3g}, which look like depths; write 1 where a point was found"
        )
    if confidence.max() > LARGEST_CONFIDENCE:
        raise InputError(
            f"expected confidences from 0 to 1 in the third column of face_landmark_2d in {path}, found values up to "
            f"{confidence.max():.4g}; divide them by the largest possible one, or write 1 where a point was found"
        )


def _check_coordinates(xy: np.ndarray, what: str, path: str | Path) -> None:
    """xy: (M, 2) of all pictures."""
    expected = f"expected {what} as x / width and y / height, from 0 to 1 inside the picture, in {path}"
    middle, far = np.median(np.abs(xy), 0), np.abs(xy).max(0)
    wrong = (far > FARTHEST) | (middle > MIDDLE_FARTHEST)
    if wrong.any():
        found = (
            f"x from {xy[:, 0].min():.4g} to {xy[:, 0].max():.4g}, y from {xy[:, 1].min():.4g} to {xy[:, 1].max():.4g}"
        )
        if (middle > MIDDLE_FARTHEST).any():
            axes = " and ".join(axis for axis, is_wrong in zip(("x by width", "y by height"), wrong) if is_wrong)
            raise InputError(f"{expected}, found {found}, which look like pixels; divide {axes}")
        raise InputError(f"{expected}, found {found}; remove the faces far outside (x = y = -1, confidence 0)")
    if (xy < 0).any(1).mean() > MOST_NEGATIVE and xy.min() >= -1 - 1e-3:
        raise InputError(
            f"{expected}, found {(xy < 0).any(1).mean():.0%} of the points left of the picture or above it, which look "
            "like coordinates from -1 to 1; write (x + 1) / 2 and (y + 1) / 2"
        )


def check_faces(points_px: np.ndarray, confidence: np.ndarray, landmark_set: str, where: str | Path) -> None:
    """FaceError where points are no faces: of another order, mirrored, upside down, or stretched.

    points_px: (F, L, 2) px of F pictures, confidence: (F, L); landmark_set: `ibug` or `mediapipe`. A few wrong faces
    pass: it needs most of those that show both eyes and the mouth.
    """
    left, right, mouth = FACE_PARTS[landmark_set]
    shown = (confidence[:, [*left, *right, *mouth]] > 0).all(1)
    points = points_px[shown].astype(np.float64)
    if not len(points):
        return
    known = confidence[shown] > 0
    face = _extent(np.where(known[..., None], points, np.nan))
    remedy = "write them in the order, the axes and the units that doc/monocular.md names, or detect again"
    if np.median(face) < SMALLEST_FACE_PX and not np.median(np.abs(points)):
        raise FaceError(
            f"expected landmarks of faces in {where}, found points at 0 0 with a confidence; write 0 as confidence, "
            "and -1 as x and y, where nothing was found"
        )
    if np.median(face) < SMALLEST_FACE_PX:
        return
    eyes = np.maximum(_extent(points[:, left]), _extent(points[:, right])) / np.maximum(face, SMALLEST_FACE_PX)
    if np.median(eyes) > LARGEST_EYE:
        raise FaceError(
            f"expected landmarks in the order of {landmark_set} in {where}, found eyes {np.median(eyes):.0%} as large "
            f"as the face, which looks like another order of the points; {remedy}"
        )
    between = points[:, right].mean(1) - points[:, left].mean(1)
    down = points[:, mouth].mean(1) - (points[:, right].mean(1) + points[:, left].mean(1)) / 2
    lengths = np.maximum(np.linalg.norm(between, axis=1), 1e-9), np.maximum(np.linalg.norm(down, axis=1), 1e-9)
    sine = (between[:, 0] * down[:, 1] - between[:, 1] * down[:, 0]) / (lengths[0] * lengths[1])
    sure = np.abs(sine) > SURE_TURN
    if sure.any() and (sine[sure] < 0).mean() > MOST_MIRRORED:
        x, y = np.median(down[sure] / lengths[1][sure, None], axis=0)
        raise FaceError(
            f"expected faces with the subject's right eye before the left one in {where}, found mirror images, which "
            f"look like {_reflection(x, y)}"
        )
    ratio = float(np.median(lengths[1] / lengths[0]))
    if not EYES_TO_MOUTH[0] <= ratio <= EYES_TO_MOUTH[1]:
        raise FaceError(
            f"expected faces in their proportions in {where}, found eyes to mouth {ratio:.2g} times eye to eye, which "
            "looks like x or y divided by the wrong side; divide x by the width and y by the height of the picture"
        )


def _extent(points: np.ndarray) -> np.ndarray:
    """(F, N, 2) -> (F,) diagonal of the box around them, without NaN."""
    return np.hypot(*(np.nanmax(points, 1) - np.nanmin(points, 1)).T)


def _reflection(x: float, y: float) -> str:
    """What turned the direction from eyes to mouth, (x, y) of unit length, into this one."""
    if abs(x) > abs(y):
        return "x and y in the other order; write x / width first"
    if y < 0:
        return "y counted from below; write 1 - y"
    return "x counted from the right, or the points of a mirrored picture; write 1 - x"


def check_alpha_maps(paths: Sequence[Path]) -> None:
    """InputError where alpha maps of a recording hold something other than 0 (background) to 255 (person).

    Some of them are decoded, evenly spread. Full ones are warned of: a person may fill all pictures.
    """
    lowest, highest, is_deep, is_opaque = 65535, 0, False, False
    chosen = [paths[index] for index in even_choice(len(paths), LOOKED_AT)]
    for path in chosen:
        stored = read_stored(path)
        is_deep = stored.dtype == np.uint16
        if stored.ndim == 3 and stored.shape[2] == 3:
            _require_grey(stored, path)
        has_alpha = stored.ndim == 3 and stored.shape[2] == 4
        is_opaque |= has_alpha and stored[..., :3].min() < stored[..., :3].max()
        values = stored[..., 3 if has_alpha else 0] if stored.ndim == 3 else stored
        lowest, highest = min(lowest, int(values.min())), max(highest, int(values.max()))
    folder, count = paths[0].parent, f"{len(chosen)} of {len(paths)}"
    expected = f"expected alpha maps from 0 (background) to {65535 if is_deep else 255} (person) in {folder}"
    if highest == 0:
        # Nobody may be in the pictures: `check_mattes_at_faces` knows.
        return
    if is_deep and highest <= 255:
        raise InputError(f"{expected}, found at most {highest} in {count}, which look like 8 bits; multiply by 257")
    if highest <= HIGHEST_LABEL:
        look = "0 and 1; multiply by 255" if highest == 1 else "labels; write 255 where the person is, else 0"
        raise InputError(f"{expected}, found at most {highest} in {count}, which look like {look}")
    if lowest == (65535 if is_deep else 255):
        if is_opaque:
            raise InputError(f"{expected}, found opaque alpha channels, which count, in {count}; write grey pictures")
        get_logger().warning("nothing but person in %s alpha maps of %s: is that meant?", count, folder)


def _require_grey(stored: np.ndarray, path: Path) -> None:
    scale = 257 if stored.dtype == np.uint16 else 1
    spread = stored.max(2).astype(int) - stored.min(2)
    if (spread > COLOURED * scale).mean() > COLOURED_SHARE:
        raise InputError(
            f"expected a grey alpha map at {path}, found a colour picture; write 255 where the person is, else 0"
        )


def check_mattes_at_faces(
    alphas: Sequence[np.ndarray],
    points_px: Sequence[np.ndarray],
    confidence: Sequence[np.ndarray],
    where: str | Path,
) -> None:
    """InputError where all mattes are empty, or most are empty in the face and full along the picture's border.

    alphas: F times (H, W) in [0, 1]; points_px: (L, 2) px of each; confidence: (L,) of each.
    """
    inverted, empty, judged = 0, 0, 0
    for alpha, points, sure in zip(alphas, points_px, confidence):
        height, width = alpha.shape
        inside = (sure > 0) & (points >= 0).all(1) & (points < [width, height]).all(1)
        if inside.any():
            columns, rows = points[inside].astype(int).T
            border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
            judged, empty = judged + 1, empty + (not alpha.any())
            inverted += bool(alpha[rows, columns].mean() < 0.2 and border.mean() > 0.8)
    if judged and empty == judged:
        raise InputError(
            f"expected alpha maps with 255 where the person is in {where}, found nothing but 0 in the {judged} looked "
            f"at, which show a face; remove the folder and run `{command('preprocess-video')}`, or write them again"
        )
    if judged and inverted > judged / 2:
        raise InputError(
            f"expected alpha maps with 255 where the person is in {where}, found the face empty and the border full in "
            f"{inverted} of {judged}, which look inverted; write 255 - value"
        )


def check_correction(correct: Callable[[np.ndarray], np.ndarray], of: str, path: str | Path) -> None:
    """InputError where a colour correction is none: greys stay in order, and each channel answers to itself most.

    correct: (H, W, 3) uint8 -> the same, corrected.
    """
    greys = np.repeat(np.arange(BRIGHTER, 256, BRIGHTER, dtype=np.uint8)[:, None], 3, 1)
    steps = np.full((3, 3), 128, np.uint8) + BRIGHTER * np.eye(3, dtype=np.uint8)
    corrected = correct(np.concatenate([greys, steps])[None])[0].astype(int)
    grey, change = corrected[: len(greys)], corrected[len(greys) :] - corrected[len(greys) // 2]
    remedy = "download the calibration again, or give --data.no-use-color-correction"
    if (np.diff(grey, axis=0) < 0).any() or (grey[-1] - grey[0] < BRIGHTER).any():
        shown = ", ".join(" ".join(map(str, row)) for row in grey[[0, len(grey) // 2, -1]])
        raise InputError(
            f"expected a colour correction of {of} in {path} that brightens with the picture, found dark, middle and "
            f"light grey as {shown} of 255, which looks like other units or rows and columns exchanged; {remedy}"
        )
    strongest = change.argmax(0).tolist()
    if strongest != [0, 1, 2]:
        names = "".join("RGB"[channel] for channel in strongest)
        raise InputError(
            f"expected a colour correction of {of} in {path} whose R, G and B come from R, G and B, found them to come "
            f"from {some_names(list(names))}; {remedy}"
        )
