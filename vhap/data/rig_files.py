"""What a calibrated capture needs beside its cameras: which of them are used, alpha maps, landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.config.data import RigDataConfig
from vhap.data.cameras.rig import RigCameras, undistort_points
from vhap.data.monocular_landmarks import SOURCE_FILES, point_count, read_point_files
from vhap.data.pictures import common_size, require_shape, some_names
from vhap.data.plausible import check_alpha_maps
from vhap.data.provenance import Provenance, require_current
from vhap.data.rig_recording import ByCamera, RigRecording
from vhap.data.sequence_folder import copy_remedy
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.log import get_logger


def choose_cameras(
    config: RigDataConfig, recording: RigRecording, rig: RigCameras, allowed: list[str] | None
) -> list[str]:
    """Names of the cameras to use, in the order of the calibration.

    allowed: those of a division; None: all. InputError where a camera has no pictures, or pictures have no camera.
    """
    wanted = config.cameras or rig.names
    if unknown := [name for name in wanted if name not in rig.names]:
        raise InputError(
            f"expected cameras of the calibration ({some_names(list(rig.names))}), found {some_names(unknown)}; "
            "correct --data.cameras"
        )
    names = [name for name in rig.names if name in wanted and (allowed is None or name in allowed)]
    if not names:
        raise InputError(
            f"expected a camera in the chosen division, found none among {some_names(list(wanted))}; choose others "
            "with --data.division or --data.cameras"
        )
    if missing := [name for name in names if name not in recording.images]:
        raise InputError(
            f"expected pictures of each of {len(names)} cameras in {recording.images_folder}, found none of "
            f"{some_names(missing)}, but of {some_names(list(recording.images))}; add them, call both alike, or name "
            "the cameras to use with --data.cameras"
        )
    odd = [name for name in recording.images if name not in rig.names]
    if odd and not config.cameras:
        raise InputError(
            f"expected a calibrated camera for all pictures in {recording.images_folder}, found none for "
            f"{some_names(odd)}; calibrate them, or name the cameras to use with --data.cameras"
        )
    return names


def find_alpha_maps(
    config: RigDataConfig,
    recording: RigRecording,
    cameras: list[str],
    timesteps: list[str],
    sizes: list[tuple[int, int]],
) -> list[list[Path]] | None:
    """Files by camera and timestep; None where there are none at all. InputError where some are missing.

    sizes: (height, width) of each camera's pictures.
    """
    folder = recording.path / "alpha_maps"
    if not any(recording.alpha_maps.get(camera) for camera in cameras):
        if config.use_alpha_map:
            raise InputError(
                f"expected alpha maps in {folder}, found none; run `{command('preprocess-video')}` with "
                "--matting_method, or leave out --data.use_alpha_map"
            )
        get_logger().info("no alpha maps in %s: the pictures keep their background", folder)
        return None
    pairs = [(camera, timestep) for camera in cameras for timestep in timesteps]
    missing = [f"{t} of {camera}" for camera, t in pairs if t not in recording.alpha_maps.get(camera, {})]
    if missing:
        raise InputError(
            f"expected an alpha map for each of {len(pairs)} pictures in {folder}, found none for {len(missing)} "
            f"({some_names(missing)}); run `{command('preprocess-video')}` again to complete them"
        )
    paths = [[recording.alpha_maps[camera][timestep] for timestep in timesteps] for camera in cameras]
    for files, size in zip(paths, sizes):
        require_shape(common_size(files), size, files[0].parent)
    check_alpha_maps([path for files in paths for path in files])
    remedy = f"run `{command('preprocess-video')}` again to make them again"
    maps, pictures = (_flat(of, cameras, timesteps) for of in (recording.alpha_maps, recording.full_size_images))
    require_current(recording.path, maps, pictures, "alpha maps", remedy)
    return paths


def require_current_copies(recording: RigRecording, cameras: list[str], timesteps: list[str]) -> None:
    """InputError where smaller copies of ours are of other pictures than images/ holds now."""
    if recording.images is not recording.full_size_images:
        copies, pictures = (_flat(of, cameras, timesteps) for of in (recording.images, recording.full_size_images))
        require_current(recording.path, copies, pictures, "smaller copies", copy_remedy(recording.downsampled))


def _flat(files: ByCamera, cameras: list[str], timesteps: list[str]) -> dict[str, Path]:
    return {f"{timestep} of {camera}": files[camera][timestep] for camera in cameras for timestep in timesteps}


def read_landmarks(
    config: RigDataConfig, recording: RigRecording, rig: RigCameras, timesteps: list[str], sizes: list[tuple[int, int]]
) -> np.ndarray:
    """(T, C, L, 3) x / width, y / height, confidence, of pictures without distortion; zeros where not used.

    rig: the C cameras; timesteps: all of the recording; sizes: (height, width) of each camera's pictures. InputError
    where files are missing, do not fit, or no picture shows a face.
    """
    source = config.landmark_source
    if not config.use_landmark:
        return np.zeros((len(timesteps), len(rig.names), point_count(source), 3), np.float32)
    files = {
        name: {camera: recording.landmark_file(name, camera) for camera in rig.names} for name in SOURCE_FILES[source]
    }
    missing = [path for by_camera in files.values() for path in by_camera.values() if not path.is_file()]
    if missing:
        names = [str(path.relative_to(recording.path / "landmark2d")) for path in missing]
        raise InputError(
            f"expected landmarks of each camera in {recording.path / 'landmark2d'}, found none in {some_names(names)}; "
            f"detect them with `{command('preprocess-video')}` or choose another --data.landmark_source"
        )
    by_camera, made = [], Provenance(recording.path)
    for index, camera in enumerate(rig.names):
        pictures = made.sources(recording.full_size_images[camera])
        points = read_point_files({name: paths[camera] for name, paths in files.items()}, timesteps, source, pictures)
        by_camera.append(_without_distortion(points, rig, index, sizes[index]))
    stacked = np.stack(by_camera, 1)
    if not (stacked[..., 2] > 0).any():
        raise InputError(
            f"expected a face in some picture of {recording.path}, found none by {source}; check the pictures or try "
            "another --data.landmark_source"
        )
    return stacked


def _without_distortion(points: np.ndarray, rig: RigCameras, camera: int, size: tuple[int, int]) -> np.ndarray:
    if not rig.distortion[camera].any():
        return points
    seen = points[..., 2] > 0
    sides = np.array(size[::-1])
    moved = points.copy()
    moved[seen, :2] = undistort_points(rig, camera, points[seen, :2] * sides, size) / sides
    return moved
