"""Detectors by MediaPipe's networks say nothing while they start, and need no MediaPipe."""

import subprocess
import sys

import numpy as np
import pytest

from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.detect.mediapipe_matting import MediapipeMatting
from vhap.detect.networks.files import FILES, find_network

BLANK = np.zeros((256, 256, 3), np.uint8)


@pytest.mark.parametrize("use", [lambda: MediapipeLandmarks().detect(BLANK), lambda: MediapipeMatting().alpha(BLANK)])
def test_networks_start_quietly(capfd, use):
    use()
    assert capfd.readouterr().err == ""


def test_mediapipe_is_not_imported():
    for name in FILES:
        find_network(name)
    program = (
        "import sys, numpy as np\n"
        "from vhap.detect.mediapipe_landmarks import MediapipeLandmarks\n"
        "from vhap.detect.video_matting import VideoMatting\n"
        "VideoMatting()\n"
        "assert MediapipeLandmarks().faces(np.zeros((256, 256, 3), np.uint8)) == []\n"
        "assert not {'mediapipe', 'jax', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
