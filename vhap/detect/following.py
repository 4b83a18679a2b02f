"""Faces through the pictures of a video: one as they come, or all of a run of pictures.

As in MediaPipe's tracking mode, the mesh looks where a face is expected, and the detector runs only where none is
followed. A crop that turns out to be beside the face is made again on the same picture, so that points depend little
on what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vhap.detect.face_places import FacePlace, FaceSeer, Motion, SeenFace, is_same_place, place_of
from vhap.detect.visibility import visibility

LONGEST_STEP_S = 0.25
"""A motion is not continued for longer than that."""
NEAR, NEAR_PER_S, MOST_GROWTH = 0.6, 1.0, 1.5
"""How far, in its sizes, a lost face is searched for from where it was seen last, how much that grows in a second, and
the ratio of sizes up to which a face counts as the same."""
LEAP_PER_S, GROWTH_PER_S, LEAST_LEAP = 5.0, 3.0, 0.1
"""A face that is further from where it was expected, in its sizes for each second since it was there, or that has
grown or shrunk by more (of the logarithm) is no motion: a cut, or the mesh sees what is none, as a hand or a part of a
nearer face. So much is nothing, however short the time is."""
LONG_LOST_S = 2.0
"""After that any face counts, even one that was beside the lost one."""
SEARCH_EVERY, MOST_FOLLOWED = 16, 4
"""Pictures of a run from one search for further faces to the next, and faces that are followed at once."""


@dataclass(frozen=True)
class FollowedFace:
    """points: (478, 3) px, z like x, smaller towards the camera. score: of the mesh, in [0, 1], how sure it is that a
    face is there. confidence: (478,) in [0, 1], how far each point is turned to the camera. searched: whether the
    detector ran on this picture. is_new: the motion before says nothing of where it is, as there was none, or after a
    cut."""

    points: np.ndarray
    score: float
    confidence: np.ndarray
    searched: bool
    is_new: bool


class FaceFollower:
    """Follows one face through the pictures of a video: the mesh looks where the face was predicted, the detector only
    where none is followed. It keeps its state: one instance a video, used by one thread at a time.

    A lost face is taken up where it was, and elsewhere in the picture, too, as after a cut or from behind the edge; but
    not a face that was beside it in the last picture that showed both, for that is somebody else's. Who comes while it
    is gone is taken for it, until a face shows again where it was.
    """

    def __init__(self, *, views: int = 1, search_every_s: float = 0.1, seer: FaceSeer | None = None) -> None:
        """views: crops of each picture whose points are averaged, 1 to 3. search_every_s: while no face is found, the
        detector runs again after so many seconds of the video, >= 0; a search costs twice as much as following.
        seer: None opens MediaPipe's networks (InputError where they are missing)."""
        if not 1 <= views <= 3 or not search_every_s >= 0:
            raise ValueError(f"expected 1 to 3 views and no negative seconds, found {views} and {search_every_s}")
        self.views, self.search_every_s = views, search_every_s
        if seer is None:
            from vhap.detect.mediapipe_landmarks import MediapipeLandmarks

            seer = MediapipeLandmarks()
        self._seer: FaceSeer = seer
        self.reset()

    def reset(self) -> None:
        """Forgets the face: the next picture is searched, and any face counts."""
        self._motion: Motion | None = None
        self._searched_s = -math.inf
        self._is_lost = True
        self._with_face: np.ndarray | None = None
        self._others: list[Motion] = []
        self._home: Motion | None = None

    def follow(
        self, picture: np.ndarray, time_s: float, predicted: np.ndarray | FacePlace | None = None
    ) -> FollowedFace | None:
        """The face in the video's next picture, or None where it is not found.

        picture: (H, W, 3) uint8 RGB, kept until a later one shows the face: not to be written into. time_s: of the
        picture, in seconds from any start. predicted: where a tracker expects the face, as (478, 2) px or its place;
        without it the last motion is continued.
        """
        if self._motion is not None and time_s < self._motion.time:
            # The video was wound back.
            self._motion, self._searched_s = Motion(self._motion.place, time_s), -math.inf
            self._others, self._home = [], None
        seen = self._at_home(picture, time_s)
        if seen is not None:
            return self._kept(picture, seen, time_s, searched=True, is_new=True)
        expected = None
        for expected in self._expected(time_s, predicted):
            seen = self._look(picture, expected)
            if seen is not None:
                if not self._is_lost and self._has_leapt(seen, expected, time_s):
                    anew = self._searched(picture, time_s, just_lost=True)
                    if anew is not None:
                        return self._kept(picture, anew, time_s, searched=True, is_new=True)
                return self._kept(picture, seen, time_s, searched=False, is_new=self._is_lost)
        just_lost = not self._is_lost
        is_due = just_lost or not 0 <= time_s - self._searched_s < self.search_every_s
        self._is_lost = True
        if not is_due:
            return None
        self._searched_s = time_s
        seen = self._searched(picture, time_s, just_lost)
        if seen is None:
            return None
        is_new = not just_lost or expected is None or self._has_leapt(seen, expected, time_s)
        return self._kept(picture, seen, time_s, searched=True, is_new=is_new)

    def _expected(self, time_s: float, predicted: np.ndarray | FacePlace | None) -> list[FacePlace]:
        """Where to look, the likeliest place first."""
        places = []
        if predicted is not None:
            places.append(predicted if isinstance(predicted, FacePlace) else place_of(predicted))
        if self._motion is not None and not self._is_lost:
            places.append(self._motion.at(min(time_s, self._motion.time + LONGEST_STEP_S)))
        return [place for place in places if place.size > 1 and all(map(math.isfinite, vars(place).values()))]

    def _has_leapt(self, seen: SeenFace, expected: FacePlace, time_s: float) -> bool:
        """Whether the followed face is not where it was expected."""
        if self._motion is None:
            return False
        place = place_of(seen.points)
        elapsed = time_s - self._motion.time
        off, grown = place.distance(expected) / expected.size, abs(math.log(place.size / expected.size))
        return off > max(LEAST_LEAP, LEAP_PER_S * elapsed) or grown > max(LEAST_LEAP, GROWTH_PER_S * elapsed)

    def _kept(self, picture: np.ndarray, seen: SeenFace, time_s: float, searched: bool, is_new: bool) -> FollowedFace:
        place = place_of(seen.points)
        if self._motion is None or self._is_lost or searched or time_s - self._motion.time > LONGEST_STEP_S:
            self._motion = Motion(place, time_s)
        else:
            self._motion.move(place, time_s)
        self._is_lost, self._with_face = False, picture
        return FollowedFace(seen.points, seen.score, visibility(seen.points), searched, is_new)

    def _searched(self, picture: np.ndarray, time_s: float, just_lost: bool) -> SeenFace | None:
        """The face that the followed one is taken for, anywhere in the picture."""
        faces = [place_of(points) for points in self._seer.rough_faces(picture, thorough=False)]
        lost = self._motion
        if lost is None or time_s - lost.time >= LONG_LOST_S:
            self._others, self._home, chosen = [], None, _foremost(faces, picture.shape)
            return None if chosen is None else self._look(picture, chosen)
        if just_lost:
            self._others = []
        chosen = self._same(faces, lost, time_s)
        if chosen is not None:
            return self._look(picture, chosen)
        chosen = _foremost(self._newcomers(faces, lost, time_s), picture.shape)
        seen = None if chosen is None else self._look(picture, chosen)
        if seen is not None:
            # Who comes in the very picture in which the other one has gone is the same: that is a cut.
            self._home = None if just_lost else lost
        return seen

    def _look(self, picture: np.ndarray, place: FacePlace) -> SeenFace | None:
        return self._seer.look(picture, [place], self.views)[0]

    def _same(self, faces: list[FacePlace], lost: Motion, time_s: float) -> FacePlace | None:
        """The face that is where the lost one was, or not far, and nearer to that than to where others were; those
        others are seen again where they are now."""
        owners: list[tuple[float, Motion, FacePlace]] = sorted(
            (
                (_share_of_reach(face, owner, time_s), owner, face)
                for owner in (lost, *self._others)
                for face in faces
                if _share_of_reach(face, owner, time_s) <= 1
            ),
            key=lambda pair: pair[0],
        )
        same, moved, left = None, {}, list(faces)
        for _, owner, face in owners:
            if face not in left or owner in moved or (owner is lost and same is not None):
                continue
            left.remove(face)
            if owner is lost:
                same = face
            else:
                moved[owner] = Motion(face, time_s)
        self._others = [moved.get(other, other) for other in self._others]
        return same

    def _newcomers(self, faces: list[FacePlace], lost: Motion, time_s: float) -> list[FacePlace]:
        """The faces that were not beside the lost one; those that were join the others."""
        new = []
        for face in faces:
            if any(other.time == time_s and other.place == face for other in self._others):
                continue
            if self._was_beside(face, lost.place):
                self._others.append(Motion(face, time_s))
            else:
                new.append(face)
        return new

    def _was_beside(self, face: FacePlace, lost: FacePlace) -> bool:
        """Whether the last picture with the lost face shows another one here."""
        if self._with_face is None:
            return False
        before = self._look(self._with_face, face)
        if before is None:
            return False
        shown = place_of(before.points)
        return shown.distance(lost) > NEAR * max(shown.size, lost.size)

    def _at_home(self, picture: np.ndarray, time_s: float) -> SeenFace | None:
        """The followed face where it was lost, while a newcomer has been taken for it: that is somebody else."""
        home, newcomer = self._home, self._motion
        if home is None or newcomer is None:
            return None
        if time_s - home.time >= LONG_LOST_S:
            self._home = None
            return None
        if self._is_lost or 0 <= time_s - self._searched_s < self.search_every_s:
            return None
        self._searched_s = time_s
        seen = self._look(picture, home.place)
        if seen is None or place_of(seen.points).distance(newcomer.place) < NEAR * newcomer.place.size:
            return None
        self._others, self._home = [newcomer], None
        return seen


