"""Faces of a video by another process: the same as in this one, in order, and what is said where there are none."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vhap.config.synthetic import SyntheticConfig
from vhap.data.video import probe_video, read_frames
from vhap.detect.following import FaceFollower
from vhap.pipeline import live_faces, make_synthetic_capture
from vhap.pipeline.live_faces import VideoFaces, VideoOrder, serve
from vhap.util.errors import InputError
from vhap.util.own_process import receive, send

FRAMES = 6


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_synthetic_capture.run(SyntheticConfig(output=folder / "clip", head="builtin", frames=FRAMES, size=192))
    return folder / "clip.mp4"


def test_faces_are_those_of_this_process_and_end_with_the_video(video: Path) -> None:
    fps, follower = probe_video(video).fps, FaceFollower()
    faces = VideoFaces(video, fps)
    pictures = list(read_frames(video, fps))
    assert len(pictures) == FRAMES
    for number, picture in enumerate(pictures):
        other, here = faces.follow(picture, 0.0), follower.follow(picture, float(number / fps))
        assert other is not None
        assert here is not None
        np.testing.assert_array_equal(other.points, here.points)
        np.testing.assert_array_equal(other.confidence, here.confidence)
    with pytest.raises(InputError, match=r"of frame 6 of .*clip\.mp4, found that the process .* has ended"):
        faces.follow(pictures[0], 0.0)
    faces.close()
    assert faces.process.poll() is not None


def test_a_process_in_the_middle_of_its_work_is_ended(video: Path) -> None:
    faces = VideoFaces(video, Fraction(25))
    faces.close()
    assert faces.process.poll() is not None


def test_missing_networks_are_told_in_their_own_words(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_there() -> None:
        raise InputError("expected networks, found none; fetch them")

    monkeypatch.setattr(live_faces, "FaceFollower", none_there)
    requests, answers = io.BytesIO(), io.BytesIO()
    send(requests, VideoOrder(video, Fraction(25)))
    requests.seek(0)
    serve(requests, answers)
    answers.seek(0)
    assert receive(answers) == (live_faces.REFUSED, "expected networks, found none; fetch them")
    assert receive(answers) is None
