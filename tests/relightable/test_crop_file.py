"""crop.json: what is written is read, what is wrong is named in one line."""

import json

import pytest

from vhap.relightable.crop import Crop
from vhap.relightable.crop_file import CropRecord, read_crop, write_crop
from vhap.util.errors import InputError


@pytest.fixture
def record():
    crop = Crop((480, 640), (-40, 60, 360, 460), (512, 512), (0, 0, 640, 480))
    return CropRecord(
        crop, ["00000.png", "00001.png"], ["000000", "000001"], ["00001.png"], {"video": "a.mp4"}, {"k": 1}
    )


def test_round_trip(tmp_path, record):
    write_crop(tmp_path / "crop.json", record)
    assert read_crop(tmp_path / "crop.json") == record


def test_others_can_map_back_without_a_formula(tmp_path, record):
    write_crop(tmp_path / "crop.json", record)
    content = json.loads((tmp_path / "crop.json").read_text())
    assert content["scale"] == [1.28, 1.28]
    assert content["padding"] == [40, 0, 0, 0]
    assert content["camera"]["matrix"][0] == pytest.approx([1.28, 0, 51.2])
    assert content["camera"]["principal_point"] == pytest.approx([(320 + 40) * 1.28, (240 - 60) * 1.28])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"box": [3, 0, 3, 5]}, "x0 < x1"),
        ({"box": [700, 0, 800, 100]}, "holds something"),
        ({"box": [0, 0, 1.5, 4]}, "box"),
        ({"size": [0, 512]}, "size"),
        ({"without_head": ["7.png"]}, "without_head"),
        ({"source_pictures": ["a"]}, "2 source_pictures"),
    ],
)
def test_wrong_values(tmp_path, record, change, match):
    path = tmp_path / "crop.json"
    write_crop(path, record)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=match) as caught:
        read_crop(path)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        read_crop(tmp_path / "crop.json")
    (tmp_path / "crop.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        read_crop(tmp_path / "crop.json")
