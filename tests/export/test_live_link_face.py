"""Packets of the Live Link Face app's layout, read back by a reader that knows the layout only."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from vhap.export.blendshapes import ANGLES, ARKIT
from vhap.export.live_link_face import COLUMNS, frame_curves, has_curves, packet
from vhap.head.load import load_head
from vhap.head.model import zero_params

# EARFaceBlendShape of Unreal's plugin, as public readers of these packets list it.
UNREAL = [
    "EyeBlinkLeft",
    "EyeLookDownLeft",
    "EyeLookInLeft",
    "EyeLookOutLeft",
    "EyeLookUpLeft",
    "EyeSquintLeft",
    "EyeWideLeft",
    "EyeBlinkRight",
    "EyeLookDownRight",
    "EyeLookInRight",
    "EyeLookOutRight",
    "EyeLookUpRight",
    "EyeSquintRight",
    "EyeWideRight",
    "JawForward",
    "JawLeft",
    "JawRight",
    "JawOpen",
    "MouthClose",
    "MouthFunnel",
    "MouthPucker",
    "MouthLeft",
    "MouthRight",
    "MouthSmileLeft",
    "MouthSmileRight",
    "MouthFrownLeft",
    "MouthFrownRight",
    "MouthDimpleLeft",
    "MouthDimpleRight",
    "MouthStretchLeft",
    "MouthStretchRight",
    "MouthRollLower",
    "MouthRollUpper",
    "MouthShrugLower",
    "MouthShrugUpper",
    "MouthPressLeft",
    "MouthPressRight",
    "MouthLowerDownLeft",
    "MouthLowerDownRight",
    "MouthUpperUpLeft",
    "MouthUpperUpRight",
    "BrowDownLeft",
    "BrowDownRight",
    "BrowInnerUp",
    "BrowOuterUpLeft",
    "BrowOuterUpRight",
    "CheekPuff",
    "CheekSquintLeft",
    "CheekSquintRight",
    "NoseSneerLeft",
    "NoseSneerRight",
    "TongueOut",
    "HeadYaw",
    "HeadPitch",
    "HeadRoll",
    "LeftEyeYaw",
    "LeftEyePitch",
    "LeftEyeRoll",
    "RightEyeYaw",
    "RightEyePitch",
    "RightEyeRoll",
]


class Reader:
    """Byte by byte, big-endian."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, kind: str) -> Any:
        size = struct.calcsize(">" + kind)
        (value,), self.data = struct.unpack(">" + kind, self.data[:size]), self.data[size:]
        return value

    def text(self) -> str:
        length = self.take("i")
        text, self.data = self.data[:length].decode(), self.data[length:]
        return text


def read(data: bytes) -> dict[str, Any]:
    reader = Reader(data)
    found: dict[str, Any] = {"version": reader.take("B"), "device": reader.text(), "subject": reader.text()}
    found |= {"frame": reader.take("i"), "part": reader.take("f"), "rate": (reader.take("i"), reader.take("i"))}
    if reader.data:
        count = reader.take("B")
        found["curves"] = {name: reader.take("f") for name in UNREAL}
        assert count == len(UNREAL) == 61
    assert not reader.data
    return found


def test_a_packet_holds_every_curve_under_its_name():
    curves = np.arange(61) / 100
    found = read(packet("D" * 36, "Anna Ω", 3.25, Fraction(30000, 1001), curves))
    assert found["version"] == 6
    assert found["device"] == "D" * 36
    assert found["subject"] == "Anna Ω"
    assert found["rate"] == (30000, 1001)
    assert found["frame"] + found["part"] == pytest.approx(3.25 * 30000 / 1001, abs=1e-5)
    assert found["curves"] == pytest.approx(dict(zip(COLUMNS, curves)), abs=1e-6)
    # The app's CSV has right before left where Unreal's enumeration has left before right.
    assert found["curves"]["JawLeft"] == pytest.approx(curves[COLUMNS.index("JawLeft")])


def test_a_packet_without_a_head_ends_after_the_rate():
    found = read(packet("device", "subject", 0.0, Fraction(25), None))
    assert "curves" not in found
    assert found["rate"] == (25, 1)


def test_frames_are_counted_anew_after_a_day():
    assert read(packet("d", "s", 86400 + 1, Fraction(25), None))["frame"] == 25


def test_curves_are_the_heads_own_coefficients_and_angles():
    head = load_head("builtin")
    assert has_curves(head.expr_names)
    blink = head.expr_names.index("eyeBlink_L")
    params = zero_params(head, (1,))
    expr = params.expr.clone()
    expr[0, blink] = 1.4
    params = replace(params, expr=expr, rotation=torch.tensor([[0.0, 0.3, 0.0]]), neck_pose=torch.tensor([[0, 0.1, 0]]))
    found = dict(zip(COLUMNS, frame_curves(head.expr_names, params)))
    assert len(found) == len(ARKIT) + len(ANGLES) == 61
    assert found["EyeBlinkLeft"] == 1
    assert found["EyeBlinkRight"] == 0
    assert found["HeadYaw"] == pytest.approx(0.4, abs=1e-5)
    assert found["HeadPitch"] == pytest.approx(0, abs=1e-5)


def test_heads_without_arkits_names_have_no_curves():
    assert not has_curves(())
    assert not has_curves(("one", "two"))
