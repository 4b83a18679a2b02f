"""keypoint.json and iris.json, ours and other tools'."""

import json

import numpy as np
import pytest

from vhap.relightable.point_files import read_irises, read_keypoints, write_irises, write_keypoints
from vhap.util.errors import InputError

POINTS = np.arange(136, dtype=float).reshape(68, 2) + 0.125
NAMES = ["00000.png", "00001.png"]


def test_round_trip_and_what_the_files_hold(tmp_path):
    write_keypoints(tmp_path / "keypoint.json", {NAMES[0]: POINTS, NAMES[1]: None})
    write_irises(tmp_path / "iris.json", {NAMES[0]: np.array([[30.0, 4.0], [10.0, 5.0]]), NAMES[1]: None})
    assert json.loads((tmp_path / "iris.json").read_text()) == {NAMES[0]: [30.0, 4.0, 10.0, 5.0], NAMES[1]: None}
    assert json.loads((tmp_path / "keypoint.json").read_text())[NAMES[0]] == POINTS.tolist()
    found = read_keypoints(tmp_path / "keypoint.json", NAMES)
    assert found[NAMES[0]] == pytest.approx(POINTS)
    assert found[NAMES[1]] is None
    irises = read_irises(tmp_path / "iris.json")
    assert irises[NAMES[0]] == pytest.approx(np.array([[30, 4], [10, 5]]))


def test_a_file_that_is_right_is_not_written_again(tmp_path):
    path = tmp_path / "keypoint.json"
    write_keypoints(path, {NAMES[0]: POINTS})
    before = path.stat().st_mtime_ns, path.stat().st_ino
    write_keypoints(path, {NAMES[0]: POINTS})
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_files_of_others(tmp_path):
    path = tmp_path / "iris.json"
    path.write_text(json.dumps({"0": [30.5, 4, 10, 5], "1": [], "2": [31, 4, 11, 5], "3": [31, 4, 11, 5]}))
    found = read_irises(path, ["0.png", "1.png", "2.png", "3.png"])
    assert [name for name, centres in found.items() if centres is None] == ["1.png", "3.png"]


@pytest.mark.parametrize(
    ("read", "content", "match"),
    [
        (read_keypoints, {"0.png": POINTS[:5].tolist()}, "68 points"),
        (read_keypoints, {"0.png": [[1, 2, 3]] * 68}, "keypoint|fit"),
        (read_keypoints, {"0.png": [[1e9, 2]] * 68}, "fit"),
        (read_keypoints, {"0.png": (POINTS / 200).tolist()}, "pixels"),
        (read_keypoints, {"1.png": POINTS.tolist()}, "every picture"),
        (read_keypoints, [1], "fit"),
        (read_irises, {"0.png": [1, 2, 3]}, "found 3 numbers"),
        (read_irises, {"0.png": "no"}, "fit"),
        (read_irises, {"0.png": [0.4, 0.3, 0.6, 0.3]}, "pixels"),
    ],
)
def test_wrong_content_is_one_line(tmp_path, read, content, match):
    path = tmp_path / "points.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=match) as caught:
        read(path, ["0.png"])
    assert "\n" not in str(caught.value)


def test_nan_is_refused(tmp_path):
    (tmp_path / "iris.json").write_text('{"0.png": [NaN, 1, 2, 3]}')
    with pytest.raises(InputError, match="not finite"):
        read_irises(tmp_path / "iris.json")
