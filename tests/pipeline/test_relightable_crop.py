"""A subject's pictures out of a video or own pictures: what is written, when nothing is, and what is refused."""

import json
import logging
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from vhap import cli, crop_and_matting
from vhap.config.relightable import CropConfig
from vhap.data.pictures import list_pictures, read_alpha, read_rgb, read_stored, write_picture
from vhap.detect.landmark_pass import LandmarkPass
from vhap.pipeline import relightable_crop, relightable_faces, relightable_source
from vhap.relightable.crop_file import read_crop
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.errors import InputError

CLIPS = os.environ.get("VHAP_TEST_VIDEOS")
RED, GREEN = (210, 30, 30), (20, 160, 40)
COUNT, HEIGHT, WIDTH = 6, 120, 160


def frame(index: int) -> np.ndarray:
    """A red square, the face, on green: 30 px wide, 8 px further to the right each time; none in picture 3."""
    picture = np.full((HEIGHT, WIDTH, 3), GREEN, np.uint8)
    if index != 3:
        picture[40:76, 20 + 8 * index : 50 + 8 * index] = RED
    return picture


class RedFace:
    """Finds the red square: 478 points on a grid over it."""

    def faces(self, picture):
        rows, columns = np.nonzero((picture[..., 0] > 150) & (picture[..., 1] < 100))
        if len(rows) < 50:
            return []
        low, high = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        grid = np.stack(np.meshgrid(np.linspace(0, 1, 22), np.linspace(0, 1, 22)), -1).reshape(-1, 2)[:478]
        grid[-1] = 1
        # The 68 points are a few of these: the first and last of them reach the square's corners.
        points = np.tile(grid[::-1], (1, 1))
        points[[162, 71]], points[[389, 152]] = 0, 1
        return [np.column_stack([points * np.subtract(high, low) + low, np.zeros(478)])]

    def face_near(self, picture, points):
        return None

    def confidence(self, points):
        return np.ones(478)


class RedMatting:
    is_recurrent = False

    def alpha(self, picture):
        return np.where((picture[..., 0] > 120) & (picture[..., 1] < 120), 255, 0).astype(np.uint8)


