"""The benchmark's kinds of files: good ones, small, and what is done with each."""

from __future__ import annotations

import struct
import subprocess
import zipfile
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from scipy.spatial.transform import Rotation

from vhap.config.benchmark import CamerasConfig, ValidateConfig
from vhap.evaluate.rig_picture import draw_view, fitted_view
from vhap.head.flame import load_flame
from vhap.head.model import HeadModel
from vhap.nersemble.benchmark import constants
from vhap.nersemble.benchmark.flame_tracking import FlameProvider, FlameTracking
from vhap.nersemble.benchmark.mesh_submission import SVFRSubmissionDataReader, SVFRSubmissionDataWriter
from vhap.nersemble.benchmark.metadata import MonoFLAMEAvatarMetadata, NVSMetadata
from vhap.nersemble.benchmark.point_clouds import read_pcd
from vhap.nersemble.benchmark.video_submission import NVSSubmissionDataReader, get_video_path
from vhap.pipeline import benchmark_validate
from vhap.pipeline.benchmark_cameras import read_scene
from vhap.synthetic.benchmark_writer import write_point_cloud
from vhap.synthetic.rig import arc_poses
from vhap.util.files import write_json

FRAMES, N_POINTS = 3, 20
SIZE = (40, 60)


def benchmark(folder: Path) -> None:
    """Calibrated cameras without videos, clouds, metadata, FLAME tracking, submissions of each kind."""
    clouds(folder / "pcd")
    sequence = folder / "nvs/388/sequences/GLASSES"
    (sequence / "pointclouds").mkdir(parents=True)
    (sequence / "pointclouds/frame_00000.pcd").write_bytes((folder / "pcd/ascii.pcd").read_bytes())
    poses = arc_poses(4, np.random.default_rng(0))
    poses[:, 1:3] *= -1
    names = [*constants.BENCHMARK_NVS_HOLD_OUT_SERIALS, constants.BENCHMARK_NVS_TRAIN_SERIALS[0]]
    matrix = [[4000, 0, 550], [0, 4000, 802], [0, 0, 1]]
    cameras = {"world_2_cam": {n: p.tolist() for n, p in zip(names, poses)}, "intrinsics": {n: matrix for n in names}}
    write_json(folder / "nvs/388/calibration/camera_params.json", cameras)
    videos = constants.BENCHMARK_NVS_IDS_AND_SEQUENCES
    lengths = {str(number): {"sequence_name": name, "timesteps": [0, 3, 6]} for number, name in videos}
    write_json(folder / "nvs/metadata.json", {"sequences": lengths})
    names = {name: {"n_frames": 2} for name in constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST}
    people = {str(p): {"sequences_metadata": names} for p in constants.BENCHMARK_MONO_FLAME_AVATAR_IDS}
    write_json(folder / "mono_flame_avatar/metadata.json", {"participants_metadata": people})
    tracking().save(folder / "tracking.npz")
    submissions(folder / "zips")


def clouds(folder: Path) -> None:
    """One of each kind of DATA."""
    rng = np.random.default_rng(0)
    points, colors = 0.1 * rng.standard_normal((N_POINTS, 3)), rng.integers(0, 255, (N_POINTS, 3), np.uint8)
    write_point_cloud(folder / "binary.pcd", points, points, colors)
    header, body = (folder / "binary.pcd").read_bytes().split(b"DATA binary\n")
    values = np.frombuffer(body, "<f4").reshape(N_POINTS, -1)
    lines = "".join(" ".join(f"{value:.9g}" for value in row) + "\n" for row in values)
    (folder / "ascii.pcd").write_bytes(header + b"DATA ascii\n" + lines.encode())
    columns = values.T.tobytes()
    # Runs of literal bytes, and the last bytes as a reference to those before.
    packed = b"".join(
        bytes([len(part) - 1]) + part for part in (columns[k : k + 32] for k in range(0, len(columns), 32))
    )
    zeros = bytes(4 * N_POINTS)
    packed += bytes([0]) + b"\0" + bytes([7 << 5, len(zeros) - 1 - 9, 0])
    more = header.replace(b" rgb", b" rgb more").replace(b"SIZE", b"SIZE 4").replace(b"TYPE", b"TYPE F")
    more = more.replace(b"COUNT", b"COUNT 1")
    sizes = struct.pack("<II", len(packed), len(columns) + len(zeros))
    (folder / "compressed.pcd").write_bytes(more + b"DATA binary_compressed\n" + sizes + packed)


