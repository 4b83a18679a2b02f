"""The 68 iBUG points and two iris centres among MediaPipe's 478."""

from __future__ import annotations

import numpy as np

from vhap.util.optional import import_or_explain

# Indices among MediaPipe's points (canonical_face_model_uv_visualization in MediaPipe's repository), in iBUG order,
# the nearest to each; right and left are the subject's.
JAW_LINE = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
RIGHT_BROW, LEFT_BROW = (71, 63, 105, 66, 107), (336, 296, 334, 293, 301)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
RIGHT_EYE, LEFT_EYE = (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380)
OUTER_LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
INNER_LIPS = (78, 82, 13, 312, 308, 317, 14, 87)
IRIS_CENTRES = (468, 473)
MEDIAPIPE_OF_IBUG = np.array(
    (*JAW_LINE, *RIGHT_BROW, *LEFT_BROW, *NOSE, *RIGHT_EYE, *LEFT_EYE, *OUTER_LIPS, *INNER_LIPS, *IRIS_CENTRES)
)

FOREHEAD, CHIN, CHIN_INDEX = 10, 152, 8
RIGHT_CHEEK = [
    34, 143, 111, 116, 117, 118, 50, 101, 36, 205, 187, 123, 147, 213, 192, 214, 207, 216, 206, 212, 210, 202, 204,
    211, 194, 201, 208, 32, 171, 140, 170, 169, 135, 138, 215, 177, 137, 227,
]  # fmt: skip
LEFT_CHEEK = [
    264, 372, 340, 345, 346, 347, 280, 330, 266, 425, 411, 352, 376, 433, 416, 434, 427, 436, 426, 432, 430, 422, 424,
    431, 418, 421, 428, 262, 396, 369, 395, 394, 364, 367, 435, 401, 366, 447,
]  # fmt: skip
CHEEKS = [*JAW_LINE, *RIGHT_CHEEK, *LEFT_CHEEK, 175, 199, 200]
"""Where the outline of a turned face runs below the eyes: not the nose, which may stick out, nor the lips."""


def ibug_from_mediapipe(points: np.ndarray) -> np.ndarray:
    """(..., 478, D) -> (..., 70, D): 68 iBUG points, then the iris centres, 68 on the image's left.

    The jaw line follows MediaPipe's face oval, which lies on the surface; detectors trained on iBUG labels
    follow the visible outline of a turned face instead.
    """
    return points[..., MEDIAPIPE_OF_IBUG, :]


def with_visible_jaw(points: np.ndarray) -> np.ndarray:
    """(478, D >= 2) px of MediaPipe -> (70, D) as `ibug_from_mediapipe`, the jaw line on the face's visible outline.

    Points trained on iBUG labels stand there, and so do those of a fitted head whose jaw line slides with its turn. On
    the side that is turned away MediaPipe's face oval is hidden behind the cheek: there its points move outwards, at
    their height along the face, to the outline of the mesh. Seen from the front nothing changes.
    """
    found = ibug_from_mediapipe(points).copy()
    axis = points[CHIN, :2] - points[FOREHEAD, :2]
    length = float(np.linalg.norm(axis))
    if length == 0:
        return found
    down = axis / length
    aside = np.array([down[1], -down[0]])
    flat = points[CHEEKS, :2] @ np.column_stack([aside, down])
    cv2 = import_or_explain("cv2")
    outline = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(np.float64)
    edges = np.stack([outline, np.roll(outline, -1, axis=0)], 1)
    for index, jaw in enumerate(JAW_LINE):
        side = np.sign(index - CHIN_INDEX)
        own, height = points[jaw, :2] @ aside, float(points[jaw, :2] @ down)
        reach = side * (_crossings(edges, height) - own)
        if side and reach.size and reach.max() > 0:
            found[index, :2] += side * reach.max() * aside
    return found


def _crossings(edges: np.ndarray, height: float) -> np.ndarray:
    """Where edges (E, 2, 2) of x and y cross a height y."""
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    cross = (np.minimum(y0, y1) <= height) & (height <= np.maximum(y0, y1)) & (y0 != y1)
    share = (height - y0[cross]) / (y1 - y0)[cross]
    return x0[cross] + share * (x1 - x0)[cross]
