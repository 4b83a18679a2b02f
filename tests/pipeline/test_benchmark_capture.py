"""The folders of the NeRSemble benchmark as captures: mattes as videos, intrinsics of each camera, hold-out cameras."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import NersembleV2DataConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.data.nersemble.capture import NersembleCapture
from vhap.data.pictures import read_alpha, read_rgb, write_picture
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.preprocess_video import run as preprocess
from vhap.synthetic.writer import write_video
from vhap.util.errors import InputError
from vhap.util.files import read_json

FRAMES, SIZE = 2, (96, 66)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    return make_capture(
        SyntheticConfig(
            root, layout="benchmark_nvs", subject=388, sequence="GLASSES", frames=FRAMES, cameras=5, height=SIZE[0],
            width=SIZE[1], landmark_source="face-alignment", supersampling=1,
        )
    )  # fmt: skip


@pytest.fixture
def sequence(made, tmp_path) -> Path:
    shutil.copytree(made.parents[3], tmp_path / "copy")
    return tmp_path / "copy" / made.relative_to(made.parents[3])


def run(sequence: Path, method: str = "auto") -> Path:
    return preprocess(PreprocessConfig(sequence, matting_method=method, landmark_source="none"))  # type: ignore[arg-type]


def open_capture(sequence: Path) -> NersembleCapture:
    root, subject, _, name = sequence.parents[2], sequence.parents[1].name, None, sequence.name
    return NersembleCapture(
        NersembleV2DataConfig(
            root_folder=root, subject=subject, sequence=name, use_landmark=False, align_cameras_to_axes=False
        )
    )


def serials(sequence: Path) -> list[str]:
    return sorted(path.stem.removeprefix("cam_") for path in (sequence / "images").glob("*.mp4"))


def test_hold_out_cameras_are_calibrated_and_have_no_videos(made):
    content = read_json(made.parents[1] / "calibration" / "camera_params.json")
    hold_out = set(content["world_2_cam"]) - set(serials(made))
    assert hold_out == {"222200037"}
    assert set(content) == {"world_2_cam", "intrinsics"}
    assert read_json(made.parents[2] / "metadata.json")["sequences"]["388"]["timesteps"] == list(range(FRAMES))


def test_alpha_videos_become_the_mattes(sequence):
    run(sequence)
    assert serials(sequence)
    for serial in serials(sequence):
        for t in range(FRAMES):
            name = f"cam_{serial}_{t:06d}"
            found = read_alpha(sequence / "alpha_maps" / f"{name}.png").astype(float)
            truth = read_alpha(sequence / "ground_truth" / "alpha_maps" / f"{name}.png").astype(float)
            assert np.abs(found - truth).mean() < 3, name
            assert ((found > 128) & (truth > 128)).sum() > 0.98 * (truth > 128).sum() > 0


def test_capture_has_the_given_cameras_with_their_own_intrinsics(sequence):
    run(sequence)
    capture = open_capture(sequence)
    assert sorted(capture.camera_ids) == serials(sequence)
    truth = json.loads((sequence.parents[1] / "calibration" / "camera_params.json").read_text())
    cameras = capture.given_camera()
    assert cameras is not None
    for index, serial in enumerate(capture.camera_ids):
        assert float(cameras.fx[index]) == pytest.approx(truth["intrinsics"][serial][0][0], rel=1e-5)
        assert float(cameras.cy[index]) == pytest.approx(truth["intrinsics"][serial][1][2], rel=1e-5)
    # Corrected already, and over white: what is read is what the video holds.
    batch = capture.load([0], [0])
    picture = read_rgb(sequence / "ground_truth" / "images" / f"cam_{capture.camera_ids[0]}_000000.png") / 255
    assert np.abs(batch.rgb[0].numpy() - picture).mean() < 0.02


def test_changed_alpha_videos_change_the_mattes_and_equal_ones_do_not(sequence):
    run(sequence)
    serial = serials(sequence)[0]
    path = sequence / "alpha_maps" / f"cam_{serial}_000000.png"
    before = path.stat().st_mtime_ns
    run(sequence)
    assert path.stat().st_mtime_ns == before
    video = sequence / "alpha_maps" / f"cam_{serial}.mp4"
    _write_grey(video, 200, FRAMES)
    run(sequence)
    assert abs(int(read_alpha(path).max()) - 200) < 8


def test_mattes_of_only_some_cameras_are_one_line(sequence):
    (sequence / "alpha_maps" / f"cam_{serials(sequence)[1]}.mp4").unlink()
    with pytest.raises(InputError, match="expected an alpha video for each of 4 cameras"):
        run(sequence)
    assert not list((sequence / "images").glob("*.jpg"))


def test_short_alpha_videos_are_one_line(sequence):
    _write_grey(sequence / "alpha_maps" / f"cam_{serials(sequence)[0]}.mp4", 200, FRAMES - 1)
    with pytest.raises(InputError, match=f"expected an alpha map of each of {FRAMES} pictures from /.*mp4, found 1"):
        run(sequence)


def _write_grey(video: Path, value: int, frames: int) -> None:
    """Half of each picture opaque to this degree."""
    video.unlink()
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[: SIZE[0] // 2] = value
    path = video.with_name("grey.png")
    write_picture(path, picture)
    assert read_rgb(path).max() == value
    write_video(video, [path] * frames, 25)
    path.unlink()
