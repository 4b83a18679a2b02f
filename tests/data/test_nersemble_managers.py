"""The data managers on a small folder: every frame by any way of asking equals decoding from the beginning."""

import importlib
import json
import multiprocessing
import pickle
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from vhap.data.nersemble.frames import FrameReader, OpenVideos
from vhap.data.nersemble.managers import (
    SEQUENCE_NAMES,
    SERIALS,
    NeRSembleDataManager,
    NeRSembleParticipantDataManager,
    correct_color,
)
from vhap.data.video import frame_times
from vhap.util.errors import InputError

SEQUENCE = "EXP-3-cheeks+nose"
CAMERAS = ("222200042", "222200037", "221501007")
ENCODINGS = {
    "b_frames": ("-bf", "3", "-g", "15"),
    "open_groups": ("-bf", "3", "-g", "15", "-x264-params", "open-gop=1:scenecut=0"),
    "one_group": ("-bf", "3", "-g", "1000"),
    "key_frames_only": ("-g", "1"),
    "mpeg4": ("-c:v", "mpeg4", "-bf", "2", "-g", "10"),
    "uneven_times": ("-vf", "select=lt(n\\,40)+not(mod(n\\,7))", "-fps_mode", "vfr", "-bf", "3", "-g", "15"),
    "starts_late": ("-output_ts_offset", "1.5", "-bf", "3"),
}


def sequential(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return frames


def pose(index: int) -> np.ndarray:
    """(4, 4) rigid: a turn about an axis of its own, and a shift."""
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array([0.1, 0.7, -0.2]) * (index + 1))[0]
    matrix[:3, 3] = index, -0.5, 1.25
    return matrix


@pytest.fixture
def dataset(tmp_path, make_video) -> Path:
    root = tmp_path / "NeRSemble"
    for index, serial in enumerate(CAMERAS):
        path = root / "017" / "sequences" / SEQUENCE / "images" / f"cam_{serial}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        video = make_video(
            f"{serial}.mp4", "-vf", f"hue=h={40 * index}", "-bf", "3", "-g", "9", rate="73", duration=0.5
        )
        video.rename(path)
    (path.parent / "cam_222200038.mp4.part").write_bytes(b"half")
    background = root / "017" / "sequences" / "BACKGROUND" / "image_222200037.jpg"
    background.parent.mkdir(parents=True)
    background.write_bytes(b"")
    calibration = root / "017" / "calibration"
    calibration.mkdir()
    poses = {serial: pose(index).tolist() for index, serial in enumerate(CAMERAS)}
    camera_params = {"world_2_cam": poses, "intrinsics": [[8000.0, 0, 1100], [0, 8000, 1604], [0, 0, 1]]}
    (calibration / "camera_params.json").write_text(json.dumps(camera_params))
    matrices = {serial: np.linspace(0.1, 0.9, 21).reshape(3, 7).tolist() for serial in CAMERAS[:2]}
    (calibration / "color_calibration.json").write_text(json.dumps(matrices))
    (root / "033").mkdir()
    (root / ".hidden").mkdir()
    (root / "metadata_sequences.csv").write_text("ID\n")
    return root


@pytest.fixture
def manager(dataset) -> NeRSembleParticipantDataManager:
    return NeRSembleParticipantDataManager(str(dataset), 17)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_random_access_is_exact(make_video, encoding):
    path = make_video("video.mp4", *ENCODINGS[encoding], rate="73", duration=1.2)
    expected, reader = sequential(path), FrameReader(path)
    assert len(reader) == len(expected) > 40
    order = np.random.default_rng(0).permutation(len(expected))
    for index in [*order, *range(len(expected)), 0, 0, *reversed(range(30)), len(expected) - 1]:
        assert np.array_equal(reader.read(int(index)), expected[index]), index


def test_random_access_into_a_cut_with_hidden_frames(make_video, tmp_path):
    """Cutting without encoding again leaves frames in the file that are decoded, but not shown."""
    whole, cut = make_video("whole.mp4", "-bf", "3", "-g", "30", rate="73", duration=1), tmp_path / "cut.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", "0.6", "-i", str(whole), "-c", "copy", str(cut)]
    subprocess.run(command, check=True)
    expected, reader = sequential(cut), FrameReader(cut)
    assert len(reader) == len(expected)
    for index in np.random.default_rng(0).permutation(len(expected)):
        assert np.array_equal(reader.read(int(index)), expected[index]), index


