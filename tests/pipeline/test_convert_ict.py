"""ICT-FaceKit's people to a FLAME file of them and back: the face and its curves come back."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from flame_like_ict import write_ict_as_flame

from vhap.fit.conversion.convert import Motion, convert
from vhap.fit.conversion.residuals import residuals_mm
from vhap.head.load import load_head
from vhap.head.model import pose
from vhap.head.registration.correspondence import correspondence
from vhap.synthetic.motion import MotionLimits, frame_params, make_motion

ICT = os.environ.get("VHAP_ICT_FACEKIT")
FRAMES = 40
CURVES = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R", "browInnerUp_L", "browOuterUp_R")


@pytest.mark.slow
@pytest.mark.skipif(not ICT, reason="VHAP_ICT_FACEKIT does not name a folder FaceXModel")
def test_face_and_curves_come_back_from_flame(tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", os.environ.get("VHAP_CACHE", os.path.expanduser("~/.cache/vhap")))
    ict = load_head("ict", ict_facekit_path=ICT)
    flame = load_head("flame", flame_model_path=write_ict_as_flame(tmp_path, str(ICT), monkeypatch))
    shape = torch.randn(ict.n_shape, generator=torch.Generator().manual_seed(5)) * 0.7
    true = make_motion(ict, shape, np.arange(FRAMES) / 20, MotionLimits(0.5, 0.25, 0.15, 0.03, 1.0), 3)
    there = convert(Motion(ict, true, torch.arange(FRAMES)), flame, correspondence(ict, flame))
    found = residuals_mm(
        Motion(ict, true, torch.arange(FRAMES)), flame, there.params.head(), there.offset, correspondence(ict, flame)
    )
    assert found["face"]["median"] < 0.3
    assert float(there.params.jaw_pose[:, 0].max()) > 0.05
    middle = replace(there.params.head(), static_offset=there.offset)
    back = convert(Motion(flame, middle, torch.arange(FRAMES)), ict, correspondence(flame, ict))
    last, face = replace(back.params.head(), static_offset=back.offset), ict.regions["face"]
    off = [(pose(ict, frame_params(true, t)) - pose(ict, frame_params(last, t)))[face].norm(dim=-1) for t in (0, 9, 30)]
    assert 1000 * float(torch.stack(off).mean()) < 0.5
    moving = [name for name in CURVES if float(true.expr[:, ict.expr_names.index(name)].std()) > 0.02]
    assert len(moving) >= 5
    for name in moving:
        column = ict.expr_names.index(name)
        assert np.corrcoef(true.expr[:, column], last.expr[:, column])[0, 1] > 0.95, name
