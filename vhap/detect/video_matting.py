"""Mattes of a whole video without weights: MediaPipe's two networks through time, closed-form matting at the outline.

What the networks agree on is brought together along the motion, what does not hang together with the person's face is
left out, and the band around the outline is matted at about the size at which the networks look, then carried on to the
pictures' own size.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vhap.data.agreement import LEAST_COVER, detected_points
from vhap.data.pictures import shrink
from vhap.detect.alpha_band import enlarged
from vhap.detect.clip import Clip
from vhap.detect.matting_laplacian import closed_form
from vhap.detect.mediapipe_matting import without_specks_of
from vhap.detect.networks.selfie import SelfieSegmentation
from vhap.detect.through_time import OFFSETS, View, fused_at, view_of
from vhap.detect.tracked_person import SMALL, Region, close_region, keep_person, region_around, speck_share
from vhap.util.made_once import MadeOnce
from vhap.util.threads import get_threads

VERSION = "3"
"""Of this method, in the record of mattes: another one's mattes are made again."""
WORK_DIAGONAL_PX, LARGEST_WORK_DIAGONAL_PX = 512, 1024
"""Diagonal at which networks and flow look (the networks see 256 x 256 pixels); up to twice that for small faces."""
BAND_SHARE = 1 / 140
"""Half the width of the band that is matted, in diagonals of what the networks looked at: 2.5 of their pixels."""
LARGEST_BAND_PX = 4
"""Half the width of the band at the size at which it is matted; larger pictures were no better, and slower."""
DOUBTFUL_REACH = 3
"""Where the networks are in doubt the band is up to so many times as wide."""
CERTAIN = 0.8
"""Probability from which, or from 1 minus which, a pixel outside the band is certain."""
TRUST = 0.003
"""Weight of the probability within the band, where colours are to decide."""
HEAD_REACH, HEAD_SHARE = 1.5, 0.8
"""The head is looked at closely, so far from the face's centre in its sizes, unless that is most of the picture."""
LEAST_PX = 8
NEAR_FACE = 0.2
"""Up to this distance from the face, in its sizes, one network's word leaves a pixel in doubt: ears, hair. Further
away, where lamps and other people are, both have to see the person."""
HEARD = 0.5
"""Share that the more generous network has at the face's border."""


class VideoMatting:
    """MediaPipe's general and landscape networks."""

    is_recurrent = False
    reach = max(OFFSETS)
    """Pictures before and after one that its map depends on."""

    def __init__(self) -> None:
        self.networks = SelfieSegmentation("general"), SelfieSegmentation("landscape")

    def open(self, clip: Clip) -> OpenClip:
        """The maps of one video; its `alpha` may be asked for any picture, in order it looks at each one once."""
        return OpenClip(clip, self.networks)


