"""The cameras of a participant of the NeRSemble benchmark as a picture, or as a page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vhap.config.benchmark import CamerasConfig
from vhap.data.nersemble.managers import CameraParams
from vhap.data.pictures import SUFFIXES, write_picture
from vhap.evaluate.rig_picture import draw_rig
from vhap.evaluate.rig_scene import RigCamera, RigScene
from vhap.nersemble.benchmark import constants
from vhap.nersemble.benchmark.flame_tracking import FlameProvider
from vhap.nersemble.benchmark.managers import MonoFlameAvatarDataManager, NVSDataManager
from vhap.nersemble.benchmark.metadata import NVSMetadata, metadata_path
from vhap.util.errors import InputError, shown
from vhap.util.log import get_logger
from vhap.viewer.rig_page import open_rig_page
from vhap.viewer.server import address, require_viser

HOLD_OUT = {
    "nvs": constants.BENCHMARK_NVS_HOLD_OUT_SERIALS,
    "mono_flame_avatar": constants.BENCHMARK_MONO_FLAME_AVATAR_HOLD_OUT_SERIALS,
}
SIZES = {"nvs": (1604, 1100), "mono_flame_avatar": (512, 512)}
"""(height, width) of the benchmark's pictures, for cameras of which none is here."""
FOCAL_LENGTHS = (0.05, 1000.0)
MESH_RGB = (90, 160, 110)
NO_POINTS = np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
Manager = NVSDataManager | MonoFlameAvatarDataManager


def wait_for_ever() -> None:
    """Until Ctrl-C."""
    while True:
        time.sleep(3600)


def run(config: CamerasConfig) -> Path:
    """Writes the picture and returns its path. InputError where cameras, or the timestep, are missing."""
    if config.output is not None and config.output.suffix.lower() not in SUFFIXES:
        raise InputError(f"expected {', '.join(SUFFIXES)} as the suffix of --output, found {config.output}; correct it")
    if config.view:
        require_viser()
    sequence, scene = read_scene(config)
    path = config.output or Path(f"cameras_{config.participant:03d}_{sequence}_{config.timestep:05d}.png")
    write_picture(path, draw_rig(scene, _title(config, sequence)))
    return path


def view(config: CamerasConfig, on_open: Callable[[str], None], wait: Callable[[], None] = wait_for_ever) -> None:
    """Shows the page while `wait` takes. on_open: gets its address. InputError as `run`, and without viser."""
    require_viser()
    sequence, scene = read_scene(config)
    server = open_rig_page(scene, _title(config, sequence), config.port)
    try:
        on_open(address(server))
        wait()
    finally:
        server.stop()


def read_scene(config: CamerasConfig) -> tuple[str, RigScene]:
    """Name of the sequence, and its cameras at the timestep. The log says what is not there."""
    manager = _open(config)
    try:
        params = manager.load_camera_calibration()
        sequence = config.sequence or _first_sequence(manager)
        pictures = _read_pictures(manager, params, sequence, config.timestep)
        points, colors = _read_points(config, manager, sequence)
    finally:
        manager.close()
    size = _common_size(pictures) or SIZES[config.benchmark]
    cameras = []
    for serial, pose in params.world_2_cam.items():
        camera = RigCamera(
            name=serial,
            K=np.array(params.intrinsics[serial], np.float64),
            T_camera_world=np.array(pose, np.float64),
            size=_size(pictures[serial]) if serial in pictures else size,
            picture=pictures.get(serial),
            is_held_out=serial in HOLD_OUT[config.benchmark],
        )
        _check_view(camera, manager.get_camera_calibration_path())
        cameras.append(camera)
    return sequence, RigScene(cameras, points, colors)


def _check_view(camera: RigCamera, path: str) -> None:
    """InputError for intrinsics whose frustum nobody could draw."""
    focal, centre = np.diag(camera.K)[:2] / max(camera.size), camera.K[:2, 2] / max(camera.size)
    low, high = FOCAL_LENGTHS
    if (focal < low).any() or (focal > high).any() or (np.abs(centre) > high).any():
        raise InputError(
            f"expected focal lengths of {low:g} to {high:g} times the pictures' longer side, and a principal point "
            f"near them, for camera {camera.name} in {path}, found {focal[0]:.3g} and {focal[1]:.3g}, and "
            f"{centre[0]:.3g} {centre[1]:.3g}; download it again"
        )