def tracking() -> FlameTracking:
    rng = np.random.default_rng(0)

    def rows(*shape: int) -> np.ndarray:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    angles = rows(FRAMES, 3)
    return FlameTracking(
        shape=rows(1, 300), expression=rows(FRAMES, 100), rotation=angles,
        rotation_matrices=Rotation.from_euler("XYZ", angles).as_matrix().astype(np.float32),
        translation=rows(FRAMES, 3), jaw=rows(FRAMES, 3), frames=np.arange(FRAMES), scale=np.ones((1, 1), np.float32),
        neck=rows(FRAMES, 3), eyes=rows(FRAMES, 6),
    )  # fmt: skip


def submissions(folder: Path) -> None:
    folder.mkdir()
    source = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi"]
    source += ["-i", "testsrc=size=64x48:rate=10:duration=0.3", "-pix_fmt", "yuv420p"]
    subprocess.run([*source, str(folder / "video.mp4")], check=True)
    for name, key in (("nvs", (388, "GLASSES", "222200046")), ("mono", (393, "FREE", "222200037"))):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            archive.write(folder / "video.mp4", get_video_path(*key))
    participant = constants.BENCHMARK_SVFR_IDS[0]
    with SVFRSubmissionDataWriter(folder / "svfr.zip") as writer:
        for key in constants.BENCHMARK_SVFR_IMAGE_KEYS[participant][:2]:
            writer.add_posed_mesh(participant, *key, triangle(), np.zeros((7, 3)))
        writer.add_neutral_mesh(participant, *key, triangle(), np.zeros((7, 3)))


def triangle():
    import trimesh

    return trimesh.Trimesh(np.eye(4, 3), [[0, 1, 2], [1, 2, 3]], process=False)


def use_cloud(path: Path) -> None:
    points, colors, normals = read_pcd(path)
    assert points.shape[1] == colors.shape[1] == normals.shape[1] == 3
    assert len(colors) in (0, len(points))


def use_metadata(path: Path) -> None:
    kind = NVSMetadata if path.parent.name == "nvs" else MonoFLAMEAvatarMetadata
    kind.load(path.parents[1])
    zips = path.parents[1] / "zips"
    name = "nvs" if path.parent.name == "nvs" else "mono"
    benchmark_validate.run(ValidateConfig(zips / f"{name}.zip", path.parents[1]))


def use_cameras(path: Path) -> None:
    """As the picture of the cameras is drawn, but smaller."""
    folder = next(part for part in path.parents if part.name == "benchmark")
    _, scene = read_scene(CamerasConfig(folder, 388, sequence="GLASSES"))
    view = fitted_view(scene, scene.front, scene.up, SIZE)
    assert np.isfinite(view.centre).all()
    draw_view(scene, view)


def use_tracking(path: Path) -> None:
    folder = next(part for part in path.parents if part.name == "benchmark")
    found = FlameTracking.load(path)
    vertices = FlameProvider(found, head(folder.parent)).get_vertices(0)
    assert np.isfinite(vertices).all()
    found.to_result(head(folder.parent))


@cache
def head(base: Path) -> HeadModel:
    return load_flame(base / "flame/flame2023.pkl", with_teeth=False)


def use_submission(path: Path) -> None:
    folder = next(part for part in path.parents if part.name == "benchmark")
    benchmark_validate.describe(benchmark_validate.run(ValidateConfig(path, folder)))
    key = constants.BENCHMARK_SVFR_IDS[0], *constants.BENCHMARK_SVFR_IMAGE_KEYS[constants.BENCHMARK_SVFR_IDS[0]][0]
    if "svfr" in path.name:
        with SVFRSubmissionDataReader(path) as reader:
            reader.load_posed_mesh(*key)
            reader.load_posed_landmarks(*key)
    elif "nvs" in path.name:
        with NVSSubmissionDataReader(path, folder) as reader:
            reader.load_video(388, "GLASSES", "222200046")
