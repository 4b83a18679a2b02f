"""Adapters of packages that users install: their absence is explained, their results are brought to our units."""

import sys
import types

import numpy as np
import pytest

from vhap.detect import landmarks
from vhap.detect.face_alignment import FaceAlignmentLandmarks
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

POINTS = np.column_stack([np.arange(68.0), np.arange(68.0) + 10])


@pytest.fixture
def fake_face_alignment(monkeypatch):
    class Network:
        def __init__(self, kind, **options):
            pass

        def get_landmarks_from_image(self, picture, detected_faces=None, return_landmark_score=False):
            if picture.max() == 0:
                return None
            return [POINTS], [np.full(68, 1.5)], detected_faces

    module = types.SimpleNamespace(FaceAlignment=Network, LandmarksType=types.SimpleNamespace(TWO_D=1))
    monkeypatch.setitem(sys.modules, "face_alignment", module)


def test_face_alignment(fake_face_alignment):
    detector = FaceAlignmentLandmarks("cpu")
    (found,) = detector.faces(np.full((4, 4, 3), 9, np.uint8))
    np.testing.assert_array_equal(found[:, :2], POINTS + 0.5)
    assert detector.confidence(found).max() == 1
    assert detector.faces(np.zeros((4, 4, 3), np.uint8)) == []
    assert detector.face_near(np.zeros((4, 4, 3), np.uint8), found) is None


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("PytorchStreamReader failed")])
def test_networks_that_cannot_be_had_are_one_line(fake_face_alignment, monkeypatch, error):
    def broken(*rest, **options):
        raise error

    monkeypatch.setattr(sys.modules["face_alignment"], "FaceAlignment", broken)
    with pytest.raises(InputError, match=f"{error}.*checkpoints"):
        FaceAlignmentLandmarks("cpu")


@pytest.mark.parametrize(
    ("source", "module", "hint"), [("face-alignment", "face_alignment", "pip install"), ("star", "star", "github")]
)
def test_missing_package_is_explained(source, module, hint, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=hint):
        landmarks.require_detector(source, "cpu")


def test_missing_system_library_is_explained(monkeypatch):
    def broken(name):
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(InputError, match="apt-get install libgl1 libglib2"):
        import_or_explain("cv2")


@pytest.mark.parametrize(
    ("needed", "wheel"), [("jax", "jax"), ("cv2", "opencv-python-headless"), ("skimage.io", "scikit-image")]
)
def test_missing_dependency_of_a_package_is_named(monkeypatch, needed, wheel):
    def broken(name):
        raise ModuleNotFoundError(f"No module named '{needed}'", name=needed)

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(InputError, match=f"the package {needed}, .*; pip install {wheel}$"):
        import_or_explain("mediapipe")


@pytest.mark.parametrize(("module", "wheel"), [("cv2", "opencv-python-headless"), ("PIL.Image", "pillow")])
def test_a_missing_package_is_named_as_its_wheel_is(monkeypatch, module, wheel):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"; pip install {wheel}$"):
        import_or_explain(module)