def test_a_seek_that_misses_is_noticed(make_video):
    """A decoder that lands elsewhere than asked: too late, on an unknown time, or nowhere."""
    path = make_video("video.mp4", "-bf", "3", "-g", "10", rate="73", duration=1)
    expected = sequential(path)

    class Astray:
        def __init__(self, capture, shift):
            self.capture, self.shift = capture, shift

        def set(self, key, value):
            self.capture.set(key, value + self.shift)

        def __getattr__(self, name):
            return getattr(self.capture, name)

    for shift in (5, -5, 1000):
        reader = FrameReader(path)
        reader._capture = Astray(reader._capture, shift)
        for index in (60, 20, 41, 3):
            assert np.array_equal(reader.read(index), expected[index])


def test_neighbours_are_decoded_once(make_video):
    path = make_video("video.mp4", "-g", "1000", rate="73", duration=1)
    reader = FrameReader(path)
    capture, grabbed = reader._capture, []

    class Counting:
        def grab(self):
            grabbed.append(1)
            return capture.grab()

        def __getattr__(self, name):
            return getattr(capture, name)

    reader._capture = Counting()
    for index in range(len(reader)):
        reader.read(index)
    assert len(grabbed) == len(reader)


def test_frame_times(make_video):
    times, is_key = frame_times(make_video("video.mp4", "-bf", "3", "-g", "10", rate="50", duration=1))
    assert times == pytest.approx(np.arange(50) / 50)
    assert is_key[0]
    assert 5 <= is_key.sum() <= 10


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_damaged_videos(make_video, kept):
    path = make_video("video.mp4")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"video\.mp4"):
        FrameReader(path).read(0)


def test_what_is_there(dataset, manager):
    assert NeRSembleDataManager(dataset).list_participants() == [17, 33]
    assert manager.list_sequences() == ["BACKGROUND", SEQUENCE]
    assert manager.list_cameras(SEQUENCE) == list(CAMERAS)
    count = len(sequential(Path(manager.get_images_path(SEQUENCE, CAMERAS[0]))))
    assert manager.list_timesteps(SEQUENCE) == list(range(count))
    assert manager.get_n_timesteps(SEQUENCE) == count
    assert NeRSembleParticipantDataManager(dataset, 33).list_sequences() == []


def test_images(manager):
    expected = sequential(Path(manager.get_images_path(SEQUENCE, CAMERAS[1])))
    image = manager.load_image(SEQUENCE, CAMERAS[1], 7, as_uint8=True)
    assert image.dtype == np.uint8
    assert np.array_equal(image, expected[7])
    assert np.array_equal(manager.load_image(SEQUENCE, CAMERAS[1], 7), expected[7] / 255)
    small = manager.load_image(SEQUENCE, CAMERAS[1], 7, as_uint8=True, downscale_factor=2.5)
    assert small.shape == (19, 26, 3)
    assert abs(small.mean() - image.mean()) < 1
    manager.close()
    assert np.array_equal(manager.load_image(SEQUENCE, CAMERAS[1], 0, as_uint8=True), expected[0])


def test_calibration(manager):
    camera = manager.load_camera_calibration()
    assert list(camera.world_2_cam) == list(CAMERAS)
    assert np.allclose(camera.world_2_cam[CAMERAS[2]], pose(2))
    assert camera.intrinsics.shape == (3, 3)
    assert {serial: matrix.shape for serial, matrix in manager.load_color_calibration().items()} == {
        serial: (3, 7) for serial in CAMERAS[:2]
    }


def test_intrinsics_for_each_camera(manager):
    path = Path(manager.get_camera_calibration_path())
    content = json.loads(path.read_text())
    content["intrinsics"] = {serial: content["intrinsics"] for serial in CAMERAS}
    path.write_text(json.dumps(content))
    assert set(manager.load_camera_calibration().intrinsics) == set(CAMERAS)


