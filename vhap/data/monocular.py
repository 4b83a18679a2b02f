"""A recording of one camera: pictures, alpha maps and landmarks of one sequence folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.config.data import DataConfig
from vhap.data.frame_cache import DEFAULT_BYTES, Frame, FrameCache
from vhap.data.monocular_landmarks import landmark_set, point_count, read_points
from vhap.data.pictures import (
    BACKGROUNDS,
    common_size,
    composite,
    list_pictures,
    picture_size,
    read_alpha,
    read_rgb,
    require_shape,
    scaled_size,
    shrink,
    some_names,
)
from vhap.data.plausible import check_alpha_maps
from vhap.data.provenance import require_current
from vhap.data.sample import FrameBatch, landmarks_in_pixels, unit_floats
from vhap.data.sequence_folder import SequenceFolder, open_sequence
from vhap.data.subset import select_cameras, select_timesteps
from vhap.geometry.cameras import Camera, default_pose
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.log import get_logger


class MonocularCapture:
    """Implements vhap.data.sample.Capture for one camera, whose id is `0`.

    Everything but the pictures' pixels is checked on opening. Raises InputError where something is missing,
    of another size, or damaged. Landmarks must have been detected unless config.use_landmark is off.
    """

    def __init__(
        self, config: DataConfig, cache_bytes: int = DEFAULT_BYTES, await_mattes: Callable[[], object] | None = None
    ) -> None:
        """await_mattes: alpha maps are still being made; it is called before they are first looked at, returns when
        they are there, and then they are checked, too. None: they are there, or there are none."""
        sequence = open_sequence(config.root_folder, config.sequence, config.n_downsample_rgb)
        self.config = config
        self.folder = sequence.path
        self.timestep_indices = select_timesteps(config.subset, len(sequence.images))
        self.timestep_ids = [sequence.timestep_ids[index] for index in self.timestep_indices]
        self.camera_indices = select_cameras(config.subset, 1)
        self.camera_ids = [["0"][index] for index in self.camera_indices]
        self.image_paths = [sequence.images[name] for name in self.timestep_ids]
        self.file_size = common_size(self.image_paths)
        sequence.require_current_copies(self.timestep_ids)
        self.size = scaled_size(self.file_size, config.scale_factor)
        self._sequence, self._await_mattes = sequence, await_mattes
        has_mattes = await_mattes is not None or self.alpha_paths is not None
        composited = config.background_color is not None and has_mattes
        self.background_rgb = BACKGROUNDS[config.background_color or "white"] if composited else None
        self.landmark_set = landmark_set(config.landmark_source)
        # In pixels, since a long video's are in memory once.
        points = torch.from_numpy(self._read_landmarks(sequence))
        self._landmarks_px, self._confidence = landmarks_in_pixels(points, self.size)
        self._camera = self._read_camera(sequence)
        self._frames = FrameCache(self._read_frame, cache_bytes)

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        """Pictures of these timesteps (indices into timestep_ids); `cameras` can only name camera 0."""
        assert cameras is None or set(cameras) <= {0}, cameras
        if cameras is not None:
            timesteps = [timestep for timestep in timesteps for _ in cameras]
        frames = self._frames.get(timesteps)
        alpha = None
        if self.alpha_paths is not None:
            alpha = unit_floats(np.stack([frame.alpha for frame in frames if frame.alpha is not None]))
        return FrameBatch(
            timesteps=torch.tensor(timesteps, dtype=torch.long),
            cameras=torch.zeros(len(timesteps), dtype=torch.long),
            rgb=unit_floats(np.stack([frame.rgb for frame in frames])),
            alpha=alpha,
            landmarks_px=self._landmarks_px[timesteps],
            confidence=self._confidence[timesteps],
        )

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        """One picture with its alpha map."""
        assert camera == 0, camera
        return self._frames.get([timestep])[0]

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        """(T, 1, L, 2) px of the loaded pictures and confidence (T, 1, L): the capture's own, not to be written to."""
        return self._landmarks_px[:, None], self._confidence[:, None]

    def given_camera(self) -> Camera | None:
        """The camera with a leading axis of 1 where fx is given, else None."""
        return self._camera

    @cached_property
    def alpha_paths(self) -> list[Path] | None:
        """Alpha maps of the timesteps, checked; None where there are none. Waits for those that are being made."""
        if self._await_mattes is not None:
            self._await_mattes()
        return self._find_alpha_maps(self._sequence)

    def _find_alpha_maps(self, sequence: SequenceFolder) -> list[Path] | None:
        folder = sequence.path / "alpha_maps"
        found = list_pictures(folder)
        if not found:
            if self.config.use_alpha_map:
                raise InputError(
                    f"expected alpha maps in {folder}, found none; run `{command('preprocess-video')}` with "
                    "--matting_method, or leave out --data.use_alpha_map"
                )
            get_logger().info("no alpha maps in %s: the pictures keep their background", folder)
            return None
        missing = [name for name in self.timestep_ids if name not in found]
        if missing:
            raise InputError(
                f"expected an alpha map for each of {len(self.timestep_ids)} pictures in {folder}, found "
                "none for "
                f"{len(missing)} ({some_names(missing)}); run `{command('preprocess-video')}` again to complete them"
            )
        paths = [found[name] for name in self.timestep_ids]
        require_shape(common_size(paths), self.file_size, folder)
        check_alpha_maps(paths)
        remedy = f"run `{command('preprocess-video')}` again to make them again"
        full_size = {name: sequence.full_size_images[name] for name in self.timestep_ids}
        require_current(sequence.path, dict(zip(full_size, paths)), full_size, "alpha maps", remedy)
        return paths

    def _read_frame(self, timestep: int) -> Frame:
        rgb = read_rgb(self.image_paths[timestep])
        if rgb.shape[:2] != self.file_size:
            raise InputError(
                f"expected a picture of {self.file_size[1]}x{self.file_size[0]} at "
                f"{self.image_paths[timestep]}, found "
                f"{rgb.shape[1]}x{rgb.shape[0]}; it changed since the capture was opened, start again"
            )
        if self.alpha_paths is None:
            return Frame(shrink(rgb, self.size), None)
        alpha = shrink(read_alpha(self.alpha_paths[timestep]), self.file_size)
        if self.background_rgb is not None:
            rgb = composite(rgb, alpha, self.background_rgb)
        return Frame(shrink(rgb, self.size), shrink(alpha, self.size))

    def _read_landmarks(self, sequence: SequenceFolder) -> np.ndarray:
        """(T, L, 3) of the kept timesteps; zeros where landmarks are not used."""
        source = self.config.landmark_source
        if not self.config.use_landmark:
            return np.zeros((len(self.timestep_ids), point_count(source), 3), np.float32)
        return read_points(sequence, source)[self.timestep_indices]

    def _read_camera(self, sequence: SequenceFolder) -> Camera | None:
        config = self.config
        if config.fx is None:
            if config.calibrated or any(value is not None for value in (config.fy, config.cx, config.cy)):
                raise InputError(
                    "expected --data.fx with --data.calibrated, fy, cx or cy, found none; give fx, or none of them"
                )
            return None
        full = full_size(sequence)
        fy = config.fx if config.fy is None else config.fy
        cx = full[1] / 2 if config.cx is None else config.cx
        cy = full[0] / 2 if config.cy is None else config.cy
        if not (config.fx > 0 and fy > 0 and 0 <= cx <= full[1] and 0 <= cy <= full[0]):
            raise InputError(
                "expected fx, fy > 0 and the principal point inside the full-size picture "
                f"({full[1]}x{full[0]}), found "
                f"fx={config.fx} fy={fy} cx={cx} cy={cy}; give pixels of the full-size pictures"
            )
        y_scale, x_scale = self.size[0] / full[0], self.size[1] / full[1]
        scaled = {"fx": config.fx * x_scale, "fy": fy * y_scale, "cx": cx * x_scale, "cy": cy * y_scale}
        tensors = {name: torch.tensor([value], dtype=torch.float32) for name, value in scaled.items()}
        return Camera(**tensors, T_camera_world=default_pose()[None], height=self.size[0], width=self.size[1])


def full_size(sequence: SequenceFolder) -> tuple[int, int]:
    """(height, width) of a sequence's pictures before downsampling; where only smaller ones are there, by their N."""
    height, width = picture_size(next(iter(sequence.full_size_images.values())))
    if sequence.full_size_images is sequence.images and sequence.downsampled > 1:
        return height * sequence.downsampled, width * sequence.downsampled
    return height, width
