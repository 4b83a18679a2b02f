"""The parts of a person that class maps tell apart: the 19 classes of CelebAMask-HQ."""

from __future__ import annotations

from enum import IntEnum


class FaceClass(IntEnum):
    """Left and right are the subject's: the left eye is on the image's right. MOUTH is what is between the lips."""

    BACKGROUND = 0
    SKIN = 1
    LEFT_BROW = 2
    RIGHT_BROW = 3
    LEFT_EYE = 4
    RIGHT_EYE = 5
    EYE_GLASSES = 6
    LEFT_EAR = 7
    RIGHT_EAR = 8
    EARRING = 9
    NOSE = 10
    MOUTH = 11
    UPPER_LIP = 12
    LOWER_LIP = 13
    NECK = 14
    NECKLACE = 15
    CLOTH = 16
    HAIR = 17
    HAT = 18
