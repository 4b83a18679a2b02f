"""Alpha channels of videos and of own pictures as alpha maps."""

import logging
import subprocess

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from vhap.config.preprocess import PreprocessConfig
from vhap.data.pictures import read_alpha, read_rgb, write_picture
from vhap.pipeline import preprocess_rig, preprocess_video
from vhap.util.errors import InputError
from vhap.util.log import get_logger

FORMS = {
    "vp9.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p"),
    "vp8.webm": ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"),
    "prores.mov": ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
    "png.mov": ("-c:v", "png", "-pix_fmt", "rgba"),
    "animation.mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    "ffv1.mkv": ("-c:v", "ffv1", "-pix_fmt", "yuva420p"),
}


def make_video(path, *options, left=255, right=0):
    """Five frames whose left half has one alpha and whose right half another."""
    alpha = f"format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,32),{left},{right})'"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=0.2", "-vf", alpha]
    path.parent.mkdir(exist_ok=True)
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *options, str(path)], check=True)
    return path


@pytest.fixture
def said():
    lines = []

    class Listener(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    listener = Listener()
    get_logger().addHandler(listener)
    yield lines
    get_logger().removeHandler(listener)


@pytest.fixture
def mediapipe(monkeypatch):
    """Which other methods are asked for, without running them."""
    asked = []
    for module in (preprocess_video, preprocess_rig):
        monkeypatch.setattr(
            module, "make_matting", lambda method, *rest: asked.append(method) if method != "none" else None
        )
    return asked


def run(path, method="auto", **options):
    return preprocess_video.run(PreprocessConfig(path, matting_method=method, landmark_source="none", **options))


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def require_halves(path):
    alpha = read_alpha(path)
    assert alpha[:, :30].min() > 240
    assert alpha[:, 34:].max() < 15


@pytest.mark.parametrize("name", FORMS)
def test_the_alpha_of_a_video_is_its_matte_and_colours_are_straight(tmp_path, mediapipe, said, name):
    video = make_video(tmp_path / name, *FORMS[name])
    folder = run(video, image_format="png")
    maps = sorted((folder / "alpha_maps").iterdir())
    assert [path.name for path in maps] == [f"{t:06d}.png" for t in range(5)]
    for path in maps:
        require_halves(path)
    opaque = make_video(tmp_path / "plain" / "opaque.mkv", "-c:v", "ffv1", "-pix_fmt", "bgra", right=255)
    plain = run(opaque, "none", image_format="png")
    seen, expected = (read_rgb(place / "images" / "000002.png").astype(float) for place in (folder, plain))
    assert np.abs(seen - expected)[:, 34:].mean() < 9, "black where transparent would differ by more than 100"
    assert mediapipe == []
    assert len([line for line in said if "alpha channel is the matte" in line and name in line]) == 1


def test_what_is_there_stays_and_what_is_missing_is_completed(tmp_path, mediapipe):
    video = make_video(tmp_path / "clip.mov", *FORMS["png.mov"])
    folder = run(video, "none")
    assert not (folder / "alpha_maps").exists()
    run(video)
    whole = contents(folder)
    run(video)
    assert contents(folder) == whole
    run(folder)
    assert contents(folder) == whole, "the folder is complete, whatever its pictures hold"
    (folder / "alpha_maps" / "000003.png").unlink()
    write_picture(folder / "alpha_maps" / "000001.png", np.full((48, 64), 7, np.uint8))
    run(video, "input")
    require_halves(folder / "alpha_maps" / "000003.png")
    assert read_alpha(folder / "alpha_maps" / "000001.png").max() == 7, "a map of one's own is kept"
    assert len(list((folder / "alpha_maps").iterdir())) == 5


@pytest.mark.parametrize(("left", "right", "found"), [(255, 255, "opaque"), (0, 0, "transparent everywhere")])
def test_an_alpha_channel_that_says_nothing(tmp_path, mediapipe, said, left, right, found):
    video = make_video(tmp_path / "clip.mov", *FORMS["png.mov"], left=left, right=right)
    with pytest.raises(InputError, match=found) as caught:
        run(video, "input")
    assert "\n" not in str(caught.value)
    assert not video.with_suffix("").exists()
    run(video)
    assert mediapipe == ["auto"]
    assert [line for line in said if found in line]


def test_input_is_asked_for_and_there_is_no_alpha(tmp_path):
    video = make_video(tmp_path / "clip.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv420p")
    with pytest.raises(InputError, match=r"alpha channel in clip\.mkv.*found none; choose another --matting_method"):
        run(video, "input")
    assert not video.with_suffix("").exists()


def own_pictures(folder, count=3, kind="rgba"):
    folder.mkdir(parents=True)
    for t in range(count):
        picture = np.full((48, 64, 4), 90 + t, np.uint8)
        picture[:, 32:, 3] = 0
        picture[:, :32, 3] = 255
        if kind == "16 bits":
            picture = picture.astype(np.uint16) * 257
        cv2.imwrite(str(folder / f"{t:06d}.png"), picture)


@pytest.mark.parametrize("kind", ["rgba", "16 bits"])
@pytest.mark.parametrize("method", ["auto", "input"])
def test_the_alpha_of_own_pictures_is_taken_and_they_stay(tmp_path, mediapipe, kind, method):
    own_pictures(tmp_path / "person" / "images", kind=kind)
    before = contents(tmp_path)
    folder = run(tmp_path / "person", method)
    assert {path: value for path, value in contents(tmp_path).items() if path in before} == before
    for t in range(3):
        require_halves(folder / "alpha_maps" / f"{t:06d}.png")
    assert mediapipe == []


def test_pictures_that_were_replaced_get_mattes_of_their_own(tmp_path, mediapipe):
    own_pictures(tmp_path / "person" / "images")
    folder = run(tmp_path / "person")
    flipped = cv2.imread(str(folder / "images" / "000001.png"), cv2.IMREAD_UNCHANGED)[:, ::-1]
    cv2.imwrite(str(folder / "images" / "000001.png"), flipped)
    kept = (folder / "alpha_maps" / "000002.png").stat().st_mtime_ns
    run(tmp_path / "person")
    alpha = read_alpha(folder / "alpha_maps" / "000001.png")
    assert alpha[:, :32].max() == 0
    assert alpha[:, 32:].min() == 255
    assert (folder / "alpha_maps" / "000002.png").stat().st_mtime_ns == kept
    assert mediapipe == []


def test_pictures_of_which_one_has_no_alpha(tmp_path, mediapipe, said):
    own_pictures(tmp_path / "person" / "images")
    write_picture(tmp_path / "person" / "images" / "000001.png", np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match=r"found none in 000001\.png"):
        run(tmp_path / "person", "input")
    run(tmp_path / "person")
    assert mediapipe == ["auto"]
    assert [line for line in said if "none in 000001.png" in line]


@pytest.mark.parametrize("names", [("cam_1", "cam_2"), ("left", "right")])
def test_a_rigs_videos_with_alpha(tmp_path, mediapipe, said, names):
    for name in names:
        make_video(tmp_path / "take" / f"{name}.mov", *FORMS["png.mov"])
    folder = run(tmp_path / "take")
    below = "{}_{:06d}.png" if names[0].startswith("cam_") else "{}/{:06d}.png"
    for name in names:
        for t in range(5):
            require_halves(folder / "alpha_maps" / below.format(name, t))
    whole = contents(folder)
    run(tmp_path / "take")
    assert contents(folder) == whole
    assert mediapipe == []
    assert len([line for line in said if "alpha channel is the matte" in line]) == 2, "once a run"


def test_a_rigs_own_pictures_with_alpha_and_one_camera_without(tmp_path, mediapipe, said):
    for camera in ("left", "right"):
        own_pictures(tmp_path / "take" / "images" / camera)
    folder = run(tmp_path / "take")
    require_halves(folder / "alpha_maps" / "right" / "000002.png")
    for t in range(3):
        write_picture(tmp_path / "take" / "images" / "right" / f"{t:06d}.png", np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="camera right"):
        run(tmp_path / "take", "input")
    run(tmp_path / "take")
    assert set(mediapipe) == {"mediapipe_video"}
    assert [line for line in said if "camera right has none" in line]
