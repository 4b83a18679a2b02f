"""A benchmark's files for the tests' server: small, but each of its format."""

from __future__ import annotations

import io
import json

import numpy as np
from nersemble_server import mp4
from PIL import Image

from vhap.nersemble.benchmark import assets
from vhap.nersemble.benchmark.constants import BENCHMARK_NVS_IDS_AND_SEQUENCES
from vhap.nersemble.benchmark.metadata import NVSMetadata, NVSSequenceMetadata

TIMESTEPS = [0, 3, 6]


def metadata_of(benchmark: assets.Benchmark) -> dict:
    if benchmark == "nvs":
        entries = {str(p): {"sequence_name": s, "timesteps": TIMESTEPS} for p, s in BENCHMARK_NVS_IDS_AND_SEQUENCES}
        return {"sequences": entries}
    return {
        "participants_metadata": {
            str(participant): {
                "sequences_metadata": {name: {"n_frames": 5} for name in assets.sequences_of(benchmark, participant)}
            }
            for participant in assets.participants_of(benchmark)
        }
    }


def pcd(kind: str = "binary", n_points: int = 9) -> bytes:
    header = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nWIDTH {n_points}\n"
    )
    header += f"HEIGHT 1\nPOINTS {n_points}\nDATA {kind}\n"
    if kind == "ascii":
        return (header + "0 0 0 0\n" * n_points).encode()
    body = bytes(16 * n_points)
    if kind == "binary_compressed":
        packed = bytes(20)
        body = len(packed).to_bytes(4, "little") + len(body).to_bytes(4, "little") + packed
    return header.encode() + body


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, scale=np.ones((1, 1)), jaw=np.arange(12.0).reshape(4, 3))
    return stream.getvalue()


def png(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def served(benchmark: assets.Benchmark, *participants: str, video_bytes: int = 40_000) -> dict[str, bytes]:
    """All files of these participants, by their paths on the server."""
    frames = {p: NVSSequenceMetadata(s, TIMESTEPS) for p, s in BENCHMARK_NVS_IDS_AND_SEQUENCES}
    all_frames = ["all"] if benchmark == "nvs" else ["0"]
    selection = assets.select(benchmark, assets.asset_names(benchmark), participants, pointcloud_frames=all_frames)
    files = {}
    for seed, path in enumerate(assets.list_files(selection, NVSMetadata(frames))):
        suffix = path[path.rindex(".") :]
        contents = {".mp4": lambda seed=seed: mp4(video_bytes + seed, seed), ".npz": npz, ".pcd": pcd}
        contents |= {".png": lambda seed=seed: png(seed), ".json": lambda seed=seed: b'{"seed": %d}' % seed}
        files[f"{benchmark}/{path}"] = contents[suffix]()
    if benchmark in assets.WITH_METADATA:
        files[f"{benchmark}/metadata.json"] = json.dumps(metadata_of(benchmark)).encode()
    return files