@pytest.mark.parametrize(
    "wrong",
    [
        *({}, [], {"world_2_cam": {"1": [[1]]}, "intrinsics": np.eye(3).tolist()}),
        {"world_2_cam": {"1": (2 * np.eye(4)).tolist()}, "intrinsics": np.eye(3).tolist()},
        {"world_2_cam": {"1": np.eye(4).tolist()}, "intrinsics": {"1": [[1, 2, 3]]}},
        {"world_2_cam": [np.eye(4).tolist()], "intrinsics": np.eye(3).tolist()},
    ],
)
def test_wrong_calibration_is_named(manager, wrong):
    Path(manager.get_camera_calibration_path()).write_text(json.dumps(wrong))
    with pytest.raises(InputError, match=r"camera_params\.json"):
        manager.load_camera_calibration()


@pytest.mark.parametrize("wrong", [[], {"1": 3}, {"1": [[1, 2], [3]]}, {"1": []}, {"1": [["a"]]}, {"1": [[1, 2]]}])
def test_wrong_colour_matrices_are_named(manager, wrong):
    Path(manager.get_color_calibration_path()).write_text(json.dumps(wrong))
    with pytest.raises(InputError, match=r"color_calibration\.json"):
        manager.load_color_calibration()


def test_missing_things_are_named(manager, tmp_path):
    for call in (
        lambda: manager.load_image(SEQUENCE, CAMERAS[0], 1000),
        lambda: manager.load_image(SEQUENCE, CAMERAS[0], -1),
        lambda: manager.load_image(SEQUENCE, "222200038", 0),
        lambda: manager.list_cameras("EXP-1-head"),
        lambda: manager.load_image(SEQUENCE, CAMERAS[0], 0, downscale_factor=0),
        lambda: manager.load_image(SEQUENCE, CAMERAS[2], 0, apply_color_correction=True),
        lambda: NeRSembleDataManager(tmp_path / "none").list_participants(),
    ):
        with pytest.raises(InputError, match=r"expected .* found"):
            call()


def test_each_video_is_opened_once_and_few_stay_open(manager, monkeypatch):
    opened = []
    monkeypatch.setattr("vhap.data.nersemble.frames.frame_times", lambda path: opened.append(path) or frame_times(path))
    paths = [Path(manager.get_images_path(SEQUENCE, serial)) for serial in CAMERAS]
    for timestep in range(5):
        for serial in CAMERAS:
            manager.load_image(SEQUENCE, serial, timestep)
    assert opened == paths
    opened.clear()
    videos = OpenVideos(limit=2)
    for path in (paths[0], paths[1], paths[0], paths[2], paths[0], paths[1]):
        videos.read(path, 0)
    assert opened == [paths[0], paths[1], paths[2], paths[1]], "the least recently used one is closed"


