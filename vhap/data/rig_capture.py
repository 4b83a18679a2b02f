"""A recording of several calibrated cameras, whatever its folders look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vhap.config.data import RigDataConfig
from vhap.data.cameras.checks import Source, check_lens
from vhap.data.cameras.rig import RigCameras, align_to_axes, undistort_maps
from vhap.data.frame_cache import DEFAULT_BYTES, Frame, FrameCache
from vhap.data.monocular_landmarks import landmark_set
from vhap.data.pictures import (
    BACKGROUNDS,
    common_size,
    composite,
    read_alpha,
    read_rgb,
    same_shape,
    scaled_size,
    shrink,
)
from vhap.data.rig_files import choose_cameras, find_alpha_maps, read_landmarks, require_current_copies
from vhap.data.rig_recording import RigRecording
from vhap.data.sample import FrameBatch, landmarks_in_pixels, unit_floats
from vhap.data.subset import select_cameras, select_timesteps
from vhap.geometry.cameras import Camera
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

Correction = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) uint8 as stored -> the same with the camera's colours corrected."""


class RigCapture:
    """Implements vhap.data.sample.Capture for C calibrated cameras.

    Pictures of all cameras come at one size: the smallest height and the smallest width among the cameras, each axis
    shrunk by itself (never enlarged), and the intrinsics with them. Pictures of lenses with distortion are undistorted
    as they are read, landmarks with them.

    camera_indices: places of the kept cameras in the calibration.

    Everything but the pictures' pixels is checked on opening. Raises InputError where something is missing, of
    another size, or damaged. Landmarks must have been detected unless config.use_landmark is off.
    """

    def __init__(
        self,
        config: RigDataConfig,
        recording: RigRecording,
        rig: RigCameras,
        allowed: list[str] | None = None,
        corrections: Callable[[list[str]], Mapping[str, Correction]] | None = None,
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        """rig: the whole calibration. allowed: names that a division leaves; None: all. corrections: reads those of
        some cameras."""
        names = choose_cameras(config, recording, rig, allowed)
        self.config = config
        self.folder = recording.path
        self.camera_ids = [names[index] for index in select_cameras(config.subset, len(names))]
        self.camera_indices = [rig.names.index(name) for name in self.camera_ids]
        every = recording.timestep_ids(self.camera_ids)
        self.timestep_indices = select_timesteps(config.subset, len(every))
        self.timestep_ids = [every[index] for index in self.timestep_indices]
        self.image_paths = [[recording.images[name][t] for t in self.timestep_ids] for name in self.camera_ids]
        require_current_copies(recording, self.camera_ids, self.timestep_ids)
        self.file_sizes = [common_size(paths) for paths in self.image_paths]
        heights, widths = zip(*self.file_sizes)
        self.size = scaled_size((min(heights), min(widths)), config.scale_factor)
        self.alpha_paths = find_alpha_maps(config, recording, self.camera_ids, self.timestep_ids, self.file_sizes)
        composited = config.background_color is not None and self.alpha_paths is not None
        self.background_rgb = BACKGROUNDS[config.background_color or "white"] if composited else None
        self.landmark_set = landmark_set(config.landmark_source)
        self._whole_rig = rig
        self._rig = rig.select(self.camera_ids)
        self._camera = self._read_camera()
        points = read_landmarks(config, recording, self._rig, every, self.file_sizes)
        self._points = points[self.timestep_indices]
        self._corrections = {} if corrections is None else corrections(self.camera_ids)
        self._maps = [self._undistortion(index) for index in range(len(self.camera_ids))]
        self._frames = FrameCache(self._read_frame, cache_bytes)

    @property
    def T_aligned_world(self) -> np.ndarray:
        """(4, 4) the turn of the world that align_cameras_to_axes made (the identity without); its inverse maps results
        back into the calibration's world.

        It comes from all calibrated cameras, so that it does not depend on which of them are used. InputError where
        these look everywhere: all around a head only its landmarks tell the axes.
        """
        return align_to_axes(self._whole_rig)[1] if self.config.align_cameras_to_axes else np.eye(4)

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        """Pictures of these timesteps by all cameras or these, timestep-major; indices into timestep_ids and
        camera_ids."""
        chosen = list(range(len(self.camera_ids))) if cameras is None else cameras
        rows = torch.tensor(timesteps, dtype=torch.long).repeat_interleave(len(chosen))
        columns = torch.tensor(chosen, dtype=torch.long).repeat(len(timesteps))
        frames = self._frames.get((rows * len(self.camera_ids) + columns).tolist())
        alpha = None
        if self.alpha_paths is not None:
            alpha = unit_floats(np.stack([frame.alpha for frame in frames if frame.alpha is not None]))
        landmarks_px, confidence = landmarks_in_pixels(
            torch.from_numpy(self._points[rows.numpy(), columns.numpy()]), self.size
        )
        return FrameBatch(
            timesteps=rows,
            cameras=columns,
            rgb=unit_floats(np.stack([frame.rgb for frame in frames])),
            alpha=alpha,
            landmarks_px=landmarks_px,
            confidence=confidence,
        )

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        """One picture with its alpha map."""
        return self._frames.get([timestep * len(self.camera_ids) + camera])[0]

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        """(T, C, L, 2) px of the loaded pictures and confidence (T, C, L)."""
        return landmarks_in_pixels(torch.from_numpy(self._points), self.size)

    def given_camera(self) -> Camera | None:
        """The cameras in the aligned world with leading axis C at the loaded pictures' size; None where
        config.calibrated is off."""
        camera = self._camera
        return None if camera is None else camera.moved(torch.from_numpy(self.T_aligned_world)).to(torch.float32)

    def calibrated_camera(self) -> Camera | None:
        """As `given_camera`, in the world and the units of the calibration; float64."""
        return self._camera

    @property
    def unused_cameras(self) -> list[str]:
        """Names of the calibration's cameras whose pictures are not read."""
        return [name for name in self._whole_rig.names if name not in self.camera_ids]

    def other_camera(self, name: str) -> Camera:
        """One camera of the calibration, whether it has pictures or not, without a leading axis, in the calibration's
        world, for pictures of the size it was calibrated for; float64. InputError where there is none of that name."""
        return self._whole_rig.select([name]).camera(0, torch.float64)

    def check_lenses(self) -> None:
        """InputError where intrinsics cannot be those of the pictures that the calibration speaks of."""
        for index, name in enumerate(self._rig.names):
            height, width = self._rig.sizes[index].tolist()
            source = Source(f"camera {name}", f"the calibration of {self.folder}")
            check_lens(self._rig.K[index], self._rig.distortion[index], (height, width), source)

    def _read_camera(self) -> Camera | None:
        if not self.config.calibrated:
            if len(self.camera_ids) > 1:
                raise InputError(
                    f"expected given cameras for several views, found --data.no-calibrated with "
                    f"{len(self.camera_ids)}; leave it out, or choose one with --data.cameras"
                )
            return None
        sizes = zip(self.camera_ids, self.file_sizes, self._rig.sizes.tolist(), self.image_paths)
        for name, size, calibrated, paths in sizes:
            if not same_shape(size, tuple(calibrated)):
                raise InputError(
                    f"expected pictures of camera {name} in the shape it was calibrated for "
                    f"({calibrated[1]}x{calibrated[0]}), found {size[1]}x{size[0]} in {paths[0].parent}; "
                    "calibrate such pictures, or say which size was calibrated"
                )
        count = len(self.camera_ids)
        single = [self._rig.camera(index, torch.float64).resized(*self.size) for index in range(count)]
        names = ("fx", "fy", "cx", "cy", "T_camera_world")
        return replace(single[0], **{name: torch.stack([getattr(camera, name) for camera in single]) for name in names})

    def _undistortion(self, camera: int) -> tuple[np.ndarray, np.ndarray] | None:
        if not self._rig.distortion[camera].any():
            return None
        return undistort_maps(self._rig, camera, self.file_sizes[camera])

    def _read_frame(self, index: int) -> Frame:
        timestep, camera = divmod(index, len(self.camera_ids))
        path, size = self.image_paths[camera][timestep], self.file_sizes[camera]
        rgb = read_rgb(path)
        if rgb.shape[:2] != size:
            raise InputError(
                f"expected a picture of {size[1]}x{size[0]} at {path}, found {rgb.shape[1]}x{rgb.shape[0]}; it changed "
                "since the capture was opened, start again"
            )
        if correct := self._corrections.get(self.camera_ids[camera]):
            rgb = correct(rgb)
        rgb = self._undistorted(camera, rgb)
        if self.alpha_paths is None:
            return Frame(shrink(rgb, self.size), None)
        alpha = self._undistorted(camera, shrink(read_alpha(self.alpha_paths[camera][timestep]), size))
        if self.background_rgb is not None:
            rgb = composite(rgb, alpha, self.background_rgb)
        return Frame(shrink(rgb, self.size), shrink(alpha, self.size))

    def _undistorted(self, camera: int, picture: np.ndarray) -> np.ndarray:
        maps = self._maps[camera]
        if maps is None:
            return picture
        cv2 = import_or_explain("cv2")
        # What lies outside the stored picture repeats its border; there is no person as far as alpha goes.
        border = cv2.BORDER_CONSTANT if picture.ndim == 2 else cv2.BORDER_REPLICATE
        return cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=border)