@pytest.fixture(autouse=True)
def networks(monkeypatch, tmp_path):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(relightable_faces, "detector_maker", lambda *_: RedFace)
    monkeypatch.setattr(relightable_crop, "require_detector", lambda *_: None)
    monkeypatch.setattr(relightable_crop, "make_matting", lambda *_: RedMatting())


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A lossless video of `COUNT` pictures."""
    folder = tmp_path_factory.mktemp("video")
    for index in range(COUNT):
        write_picture(folder / f"{index}.png", frame(index))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-framerate", "25", "-i", folder / "%d.png"]
    subprocess.run([*command, "-c:v", "libx264rgb", "-qp", "0", folder / "video.mp4"], check=True)
    return folder / "video.mp4"


@pytest.fixture
def subject(video, tmp_path):
    folder = tmp_path / "data" / "anna"
    folder.mkdir(parents=True)
    shutil.copy(video, folder / "anna.mp4")
    return folder


def config(subject, **options):
    return CropConfig(source=subject.parent, name=subject.name, **{"image_size": (64, 64), **options})


WHOLE = {"matting": True, "crop_image": True, "keep_masks": True, "mask_clothes": False}


def state(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_all_that_is_asked_for(subject):
    assert relightable_crop.run(config(subject, **WHOLE)) == subject
    assert sorted(os.listdir(subject)) == [
        ".made_from.jsonl", "anna.mp4", "crop.json", "image", "mask", "seg", "seg.json",
    ]  # fmt: skip
    names = [f"{index:05d}.png" for index in range(COUNT)]
    for folder in ("image", "mask", "seg"):
        assert sorted(os.listdir(subject / folder)) == names
    record = read_crop(subject / "crop.json")
    assert record.pictures == names
    assert record.without_head == ["00003.png"]
    assert record.source["fps"] == "25"
    for index, name in enumerate(names):
        picture = read_stored(subject / "image" / name)
        assert picture.shape == (64, 64, 4)
        visible = picture[..., 3] > 0
        assert np.array_equal(visible, read_alpha(subject / "mask" / name) > 0)
        assert visible.any() == (index != 3)
        if not visible.any():
            continue
        # The head maps back to where it is in the video.
        rows, columns = np.nonzero(picture[..., 3] > 128)
        middle = record.crop.original_points(np.array([columns.mean() + 0.5, rows.mean() + 0.5]))
        assert middle == pytest.approx((35 + 8 * index, 58), abs=1)
        assert np.abs(picture[picture[..., 3] == 255][:, 2].astype(int) - RED[0]).mean() < 12


def test_colours_are_straight_unless_asked_for(subject):
    picture = np.full((2, 2, 3), 200, np.uint8)
    alpha = np.array([[0, 51], [128, 255]], np.uint8)
    straight = relightable_crop.with_alpha(picture, alpha, False)
    assert straight[..., 3].tolist() == alpha.tolist()
    assert straight[..., 0].tolist() == [[0, 200], [200, 200]]
    old = relightable_crop.with_alpha(picture, alpha, True)
    assert old[..., 3].tolist() == alpha.tolist()
    assert old[..., 0].tolist() == [[0, 40], [100, 200]]


def test_second_run_changes_nothing(subject):
    relightable_crop.run(config(subject, **WHOLE))
    before = state(subject)
    relightable_crop.run(config(subject, **WHOLE))
    relightable_crop.run(config(subject, **{**WHOLE, "fps": 25, "keep_masks": False}))
    assert state(subject) == before


OTHER = (
    ({"bbox_scale": 3.0}, "bbox_scale 2.2"),
    ({"image_size": (32, 64)}, "image_size 64 64"),
    ({"crop_box": "first"}, "crop_box all"),
    ({"premultiplied": True}, "premultiplied False"),
    ({"mask_clothes": True}, "mask_clothes False"),
    ({"crop_image": False}, "crop_image True"),
    ({"fps": 5}, "fps 5"),
    ({"person": "1"}, "person 1"),
)


def test_other_options_on_a_finished_folder_are_named(subject):
    relightable_crop.run(config(subject, **WHOLE))
    before = state(subject)
    for options, named in OTHER:
        with pytest.raises(InputError, match=named) as caught:
            relightable_crop.run(config(subject, **{**WHOLE, **options}))
        assert "\n" not in str(caught.value)
    assert state(subject) == before


def test_masks_of_an_earlier_crop_are_not_taken_for_those_of_this_one(subject):
    relightable_crop.run(config(subject, **WHOLE))
    shutil.rmtree(subject / "image")
    (subject / "crop.json").unlink()
    with pytest.raises(InputError, match="no mask/ of other pictures"):
        relightable_crop.run(config(subject, **{**WHOLE, "bbox_scale": 3.0}))
    shutil.rmtree(subject / "mask")
    shutil.rmtree(subject / "seg")
    relightable_crop.run(config(subject, **{**WHOLE, "bbox_scale": 3.0}))


def test_masks_and_lost_pictures_are_completed(subject):
    relightable_crop.run(config(subject, **WHOLE))
    whole = state(subject)
    shutil.rmtree(subject / "mask")
    (subject / "image" / "00002.png").unlink()
    (subject / "seg" / "00001.png").write_bytes(b"damaged")
    kept = (subject / "image" / "00001.png").stat().st_mtime_ns
    relightable_crop.run(config(subject, **WHOLE))
    assert {path: found[0] for path, found in state(subject).items()} == {path: f[0] for path, f in whole.items()}
    assert (subject / "image" / "00001.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize("dies_in", ["write_picture", "publish", "matte_pictures", "_move"])
def test_killed_run_is_completed(subject, monkeypatch, dies_in):
    twin = subject.parent / "twin"
    shutil.copytree(subject, twin)
    (twin / "anna.mp4").rename(twin / "twin.mp4")
    relightable_crop.run(config(twin, **WHOLE))
    room = relightable_crop.__dict__ if dies_in != "_move" else relightable_crop.publish.__globals__
    original, calls = room[dies_in], []

    def die(*args, **kwargs):
        calls.append(args)
        if len(calls) == (9 if dies_in == "write_picture" else 2 if dies_in == "_move" else 1):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setitem(room, dies_in, die)
    with pytest.raises(KeyboardInterrupt):
        relightable_crop.run(config(subject, **WHOLE))
    monkeypatch.undo()
    monkeypatch.setattr(relightable_faces, "detector_maker", lambda *_: RedFace)
    monkeypatch.setattr(relightable_crop, "make_matting", lambda *_: RedMatting())
    relightable_crop.run(config(subject, **WHOLE))
    for folder in ("image", "mask", "seg"):
        for path in (twin / folder).iterdir():
            assert (subject / folder / path.name).read_bytes() == path.read_bytes()
    assert not (subject / ".crop").exists()


def test_alpha_channel_of_the_video_is_the_matte(subject, tmp_path):
    """Of VP9, transparent but for the square and 20 px below it, which no matting here would find."""
    for index in range(COUNT):
        alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
        alpha[40:96, 20 + 8 * index : 50 + 8 * index] = 255
        write_picture(tmp_path / "rgba" / f"{index}.png", np.dstack([frame(index), alpha]))
    (subject / "anna.mp4").unlink()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-framerate", "25", "-i", tmp_path / "rgba" / "%d.png"]
    encoding = ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-lossless", "1", "-auto-alt-ref", "0"]
    subprocess.run([*command, *encoding, subject / "anna.webm"], check=True)
    relightable_crop.run(config(subject, **WHOLE))
    record = read_crop(subject / "crop.json")
    assert record.options is not None
    assert record.options["matting_method"] == "input"
    for index in (0, 3, 5):
        rows, columns = np.nonzero(read_alpha(subject / "image" / record.pictures[index]) > 128)
        low, high = record.crop.original_points(
            np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
        )
        assert np.concatenate([low, high]) == pytest.approx((20 + 8 * index, 40, 50 + 8 * index, 96), abs=2)
    before = state(subject)
    relightable_crop.run(config(subject, **WHOLE))
    relightable_crop.run(config(subject, **WHOLE, matting_method="input"))
    assert state(subject) == before
    with pytest.raises(InputError, match="matting_method input"):
        relightable_crop.run(config(subject, **WHOLE, matting_method="mediapipe"))


def test_first_box_and_without_matting(subject):
    relightable_crop.run(config(subject, crop_image=True, crop_box="first"))
    picture = read_stored(subject / "image" / "00000.png")
    assert picture.shape == (64, 64, 3)
    box = read_crop(subject / "crop.json").crop.visible
    # 30 px wide, 36 high: the box is 2.2 * 30 around (35, 47), and reaches no farther on the left than the picture.
    assert box[2] == 68
    assert box[0] in (2, 3)


def test_without_a_crop_the_whole_picture_is_shown_undistorted(subject):
    relightable_crop.run(config(subject, image_size=(80, 80)))
    crop = read_crop(subject / "crop.json").crop
    assert crop.scale == (0.5, 0.5)
    assert crop.padding == (0, 20, 0, 20)
    picture = read_rgb(subject / "image" / "00000.png")
    assert picture[:10].max() == 0
    assert picture[11:69].min(0).max() > 0


def test_only_the_range_counts(subject):
    relightable_crop.run(config(subject, **WHOLE, crop_range=(10, 110, 30, 160)))
    crop = read_crop(subject / "crop.json").crop
    assert crop.region == (30, 10, 160, 110)
    assert crop.visible[0] >= 30
    assert crop.visible[1] >= 10
    # In the first picture only the right part of the head counts.
    rows, columns = np.nonzero(read_alpha(subject / "image" / "00000.png"))
    assert crop.original_points(np.array([columns.min() + 1.0, rows.min()]))[0] >= 29


def own_pictures(folder, alpha=False, names=("b10.png", "b9.png")):
    for index, name in enumerate(names):
        picture = frame(index)
        if alpha:
            picture = np.dstack([picture, RedMatting().alpha(picture)])
        write_picture(folder / name, picture)


def test_own_pictures_are_kept_and_what_is_made_of_them_takes_their_place(tmp_path):
    subject = tmp_path / "data" / "own"
    own_pictures(subject / "image")
    before = {path.name: path.read_bytes() for path in (subject / "image").iterdir()}
    relightable_crop.run(config(subject, **WHOLE))
    assert {path.name: path.read_bytes() for path in (subject / "original").iterdir()} == before
    assert list(list_pictures(subject / "image")) == ["00000", "00001"]
    assert read_crop(subject / "crop.json").source_pictures == ["b9.png", "b10.png"]
    finished = state(subject)
    relightable_crop.run(config(subject, **WHOLE))
    assert state(subject) == finished


@pytest.mark.parametrize(("folder", "alpha"), [("images", True), ("image", True), ("image", False)])
def test_prepared_pictures_are_taken_as_they_are(tmp_path, folder, alpha):
    subject = tmp_path / "data" / "insta"
    own_pictures(subject / folder, alpha)
    before = state(subject)
    options = {"matting": True, "crop_image": True} if alpha else {"image_size": CropConfig.image_size}
    for _ in range(2):
        relightable_crop.run(config(subject, **options))
        assert {path: found for path, found in state(subject).items() if path.name != "crop.json"} == before
    record = read_crop(subject / "crop.json")
    assert record.crop.box == (0, 0, WIDTH, HEIGHT)
    assert record.options is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"fps": 0}, "--fps"),
        ({"crop_range": (5, 5, 0, 9)}, "y0 < y1"),
        ({"crop_range": (0, 500, 0, 9)}, "within pictures of 160x120"),
        ({"keep_masks": True}, "--matting"),
        ({"person": "third"}, "--person"),
        ({"name": "nobody"}, "subject's folder"),
        ({"matting": True, "matting_method": "input"}, "alpha channel"),
        ({"crop_image": True, "crop_range": (80, 120, 0, 160)}, "expected a face"),
    ],
)
def test_bad_input_is_one_line(subject, options, match):
    with pytest.raises(InputError, match=match) as caught:
        relightable_crop.run(replace(config(subject), **options))
    assert "\n" not in str(caught.value)
    assert not (subject / "image").exists()
    assert not (subject / "crop.json").exists()


def test_nothing_to_make_pictures_from(tmp_path):
    (tmp_path / "data" / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match=r"empty\.mp4"):
        relightable_crop.run(config(tmp_path / "data" / "empty"))


def test_unequal_sizes_and_mixed_alpha(tmp_path):
    subject = tmp_path / "data" / "odd"
    own_pictures(subject / "image")
    write_picture(subject / "image" / "b11.png", np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(InputError, match="one size"):
        relightable_crop.run(config(subject, **WHOLE))
    (subject / "image" / "b11.png").unlink()
    own_pictures(subject / "image", True, ("b12.png",))
    with pytest.raises(InputError, match=r"alpha channel.*b9\.png"):
        relightable_crop.run(config(subject, **WHOLE))
    assert len(list((subject / "image").iterdir())) == 3


def test_another_video_under_the_name(subject):
    relightable_crop.run(config(subject, **WHOLE))
    with open(subject / "anna.mp4", "ab") as file:
        file.write(b"\0" * 16)
    with pytest.raises(InputError, match="digest"):
        relightable_crop.run(config(subject, **WHOLE))


def test_the_command_word_for_word(subject, capsys):
    words = (
        f"--source {subject.parent} --name anna --fps 30 --image_size 64 48 --matting --crop_image --mask_clothes True"
    )
    crop_and_matting.main([*words.split(), "--crop_range", "0", "120", "0", "160", "--bbox_scale", "2.5"])
    assert capsys.readouterr().out.strip() == str(subject)
    assert read_stored(subject / "image" / "00000.png").shape == (64, 48, 4)
    options = json.loads((subject / "crop.json").read_text())["options"]
    assert options["mask_clothes"]
    assert options["bbox_scale"] == 2.5


@pytest.mark.parametrize(("word", "expected"), [("True", True), ("true", True), ("1", True), ("False", False)])
def test_clothes_by_a_word(word, expected):
    words = ["--source", "a", "--name", "b", "--mask_clothes", word, "--matting"]
    assert cli.parse(CropConfig, None, words) == CropConfig(Path("a"), "b", mask_clothes=expected, matting=True)


def test_own_rate_of_the_video(subject):
    crop_and_matting.main(["--source", str(subject.parent), "--name", "anna", "--fps", "-1"])
    assert len(list((subject / "image").iterdir())) == COUNT


@pytest.mark.skipif(not CLIPS, reason="VHAP_TEST_VIDEOS names no folder of clips")
def test_real_clip(tmp_path, monkeypatch):
    monkeypatch.undo()
    folder = tmp_path / "man"
    folder.mkdir()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(Path(CLIPS or "") / "man_gray.mp4")]
    subprocess.run([*command, "-frames:v", "3", "-an", str(folder / "man.mp4")], check=True)
    relightable_crop.run(CropConfig(tmp_path, "man", image_size=(256, 256), matting=True, crop_image=True))
    paths = sorted((folder / "image").iterdir())
    assert len(paths) == 3
    for path in paths:
        alpha = read_alpha(path)
        # Face and neck stay; the wall goes, and so does the pullover in the lower corners.
        assert alpha[100:200, 110:150].min() == 255
        assert alpha[:40, :40].max() == 0
        assert alpha[235:, :60].max() < 30
        assert alpha[240:, 215:].max() < 30
        assert cv2.countNonZero(alpha) > 0.15 * alpha.size


def test_faces_are_found_once(subject, monkeypatch):
    relightable_crop.run(config(subject, **WHOLE))
    monkeypatch.setattr(LandmarkPass, "run", lambda self: pytest.fail("detected again"))
    relightable_crop.run(config(subject, **WHOLE))


@pytest.mark.parametrize("folder", ["image", "images"])
@pytest.mark.parametrize("options", [{"matting": True}, {"crop_image": True}, {"image_size": (32, 48)}])
def test_options_for_pictures_that_were_taken_as_they_are_are_done(tmp_path, folder, options):
    subject = tmp_path / "data" / "own"
    own_pictures(subject / folder)
    own = {path.name: path.read_bytes() for path in (subject / folder).iterdir()}
    crop_and_matting.main(["--source", str(subject.parent), "--name", "own"])
    assert read_crop(subject / "crop.json").options is None
    relightable_crop.run(replace(CropConfig(subject.parent, "own", image_size=(64, 64)), **options))
    kept = subject / ("original" if folder == "image" else "images")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == own
    assert read_crop(subject / "crop.json").options is not None
    shape = read_stored(subject / "image" / "00000.png").shape
    assert shape == (*options.get("image_size", (64, 64)), 4 if "matting" in options else 3)


def test_options_without_effect_on_pictures_with_alpha_are_named(tmp_path, caplog, monkeypatch):
    subject = tmp_path / "data" / "insta"
    own_pictures(subject / "images", True)
    monkeypatch.setattr(relightable_source, "get_logger", lambda: logging.getLogger("source"))
    for _ in range(2):
        caplog.clear()
        relightable_crop.run(config(subject, matting=True, crop_image=True, bbox_scale=3.0))
        assert "--crop_image, --bbox_scale, --image_size have no effect on them" in caplog.text
        caplog.clear()
        relightable_crop.run(replace(CropConfig(subject.parent, "insta", matting=True), mask_clothes=False, fps=5))
        assert "are taken as they are: --fps, --mask_clothes have no effect on them" in caplog.text


@pytest.mark.parametrize("suffix", [".jpeg", ".bmp", ".tif"])
def test_pictures_of_any_suffix_are_found(tmp_path, subject, suffix, caplog, monkeypatch):
    monkeypatch.setattr(relightable_source, "get_logger", lambda: logging.getLogger("source"))
    own_pictures(subject / "image", names=(f"a{suffix}", f"b{suffix}"))
    relightable_crop.run(config(subject, image_size=(512, 512)))
    assert list(SubjectFolder(subject).pictures()) == [f"a{suffix}", f"b{suffix}"]
    assert ("trainers find pictures named" in caplog.text) == (suffix != ".bmp")
    relightable_crop.run(config(subject, crop_image=True))
    # Not of the video, which is there, too.
    assert read_crop(subject / "crop.json").source_pictures == [f"a{suffix}", f"b{suffix}"]


def test_pictures_that_are_not_read_are_not_passed_over_for_the_video(subject):
    (subject / "image").mkdir()
    (subject / "image" / "00000.webp").write_bytes(b"any")
    with pytest.raises(InputError, match=r"another format \(00000\.webp\)"):
        relightable_crop.run(config(subject, **WHOLE))


def test_another_video_in_place_of_the_one_that_has_gone(subject):
    relightable_crop.run(config(subject, **WHOLE))
    (subject / "anna.mp4").rename(subject.parent / "elsewhere.mp4")
    relightable_crop.run(config(subject, **WHOLE))
    (subject.parent / "elsewhere.mp4").rename(subject / "anna.mkv")
    with pytest.raises(InputError, match=r"of the video that is there, anna\.mkv, found them to be of anna\.mp4"):
        relightable_crop.run(config(subject, **WHOLE))


@pytest.mark.parametrize("last", ["image", "seg"])
def test_work_that_a_kill_left_goes_when_all_is_in_its_place(subject, monkeypatch, last):
    """Killed at the end of publishing, and before the masks were in their place."""
    move = relightable_source._move

    def moved(source, target) -> None:
        move(source, target)
        if target.name == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(relightable_source, "_move", moved)
    with pytest.raises(KeyboardInterrupt):
        relightable_crop.run(config(subject, **WHOLE))
    monkeypatch.setattr(relightable_source, "_move", move)
    before = {path: found for path, found in state(subject).items() if ".crop" not in path.parts}
    assert (subject / ".crop").is_dir()
    relightable_crop.run(config(subject, **{**WHOLE, "keep_masks": False}))
    assert (subject / ".crop").is_dir() == (last == "image")
    relightable_crop.run(config(subject, **WHOLE))
    assert not (subject / ".crop").exists()
    assert before.items() <= state(subject).items()
    assert len(list_pictures(subject / "seg")) == COUNT


def test_masks_asked_for_after_a_kill_without_them(subject, monkeypatch):
    def killed(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(relightable_crop, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        relightable_crop.run(config(subject, **{**WHOLE, "keep_masks": False}))
    monkeypatch.setattr(relightable_crop, "publish", relightable_source.publish)
    relightable_crop.run(config(subject, **WHOLE))
    for folder in ("image", "mask", "seg"):
        assert len(list_pictures(subject / folder)) == COUNT


def test_options_without_the_one_they_belong_to_are_named(tmp_path):
    lines = relightable_crop.lines_without_effect(CropConfig(tmp_path, "a", bbox_scale=3.0, premultiplied=True))
    assert lines == [
        "--premultiplied has no effect without --matting",
        "--bbox_scale has no effect without --crop_image",
    ]
    assert not relightable_crop.lines_without_effect(
        CropConfig(tmp_path, "a", matting=True, crop_image=True, bbox_scale=3.0)
    )