class OpenClip:
    """A video in work. Results do not depend on the order in which they are asked for, nor on the thread."""

    def __init__(self, clip: Clip, networks: tuple[SelfieSegmentation, ...]) -> None:
        self.clip = clip
        self.networks = networks
        # A picture is looked at for those before it, then waits until it is matted itself.
        self._read = MadeOnce(clip.read, VideoMatting.reach + get_threads() + 1)
        self._recall = MadeOnce(self._look, 4 * VideoMatting.reach + get_threads())

    def alpha(self, index: int) -> np.ndarray:
        """(H, W) uint8, 255 where the person is."""
        small = self._of_person(fused_at(index, len(self.clip), self._recall), index)
        picture = self._read.take(index)
        size = picture.shape[0], picture.shape[1]
        face = self.clip.box_px(index, size)
        region = None if face is None else close_region(face, size)
        looked_at = size if region is None else (_length(region.rows), _length(region.columns))
        radius_px = max(2.0, BAND_SHARE * math.hypot(*looked_at))
        found = np.zeros(size, np.uint8)
        near = _extent(small, size, DOUBTFUL_REACH * radius_px)
        if near is not None:
            found[near] = self._matted_part(picture[near], near, small, size, radius_px, face)
        return found

    def _matted_part(
        self,
        picture: np.ndarray,
        near: tuple[slice, slice],
        small: np.ndarray,
        size: tuple[int, int],
        radius_px: float,
        face: np.ndarray | None,
    ) -> np.ndarray:
        """(h, w) uint8 alpha of a part of a picture of a size, (height, width). small: probability of the whole."""
        factor = min(1.0, LARGEST_BAND_PX / radius_px)
        height, width = (max(1, round(factor * side)) for side in picture.shape[:2])
        seen = shrink(picture, (height, width)).astype(np.float32) / 255
        alpha = matted(seen, _part_of(small, size, near, (height, width)), max(2, round(factor * radius_px)))
        if face is not None:
            scale = np.tile([width / picture.shape[1], height / picture.shape[0]], 2)
            local = (face - np.tile([near[1].start, near[0].start], 2)) * scale
            kept = keep_person((255 * alpha + 0.5).astype(np.uint8), local)
            alpha = np.where(kept > 0, alpha, 0).astype(np.float32)
        return enlarged(alpha, seen, picture)

    def _look(self, index: int) -> View:
        """The picture with the person's probability, at the size at which motion is sought."""
        picture = self._read(index)
        size = picture.shape[0], picture.shape[1]
        face = self.clip.box_px(index, size)
        work = self._work_size(size)
        small = shrink(picture, work)
        maps = [network.probability(small) for network in self.networks]
        for region in _regions(face, size):
            part = shrink(picture[region.rows, region.columns], _fitting(region, WORK_DIAGONAL_PX))
            share = _placed(region, shrink(region.weight(), (part.shape[0], part.shape[1])), size, work)
            maps = [
                share * _placed(region, network.probability(part), size, work) + (1 - share) * far
                for network, far in zip(self.networks, maps)
            ]
        near_face = self._near_face(index, work)
        probability = HEARD * near_face * np.maximum(*maps) + (1 - HEARD * near_face) * np.minimum(*maps)
        return view_of(probability.astype(np.float32), small)

    def _of_person(self, probability: np.ndarray, index: int) -> np.ndarray:
        """Without specks, and without what does not touch the part with the face. A face that is seen has no holes."""
        size = probability.shape[0], probability.shape[1]
        face = self.clip.box_px(index, size)
        found = without_specks_of(probability, speck_share(size, face))
        if face is None:
            return found
        hull = self._face_hull(index, size) > 0
        # A face where the networks see nobody is a contradiction, which is for the user to hear of.
        if hull.any() and found[hull].mean() >= LEAST_COVER:
            found = np.where(hull, 1, found).astype(np.float32)
        kept = keep_person((255 * found).round().astype(np.uint8), face)
        return np.where(kept > 0, found, 0).astype(np.float32)

    def _near_face(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """(H, W) float32: 1 on the face, falling to 0 at NEAR_FACE."""
        face = self.clip.box_px(index, size)
        hull = self._face_hull(index, size)
        if face is None or not hull.any():
            return hull.astype(np.float32)
        reach = NEAR_FACE * float((face[2:] - face[:2]).max())
        near = np.zeros(size, np.float32)
        left, top, width, height = cv2.boundingRect(hull)
        margin = math.ceil(reach) + 1
        part = (
            slice(max(0, top - margin), top + height + margin),
            slice(max(0, left - margin), left + width + margin),
        )
        near[part] = np.clip(1 - cv2.distanceTransform(1 - hull[part], cv2.DIST_L2, 5) / max(reach, 1e-6), 0, 1)
        return near

    def _face_hull(self, index: int, size: tuple[int, int]) -> np.ndarray:
        """(H, W) uint8 in {0, 1}: the convex hull of the face's landmarks, empty where it was not found."""
        hull = np.zeros(size, np.uint8)
        points = None if self.clip.points is None else detected_points(self.clip.points[index])
        if points is not None and len(points) > 2:
            spots = np.rint(points * [size[1], size[0]] - 0.5).astype(np.int32)
            cv2.fillConvexPoly(hull, cv2.convexHull(spots), (1,))
        return hull

    def _work_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The same for the whole video, as pictures have one size."""
        share = self.clip.face_share
        larger = 1.0 if share is None else float(np.clip(SMALL / share, 1, LARGEST_WORK_DIAGONAL_PX / WORK_DIAGONAL_PX))
        factor = min(1.0, larger * WORK_DIAGONAL_PX / math.hypot(*size))
        return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def matted(picture: np.ndarray, probability: np.ndarray, radius_px: int) -> np.ndarray:
    """(H, W) float32 alpha in [0, 1] by closed-form matting in the band.

    picture: (H, W, 3) float32 in [0, 1]; probability: (H, W) float32, whose outline is right to radius_px.
    """
    person = probability > 0.5
    mask = person.astype(np.uint8)
    if not person.any() or person.all():
        return mask.astype(np.float32)
    away = np.where(person, *(cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (mask, 1 - mask)))
    doubtful = (probability < CERTAIN) & (probability > 1 - CERTAIN)
    unknown = (away <= radius_px) | (doubtful & (away <= DOUBTFUL_REACH * radius_px))
    return closed_form(picture, person & ~unknown, unknown, probability, TRUST)


def _extent(probability: np.ndarray, size: tuple[int, int], margin_px: float) -> tuple[slice, slice] | None:
    """Rows and columns of a picture (height, width) with the person and a margin; None: nobody. probability: (h, w)."""
    person = probability > 0.5
    slices = []
    for axis, length in ((1, size[0]), (0, size[1])):
        there = np.flatnonzero(person.any(axis))
        if not len(there):
            return None
        scale = length / person.shape[1 - axis]
        first, last = (there[0] - 1) * scale - margin_px, (there[-1] + 2) * scale + margin_px
        slices.append(slice(max(0, math.floor(first)), min(length, math.ceil(last))))
    return slices[0], slices[1]


def _part_of(
    values: np.ndarray, size: tuple[int, int], near: tuple[slice, slice], target: tuple[int, int]
) -> np.ndarray:
    """A map (h, w) of a whole picture (height, width) in rows and columns of it, at a target size."""
    rows: list[list[float]] = []
    for axis in (1, 0):
        to_map = values.shape[axis] / size[axis]
        scale = _length(near[axis]) / target[axis] * to_map
        rows.append([scale, 0, 0.5 * scale + near[axis].start * to_map - 0.5])
    rows[1] = [0, rows[1][0], rows[1][2]]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, np.array(rows), target[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _regions(face: np.ndarray | None, size: tuple[int, int]) -> list[Region]:
    """What is looked at closely in a picture of a size, (height, width): the body of a small face, and every head."""
    if face is None:
        return []
    body, head = close_region(face, size), region_around(face, size, (HEAD_REACH, HEAD_REACH, HEAD_REACH))
    is_smaller = _length(head.rows) * _length(head.columns) < HEAD_SHARE * size[0] * size[1]
    wanted = [body, head if is_smaller else None]
    return [part for part in wanted if part and min(_length(part.rows), _length(part.columns)) >= LEAST_PX]


def _fitting(region: Region, diagonal_px: float) -> tuple[int, int]:
    """Height and width of a region's picture with at most this diagonal."""
    size = _length(region.rows), _length(region.columns)
    factor = min(1.0, diagonal_px / math.hypot(*size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _placed(region: Region, values: np.ndarray, size: tuple[int, int], work: tuple[int, int]) -> np.ndarray:
    """A map (h, w) of a region of a picture (height, width) in a map of the whole picture, 0 elsewhere."""
    rows: list[list[float]] = []
    for axis, (part, count) in enumerate(((region.columns, values.shape[1]), (region.rows, values.shape[0]))):
        to_work = work[1 - axis] / size[1 - axis]
        scale = _length(part) / count * to_work
        rows.append([scale, 0, 0.5 * scale + part.start * to_work - 0.5])
    rows[1] = [0, rows[1][0], rows[1][2]]
    return cv2.warpAffine(values, np.array(rows), (work[1], work[0]), flags=cv2.INTER_LINEAR)


def _length(part: slice) -> int:
    return int(part.stop - part.start)
