"""Outlines of the parts of a face among MediaPipe's 478 points, filled as class numbers."""

from __future__ import annotations

import numpy as np

from vhap.relightable.class_completion import FacePlace
from vhap.relightable.class_maps import FaceClass
from vhap.util.optional import import_or_explain

# Closed outlines of indices among MediaPipe's points (canonical_face_model_uv_visualization in MediaPipe's repository).
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
NOSE = (168, 122, 174, 198, 49, 48, 64, 98, 97, 2, 326, 327, 294, 278, 279, 420, 399, 351)
UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78)
LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95, 78)
MOUTH = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
PARTS = (
    (FaceClass.LEFT_BROW, LEFT_BROW),
    (FaceClass.RIGHT_BROW, RIGHT_BROW),
    (FaceClass.LEFT_EYE, LEFT_EYE),
    (FaceClass.RIGHT_EYE, RIGHT_EYE),
    (FaceClass.MOUTH, MOUTH),
    (FaceClass.UPPER_LIP, UPPER_LIP),
    (FaceClass.LOWER_LIP, LOWER_LIP),
    (FaceClass.NOSE, NOSE),
)
"""In the order in which they are drawn: lips lie over the mouth's interior, the nose of a turned face over an eye."""
JAW = (172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397)
OUTER_EYE_CORNERS, CHIN = (33, 263), 152
NECK_LENGTH, NECK_TAPER = 0.75, 0.95
"""Of the neck below the jaw: in distances from the eyes to the chin, and the width at its lower end in the jaw's."""
IBUG_PARTS = (
    (FaceClass.RIGHT_EYE, (36, 37, 38, 39, 40, 41)),
    (FaceClass.LEFT_EYE, (42, 43, 44, 45, 46, 47)),
    (FaceClass.MOUTH, (60, 61, 62, 63, 64, 65, 66, 67)),
    (FaceClass.UPPER_LIP, (48, 49, 50, 51, 52, 53, 54, 64, 63, 62, 61, 60)),
    (FaceClass.LOWER_LIP, (48, 59, 58, 57, 56, 55, 54, 64, 65, 66, 67, 60)),
)
IBUG_BROWS = ((FaceClass.RIGHT_BROW, (17, 18, 19, 20, 21)), (FaceClass.LEFT_BROW, (22, 23, 24, 25, 26)))
BROW_HEIGHT = np.array([0.0, 0.06, 0.08, 0.09, 0.09])
"""Of a brow below its iBUG points, from its outer end to its inner one, in distances from the eyes to the chin."""
IBUG_OUTER_EYE_CORNERS, IBUG_CHIN = (36, 45), 8
SUBPIXEL_BITS = 6


def place_of(points: np.ndarray) -> FacePlace:
    """Where a face is, from its 478 points (478, 2 or more) px."""
    return FacePlace(points[list(OUTER_EYE_CORNERS), :2].mean(0), points[CHIN, :2])


def draw_parts(classes: np.ndarray, points: np.ndarray) -> None:
    """Draws brows, eyes, lips, the mouth's interior and the nose into a class map (H, W), in place.

    points: (478, 2 or more) px, pixel centres at half integers. A part that is turned away, or of an eye that is shut,
    has no area and is not drawn.
    """
    for number, outline in PARTS:
        fill(classes, points[list(outline), :2], int(number))


def place_of_ibug(points: np.ndarray) -> FacePlace:
    """Where a face is, from its 68 iBUG points (68 or more, 2) px."""
    return FacePlace(points[list(IBUG_OUTER_EYE_CORNERS), :2].mean(0), points[IBUG_CHIN, :2])


def draw_ibug_parts(classes: np.ndarray, points: np.ndarray) -> None:
    """As `draw_parts`, by the 68 iBUG points, which have no outline of the nose and only the upper edge of brows."""
    place = place_of_ibug(points)
    for number, line in IBUG_BROWS:
        heights = BROW_HEIGHT if number == FaceClass.RIGHT_BROW else BROW_HEIGHT[::-1]
        upper = points[list(line), :2]
        lower = upper + heights[:, None] * (place.chin - place.eyes)
        fill(classes, np.concatenate([upper, lower[::-1]]), int(number))
    for number, outline in IBUG_PARTS:
        fill(classes, points[list(outline), :2], int(number))


def classes_from_points(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8: what 478 points tell of a face: skin up to the hairline, its parts, and a neck, whose end they do
    not know. Ears are not among them. points (478, 2 or more) px; size: (height, width)."""
    classes = np.zeros(size, np.uint8)
    place, jaw = place_of(points), points[list(JAW), :2]
    down = (place.chin - place.eyes) / place.size + (0, 1)
    # Half along the face and half straight down. The jaw's line, flattened, ends the neck.
    shift = down / max(float(np.linalg.norm(down)), 1e-6) * NECK_LENGTH * place.size
    end = jaw.mean(0) + (jaw - jaw.mean(0)) * (NECK_TAPER, 0.3) + shift
    fill(classes, np.concatenate([jaw, end[::-1]]), int(FaceClass.NECK))
    fill(classes, points[list(FACE_OVAL), :2], int(FaceClass.SKIN))
    draw_parts(classes, points)
    return classes


def fill(target: np.ndarray, outline: np.ndarray, value: int) -> None:
    """Fills a closed outline (K, 2) px in (H, W) uint8, in place: pixels whose centres lie inside, and its border."""
    cv2 = import_or_explain("cv2")
    steps = outline - np.roll(outline, 1, 0)
    area = np.abs((outline[:, 0] * steps[:, 1] - outline[:, 1] * steps[:, 0]).sum()) / 2
    if area < 1:
        return
    # Pixel centres stand at half integers here, at integers in OpenCV.
    fixed = np.round((outline - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillPoly(target, [fixed], value, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
