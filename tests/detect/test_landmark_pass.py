"""The pass with a stand-in detector that reads faces from the pictures' own pixels."""

import numpy as np
import pytest
import torch

from vhap.data.landmark_files import load_landmarks
from vhap.data.pictures import list_pictures, write_picture
from vhap.data.sequence_folder import open_sequence
from vhap.detect import landmark_pass, landmarks
from vhap.detect.landmark_pass import LandmarkPass
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger

CORNERS = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1.0]])


class BlobDetector:
    """A face is a red pixel; its four points are the corners of a square of 8 px around it. Hidden faces are blue."""

    searched: list[int] = []  # noqa: RUF012

    def faces(self, picture):
        self.searched.append(int(picture[0, 0, 1]))
        return [self._face(y, x) for y, x in np.argwhere(picture[..., 0] > 200)]

    def face_near(self, picture, points):
        found = [self._face(y, x) for y, x in np.argwhere(picture[..., 2] > 200)]
        return next((face for face in found if abs(face[:, :2].mean(0) - points[:, :2].mean(0)).max() < 8), None)

    def confidence(self, points):
        return points[:, 2]

    def _face(self, y, x):
        return np.column_stack([CORNERS * 4 + [x + 0.5, y + 0.5], np.full(4, 0.7)])


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Twelve pictures of 40 x 20; the face moves right, is hidden in the sixth and gone in the last."""
    monkeypatch.setattr(landmark_pass, "CHUNK", 4)
    monkeypatch.setattr(BlobDetector, "searched", [])
    for index in range(12):
        picture = np.zeros((20, 40, 3), np.uint8)
        picture[0, 0, 1] = index
        if index < 11:
            picture[10, 8 + index, 2 if index == 5 else 0] = 255
        write_picture(tmp_path / "person" / "images" / f"{index:06d}.png", picture)
    return list_pictures(tmp_path / "person" / "images")


def run(tmp_path, pictures, name="blob", make=BlobDetector, jobs=1):
    return LandmarkPass(tmp_path / "person" / "landmark2d" / f"{name}.npz", pictures, make, jobs).run()


def test_file(tmp_path, pictures):
    found = load_landmarks(run(tmp_path, pictures), list(pictures))
    assert found.points.shape == (12, 4, 3)
    assert found.detected.tolist() == [True] * 11 + [False], "the hidden face is found beside its neighbour"
    np.testing.assert_allclose(found.points[3, 0], [(11.5 - 4) / 40, (10.5 - 4) / 20, 0.7], atol=1e-6)
    np.testing.assert_allclose(found.bounding_box[3], [7.5 / 40, 6.5 / 20, 15.5 / 40, 14.5 / 20, 1], atol=1e-6)
    assert (found.points[11, :, :2] == -1).all()
    assert (found.points[11, :, 2] == 0).all()


def test_threads_do_not_matter(tmp_path, pictures):
    one, three = run(tmp_path, pictures, "one"), run(tmp_path, pictures, "three", jobs=3)
    assert one.read_bytes() == three.read_bytes()


class Following(BlobDetector):
    """Each picture's third values tell how many it has seen of the run before this one."""

    together: list[tuple[list[int], int]] = []  # noqa: RUF012

    def faces_through(self, pictures):
        self.together.append(([], torch.get_num_threads()))
        for count, picture in enumerate(pictures):
            self.together[-1][0].append(int(picture[0, 0, 1]))
            if picture[0, 0, 1] == self.dies_at:
                raise KeyboardInterrupt
            yield [face * [1, 1, 0] + [0, 0, count / 10] for face in self.faces(picture)]

    dies_at = -1


def test_a_detector_that_follows_gets_the_pictures_of_a_chunk_on_one_thread_of_torch(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(Following, "together", [])
    before = torch.get_num_threads()
    found = load_landmarks(run(tmp_path, pictures, "following", Following))
    assert Following.together == [([0, 1, 2, 3], 1), ([4, 5, 6, 7], 1), ([8, 9, 10, 11], 1)]
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(found.points[:5, 0, 2], [0, 0.1, 0.2, 0.3, 0], atol=1e-6)


@pytest.mark.parametrize("dies_at", range(12))
def test_a_following_pass_has_the_same_bits_wherever_it_was_killed_and_by_any_number_of_jobs(
    tmp_path, pictures, monkeypatch, dies_at
):
    monkeypatch.setattr(Following, "together", [])
    whole = run(tmp_path, pictures, "whole", Following)
    monkeypatch.setattr(Following, "dies_at", dies_at)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, pictures, "resumed", Following, jobs=1 + dies_at % 3)
    monkeypatch.setattr(Following, "dies_at", -1)
    assert run(tmp_path, pictures, "resumed", Following, jobs=3 - dies_at % 3).read_bytes() == whole.read_bytes()


