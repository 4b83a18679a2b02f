import json

import numpy as np
import pytest

from vhap.data import extraction
from vhap.data.pictures import list_pictures, picture_size, write_picture
from vhap.data.rig_extraction import extract_rig_pictures, find_videos, videos_that_count
from vhap.util.errors import InputError

SERIALS = ("222200042", "222200037")


@pytest.fixture
def videos(make_video, tmp_path):
    """Two videos of eight frames, where NeRSemble v2 has them."""
    (tmp_path / "take" / "images").mkdir(parents=True)
    for serial in SERIALS:
        make_video(f"take/images/cam_{serial}.mp4", duration=0.32)
    return find_videos(tmp_path / "take")


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


def test_layout(videos, tmp_path):
    folder = tmp_path / "take"
    assert list(videos) == sorted(SERIALS)
    assert extract_rig_pictures(videos, folder, 25, (2,)) == 8
    names = [f"cam_{serial}_{t:06d}" for serial in sorted(SERIALS) for t in range(8)]
    assert list(list_pictures(folder / "images")) == names
    small = list_pictures(folder / "images_2")
    assert list(small) == names
    assert picture_size(small[names[0]]) == (24, 32)
    assert sorted(path.name for path in folder.iterdir()) == [
        ".made_from.jsonl", "extraction.json", "images", "images_2",
    ]  # fmt: skip


def test_lower_rate_and_videos_beside_the_images_folder(videos, tmp_path):
    for path in videos.values():
        path.rename(tmp_path / "take" / path.name)
    videos = find_videos(tmp_path / "take")
    assert extract_rig_pictures(videos, tmp_path / "take", 12.5) == 4
    assert len(list_pictures(tmp_path / "take" / "images")) == 8


def test_unequal_videos_are_refused_before_anything_is_written(videos, make_video, tmp_path):
    before = contents(tmp_path)
    make_video(f"take/images/cam_{SERIALS[0]}.mp4", duration=0.28)
    make_video("take/images/cam_3.mp4", duration=0.32)
    unequal = find_videos(tmp_path / "take")
    with pytest.raises(InputError, match=f"of 8 frames.*found 7 from camera {SERIALS[0]};"):
        extract_rig_pictures(unequal, tmp_path / "take", 25)
    make_video(f"take/images/cam_{SERIALS[0]}.mp4", rate="50", duration=0.16)
    with pytest.raises(InputError, match=f"and 50 from {SERIALS[0]}"):
        extract_rig_pictures(unequal, tmp_path / "take", 25)
    unequal[SERIALS[0]].write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        extract_rig_pictures(unequal, tmp_path / "take", 25)
    assert contents(tmp_path).keys() - before.keys() == {"take/images/cam_3.mp4"}


def test_a_pass_that_died_is_completed_and_finished_cameras_are_kept(videos, tmp_path, monkeypatch):
    folder = tmp_path / "take"
    extract_rig_pictures(videos, tmp_path / "other", 25)
    first, second = sorted(SERIALS)
    read = extraction.read_frames

    def dies(path, fps):
        for index, frame in enumerate(read(path, fps)):
            if second in path.name and index == 3:
                raise KeyboardInterrupt
            yield frame

    monkeypatch.setattr(extraction, "read_frames", dies)
    with pytest.raises(KeyboardInterrupt):
        extract_rig_pictures(videos, folder, 25)
    assert {name[: -len("_000000")] for name in list_pictures(folder / "images")} == {f"cam_{first}"}
    decoded = []
    monkeypatch.setattr(extraction, "read_frames", lambda path, fps: decoded.append(path.name) or read(path, fps))
    extract_rig_pictures(videos, folder, 25)
    assert decoded == [f"cam_{second}.mp4"]
    (folder / "images" / f"cam_{first}_000004.jpg").unlink()
    extract_rig_pictures(videos, folder, 25)
    assert decoded == [f"cam_{second}.mp4", f"cam_{first}.mp4"]
    extract_rig_pictures(videos, folder, 25)
    assert len(decoded) == 2
    for name, content in contents(tmp_path / "other" / "images").items():
        assert (folder / "images" / name).read_bytes() == content
    assert not (folder / extraction.UNFINISHED).exists()


