"""STAR's adapter, with a stand-in for users' package: the same modules, and a network that finds a bright spot."""

import sys
import types

import numpy as np
import pytest
import torch

from vhap.data.landmark_files import load_landmarks
from vhap.data.pictures import write_picture
from vhap.data.sequence_folder import open_sequence
from vhap.detect import star
from vhap.detect.ibug import MEDIAPIPE_OF_IBUG
from vhap.detect.landmarks import ensure_landmarks
from vhap.detect.star import StarLandmarks, crop_of_box
from vhap.util.errors import InputError

STEP = 0.004
UTILITY = (
    f"""
import torch

STEP = {STEP}
"""
    + '''
calls = []


class SpotFinder(torch.nn.Module):
    """Points on a diagonal across the centre of the red light of the crop, in [-1, 1] as STAR gives them."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))

    def forward(self, source):
        assert source.shape == (1, 3, 256, 256) and source.dtype == torch.float32 and not self.training
        calls.append(("forward", source.min().item(), source.max().item()))
        red = (source[0, 0] + 1) * self.gain
        rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
        pixel = torch.stack([(red * columns).sum(), (red * rows).sum()]) / red.sum()
        steps = torch.arange(COUNT) - (COUNT - 1) / 2
        points = (2 * pixel + 1) / 256 - 1 + STEP * steps[None, :, None]
        return [None, None], [points, None]


class Config:
    def init_instance(self):
        calls.append("init_instance")


def get_config(args):
    assert args.config_name == "alignment"
    return Config()


def set_environment(config):
    calls.append(("set_environment", config.device_id))


def get_net(config):
    return SpotFinder()
'''
)

OF_68_POINTS = UTILITY.replace("COUNT", "68")


def diagonal(x, y, box_side=80.0):
    """(68, 2) px: what the network's points are in the picture, for a face box of that shorter side."""
    steps = np.arange(68) - 33.5
    return np.array([x, y]) + (STEP * 128 * 1.05 * box_side / 256 * steps)[:, None]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder on sys.path with the package `star`; returns what writes its utility module and its checkpoint."""
    folder = tmp_path / "site" / "star"
    (folder / "lib").mkdir(parents=True)
    checkpoint = folder / "300W.pkl"
    for name in ("__init__.py", "lib/__init__.py"):
        (folder / name).touch()
    (folder / "asset.py").write_text(f"model_path = {str(checkpoint)!r}\npredictor_path = 'shape_predictor_68.dat'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "star"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("VHAP_STAR_WEIGHTS", raising=False)
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))

    def write(utility=OF_68_POINTS, content=None):
        (folder / "lib" / "utility.py").write_text(utility)
        torch.save({"net": {"gain": torch.ones(1)}, "epoch": 3} if content is None else content, checkpoint)
        return checkpoint

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "star"]:
        del sys.modules[name]


class Finder:
    """MediaPipe's points on a face whose 68 points fill a box (x0, y0, x1, y1) px."""

    def __init__(self, box=(40.0, 30.0, 140.0, 110.0)):
        self.box, self.asked = box, []

    def _face(self):
        points = np.full((478, 3), -50.0)
        x0, y0, x1, y1 = self.box
        points[MEDIAPIPE_OF_IBUG[:68], :2] = [(x0 + x1) / 2, (y0 + y1) / 2]
        points[MEDIAPIPE_OF_IBUG[3], :2], points[MEDIAPIPE_OF_IBUG[13], :2] = (x0, y0), (x1, y1)
        return points

    def faces(self, picture):
        return [self._face()] if picture.max() else []

    def face_at(self, picture, centre, size, roll):
        self.asked.append((centre, size, roll))
        return self._face() if picture.max() else None


