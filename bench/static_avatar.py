"""How near to the truth a static avatar's mesh lies: 24 views from all around, the avatar's unit unknown.

People of the head model are filmed in units of any length, tracked with `track_single_frame.py` as users run it, and
the mesh that it writes is compared with the true one, vertex by vertex and without any alignment:

    python bench/static_avatar.py --output OUT --seeds 0 1 --size 256 --landmarks noisy68 detector

Errors are distances of the same point of the head, so distances of the surfaces are smaller. The head's height is that
of its face and hair, chin to crown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import trimesh
from common import NOISE_PX, timed
from tables import markdown_table, number

from vhap.cli import parse
from vhap.config.synthetic import SyntheticConfig
from vhap.data.results import load_result
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.track_single_frame import MESH, PARAMS
from vhap.util.errors import exits_cleanly
from vhap.util.files import read_json, write_json

Landmarks = Literal["noisy68", "detector"]
COLUMNS = ("face", "head", "head_percent", "inside_percent", "scale_percent", "seconds")
HEADER = (
    "landmarks",
    "seed",
    "face, mm",
    "head, mm",
    "head, % of its height",
    "on target, %",
    "scale off, %",
    "seconds",
)
TARGET_PERCENT = 0.5


@dataclass(frozen=True)
class StaticAvatarConfig:
    output: Path
    """Where everything is written; what is finished is kept."""
    head: Literal["builtin", "ict", "gnm"] = "builtin"
    """Head model that is filmed and tracked."""
    seeds: tuple[int, ...] = (0, 1)
    """People."""
    size: int = 256
    """Side of the pictures."""
    cameras: int = 24
    """Views, on three rings."""
    landmarks: tuple[Landmarks, ...] = ("noisy68",)
    """The true 68 points with noise, or what MediaPipe finds."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(StaticAvatarConfig, __doc__, args)
    rows = [
        (landmarks, str(seed), *(number(value) for value in measured(config, seed, landmarks)))
        for landmarks in config.landmarks
        for seed in config.seeds
    ]
    print(markdown_table(HEADER, rows))


def measured(config: StaticAvatarConfig, seed: int, landmarks: Landmarks) -> list[float]:
    """The values of COLUMNS."""
    name = f"{config.head}_{config.cameras}x{config.size}_seed{seed}"
    folder = make_capture(
        SyntheticConfig(
            config.output / name, head=config.head, layout="single_frame", sequence="avatar", size=config.size,
            cameras=config.cameras, seed=seed, landmark_source="face-alignment", landmark_noise_px=NOISE_PX,
        )
    )  # fmt: skip
    target = config.output / f"{name}_{landmarks}"
    saved = target / "benchmark.json"
    if not saved.is_file():
        source = "mediapipe" if landmarks == "detector" else "face-alignment"
        seconds = timed(
            "track_single_frame.py", "--data.root-folder", str(folder.parent), "--data.sequence", folder.name,
            "--data.landmark-source", source, "--model.head", config.head, "--exp.output-folder", str(target),
            "--exp.no-report",
        )  # fmt: skip
        write_json(saved, {**errors(load_head(config.head), folder / "ground_truth", target), "seconds": seconds})
    values = read_json(saved)
    return [values[name] for name in COLUMNS]


def errors(model: HeadModel, truth: Path, avatar: Path) -> dict[str, float]:
    """face, head: mean distances of vertices, mm; head_percent of the head's height; inside_percent: vertices of the
    head that are nearer than the target; scale_percent: of the avatar's scale against the true one."""
    result = load_result(truth / "tracked_flame_params_0.npz")
    assert result.scale is not None
    scale = float(result.scale)
    expected = np.load(truth / "vertices.npy")[0] / scale
    found = np.asarray(trimesh.load_mesh(avatar / f"{MESH}.obj", process=False, maintain_order=True).vertices) / scale
    distance_mm = 1000 * np.linalg.norm(found - expected, axis=1)
    height_mm = 1000 * head_height(model, expected)
    with np.load(avatar / PARAMS) as file:
        tracked_scale = float(file["scale"])
    return {
        "face": float(distance_mm[model.regions["face"].numpy()].mean()),
        "head": float(distance_mm.mean()),
        "head_percent": float(100 * distance_mm.mean() / height_mm),
        "inside_percent": float(100 * (distance_mm <= TARGET_PERCENT / 100 * height_mm).mean()),
        "scale_percent": 100 * abs(tracked_scale / scale - 1),
    }


def head_height(model: HeadModel, vertices: np.ndarray) -> float:
    """Chin to crown of posed vertices (V, 3), along the head's own y axis; in their unit."""
    head = np.union1d(model.regions["face"].numpy(), model.regions["hair"].numpy())
    # The template's own up, turned as the head is (Kabsch).
    template = model.template.numpy()[head]
    target = vertices[head]
    left, _, right = np.linalg.svd((target - target.mean(0)).T @ (template - template.mean(0)))
    up = (left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right)[:, 1]
    return float(np.ptp(target @ up))


if __name__ == "__main__":
    main()
