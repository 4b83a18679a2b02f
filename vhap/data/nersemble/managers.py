"""Access to a downloaded dataset from Python, with the names of the official kit's data managers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from vhap.data.cameras.checks import Source, check_intrinsics, check_numbers, check_pose
from vhap.data.nersemble.catalogue import PARTICIPANT_ASSETS, SEQUENCE_NAMES, SERIALS, VIDEO
from vhap.data.nersemble.frames import OpenVideos
from vhap.data.nersemble.matrices import Intrinsics, Pose, intrinsics, world_to_camera
from vhap.util.errors import InputError
from vhap.util.files import read_json
from vhap.util.optional import import_or_explain

__all__ = [
    "SEQUENCE_NAMES",
    "SERIALS",
    "CameraParams",
    "NeRSembleDataManager",
    "NeRSembleParticipantDataManager",
    "correct_color",
]


Row = list[float]


class CalibrationFile(TypedDict):
    world_2_cam: dict[str, list[Row]]
    intrinsics: list[Row] | dict[str, list[Row]]


@dataclass(frozen=True)
class CameraParams:
    """world_2_cam: serial -> (4, 4), OpenCV axes, metres. intrinsics: (3, 3) in pixels of 2200 x 3208 pictures, shared
    by all cameras, or serial -> (3, 3) where the file has one for each. With dreifus installed they are its types,
    which answer the same."""

    world_2_cam: dict[str, Pose]
    intrinsics: Intrinsics | dict[str, Intrinsics]


def correct_color(image: np.ndarray, ccm: np.ndarray) -> np.ndarray:
    """A picture, (H, W, 3), with its camera's colour matrix (3, n) applied: uint8, or float64 of a float in [0, 1].

    As the official kit has it, float results are not clipped: colours outside of sRGB lie outside of [0, 1].
    """
    from vhap.data.color import correct_polynomial, correct_polynomial_unclipped

    return (correct_polynomial if image.dtype == np.uint8 else correct_polynomial_unclipped)(image, ccm)


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
        """Those with a folder here, by name; BACKGROUND, which has pictures only, is one of them."""
        folder = self._folder / f"{self._participant:03d}" / "sequences"
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in found if path.is_dir() and not path.name.startswith("."))

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
        """One frame, (H, W, 3) RGB: float64 in [0, 1] (corrected colours may lie outside), or uint8.

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
        content: dict[str, Any] = read_json(path, CalibrationFile)
        poses = {
            serial: world_to_camera(check_pose(rows, "world_2_cam", Source(f"camera {serial}", path)))
            for serial, rows in content["world_2_cam"].items()
        }
        given = content["intrinsics"]
        if isinstance(given, dict):
            by_camera = {serial: _intrinsics(rows, f"camera {serial}", path) for serial, rows in given.items()}
            return CameraParams(poses, by_camera)
        return CameraParams(poses, _intrinsics(given, "all cameras", path))

    def load_color_calibration(self) -> dict[str, np.ndarray]:
        """Serial -> (3, n) matrix."""
        path = Path(self.get_color_calibration_path())
        content: dict[str, list[Row]] = read_json(path, dict[str, list[Row]])
        widths = {serial: len(rows[0]) if rows else 0 for serial, rows in content.items()}
        return {
            serial: check_numbers(rows, (3, widths[serial]), "a colour matrix", Source(f"camera {serial}", path))
            for serial, rows in content.items()
        }

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


def _intrinsics(rows: object, of: str, path: Path) -> Any:
    return intrinsics(check_intrinsics(rows, "intrinsics", Source(of, path)))