def test_threads_and_processes(manager):
    expected = [sequential(Path(manager.get_images_path(SEQUENCE, serial))) for serial in CAMERAS]
    wanted = [(camera, timestep) for timestep in (3, 30, 11) for camera in range(3)] * 3

    def is_right(key: tuple[int, int]) -> bool:
        image = manager.load_image(SEQUENCE, CAMERAS[key[0]], key[1], as_uint8=True)
        return np.array_equal(image, expected[key[0]][key[1]])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(is_right, wanted))
    copy = pickle.loads(pickle.dumps(manager))
    assert np.array_equal(copy.load_image(SEQUENCE, CAMERAS[0], 5, as_uint8=True), expected[0][5])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_process_opens_its_own(dataset):
    """In a program of its own: a fork of the test process would carry along whatever other tests have started."""
    code = (
        "import os, sys\n"
        "from vhap.data.nersemble.managers import NeRSembleParticipantDataManager\n"
        f"manager = NeRSembleParticipantDataManager({str(dataset)!r}, 17)\n"
        f"look = lambda: [manager.load_image({SEQUENCE!r}, {CAMERAS[0]!r}, i, as_uint8, True).tobytes()"
        " for i in (3, 30, 4) for as_uint8 in (False, True)]\n"
        "first = look()\n"
        "child = os.fork()\n"
        "same = look() == first\n"
        "if child == 0:\n"
        "    os._exit(0 if same else 1)\n"
        "sys.exit(0 if os.waitpid(child, 0)[1] == 0 and same else 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_colour_correction(manager):
    matrix = manager.load_color_calibration()[CAMERAS[0]]
    for as_uint8 in (True, False):
        plain = manager.load_image(SEQUENCE, CAMERAS[0], 3, as_uint8=as_uint8)
        corrected = manager.load_image(SEQUENCE, CAMERAS[0], 3, as_uint8=as_uint8, apply_color_correction=True)
        assert corrected.dtype == plain.dtype
        assert np.array_equal(corrected, correct_color(plain, matrix))
        assert not np.array_equal(corrected, plain)


@pytest.fixture
def official(monkeypatch):
    """The official kit's module of managers. It imports dreifus, for types of matrices only, without requiring it."""
    pytest.importorskip("nersemble_data")
    pytest.importorskip("elias.util.io", exc_type=ImportError)
    if importlib.util.find_spec("dreifus") is None:
        camera, matrix = types.ModuleType("dreifus.camera"), types.ModuleType("dreifus.matrix")
        camera.CameraCoordinateConvention = types.SimpleNamespace(OPEN_CV=None)
        camera.PoseType = types.SimpleNamespace(WORLD_2_CAM=None)
        matrix.Pose, matrix.Intrinsics = (lambda rows, **_: np.array(rows)), np.array
        for name, module in {
            "dreifus": types.ModuleType("dreifus"),
            camera.__name__: camera,
            matrix.__name__: matrix,
        }.items():
            monkeypatch.setitem(sys.modules, name, module)
    name = "nersemble_data.data.nersemble_data"
    yield pytest.importorskip(name, exc_type=ImportError)
    sys.modules.pop(name, None)


def test_same_as_the_official_managers(official, dataset, manager):
    theirs = official.NeRSembleParticipantDataManager(str(dataset), 17)
    (dataset / ".hidden").rmdir()
    (Path(manager.get_images_path(SEQUENCE, "222200038")).with_suffix(".mp4.part")).unlink()
    assert sorted(official.NeRSembleDataManager(str(dataset)).list_participants()) == [17, 33]
    assert sorted(theirs.list_sequences()) == manager.list_sequences()
    assert sorted(theirs.list_cameras(SEQUENCE)) == sorted(manager.list_cameras(SEQUENCE))
    assert theirs.list_timesteps(SEQUENCE) == manager.list_timesteps(SEQUENCE)
    for options in ({}, {"as_uint8": True}, {"downscale_factor": 2}, {"as_uint8": True, "downscale_factor": 2.5}):
        for timestep in (0, 20, 5):
            ours = manager.load_image(SEQUENCE, CAMERAS[1], timestep, **options)
            reference = theirs.load_image(SEQUENCE, CAMERAS[1], timestep, **options)
            assert ours.dtype == reference.dtype
            assert np.array_equal(ours, reference)
    ours, reference = manager.load_camera_calibration(), theirs.load_camera_calibration()
    assert np.allclose(ours.intrinsics, reference.intrinsics)
    assert all(np.allclose(ours.world_2_cam[serial], reference.world_2_cam[serial]) for serial in CAMERAS)


@pytest.mark.parametrize("as_uint8", [True, False])
def test_colours_of_the_official_managers(official, dataset, manager, as_uint8):
    theirs = official.NeRSembleParticipantDataManager(str(dataset), 17)
    ours = manager.load_image(SEQUENCE, CAMERAS[1], 4, as_uint8, apply_color_correction=True)
    reference = theirs.load_image(SEQUENCE, CAMERAS[1], 4, as_uint8, apply_color_correction=True)
    assert ours.dtype == reference.dtype
    if as_uint8:
        assert np.abs(ours.astype(int) - reference).max() <= 1, "the kit rounds down"
    else:
        assert np.abs(ours - reference).max() < 1e-9
        assert reference.max() > 1.1, "which clipping would hide"


def test_names_of_the_official_kit():
    constants = pytest.importorskip("nersemble_data.constants", exc_type=ImportError)
    assert SEQUENCE_NAMES == constants.SEQUENCE_NAMES
    assert list(SERIALS) == constants.SERIALS