def spot(x, y, size=(160, 200)):
    """A picture with a soft red spot whose centre is at x, y px, pixel centres at half integers."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    picture = np.zeros((*size, 3), np.uint8)
    picture[..., 0] = np.round(250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2)))
    return picture


@pytest.mark.parametrize("at", [(90.0, 70.0), (75.25, 88.5), (104.0, 51.0)])
def test_points_come_back_through_the_crop(package, at):
    package()
    (found,) = StarLandmarks("cpu", Finder()).faces(spot(*at))
    assert found.shape == (68, 3)
    np.testing.assert_allclose(found[:, :2], diagonal(*at), atol=0.05)
    assert (found[:, 2] == 1).all()


def test_package_is_called_as_it_is_built(package):
    package()
    detector = StarLandmarks("cpu", Finder())
    detector.faces(spot(90, 70))
    calls = sys.modules["star.lib.utility"].calls
    assert calls[:2] == [("set_environment", -1), "init_instance"]
    name, low, high = calls[2]
    assert (name, low) == ("forward", -1.0)
    assert 0.9 < high <= 1


def test_crop_is_the_boxs_centre_and_shorter_side():
    zoom, shift = crop_of_box((10.0, 20.0, 110.0, 220.0))
    assert zoom == pytest.approx(256 / 105)
    np.testing.assert_allclose(zoom * np.array([60.0, 120.0]) + shift, [127.5, 127.5])
    assert crop_of_box((5.0, 5.0, 5.0, 9.0))[0] is None


def test_outside_of_the_picture_is_black(package):
    package()
    picture = np.full((60, 60, 3), 255, np.uint8)
    crops = []
    detector = StarLandmarks("cpu", Finder((-20.0, -20.0, 40.0, 40.0)))
    detector._network.register_forward_pre_hook(lambda module, inputs: crops.append(inputs[0][0].numpy()))
    detector.faces(picture)
    assert (crops[0][:, :70, :70] == -1).all()
    assert (crops[0][:, 120:, 120:] == 1).all()


def test_no_face_and_no_extent_are_no_points(package):
    package()
    assert StarLandmarks("cpu", Finder()).faces(np.zeros((40, 40, 3), np.uint8)) == []
    assert StarLandmarks("cpu", Finder((9.0, 9.0, 9.0, 9.0))).faces(spot(20, 20)) == []


def test_lost_face_is_searched_where_it_was(package):
    package()
    finder = Finder()
    detector = StarLandmarks("cpu", finder)
    before = np.column_stack([np.linspace(40, 140, 68), np.linspace(60, 80, 68), np.ones(68)])
    before[[36, 45], :2] = [(60, 60), (100, 100)]
    found = detector.face_near(spot(90, 70), before)
    np.testing.assert_allclose(found[:, :2], diagonal(90, 70), atol=0.05)
    centre, size, roll = finder.asked[0]
    np.testing.assert_allclose([*centre, size, roll], [90, 80, 100, np.pi / 4])
    assert detector.face_near(np.zeros((40, 40, 3), np.uint8), before) is None


def test_checkpoint_of_the_environment_comes_first(package, tmp_path, monkeypatch):
    package(content={"net": {"other": torch.ones(1)}})
    other = tmp_path / "other.pkl"
    torch.save({"net": {"gain": torch.ones(1)}}, other)
    monkeypatch.setenv("VHAP_STAR_WEIGHTS", str(other))
    assert len(StarLandmarks("cpu", Finder()).faces(spot(90, 70))) == 1


def test_missing_checkpoint_names_where_it_goes(package):
    package().unlink()
    with pytest.raises(InputError, match=r"STAR in .*VHAP_STAR_WEIGHTS.*mediapipe needs neither"):
        StarLandmarks("cpu", Finder())


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_checkpoint_with_code_is_refused_and_not_run(package, tmp_path):
    package(content={"net": Malicious(tmp_path / "ran")})
    with pytest.raises(InputError, match="expected a checkpoint of STAR"):
        StarLandmarks("cpu", Finder())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("utility", "content", "message"),
    [
        ("x = 1", None, "its configuration.*get_config"),
        ("raise TypeError('old numpy')", None, "its modules.*old numpy"),
        ("import a_package_that_is_not_there", None, "a_package_that_is_not_there"),
        (OF_68_POINTS, {"net": {"other": torch.ones(1)}}, "the weights of"),
        (OF_68_POINTS, {"state": 1}, "with the key `net`"),
        (OF_68_POINTS, [1], "with the key `net`"),
    ],
)
def test_packages_and_checkpoints_of_other_kinds_are_one_line(package, utility, content, message):
    package(utility, content)
    with pytest.raises(InputError, match=message) as caught:
        StarLandmarks("cpu", Finder())
    assert len(str(caught.value).splitlines()) == 1


def test_network_of_98_points_is_refused(package):
    package(UTILITY.replace("COUNT", "98"))
    with pytest.raises(InputError, match="expected 68 points"):
        StarLandmarks("cpu", Finder()).faces(spot(90, 70))


@pytest.mark.parametrize(("source", "files"), [("star", ["STAR"]), ("both", ["STAR", "face-alignment"])])
def test_landmark_sources_with_star_write_their_files(package, tmp_path, monkeypatch, source, files):
    package()
    monkeypatch.setattr(star, "MediapipeLandmarks", Finder)
    network = types.SimpleNamespace(
        get_landmarks_from_image=lambda picture, **options: ([diagonal(90, 70)], [np.ones(68)], None)
    )
    library = types.SimpleNamespace(
        FaceAlignment=lambda *rest, **options: network, LandmarksType=types.SimpleNamespace(TWO_D=1)
    )
    monkeypatch.setitem(sys.modules, "face_alignment", library)
    for index in range(3):
        write_picture(tmp_path / "person" / "images" / f"{index:06d}.png", spot(80 + 5 * index, 70))
    written = ensure_landmarks(open_sequence(tmp_path, "person"), source, n_jobs=2, device="cpu")
    assert sorted(path.stem for path in written) == files
    (own,) = [path for path in written if path.stem == "STAR"]
    assert own == tmp_path / "person" / "landmark2d" / "STAR.npz"
    points = load_landmarks(own).points
    assert points.shape == (3, 68, 3)
    for index in range(3):
        np.testing.assert_allclose(points[index, :, :2] * (200, 160), diagonal(80 + 5 * index, 70), atol=0.05)
