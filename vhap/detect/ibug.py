"""The 68 iBUG points and two iris centres among MediaPipe's 478."""

from __future__ import annotations

import numpy as np

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


def ibug_from_mediapipe(points: np.ndarray) -> np.ndarray:
    """(..., 478, D) -> (..., 70, D): 68 iBUG points, then the iris centres, 68 on the image's left.

    The jaw line follows MediaPipe's face oval, which lies on the surface; detectors trained on iBUG labels
    follow the visible outline of a turned face instead.
    """
    return points[..., MEDIAPIPE_OF_IBUG, :]
