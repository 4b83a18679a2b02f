"""MediaPipe's networks say nothing while they start."""

import numpy as np
import pytest

from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.detect.mediapipe_matting import MediapipeMatting

BLANK = np.zeros((256, 256, 3), np.uint8)


@pytest.mark.parametrize("use", [lambda: MediapipeLandmarks().detect(BLANK), lambda: MediapipeMatting().alpha(BLANK)])
def test_networks_start_quietly(capfd, use):
    use()
    assert capfd.readouterr().err == ""
