"""face-alignment (Bulat and Tzimiropoulos, ICCV 2017): the 68 iBUG points; an optional package."""

from __future__ import annotations

import numpy as np

from vhap.util.errors import InputError, shown
from vhap.util.optional import import_or_explain

REMEDY = "pip install 'vhap[face-alignment]', with numpy 2 as doc/packaging.md says"


class FaceAlignmentLandmarks:
    """2D FAN behind the S3FD face detector; the library fetches both networks at first use."""

    def __init__(self, device: str = "auto") -> None:
        import torch

        library = import_or_explain("face_alignment", REMEDY)
        chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        try:
            self._network = library.FaceAlignment(library.LandmarksType.TWO_D, flip_input=False, device=chosen)
        # A network that cannot be fetched is an OSError, a damaged file in the cache a RuntimeError or ValueError.
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                "expected the networks of face-alignment, found none that could be fetched and read "
                f"({shown(str(error))}); connect to the internet once, or copy them to torch's hub folder "
                f"({torch.hub.get_dir()}/checkpoints) and remove damaged ones there"
            ) from error

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (68, 3) x, y px and score in [0, 1] for each face."""
        return self._points(picture, None)

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The network on the box where the face stood; None where it is unsure of it."""
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        found = self._points(picture, [np.array([*low, *high, 1.0])])
        return found[0] if found and found[0][:, 2].mean() > 0.5 else None

    def confidence(self, points: np.ndarray) -> np.ndarray:
        """(68, 3) -> (68,) the network's heat map peaks."""
        return np.clip(points[:, 2], 0, 1)

    def _points(self, picture: np.ndarray, boxes: list[np.ndarray] | None) -> list[np.ndarray]:
        points, scores, _ = self._network.get_landmarks_from_image(
            picture, detected_faces=boxes, return_landmark_score=True
        ) or (None, None, None)
        # Pixel centres stand at half integers here, at integers in the library.
        return [np.column_stack([p[:, :2] + 0.5, s]) for p, s in zip(points or [], scores or [])]
