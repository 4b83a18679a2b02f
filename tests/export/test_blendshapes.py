"""Names of expressions against ARKit's, and the recording's clock."""

from __future__ import annotations

import pytest

from vhap.export.blendshapes import ANGLES, ARKIT, arkit_sources, timecode

LIVE_LINK_FACE = (
    "EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,EyeLookUpLeft,EyeSquintLeft,EyeWideLeft,EyeBlinkRight,"
    "EyeLookDownRight,EyeLookInRight,EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,JawForward,JawRight,"
    "JawLeft,JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,MouthSmileRight,"
    "MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,MouthStretchLeft,MouthStretchRight,"
    "MouthRollLower,MouthRollUpper,MouthShrugLower,MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,"
    "MouthLowerDownRight,MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,BrowOuterUpLeft,"
    "BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,TongueOut,HeadYaw,"
    "HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,RightEyePitch,RightEyeRoll"
)
ICT_ONCE = (
    "jawForward jawLeft jawOpen jawRight mouthClose mouthFunnel mouthLeft mouthPucker mouthRight mouthRollLower "
    "mouthRollUpper mouthShrugLower mouthShrugUpper"
)
ICT_SIDED = (
    "browDown browInnerUp browOuterUp cheekPuff cheekSquint eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp "
    "eyeSquint eyeWide mouthDimple mouthFrown mouthLowerDown mouthPress mouthSmile mouthStretch mouthUpperUp noseSneer"
)
"""The expressions of ICT-FaceKit, whose sided ones end in _L and _R."""


def test_columns_are_those_of_the_app() -> None:
    assert ",".join((*ARKIT, *ANGLES)) == LIVE_LINK_FACE


def test_every_expression_of_ict_has_one_column_and_only_the_tongue_is_lacking() -> None:
    names = ICT_ONCE.split() + [f"{name}_{side}" for name in ICT_SIDED.split() for side in "LR"]
    assert len(names) == 53
    sources = {column: [names[index] for index in found] for column, found in arkit_sources(names).items()}
    assert [column for column, found in sources.items() if not found] == ["TongueOut"]
    assert sorted(name for found in sources.values() for name in found) == sorted(names)
    assert sources["BrowInnerUp"] == ["browInnerUp_L", "browInnerUp_R"]
    assert sources["EyeBlinkRight"] == ["eyeBlink_R"]
    assert sources["JawLeft"] == ["jawLeft"]
    assert sources["MouthRight"] == ["mouthRight"]


def test_one_shape_for_both_sides_drives_both() -> None:
    sources = arkit_sources(["other", "mouthUpperUp"])
    assert {column for column, found in sources.items() if found == [1]} == {"MouthUpperUpLeft", "MouthUpperUpRight"}
    assert not any(arkit_sources(["other"]).values())


@pytest.mark.parametrize(
    ("time_s", "fps", "expected"),
    [
        (0.0, 25, "00:00:00:00.000"),
        (1.96, 25, "00:00:01:24.000"),
        (0.9999999, 25, "00:00:01:00.000"),
        (3725.5, 30, "01:02:05:15.000"),
        (0.5, 25, "00:00:00:12.500"),
        (1.0, 30000 / 1001, "00:00:01:00.000"),
    ],
)
def test_timecode_counts_frames_of_the_second(time_s: float, fps: float, expected: str) -> None:
    assert timecode(time_s, fps) == expected
