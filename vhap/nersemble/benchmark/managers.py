"""Access to the downloaded benchmark from Python, with the names of the official kit's data managers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.data.nersemble.catalogue import SERIALS
from vhap.data.nersemble.frames import OpenVideos
from vhap.data.nersemble.managers import CameraParams, NeRSembleParticipantDataManager
from vhap.data.pictures import read_rgb
from vhap.nersemble.benchmark.constants import FLAME_TRACKING_CURRENT_VERSION, FLAME_TRACKING_VERSION_MAPPING
from vhap.nersemble.benchmark.flame_tracking import FlameTracking
from vhap.nersemble.benchmark.point_clouds import read_pcd
from vhap.util.errors import InputError, shown
from vhap.util.optional import import_or_explain

MOST_OPEN_VIDEOS = 32
"""The pictures and the alpha maps of 16 cameras."""
SERIAL = re.compile(r"[A-Za-z0-9_-]{1,64}")
IMAGE_FOLDER = re.compile(r"([a-zA-Z0-9\-_+]+)_([0-9]+)_([0-9]+)")


class BaseDataManager:
    """One participant's videos of one benchmark. Videos stay open, so that each is opened once."""

    def __init__(self, benchmark_folder: str | Path, benchmark_type: str, participant_id: int) -> None:
        self._folder = Path(benchmark_folder) / benchmark_type
        self._participant = participant_id
        self._videos = OpenVideos(MOST_OPEN_VIDEOS)

    def load_camera_calibration(self) -> CameraParams:
        """Both by serial, hold-out cameras included: world_2_cam (4, 4), OpenCV axes, metres; intrinsics (3, 3) in
        pixels of the benchmark's own pictures. InputError where a camera has only one of them, or no proper serial."""
        path = self.get_camera_calibration_path()
        params = NeRSembleParticipantDataManager(self._folder, self._participant).load_camera_calibration()
        if not isinstance(params.intrinsics, dict):
            raise InputError(
                f"expected intrinsics of each camera in {path}, found one for all, as the dataset has; download the "
                "benchmark's file"
            )
        if odd := sorted(set(params.world_2_cam) ^ set(params.intrinsics)):
            raise InputError(
                f"expected a pose and intrinsics of each camera in {path}, found only one of them for "
                f"{shown(', '.join(odd))}; download it again"
            )
        if not params.world_2_cam:
            raise InputError(f"expected cameras in {path}, found none; download it again")
        # Serials become parts of paths.
        if wrong := [serial for serial in params.world_2_cam if not SERIAL.fullmatch(serial)]:
            raise InputError(f"expected serials of cameras in {path}, found {shown(wrong[0])}; download it again")
        return params

    def list_timesteps(self, sequence_name: str) -> list[int]:
        return list(range(self.get_n_timesteps(sequence_name)))

    def list_sequences(self) -> list[str]:
        """Those with a folder here, by name. Those of a test have no videos."""
        folder = self._person / "sequences"
        if not folder.is_dir():
            raise InputError(f"expected sequences of participant {self._participant} in {folder}, found none; download")
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))

    def list_serials(self, sequence_name: str) -> list[str]:
        """Cameras whose video of the sequence is here, in the order of the rig."""
        serials = self._serials(sequence_name)
        if not serials:
            folder = self._sequence(sequence_name) / "images"
            raise InputError(f"expected videos cam_<serial>.mp4 in {folder}, found none; download the sequence")
        return serials

    def get_n_timesteps(self, sequence_name: str) -> int:
        """Frames of the sequence, in the first of its cameras."""
        return self._videos.count(Path(self.get_images_path(sequence_name, self.list_serials(sequence_name)[0])))

    def load_alpha_map(self, sequence_name: str, serial: str, timestep: int) -> np.ndarray:
        """(H, W, 1) uint8, 255 where the person is."""
        return self._videos.read(Path(self.get_alpha_maps_path(sequence_name, serial)), timestep)[..., :1]

    def load_image(
        self,
        sequence_name: str,
        serial: str,
        timestep: int,
        *flags: bool,
        as_uint8: bool | None = None,
        apply_alpha_map: bool | None = None,
    ) -> np.ndarray:
        """One frame, (H, W, 3) RGB, float64 in [0, 1], or uint8. Pictures are over white already.

        apply_alpha_map: lays the picture over white once more by its alpha map, which changes soft edges alone.
        Both states of the kit can be called: one argument after timestep is as_uint8, as in the current one; two, or
        one beside as_uint8=, begin with apply_alpha_map, as in the first one. InputError where the video or the
        timestep is missing.
        """
        as_uint8, apply_alpha_map = _flags(flags, as_uint8, apply_alpha_map)
        image = self._videos.read(Path(self.get_images_path(sequence_name, serial)), timestep)
        if apply_alpha_map:
            return self._over_white(image, sequence_name, serial, timestep, as_uint8)
        return image if as_uint8 else image / 255.0

    def load_all_images(
        self,
        sequence_name: str,
        serial: str,
        *flags: bool | int | None,
        as_uint8: bool | None = None,
        every_nth_frame: int | None = None,
        scale: float | None = None,
        apply_alpha_map: bool | None = None,
    ) -> list[np.ndarray]:
        """All frames of a camera, or the first and every n-th after it, as `load_image` gives them.

        scale: 0.5 gives half the width and height (rounded half up), by Pillow's bilinear filter. Arguments after
        serial are as_uint8, every_nth_frame, scale as in the current kit; where the second is True or False they are
        apply_alpha_map, as_uint8 as in the first state.
        """
        in_first_state = (len(flags) == 2 and isinstance(flags[1], bool)) or (len(flags) == 1 and as_uint8 is not None)
        if len(flags) > 1 and not in_first_state:
            if len(flags) > 3 or every_nth_frame is not None or (len(flags) == 3 and scale is not None):
                raise TypeError("load_all_images has as_uint8, every_nth_frame and scale after serial, each once")
            every_nth_frame, scale = flags[1], flags[2] if len(flags) == 3 else scale
            flags = flags[:1]
        as_uint8, apply_alpha_map = _flags(flags, as_uint8, apply_alpha_map)
        step = 1 if every_nth_frame is None else every_nth_frame
        if step < 1 or not (scale is None or scale > 0):
            raise InputError(
                f"expected an every_nth_frame of at least 1 and a scale above 0, found {every_nth_frame} and {scale}; "
                "correct them"
            )
        count = self._videos.count(Path(self.get_images_path(sequence_name, serial)))
        images = []
        for timestep in range(0, count, step):
            image = self.load_image(sequence_name, serial, timestep, as_uint8=True)
            if scale is not None:
                image = _resize(image, scale)
            if apply_alpha_map:
                image = self._over_white(image, sequence_name, serial, timestep, as_uint8, scale)
            elif not as_uint8:
                image = image / 255.0
            images.append(image)
        return images

    def has_sequence(self, sequence_name: str) -> bool:
        """Whether a video of it is here."""
        return bool(self._serials(sequence_name))

    def has_video(self, sequence_name: str, serial: str) -> bool:
        return Path(self.get_images_path(sequence_name, serial)).exists()

    def get_camera_calibration_path(self) -> str:
        return str(self._person / "calibration" / "camera_params.json")

    def get_images_path(self, sequence_name: str, serial: str) -> str:
        return str(self._sequence(sequence_name) / "images" / f"cam_{serial}.mp4")

    def get_alpha_maps_path(self, sequence_name: str, serial: str) -> str:
        return str(self._sequence(sequence_name) / "alpha_maps" / f"cam_{serial}.mp4")

    def close(self) -> None:
        """Closes the videos; the next picture opens its own again."""
        self._videos.close()

    @property
    def _person(self) -> Path:
        return self._folder / f"{self._participant:03d}"

    def _sequence(self, sequence_name: str) -> Path:
        return self._person / "sequences" / sequence_name

    def _serials(self, sequence_name: str) -> list[str]:
        found = (self._sequence(sequence_name) / "images").glob("cam_*.mp4")
        order = {serial: index for index, serial in enumerate(SERIALS)}
        serials = [path.stem.removeprefix("cam_") for path in found]
        return sorted(serials, key=lambda serial: (order.get(serial, len(order)), serial))

    def _over_white(
        self, image: np.ndarray, sequence: str, serial: str, timestep: int, as_uint8: bool, scale: float | None = None
    ) -> np.ndarray:
        alpha = self.load_alpha_map(sequence, serial, timestep)
        if scale is not None:
            alpha = _resize(np.repeat(alpha, 3, axis=2), scale)[..., :1]
        if alpha.shape[:2] != image.shape[:2]:
            raise InputError(
                f"expected alpha maps of {image.shape[1]} x {image.shape[0]}, the pictures' size, in "
                f"{self.get_alpha_maps_path(sequence, serial)}, found {alpha.shape[1]} x {alpha.shape[0]}; download "
                "both again"
            )
        share = alpha / 255.0
        mixed = share * (image / 255.0) + (1 - share)
        return np.clip(mixed * 255, 0, 255).astype(np.uint8) if as_uint8 else mixed


