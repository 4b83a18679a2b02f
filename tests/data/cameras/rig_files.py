"""A rig with known cameras, and the files that describe it, written as each format's documentation says."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

NAMES = ("cam01", "cam02", "cam10")
SIZES = ((480, 640), (500, 300), (1604, 1100))
INTRINSICS = tuple(
    np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    for fx, fy, cx, cy in ((700, 710, 300, 260), (650, 640, 170.5, 230.25), (2000, 2010, 530, 820))
)
POINT = np.array([0.05, -0.1, 0.02])


def look_at(centre, target=(0, 0, 0)) -> np.ndarray:
    """World to camera, OpenCV axes: x right, y down, z forward."""
    centre, target = np.asarray(centre, float), np.asarray(target, float)
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross(z, [0, 1, 0])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z])
    pose[:3, 3] = -pose[:3, :3] @ centre
    return pose


POSES = tuple(look_at(centre) for centre in ((-0.5, 0.1, 0.9), (0.02, 0.2, 1.1), (0.6, -0.2, 0.8)))


def pixels(camera: int) -> np.ndarray:
    """Where the point is seen, by the formula of the OpenCV convention."""
    x, y, z = POSES[camera][:3, :3] @ POINT + POSES[camera][:3, 3]
    matrix = INTRINSICS[camera]
    return np.array([matrix[0, 0] * x / z + matrix[0, 2], matrix[1, 1] * y / z + matrix[1, 2]])


def pinhole(camera: int) -> list[float]:
    matrix = INTRINSICS[camera]
    return [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]]


def quaternion(pose: np.ndarray) -> list[float]:
    """w x y z."""
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return [w, x, y, z]


def colmap_images(pictures: int = 1) -> list[tuple[str, int, np.ndarray]]:
    """Name, camera number and pose of every picture."""
    if pictures == 1:
        return [(f"{name}.jpg", k, POSES[k]) for k, name in enumerate(NAMES)]
    return [(f"{name}/{t:06d}.jpg", k, POSES[k]) for k, name in enumerate(NAMES) for t in range(pictures)]


def colmap_lenses() -> list[tuple[int, str, list[float]]]:
    return [(1, "PINHOLE", pinhole(k)) for k in range(len(NAMES))]


def write_colmap_text(folder: Path, images=None, lenses=None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Camera list with one line of data per camera:", "#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for k, (_, model, params) in enumerate(lenses or colmap_lenses()):
        lines.append(f"{k + 1} {model} {SIZES[k][1]} {SIZES[k][0]} {' '.join(map(repr, map(float, params)))}")
    (folder / "cameras.txt").write_text("\n".join(lines) + "\n")
    lines = ["# Image list with two lines of data per image:"]
    for number, (name, k, pose) in enumerate(images or colmap_images()):
        values = " ".join(repr(float(value)) for value in (*quaternion(pose), *pose[:3, 3]))
        lines += [f"{number + 1} {values} {k + 1} {name}", "" if number % 2 else "12.5 30.25 -1 40.0 50.5 7"]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


def write_colmap_binary(folder: Path, images=None, lenses=None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lenses, images = lenses or colmap_lenses(), images or colmap_images()
    data = struct.pack("<Q", len(lenses))
    for k, (number, _, params) in enumerate(lenses):
        data += struct.pack("<iiQQ", k + 1, number, SIZES[k][1], SIZES[k][0]) + struct.pack(f"<{len(params)}d", *params)
    (folder / "cameras.bin").write_bytes(data)
    data = struct.pack("<Q", len(images))
    for number, (name, k, pose) in enumerate(images):
        data += struct.pack("<I", number + 1) + struct.pack("<7d", *quaternion(pose), *pose[:3, 3])
        data += struct.pack("<I", k + 1) + name.encode() + b"\0"
        data += struct.pack("<Q", number) + struct.pack("<ddQ", 1.5, 2.5, 2**64 - 1) * number
    (folder / "images.bin").write_bytes(data)


def write_json(path: Path, content) -> Path:
    path.write_text(json.dumps(content))
    return path


def transforms(pictures: int = 1, key: str | None = "camera_id") -> dict:
    """Intrinsics in each frame; camera-to-world in OpenGL axes."""
    frames = []
    for t in range(pictures):
        for k, name in enumerate(NAMES):
            matrix = np.linalg.inv(POSES[k])
            matrix[:3, 1:3] *= -1
            fx, fy, cx, cy = pinhole(k)
            frame = {"file_path": f"images/{name}/{t:04d}.png", "transform_matrix": matrix.tolist()}
            frame |= {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "h": SIZES[k][0], "w": SIZES[k][1]}
            frames.append(frame | ({key: name} if key else {}))
    return {"frames": frames}


def camera_params() -> dict:
    return {
        "world_2_cam": {name: pose.tolist() for name, pose in zip(NAMES, POSES)},
        "intrinsics": {name: matrix.tolist() for name, matrix in zip(NAMES, INTRINSICS)},
    }
