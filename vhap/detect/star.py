"""STAR (Zhou et al., CVPR 2023): the 68 iBUG points; a package and checkpoint that users install themselves.

The package has no function that predicts: its network is built from its configuration and called here, on the crop
that it was trained on.
"""

from __future__ import annotations

import contextlib
import os
import types
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vhap.detect.ibug import ibug_from_mediapipe
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.detect.torchscript import choose_device
from vhap.detect.weights import STAR_CHECKPOINT, find_weights
from vhap.util.errors import InputError, shown
from vhap.util.optional import import_or_explain

OTHERWISE = "choose another landmark_source; mediapipe needs neither package nor weights"
REMEDY = f"pip install git+https://github.com/ShenhanQian/STAR (see its authors' terms), or {OTHERWISE}"
N_POINTS = 68
CROP_PX = 256
BOX_UNIT_PX, BOX_MARGIN = 200, 1.05
"""The crop's side is the face box's shorter side times 1.05, in units of 200 px as the network's data had it."""
OUTER_EYE_CORNERS = (36, 45)


class FaceFinder(Protocol):
    """What says where faces are: MediaPipe's 478 points (478, 3) in px."""

    def faces(self, picture: np.ndarray) -> list[np.ndarray]: ...

    def face_at(self, picture: np.ndarray, centre: np.ndarray, size: float, roll: float) -> np.ndarray | None: ...


class StarLandmarks:
    """STAR's network on the faces that MediaPipe finds. Raises InputError where the package or its weights fail."""

    def __init__(self, device: str = "auto", finder: FaceFinder | None = None) -> None:
        with _explained("its modules"):
            import_or_explain("star", REMEDY)
            utility, asset = (import_or_explain(f"star.{name}", REMEDY) for name in ("lib.utility", "asset"))
        self._device = choose_device(device)
        self._network = _network(utility, _checkpoint(asset), self._device)
        self._finder = finder or MediapipeLandmarks()

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (68, 3) x, y px and 1 for each face."""
        found = [self._on_face(picture, points) for points in self._finder.faces(picture)]
        return [points for points in found if points is not None]

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The network where the finder sees the face again; None where it does not."""
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        across = points[OUTER_EYE_CORNERS[1], :2] - points[OUTER_EYE_CORNERS[0], :2]
        roll = float(np.arctan2(across[1], across[0]))
        found = self._finder.face_at(picture, (low + high) / 2, float((high - low).max()), roll)
        return None if found is None else self._on_face(picture, found)

    def confidence(self, points: np.ndarray) -> np.ndarray:
        """(68, 3) -> (68,): 1, since the network gives none."""
        return np.clip(points[:, 2], 0, 1)

    def _on_face(self, picture: np.ndarray, face: np.ndarray) -> np.ndarray | None:
        """face: MediaPipe's points. None where they have no extent."""
        import torch

        # Pixel centres stand at half integers here, at integers in the network's crop.
        rough = ibug_from_mediapipe(face)[:N_POINTS, :2] - 0.5
        zoom, shift = crop_of_box((*rough.min(0), *rough.max(0)))
        if zoom is None:
            return None
        source = torch.from_numpy(_cropped(picture, zoom, shift)).to(self._device)
        with _explained("its network"), torch.inference_mode():
            found = self._network(source)[-1][0].detach().cpu().numpy()
        if found.shape != (1, N_POINTS, 2):
            raise InputError(
                f"expected {N_POINTS} points from STAR's network, found an output of shape {found.shape}; "
                f"take a checkpoint of the 300W points, or {OTHERWISE}"
            )
        in_crop = ((found[0].astype(float) + 1) * CROP_PX - 1) / 2
        return np.column_stack([(in_crop - shift) / zoom + 0.5, np.ones(N_POINTS)])


def crop_of_box(box: tuple[float, float, float, float]) -> tuple[float | None, np.ndarray]:
    """Zoom and shift (2,): pixel of the crop = zoom * pixel + shift, pixel centres at integers; None without extent.

    box: x0, y0, x1, y1 around the 68 points. Its centre goes to the crop's.
    """
    low, high = np.array(box[:2], float), np.array(box[2:], float)
    side = float((high - low).min())
    if not side > 0:
        return None, np.zeros(2)
    zoom = CROP_PX / (side / BOX_UNIT_PX * BOX_MARGIN * BOX_UNIT_PX)
    return zoom, (CROP_PX - 1) / 2 - zoom * (low + high) / 2


def _cropped(picture: np.ndarray, zoom: float, shift: np.ndarray) -> np.ndarray:
    """(1, 3, 256, 256) float32 RGB in [-1, 1]; zeros (before scaling) outside the picture."""
    import cv2

    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    crop = cv2.warpAffine(picture, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return (crop.astype(np.float32) / 255 * 2 - 1).transpose(2, 0, 1)[None].copy()


def _checkpoint(asset: types.ModuleType) -> Path:
    """The environment's file, else the package's own, else the cache folder's."""
    own = getattr(asset, "model_path", None)
    if not os.environ.get(STAR_CHECKPOINT.variable) and own is not None and Path(own).is_file():
        return Path(own)
    return find_weights(STAR_CHECKPOINT, otherwise=OTHERWISE)


def _network(utility: Any, checkpoint: Path, device: Any) -> Any:
    """The network with its weights, ready for inference. The checkpoint is a pickle, read without running code."""
    import torch

    try:
        content = torch.load(checkpoint, map_location=device, weights_only=True)
        weights = content["net"]
    # A damaged or foreign file raises almost any exception.
    except Exception as error:
        raise InputError(
            f"expected a checkpoint of STAR with the key `net` at {checkpoint}, found "
            f"{shown(f'{type(error).__name__}: {error}')}; get it again, or {OTHERWISE}"
        ) from error
    with _explained("its configuration"):
        config = utility.get_config(Namespace(config_name="alignment"))
        config.device_id = device.index or 0 if device.type == "cuda" else -1
        utility.set_environment(config)
        config.init_instance()
        network = utility.get_net(config)
    with _explained(f"the weights of {checkpoint}"):
        network.load_state_dict(weights)
        return network.to(device).eval()


@contextlib.contextmanager
def _explained(part: str) -> Iterator[None]:
    """What the user's package raises, in one line."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = shown(f"{type(error).__name__}: {error}")
        raise InputError(f"expected the package star to work with {part}, found {reason}; {REMEDY}") from error