class NVSDataManager(BaseDataManager):
    """Novel view synthesis: 13 cameras of one sequence, of each participant."""

    def __init__(self, benchmark_folder: str | Path, participant_id: int) -> None:
        super().__init__(benchmark_folder, "nvs", participant_id)

    def load_pointcloud(self, sequence_name: str, timestep: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """points in metres, in the world of the cameras; colors in [0, 1]; normals; each (N, 3) float32."""
        return read_pcd(self.get_pointcloud_path(sequence_name, timestep))

    def get_pointcloud_path(self, sequence_name: str, timestep: int) -> str:
        return str(self._sequence(sequence_name) / "pointclouds" / f"frame_{timestep:05d}.pcd")


class MonoFlameAvatarDataManager(BaseDataManager):
    """Monocular FLAME avatars: one camera and FLAME's numbers; the sequences of the test have these alone."""

    def __init__(self, benchmark_folder: str | Path, participant_id: int) -> None:
        super().__init__(benchmark_folder, "mono_flame_avatar", participant_id)

    def load_flame_tracking(self, sequence_name: str, version: int = FLAME_TRACKING_CURRENT_VERSION) -> FlameTracking:
        return FlameTracking.load(self.get_flame_tracking_path(sequence_name, version))

    def get_flame_tracking_path(self, sequence_name: str, version: int = FLAME_TRACKING_CURRENT_VERSION) -> str:
        if version not in FLAME_TRACKING_VERSION_MAPPING:
            known = ", ".join(map(str, FLAME_TRACKING_VERSION_MAPPING))
            raise InputError(f"expected a version of the FLAME tracking of {known}, found {version}; correct it")
        return str(self._sequence(sequence_name) / "tracking" / f"{FLAME_TRACKING_VERSION_MAPPING[version]}.npz")


@dataclass(frozen=True)
class ImageKey:
    """One picture of the single-view benchmark."""

    sequence_name: str
    timestep: int
    serial: str

    def to_key(self) -> str:
        """The picture's folder in a submission: the timestep has three digits there, unlike in the download."""
        return f"{self.sequence_name}_{self.timestep:03d}_{self.serial}"


class SVFRDataManager:
    """Single-view face reconstruction: pictures of 512 x 512."""

    def __init__(self, benchmark_folder: str | Path, participant_id: int) -> None:
        self._folder = Path(benchmark_folder) / "svfr" / f"{participant_id:03d}"

    def list_image_keys(self) -> list[ImageKey]:
        """Those with a folder here, in the order of the folders' names."""
        if not self._folder.is_dir():
            raise InputError(f"expected pictures of a participant at {self._folder}, found none; download them")
        names = sorted(path.name for path in self._folder.iterdir() if path.is_dir())
        found = (IMAGE_FOLDER.fullmatch(name) for name in names)
        return [ImageKey(match[1], int(match[2]), match[3]) for match in found if match]

    def get_asset_folder(self, image_key: ImageKey) -> str:
        return str(self._folder / f"{image_key.sequence_name}_{image_key.timestep}_{image_key.serial}")

    def load_image(self, image_key: ImageKey) -> np.ndarray:
        """(512, 512, 3) uint8 RGB."""
        return read_rgb(Path(self.get_asset_folder(image_key)) / "rgb.png")


def _flags(
    flags: tuple[bool | int | None, ...], as_uint8: bool | None, apply_alpha_map: bool | None
) -> tuple[bool, bool]:
    """as_uint8, apply_alpha_map of both ways of calling. TypeError where one of them is given twice."""
    if len(flags) == 2 or (len(flags) == 1 and as_uint8 is not None):
        if apply_alpha_map is not None or (len(flags) == 2 and as_uint8 is not None):
            raise TypeError("as_uint8 and apply_alpha_map can each be given once")
        return bool(flags[1] if len(flags) == 2 else as_uint8), bool(flags[0])
    if len(flags) > 2:
        raise TypeError(f"as_uint8 and apply_alpha_map are two arguments, found {len(flags)}")
    return bool(flags[0] if flags else as_uint8), bool(apply_alpha_map)


def _resize(image: np.ndarray, scale: float) -> np.ndarray:
    pil = import_or_explain("PIL.Image", "pip install pillow")
    size = (max(1, int(image.shape[1] * scale + 0.5)), max(1, int(image.shape[0] * scale + 0.5)))
    return np.array(pil.fromarray(image).resize(size, resample=pil.Resampling.BILINEAR))
