"""Following with a stand-in for the networks that reads faces from the pictures' own pixels."""

from __future__ import annotations

import numpy as np
import pytest

from vhap.detect.face_places import FacePlace, Motion, SeenFace, place_of
from vhap.detect.following import SEARCH_EVERY, FaceFollower, faces_through
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks

HEIGHT, WIDTH, SIZE = 200, 300, 40.0
SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3)) * [0.8, 1.0, 0.3]
SHAPE[:2, :2] = [[0, -0.5], [0, 0.5]]
SHAPE[[33, 263], :2] = [[-0.3, -0.1], [0.3, -0.1]]
RATE = 25.0


def face(x: float, y: float, size: float = SIZE) -> np.ndarray:
    return SHAPE * size + [x, y, 0]


def filmed(*faces: tuple[float, float]) -> np.ndarray:
    """A picture that says where its faces are: rows of it hold their coordinates."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for row, (x, y) in enumerate(faces):
        picture[row, :4, 0] = [*divmod(round(x * 16), 256), *divmod(round(y * 16), 256)]
        picture[row, 4, 0] = 1
    return picture


def faces_in(picture: np.ndarray) -> list[np.ndarray]:
    rows = picture[picture[:, 4, 0] == 1, :4, 0].astype(int)
    return [face((256 * a + b) / 16, (256 * c + d) / 16) for a, b, c, d in rows]


class Seer:
    """Looks see a face less than `reach` sizes from the place; both ways are counted."""

    reach = 0.5

    def __init__(self) -> None:
        self.looks, self.searches = 0, 0

    def look(self, picture: np.ndarray, places: list[FacePlace], views: int = 1) -> list[SeenFace | None]:
        self.looks += len(places)
        return [self._seen(picture, place) for place in places]

    def _seen(self, picture: np.ndarray, place: FacePlace) -> SeenFace | None:
        near = sorted(faces_in(picture), key=lambda points: place_of(points).distance(place))
        return SeenFace(near[0], 0.9) if near and place_of(near[0]).distance(place) < self.reach * SIZE else None

    def rough_faces(self, picture: np.ndarray, thorough: bool = True) -> list[np.ndarray]:
        self.searches += 1
        return [points + np.array([1, -1, 0]) for points in faces_in(picture)]


@pytest.fixture
def seer() -> Seer:
    return Seer()


@pytest.fixture
def follower(seer: Seer) -> FaceFollower:
    return FaceFollower(seer=seer)


def test_the_detector_runs_once_while_the_face_is_seen(follower: FaceFollower, seer: Seer) -> None:
    count = 0
    for frame in range(60):
        found = follower.follow(filmed((100 + 1.5 * frame, 90)), frame / RATE)
        assert found is not None
        np.testing.assert_allclose(found.points, face(100 + 1.5 * frame, 90), atol=0.07)
        assert found.searched == found.is_new == (frame == 0)
        assert found.confidence.shape == (478,)
        count += 1
    assert (count, seer.searches) == (60, 1)


def test_a_fast_turn_is_followed_by_its_motion(follower: FaceFollower, seer: Seer) -> None:
    """Faster, in the end, than a face is seen from where it was last."""
    x, step = 60.0, 0.0
    for frame in range(13):
        x, step = x + step, min(step + 6, 26.0)
        assert follower.follow(filmed((x, 90)), frame / RATE) is not None
    assert step > Seer.reach * SIZE
    assert seer.searches == 1


def test_a_face_that_jumps_is_searched_in_the_same_picture(follower: FaceFollower) -> None:
    follower.follow(filmed((100, 90)), 0.0)
    found = follower.follow(filmed((122, 90)), 0.04)
    assert found is not None
    assert found.searched


def test_a_face_that_leaves_costs_little_and_is_found_again_soon(follower: FaceFollower, seer: Seer) -> None:
    for frame in range(5):
        follower.follow(filmed((100, 90)), frame / RATE)
    before, looks = seer.searches, seer.looks
    for frame in range(5, 80):
        assert follower.follow(filmed(), frame / RATE) is None
    assert seer.searches - before <= 1 + 75 / RATE / follower.search_every_s
    assert seer.looks - looks == 1, "only where it was lost"
    back = [follower.follow(filmed((210, 120)), frame / RATE) for frame in range(80, 93)]
    assert back[-1] is not None, "within half a second"
    assert sum(found is not None and found.searched for found in back) == 1


def test_another_person_is_not_taken_for_the_lost_one_until_much_later(follower: FaceFollower) -> None:
    """Who was beside the followed face in the last picture that showed both is somebody else."""
    follower.follow(filmed((60, 90), (240, 90)), 0.0)
    first = follower.follow(filmed((60, 90), (240, 90)), 0.04)
    assert first is not None
    stays = place_of(first.points).x < 100
    mine, other = ((60, 90), (240, 90)) if stays else ((240, 90), (60, 90))
    taken = [follower.follow(filmed(other), frame / RATE) for frame in range(2, 40)]
    assert not any(taken)
    back = [follower.follow(filmed(other, mine), frame / RATE) for frame in range(40, 49)]
    assert back[-1] is not None
    assert abs(place_of(back[-1].points).x - mine[0]) < 1
    later = [follower.follow(filmed(other), frame / RATE) for frame in range(49, 120)]
    assert later[-1] is not None, "the only one for long"


def test_another_person_who_moves_while_the_followed_one_is_gone_stays_another(follower: FaceFollower) -> None:
    follower.follow(filmed((60, 90)), 0.0)
    follower.follow(filmed((60, 90), (240, 90)), 0.04)
    places = [(240 - 3 * frame, 90) for frame in range(35)]
    assert not any(follower.follow(filmed(place), 0.08 + frame / RATE) for frame, place in enumerate(places))
    back = [follower.follow(filmed(places[-1], (70, 90)), 1.5 + frame / RATE) for frame in range(4)]
    assert back[-1] is not None
    assert abs(place_of(back[-1].points).x - 70) < 1


@pytest.mark.parametrize("beside", [(), ((240, 150),)])
def test_a_cut_to_another_place_is_taken_up_in_the_same_picture(follower: FaceFollower, beside: tuple) -> None:
    """Whether somebody else stays where they are or not."""
    for frame in range(5):
        found = follower.follow(filmed((60, 90), *beside) if frame else filmed((60, 90)), frame / RATE)
        assert found is not None
        assert abs(place_of(found.points).x - 60) < 1
    for frame in range(5, 10):
        found = follower.follow(filmed(*beside, (160, 50)), frame / RATE)
        assert found is not None
        assert abs(place_of(found.points).x - 160) < 1
        assert found.searched == found.is_new == (frame == 5)


def test_who_comes_while_the_face_is_gone_is_taken_until_it_shows_where_it_was(follower: FaceFollower) -> None:
    for frame in range(5):
        follower.follow(filmed((60, 90)), frame / RATE)
    assert not any(follower.follow(filmed(), frame / RATE) for frame in range(5, 10))
    newcomer = [follower.follow(filmed((240, 90)), frame / RATE) for frame in range(10, 20)]
    assert newcomer[3] is not None
    assert abs(place_of(newcomer[3].points).x - 240) < 1
    both = [follower.follow(filmed((240, 90), (62, 90)), frame / RATE) for frame in range(20, 40)]
    assert all(both)
    assert abs(place_of(both[-1].points).x - 62) < 1
    assert sum(found.searched for found in both if found) == 1
    long_after = [follower.follow(filmed((60, 90), (62, 90)), frame / RATE) for frame in range(40, 100)]
    assert sum(found is not None for found in long_after) == 60


def test_a_face_that_leaps_is_searched_for_and_kept_where_nothing_is_found(
    follower: FaceFollower, seer: Seer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the mesh sees a small one within a face that has come much nearer."""
    for frame in range(5):
        follower.follow(filmed((100, 90)), frame / RATE)
    found = follower.follow(filmed((100 + 0.3 * SIZE, 90)), 5 / RATE)
    assert found is not None
    assert found.searched
    assert seer.searches == 2
    monkeypatch.setattr(seer, "rough_faces", lambda picture, thorough: [])
    found = follower.follow(filmed((100 + 0.6 * SIZE, 90)), 6 / RATE)
    assert found is not None
    assert not found.searched


