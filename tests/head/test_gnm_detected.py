"""MediaPipe's points on a GNM stand-in, where its own detector finds them: lids and lips stay apart."""

from __future__ import annotations

import gnm_like
import pytest

from vhap.detect import embedding
from vhap.detect.embedding import LID_POINTS, with_landmarks
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.head.gnm import load_gnm
from vhap.head.model import landmark_points
from vhap.head.regions import region_mask
from vhap.render.backend import get_backend

pytest.importorskip("mediapipe", reason="its networks find the points")
LIDS = {"right": (159, 145, 37, 41), "left": (386, 374, 44, 46)}
"""Of each eye an upper and a lower point of MediaPipe's, and of iBUG's nearly there."""


@pytest.mark.parametrize("landmarks", [True, False])
def test_detected_points_keep_the_eyes_opening_and_the_lips(tmp_path, monkeypatch, landmarks):
    monkeypatch.setattr(embedding, "PICTURE_SIZE", 400)
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    head = load_gnm(gnm_like.write_gnm(tmp_path, landmarks=landmarks))
    marked = with_landmarks(head, MediapipeLandmarks(), get_backend("auto"))
    true = load_gnm(gnm_like.write_gnm(tmp_path))
    points, ibug = landmark_points(marked, head.template, "mediapipe"), landmark_points(true, head.template, "ibug")
    for upper, lower, above, below in LIDS.values():
        opening = points[upper] - points[lower]
        assert 0.7 < opening[1] / (ibug[above] - ibug[below])[1] < 1.6
        assert abs(opening[2]) < 0.006
    for name, ids in LID_POINTS.items():
        on_lid = region_mask(head, head.regions[name])[head.faces[marked.landmarks["mediapipe"].face_ids[list(ids)]]]
        assert on_lid.all()
    mouth = ibug[54, 0] - ibug[48, 0]
    assert (points[291] - points[61])[0] == pytest.approx(float(mouth), rel=0.3)
    assert 0.6 < (points[0] - points[17])[1] / (ibug[51] - ibug[57])[1] < 1.6
    assert (points[13] - points[14])[1] > 0
    assert (points[468:478, 2] > head.joint_template[3, 2]).all()