def _share_of_reach(face: FacePlace, before: Motion, time_s: float) -> float:
    """How far a face is from where one was seen before, in what that one may have moved since then; infinite where
    their sizes differ too much."""
    last = before.place
    if max(face.size / last.size, last.size / face.size) > MOST_GROWTH:
        return math.inf
    return last.distance(face) / ((NEAR + NEAR_PER_S * (time_s - before.time)) * last.size)


def _foremost(faces: list[FacePlace], shape: tuple[int, ...]) -> FacePlace | None:
    """The largest and most central one."""
    height, width = shape[:2]
    middle = FacePlace(width / 2, height / 2, 0.0)
    diagonal = math.hypot(width, height)
    return max(faces, key=lambda face: face.size * (1 - face.distance(middle) / diagonal), default=None)


def faces_through(seer: FaceSeer, pictures: Iterable[np.ndarray], views: int) -> Iterator[list[np.ndarray]]:
    """All faces (478, 3) px of each of a run of pictures, (H, W, 3) uint8 RGB.

    The first picture and every SEARCH_EVERY-th one are searched for faces that are not followed yet; so is one in which
    a face is lost, and every one while there is none.
    """
    followed: list[Motion] = []
    for time, picture in enumerate(pictures):
        seen = seer.look(picture, [motion.at(time) for motion in followed], views) if followed else []
        moved: list[Motion] = []
        faces: list[np.ndarray] = []
        for motion, face in zip(followed, seen):
            if face is not None and not any(is_same_place(face.points, other) for other in faces):
                motion.move(place_of(face.points), time)
                moved.append(motion)
                faces.append(face.points)
        if time % SEARCH_EVERY == 0 or len(moved) < len(followed) or not moved:
            found = _further_faces(seer, picture, faces, views)
            moved += [Motion(place_of(points), time) for points in found]
            faces += found
        followed = moved
        yield faces


def _further_faces(seer: FaceSeer, picture: np.ndarray, known: list[np.ndarray], views: int) -> list[np.ndarray]:
    """Those of a picture that are not among the known ones."""
    rough = [
        points
        for points in seer.rough_faces(picture, thorough=not known)
        if not any(is_same_place(points, other) for other in known)
    ][: MOST_FOLLOWED - len(known)]
    seen = seer.look(picture, [place_of(points) for points in rough], views) if rough else []
    return [points if face is None else face.points for points, face in zip(rough, seen)]
