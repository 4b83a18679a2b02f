"""MediaPipe's networks say nothing while they start."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.detect.mediapipe_matting import MediapipeMatting
from vhap.util.errors import InputError

BLANK = np.zeros((256, 256, 3), np.uint8)


@pytest.mark.parametrize("use", [lambda: MediapipeLandmarks().detect(BLANK), lambda: MediapipeMatting().alpha(BLANK)])
def test_networks_start_quietly(capfd, use):
    use()
    assert capfd.readouterr().err == ""


def test_a_release_without_networks_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", SimpleNamespace(__version__="0.10.33"))
    with pytest.raises(InputError, match=r"found 0\.10\.33; pip install mediapipe==0\.10\.21"):
        MediapipeLandmarks()