def _title(config: CamerasConfig, sequence: str) -> str:
    return f"{config.participant:03d} {sequence}, timestep {config.timestep}"


def _open(config: CamerasConfig) -> Manager:
    kind = NVSDataManager if config.benchmark == "nvs" else MonoFlameAvatarDataManager
    return kind(config.folder, config.participant)


def _first_sequence(manager: Manager) -> str:
    names = manager.list_sequences()
    found = next(filter(manager.has_sequence, names), None)
    if found is None:
        raise InputError(
            f"expected videos of a sequence beside {manager.get_camera_calibration_path()}, found none; download them, "
            "or name a --sequence"
        )
    return found


def _read_pictures(manager: Manager, params: CameraParams, sequence: str, timestep: int) -> dict[str, np.ndarray]:
    """Serial -> (H, W, 3) uint8, of the cameras that have a video."""
    serials = [serial for serial in params.world_2_cam if manager.has_video(sequence, serial)]
    if not serials:
        get_logger().warning("no videos of %s here: the frusta have no pictures", sequence)
    return {serial: manager.load_image(sequence, serial, timestep, as_uint8=True) for serial in serials}


def _read_points(config: CamerasConfig, manager: Manager, sequence: str) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(manager, NVSDataManager):
        return _read_cloud(config, manager, sequence)
    return _read_vertices(manager, sequence, config.timestep)


def _read_cloud(config: CamerasConfig, manager: NVSDataManager, sequence: str) -> tuple[np.ndarray, np.ndarray]:
    """points (N, 3), colors (N, 3) uint8; none where the file is not there."""
    number = _cloud_number(config, sequence)
    path = Path(manager.get_pointcloud_path(sequence, number))
    if not path.is_file():
        get_logger().warning("no point cloud at %s: shown without (--pointcloud_frames %d downloads it)", path, number)
        return NO_POINTS
    points, colors, _ = manager.load_pointcloud(sequence, number)
    measured = np.isfinite(points).all(1)
    colors = colors if len(colors) else np.full_like(points, 0.5)
    return points[measured].astype(np.float64), np.rint(colors[measured] * 255).astype(np.uint8)


def _cloud_number(config: CamerasConfig, sequence: str) -> int:
    """The number in the name of the file that belongs to a frame; the metadata, where they are there, have them."""
    if not metadata_path(config.folder, "nvs").is_file():
        return config.timestep
    of_participant = NVSMetadata.load(config.folder).sequences.get(config.participant)
    if of_participant is None or of_participant.sequence_name != sequence:
        return config.timestep
    if config.timestep >= len(of_participant.timesteps):
        raise InputError(
            f"expected a timestep of 0 to {len(of_participant.timesteps) - 1} of {shown(sequence)}, found "
            f"{config.timestep}; correct it"
        )
    return of_participant.timesteps[config.timestep]


def _read_vertices(manager: MonoFlameAvatarDataManager, sequence: str, timestep: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the FLAME tracking in one colour; none without FLAME 2023, or without the tracking."""
    from vhap.head.load import find_flame

    path = Path(manager.get_flame_tracking_path(sequence))
    if not path.is_file() or find_flame(None) is None:
        missing = f"FLAME tracking at {path}" if not path.is_file() else "FLAME file (VHAP_FLAME_MODEL)"
        get_logger().warning("no %s: shown without the head's vertices", missing)
        return NO_POINTS
    tracking = manager.load_flame_tracking(sequence)
    try:
        provider = FlameProvider(tracking)
    except InputError as error:
        get_logger().warning("shown without the head's vertices: %s", error)
        return NO_POINTS
    vertices = provider.get_vertices(timestep).astype(np.float64)
    return vertices, np.tile(np.array(MESH_RGB, np.uint8), (len(vertices), 1))


def _common_size(pictures: dict[str, np.ndarray]) -> tuple[int, int] | None:
    """(height, width) of most pictures; None where there are none."""
    counts = Counter(map(_size, pictures.values()))
    return counts.most_common(1)[0][0] if counts else None


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]
