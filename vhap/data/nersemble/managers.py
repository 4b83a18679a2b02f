"""Access to a downloaded dataset from Python, with the names of the official kit's data managers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.data.nersemble.catalogue import PARTICIPANT_ASSETS, SERIALS, VIDEO
from vhap.data.nersemble.frames import OpenVideos
from vhap.util.errors import InputError
from vhap.util.files import read_json
from vhap.util.optional import import_or_explain


@dataclass(frozen=True)
class CameraParams:
    """world_2_cam: serial -> (4, 4), OpenCV axes, metres. intrinsics: (3, 3) in pixels of 2200 x 3208 pictures, shared
    by all cameras, or serial -> (3, 3) where the file has one for each."""

    world_2_cam: dict[str, np.ndarray]
    intrinsics: np.ndarray | dict[str, np.ndarray]


def correct_color(image: np.ndarray, ccm: np.ndarray) -> np.ndarray:
    """A picture, (H, W, 3) uint8 or float in [0, 1], with its camera's colour matrix (3, n) applied; same dtype."""
    from vhap.data.color import correct_polynomial

    if image.dtype == np.uint8:
        return correct_polynomial(image, ccm)
    # Single precision is far finer than what a picture's 8 bits tell.
    return correct_polynomial(image.astype(np.float32), ccm).astype(image.dtype)


class NeRSembleDataManager:
    def __init__(self, nersemble_folder: str | Path) -> None:
        self._folder = Path(nersemble_folder)

    def list_participants(self) -> list[int]:
        """Those with a folder here, ascending."""
        if not self._folder.is_dir():
            raise InputError(f"expected the downloaded dataset at {self._folder}, found no folder; correct the path")
        return sorted(int(path.name) for path in self._folder.iterdir() if path.is_dir() and path.name.isdecimal())


class NeRSembleParticipantDataManager:
    """One participant's recordings. Videos stay open, at most `max_open_videos` (a rig has 16 cameras)."""

    def __init__(self, nersemble_folder: str | Path, participant_id: int, max_open_videos: int = 16) -> None:
        self._folder = Path(nersemble_folder)
        self._participant = participant_id
        self._videos = OpenVideos(max_open_videos)

    def list_sequences(self) -> list[str]:
        """Those with at least one video here, by name."""
        folder = self._folder / f"{self._participant:03d}" / "sequences"
        return sorted({path.parents[1].name for path in folder.glob("*/images/cam_*.mp4")})

    def list_cameras(self, sequence_name: str) -> list[str]:
        """Serials whose video of the sequence is here, in the order of the rig."""
        folder = Path(self.get_images_path(sequence_name, SERIALS[0])).parent
        serials = [path.stem.removeprefix("cam_") for path in folder.glob("cam_*.mp4")]
        if not serials:
            raise InputError(f"expected videos cam_<serial>.mp4 in {folder}, found none; download the sequence")
        order = {serial: index for index, serial in enumerate(SERIALS)}
        return sorted(serials, key=lambda serial: (order.get(serial, len(order)), serial))

    def list_timesteps(self, sequence_name: str) -> list[int]:
        return list(range(self.get_n_timesteps(sequence_name)))

    def get_n_timesteps(self, sequence_name: str) -> int:
        """Frames of the sequence, in the first of its cameras."""
        return self._videos.count(Path(self.get_images_path(sequence_name, self.list_cameras(sequence_name)[0])))

    def load_image(
        self,
        sequence_name: str,
        serial: str,
        timestep: int,
        as_uint8: bool = False,
        apply_color_correction: bool = False,
        downscale_factor: float | None = None,
    ) -> np.ndarray:
        """One frame, (H, W, 3) RGB: float64 in [0, 1], or uint8.

        downscale_factor: 2 gives half the width and height (rounded half up), by Pillow's bilinear filter. Raises
        InputError where the video or the timestep is missing.
        """
        image = self._videos.read(Path(self.get_images_path(sequence_name, serial)), timestep)
        if downscale_factor is not None:
            image = _downscale(image, downscale_factor)
        if not as_uint8:
            image = image / 255.0
        return correct_color(image, self._color_matrix(serial)) if apply_color_correction else image

    def load_camera_calibration(self) -> CameraParams:
        path = Path(self.get_camera_calibration_path())
        content = read_json(path)
        try:
            poses = {serial: _matrix(rows, (4, 4)) for serial, rows in content["world_2_cam"].items()}
            shared = content["intrinsics"]
            if isinstance(shared, dict):
                return CameraParams(poses, {serial: _matrix(rows, (3, 3)) for serial, rows in shared.items()})
            return CameraParams(poses, _matrix(shared, (3, 3)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"expected world_2_cam of 4x4 and intrinsics of 3x3 numbers in {path}, found {error!r}; "
                "download it again"
            ) from error

    def load_color_calibration(self) -> dict[str, np.ndarray]:
        """Serial -> (3, n) matrix."""
        content = read_json(self.get_color_calibration_path())
        return {serial: np.array(rows, np.float64) for serial, rows in content.items()}

    def get_camera_calibration_path(self) -> str:
        return self._path(PARTICIPANT_ASSETS["calibration"])

    def get_color_calibration_path(self) -> str:
        return self._path(PARTICIPANT_ASSETS["color_calibration"])

    def get_images_path(self, sequence_name: str, serial: str) -> str:
        return self._path(VIDEO, sequence=sequence_name, serial=serial)

    def close(self) -> None:
        """Closes the videos; the next picture opens its own again."""
        self._videos.close()

    def _path(self, pattern: str, **names: str) -> str:
        return str(self._folder / pattern.format(participant=self._participant, **names))

    def _color_matrix(self, serial: str) -> np.ndarray:
        matrices = self.load_color_calibration()
        if serial not in matrices:
            raise InputError(
                f"expected a colour matrix for camera {serial} in {self.get_color_calibration_path()}, found those of "
                f"{', '.join(matrices)}; load the picture without colour correction"
            )
        return matrices[serial]


def _downscale(image: np.ndarray, factor: float) -> np.ndarray:
    if not factor > 0:
        raise InputError(f"expected a downscale_factor above 0, found {factor}; correct it")
    pil = import_or_explain("PIL.Image", "pip install pillow")
    size = (max(1, int(image.shape[1] * (1 / factor) + 0.5)), max(1, int(image.shape[0] * (1 / factor) + 0.5)))
    return np.array(pil.fromarray(image).resize(size, resample=pil.Resampling.BILINEAR))


def _matrix(rows: object, shape: tuple[int, int]) -> np.ndarray:
    matrix = np.array(rows, np.float64)
    if matrix.shape != shape or not np.isfinite(matrix).all():
        raise ValueError(f"shape {matrix.shape}")
    return matrix