def test_own_pictures_and_other_options_are_left_alone(videos, make_video, tmp_path):
    folder = tmp_path / "take"
    write_picture(folder / "images" / "mine.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="mine"):
        extract_rig_pictures(videos, folder, 25)
    (folder / "images" / "mine.png").unlink()
    extract_rig_pictures(videos, folder, 25)
    before = contents(folder / "images")
    with pytest.raises(InputError, match="same options"):
        extract_rig_pictures(videos, folder, 10)
    assert contents(folder / "images") == before
    make_video(f"take/images/cam_{SERIALS[0]}.mp4", size="32x24", duration=0.32)
    with pytest.raises(InputError, match=f"cam_{SERIALS[0]}.mp4 of"):
        extract_rig_pictures(videos, folder, 25)


def test_two_videos_of_one_camera(videos, tmp_path):
    (tmp_path / "take" / f"cam_{SERIALS[0]}.mp4").write_bytes(b"")
    with pytest.raises(InputError, match="one video of camera"):
        find_videos(tmp_path / "take")


@pytest.fixture
def own_rig(make_video, tmp_path):
    """Two videos of eight frames, called as their cameras are."""
    (tmp_path / "take").mkdir()
    for name in ("right", "left"):
        make_video(f"take/{name}.mp4", duration=0.32)
    return tmp_path / "take"


def test_videos_of_any_name_are_cameras_and_fill_a_folder_each(own_rig):
    videos = find_videos(own_rig)
    assert list(videos) == ["left", "right"]
    assert extract_rig_pictures(videos, own_rig, 25, (2,)) == 8
    for camera in videos:
        assert list(list_pictures(own_rig / "images" / camera)) == [f"{t:06d}" for t in range(8)]
        small = list_pictures(own_rig / "images_2" / camera)
        assert [picture_size(path) for path in small.values()] == [(24, 32)] * 8
    assert sorted(path.name for path in (own_rig / "images").iterdir()) == ["left", "right"]
    assert find_videos(own_rig) == videos, "pictures that came from them do not hide them"
    write_picture(own_rig / "images/left/mine.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"left/mine\.png"):
        extract_rig_pictures(videos, own_rig, 25)


def test_a_pass_over_ones_own_videos_that_died_is_completed(own_rig, monkeypatch):
    read, decoded = extraction.read_frames, []

    def dies(path, fps):
        yield from list(read(path, fps))[: 3 if path.stem == "right" else None]
        if path.stem == "right":
            raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "read_frames", dies)
    with pytest.raises(KeyboardInterrupt):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    assert [path.name for path in (own_rig / "images").iterdir()] == ["left"]
    monkeypatch.setattr(extraction, "read_frames", lambda path, fps: decoded.append(path.name) or read(path, fps))
    assert extract_rig_pictures(find_videos(own_rig), own_rig, 25) == 8
    assert decoded == ["right.mp4"]
    (own_rig / "images/left/000003.jpg").unlink()
    extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    assert decoded == ["right.mp4", "left.mp4"]


def test_a_kill_after_the_first_pictures_leaves_them_known(own_rig, monkeypatch):
    move = extraction._move_into_place

    def dies(source, target):
        move(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "_move_into_place", dies)
    with pytest.raises(KeyboardInterrupt):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    monkeypatch.undo()
    assert extract_rig_pictures(find_videos(own_rig), own_rig, 25) == 8
    assert len(list_pictures(own_rig / "images/right")) == 8


@pytest.mark.parametrize("picture", ["left/000000", "front/a", "cam_left_000000"])
def test_a_rigs_own_pictures_count_before_videos_and_are_never_written_over(own_rig, picture):
    write_picture(own_rig / "images" / f"{picture}.png", np.zeros((8, 8, 3), np.uint8))
    before = contents(own_rig)
    assert videos_that_count(own_rig) == {}
    with pytest.raises(InputError, match=picture):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    assert contents(own_rig) == before


def test_pictures_of_one_camera_are_not_a_rigs(own_rig):
    write_picture(own_rig / "images/000000.png", np.zeros((8, 8, 3), np.uint8))
    assert find_videos(own_rig) == {}


def test_a_pass_that_died_before_its_first_pictures_claims_none(own_rig, monkeypatch):
    def dies(path, fps):
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction, "read_frames", dies)
    with pytest.raises(KeyboardInterrupt):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    monkeypatch.undo()
    write_picture(own_rig / "images/left/000000.png", np.zeros((8, 8, 3), np.uint8))
    before = contents(own_rig)
    with pytest.raises(InputError, match="left/000000"):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    assert contents(own_rig) == before


def test_pictures_of_another_camera_or_format_than_extracted_are_ones_own(own_rig):
    extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    for picture in ("third/000000.jpg", "left/000008.png"):
        path = own_rig / "images" / picture
        write_picture(path, np.zeros((8, 8, 3), np.uint8))
        with pytest.raises(InputError, match=picture):
            extract_rig_pictures(find_videos(own_rig), own_rig, 25)
        path.unlink()


def test_cameras_of_a_record_stay_below_the_pictures(own_rig):
    extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    path = own_rig / extraction.RECORD
    record = json.loads(path.read_text())
    record["cameras"]["../../elsewhere"] = next(iter(record["cameras"].values()))
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"names of files below .*elsewhere"):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)


def test_videos_that_were_renamed_to_another_form_are_extracted_again_only_on_request(own_rig):
    extract_rig_pictures(find_videos(own_rig), own_rig, 25)
    for serial, name in enumerate(("left", "right")):
        (own_rig / f"{name}.mp4").rename(own_rig / f"cam_{serial}.mp4")
    with pytest.raises(InputError, match=r"found pictures of left\.mp4.*remove the pictures"):
        extract_rig_pictures(find_videos(own_rig), own_rig, 25)


def test_which_videos_are_a_rigs(own_rig):
    (own_rig / "left.mp4").rename(own_rig / "._left.mp4")
    assert find_videos(own_rig) == {}, "one video is not a rig, and a hidden file no video"
    (own_rig / "cam_7.mp4").write_bytes(b"")
    assert list(find_videos(own_rig)) == ["7"], "what stands beside a rig's serials is not of it"
    for name in ("cam_8.mkv", "cam_front_left.mp4"):
        (own_rig / name).write_bytes(b"")
        with pytest.raises(InputError, match=name):
            find_videos(own_rig)
        (own_rig / name).unlink()