def test_a_face_that_the_mesh_misses_where_its_motion_led_goes_on_as_it_did(
    follower: FaceFollower, seer: Seer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for frame in range(5):
        follower.follow(filmed((100 + frame, 90)), frame / RATE)
    look, misses = seer.look, [True]
    monkeypatch.setattr(seer, "look", lambda *of: [None] if misses and misses.pop() else look(*of))
    found = follower.follow(filmed((105, 90)), 5 / RATE)
    assert found is not None
    assert (found.searched, found.is_new) == (True, False)


def test_the_nearer_of_two_faces_stays_the_same_person(follower: FaceFollower, seer: Seer) -> None:
    """Two faces that pass each other a face's width apart, with a jump that loses the one that is followed."""
    for frame in range(40):
        mine, other = (80 + 3 * frame, 60), (200 - 3 * frame, 60 + 1.3 * SIZE)
        both = [mine, other] if frame % 2 else [other, mine]
        if frame == 0:
            both = [mine]
        found = follower.follow(filmed(*both), frame / RATE)
        assert found is not None
        assert abs(place_of(found.points).y - 60) < 2
    assert seer.searches == 1


def test_a_prediction_is_looked_at_first(follower: FaceFollower, seer: Seer) -> None:
    follower.follow(filmed((100, 90)), 0.0)
    for time, expected in ((0.04, face(140, 90)[:, :2]), (0.08, FacePlace(140.0, 90.0, SIZE))):
        found = follower.follow(filmed((141, 90), (100, 90)), time, expected)
        assert found is not None
        assert abs(place_of(found.points).x - 141) < 0.1
    assert seer.searches == 1
    for useless in (np.full((478, 2), np.nan), np.zeros((478, 2)), FacePlace(20.0, 20.0, SIZE)):
        found = follower.follow(filmed((141, 90)), 0.12, useless)
        assert found is not None, "where it was, else"
    assert seer.searches == 1


def test_a_video_that_is_wound_back_and_a_reset(follower: FaceFollower, seer: Seer) -> None:
    follower.follow(filmed((100, 90)), 5.0)
    follower.follow(filmed((104, 90)), 5.04)
    assert follower.follow(filmed((100, 90)), 1.0) is not None
    assert seer.searches == 1
    assert follower.follow(filmed(), 1.04) is None
    follower.reset()
    found = follower.follow(filmed((250, 150)), 1.08)
    assert found is not None, "any face counts, at once"
    assert found.searched


def test_options_that_mean_nothing(seer: Seer) -> None:
    for views, seconds in ((0, 0.3), (4, 0.3), (1, -1.0), (1, float("nan"))):
        with pytest.raises(ValueError, match="1 to 3 views"):
            FaceFollower(views=views, search_every_s=seconds, seer=seer)


def test_a_motion_goes_on_in_all_that_a_place_has() -> None:
    motion = Motion(FacePlace(10.0, 20.0, 40.0, 3.1), 1.0)
    assert motion.at(3.0) == FacePlace(10.0, 20.0, 40.0, 3.1)
    motion.move(FacePlace(12.0, 17.0, 44.0, -3.1), 2.0)
    after = motion.at(3.0)
    assert (after.x, after.y, after.size) == pytest.approx((14.0, 14.0, 48.4))
    assert after.roll == pytest.approx(-3.1 + (2 * np.pi - 6.2)), "the short way round"


def test_all_faces_of_a_run_are_followed(seer: Seer) -> None:
    """One that comes, one that leaves, one that stays."""
    film = [
        filmed((60, 60), *([(150, 60 + frame)] if frame >= 20 else []), *([(240, 60)] if frame < 10 else []))
        for frame in range(40)
    ]
    found = list(faces_through(seer, film, 1))
    seen = [sorted(round(place_of(points).x) for points in faces) for faces in found]
    assert seen[:10] == [[60, 240]] * 10
    assert seen[10:20] == [[60]] * 10
    comes = next(frame for frame, faces in enumerate(seen) if 150 in faces)
    assert comes == 2 * SEARCH_EVERY, "found by the next search"
    assert seen[comes:] == [[60, 150]] * (40 - comes)
    assert seer.searches == 3 + 1, "and where one was lost"
    np.testing.assert_allclose(found[-1][1], face(150, 99), atol=0.07)


def test_every_picture_of_a_run_without_faces_is_searched(seer: Seer) -> None:
    film = [filmed()] * 5 + [filmed((60, 60))] * 5
    found = list(faces_through(seer, film, 1))
    assert [len(faces) for faces in found] == [0] * 5 + [1] * 5
    assert seer.searches == 6


def test_two_that_are_followed_onto_one_face_become_one(seer: Seer) -> None:
    apart = [filmed((60 + 8 * frame, 90), (180 - 8 * frame, 90)) for frame in range(6)]
    found = list(faces_through(seer, [*apart, *[filmed((104, 90))] * 4], 1))
    assert [len(faces) for faces in found] == [2] * 6 + [1] * 4


def test_a_face_that_is_seen_only_by_the_detector_counts() -> None:
    class Blind(Seer):
        reach = 0.0

    (found,) = faces_through(Blind(), [filmed((60, 60))], 1)
    np.testing.assert_allclose(found[0], face(61, 59), atol=0.07)


class Crops:
    """A mesh that sees a face where it is, with an error that grows with the crop's distance from it."""

    def __init__(self, at: tuple[float, float]) -> None:
        self.at, self.regions = at, []

    def points(self, pictures, regions):
        self.regions += regions
        wanted = place_of(face(*self.at)).crop()
        off = [np.array([region.x - wanted.x, region.y - wanted.y]) for region in regions]
        sees = [np.linalg.norm(step) < SIZE for step in off]
        return [face(*self.at) + np.append(0.1 * step, 0) for step in off], [0.9 if seen else 0.1 for seen in sees]


@pytest.mark.parametrize(("step", "looks"), [(0.0, 1), (0.05, 1), (0.3, 2), (0.55, 2), (0.8, 1), (1.5, 1)])
def test_a_crop_beside_the_face_is_made_again(monkeypatch: pytest.MonkeyPatch, step: float, looks: int) -> None:
    landmarks = MediapipeLandmarks.__new__(MediapipeLandmarks)
    mesh = Crops((100.0, 90.0))
    monkeypatch.setattr(landmarks, "_faces", type("Faces", (), {"mesh": mesh})(), raising=False)
    expected = FacePlace(100 + step * SIZE, 90.0, SIZE)
    (seen,) = landmarks.look(filmed(), [expected])
    assert len(mesh.regions) == looks
    assert (seen is not None) == (step < 0.6), "further away is another face"
    if seen is not None:
        assert np.abs(seen.points - face(100, 90)).max() < 0.1 * 0.12 * SIZE
