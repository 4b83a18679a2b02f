"""Folders of the benchmark, whole but tiny: every camera has its video, every file its format."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from scipy.spatial.transform import Rotation

from vhap.data.pictures import write_picture
from vhap.nersemble.benchmark import constants
from vhap.nersemble.benchmark.flame_tracking import FlameTracking
from vhap.synthetic.benchmark_writer import write_point_cloud
from vhap.synthetic.rig import arc_poses
from vhap.util.files import write_json

WIDTH, HEIGHT, FRAMES = 48, 64, 3
N_POINTS = 50


def make_nvs(root: Path, participant: int = 388, sequence: str = "GLASSES") -> Path:
    """The participant's folder: 13 cameras with videos, 16 calibrated ones, a cloud of the first timestep."""
    person = root / "nvs" / f"{participant:03d}"
    write_cameras(person, constants.SERIALS)
    for index, serial in enumerate(constants.BENCHMARK_NVS_TRAIN_SERIALS):
        write_videos(person / "sequences" / sequence, serial, index)
    write_cloud(person / "sequences" / sequence / "pointclouds" / "frame_00000.pcd")
    entry = {"sequence_name": sequence, "timesteps": list(range(FRAMES))}
    write_json(root / "nvs/metadata.json", {"sequences": {str(participant): entry}})
    return person


def make_mono(root: Path, participant: int, train: tuple[str, ...], test: tuple[str, ...] = ()) -> Path:
    """The participant's folder: sequences of one camera with its FLAME tracking; those of the test have this alone."""
    person = root / "mono_flame_avatar" / f"{participant:03d}"
    write_cameras(person, constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS)
    for index, sequence in enumerate((*train, *test)):
        folder = person / "sequences" / sequence
        if sequence in train:
            write_videos(folder, constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL, index)
        flame_tracking(index).save(folder / "tracking/flame2023_tracking_v2.npz")
    lengths = {sequence: {"n_frames": FRAMES} for sequence in (*train, *test)}
    of_participants = {str(participant): {"sequences_metadata": lengths}}
    write_json(root / "mono_flame_avatar/metadata.json", {"participants_metadata": of_participants})
    return person


def make_svfr(root: Path) -> None:
    """Two pictures of each person."""
    for participant, keys in constants.BENCHMARK_SVFR_IMAGE_KEYS.items():
        for sequence, timestep, serial in keys[:2]:
            folder = root / "svfr" / f"{participant:03d}" / f"{sequence}_{timestep}_{serial}"
            write_picture(folder / "rgb.png", np.full((16, 16, 3), participant % 256, np.uint8))


def write_cameras(person: Path, serials: list[str]) -> None:
    """On an arc before the origin, OpenCV axes; each with a principal point of its own."""
    poses = arc_poses(len(serials), np.random.default_rng(0))
    poses[:, 1:3] *= -1
    content = {"world_2_cam": {}, "intrinsics": {}}
    for index, (serial, pose) in enumerate(zip(serials, poses)):
        content["world_2_cam"][serial] = pose.tolist()
        content["intrinsics"][serial] = [[150, 0, 24 + index / 4], [0, 150, 32 - index / 4], [0, 0, 1]]
    write_json(person / "calibration" / "camera_params.json", content)


def write_videos(folder: Path, serial: str, index: int) -> None:
    """A picture of one colour of the camera's own, and a matte."""
    for kind, color in (("images", camera_rgb(index)), ("alpha_maps", (255, 255, 255))):
        path = folder / kind / f"cam_{serial}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = f"color=c=0x{bytes(color).hex()}:size={WIDTH}x{HEIGHT}:rate=73"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", source]
        options = ["-frames:v", str(FRAMES), "-pix_fmt", "yuv420p"]
        subprocess.run([*command, *options, str(path)], check=True)


def camera_rgb(index: int) -> tuple[int, int, int]:
    return (40 + 15 * index, 200 - 10 * index, 120)


def write_cloud(path: Path) -> None:
    rng = np.random.default_rng(1)
    normals = rng.standard_normal((N_POINTS, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    write_point_cloud(path, 0.1 * normals, normals, np.tile(np.uint8([250, 0, 250]), (N_POINTS, 1)))


def flame_tracking(seed: int) -> FlameTracking:
    rng = np.random.default_rng(seed)

    def rows(*shape: int) -> np.ndarray:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    angles = rows(FRAMES, 3)
    return FlameTracking(
        shape=rows(1, 300), expression=rows(FRAMES, 100), rotation=angles,
        rotation_matrices=Rotation.from_euler("XYZ", angles).as_matrix().astype(np.float32),
        translation=rows(FRAMES, 3), jaw=rows(FRAMES, 3), frames=np.arange(FRAMES), scale=np.ones((1, 1), np.float32),
        neck=rows(FRAMES, 3), eyes=rows(FRAMES, 6),
    )  # fmt: skip