def test_completed_pass_equals_uninterrupted(tmp_path, pictures):
    class Dying(BlobDetector):
        def faces(self, picture):
            if picture[0, 0, 1] == 9:
                raise KeyboardInterrupt
            return super().faces(picture)

    whole = run(tmp_path, pictures, "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, pictures, "resumed", Dying)
    assert not (tmp_path / "person" / "landmark2d" / "resumed.npz").exists()
    BlobDetector.searched.clear()
    resumed = run(tmp_path, pictures, "resumed")
    assert BlobDetector.searched == [8, 9, 10, 11], "finished chunks are kept"
    assert resumed.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in resumed.parent.iterdir()) == ["resumed.npz", "whole.npz"]


def test_changed_pictures_are_searched_again(tmp_path, pictures):
    interrupt(tmp_path, pictures)
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[12, 9, 0] = 255
    write_picture(pictures["000001"], picture)
    found = load_landmarks(run(tmp_path, pictures), list(pictures))
    assert found.points[1, :, 1].mean() * 20 == pytest.approx(12.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": None},
        {"points": None},
        {"counts": np.array([1, 1, 1, 2])},
        {"counts": np.array([1, 1, 3, -1])},
        {"points": np.zeros((4, 4), np.float32)},
        {"points": np.full((4, 4, 3), np.nan)},
        {"source": np.zeros(4)},
    ],
)
def test_damaged_chunks_are_searched_again(tmp_path, pictures, changes, monkeypatch):
    interrupt(tmp_path, pictures)
    part = tmp_path / "person" / "landmark2d" / ".blob_parts" / "000000.npz"
    arrays = {**read_npz(part), **changes}
    write_npz(part, {name: value for name, value in arrays.items() if value is not None})
    BlobDetector.searched.clear()
    lines: list[str] = []
    monkeypatch.setattr(get_logger(), "warning", lambda text, *values: lines.append(text % values))
    found = load_landmarks(run(tmp_path, pictures), list(pictures))
    assert BlobDetector.searched[:4] == [0, 1, 2, 3]
    np.testing.assert_allclose(found.points[3, 0], [(11.5 - 4) / 40, (10.5 - 4) / 20, 0.7], atol=1e-6)
    (line,) = lines
    assert "000000.npz" in line


def test_chunks_of_another_detector_are_one_line(tmp_path, pictures):
    interrupt(tmp_path, pictures)
    part = tmp_path / "person" / "landmark2d" / ".blob_parts" / "000000.npz"
    arrays = read_npz(part)
    write_npz(part, {**arrays, "points": arrays["points"][:, :2]})
    with pytest.raises(InputError, match=r"\.blob_parts.*remove"):
        run(tmp_path, pictures)


def interrupt(tmp_path, pictures):
    class Dying(BlobDetector):
        def faces(self, picture):
            if picture[0, 0, 1] == 9:
                raise KeyboardInterrupt
            return super().faces(picture)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, pictures, make=Dying)


def test_no_face_at_all(tmp_path, pictures):
    with pytest.raises(InputError, match="expected a face"):
        run(tmp_path, {"000011": pictures["000011"]})


def test_ensure_detects_once_and_completes(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(landmarks, "detector_maker", lambda *_: BlobDetector)
    sequence = open_sequence(tmp_path, "person")
    (path,) = landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    whole = path.read_bytes()
    BlobDetector.searched.clear()
    landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    assert BlobDetector.searched == []
    landmarks.ensure_landmarks(sequence, "mediapipe", 1, reuse=False)
    assert len(BlobDetector.searched) == 12
    some = dict(list(pictures.items())[:6])
    LandmarkPass(path, some, BlobDetector).run()
    landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    assert path.read_bytes() == whole, "a file that lacks pictures is not taken for complete"


def test_ensure_detects_again_where_a_picture_was_replaced(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(landmarks, "detector_maker", lambda *_: BlobDetector)
    sequence = open_sequence(tmp_path, "person")
    (path,) = landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    other = np.zeros((20, 40, 3), np.uint8)
    other[12, 9, 0] = 255
    write_picture(pictures["000001"], other)
    landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    assert load_landmarks(path, list(pictures)).points[1, :, 1].mean() * 20 == pytest.approx(12.5)


def test_ensure_detects_again_with_other_options(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(landmarks, "detector_maker", lambda *_: BlobDetector)
    sequence = open_sequence(tmp_path, "person")
    for options, searches in (({"crops": "1"}, 12), ({"crops": "1"}, 0), (None, 0), ({"crops": "2"}, 12)):
        BlobDetector.searched.clear()
        landmarks.ensure_landmarks(sequence, "mediapipe", 1, options=options)
        assert len(BlobDetector.searched) == searches, options


def test_a_users_own_landmarks_of_replaced_pictures_stay(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(landmarks, "detector_maker", lambda *_: BlobDetector)
    sequence = open_sequence(tmp_path, "person")
    (path,) = landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    arrays = read_npz(path)
    write_npz(path, {name: arrays[name] for name in ("face_landmark_2d", "bounding_box", "timestep_id")})
    own = path.read_bytes()
    write_picture(pictures["000001"], np.zeros((20, 40, 3), np.uint8))
    landmarks.ensure_landmarks(sequence, "mediapipe", 1)
    assert path.read_bytes() == own
