"""A submission to the NeRSemble benchmark against the truth of a synthetic folder: hidden cameras, or meshes.

python bench/benchmark_submission.py FOLDER nvs OUT.zip 388
python bench/benchmark_submission.py FOLDER svfr OUT.zip 17
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

from vhap.data.cameras.camera_params import read_camera_params
from vhap.data.pictures import read_alpha, read_rgb
from vhap.evaluate.image_quality import gmsd, psnr_db, ssim
from vhap.head.load import load_head
from vhap.head.regions import faces_of_region
from vhap.nersemble.benchmark import NVSSubmissionDataReader, SVFRSubmissionDataReader
from vhap.nersemble.benchmark.constants import BENCHMARK_NVS_HOLD_OUT_SERIALS, BENCHMARK_NVS_IDS_AND_SEQUENCES
from vhap.nersemble.benchmark.mesh_submission import TASKS
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.synthetic.svfr_writer import SvfrFiles
from vhap.util.files import map_npy

MEASURES: dict[str, Callable[..., float]] = {"PSNR dB": psnr_db, "SSIM": ssim, "GMSD": gmsd}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("benchmark", choices=("nvs", "svfr"))
    parser.add_argument("zip", type=Path)
    parser.add_argument("participant", type=int)
    parser.add_argument("--head", default="builtin")
    options = parser.parse_args()
    (measure_videos if options.benchmark == "nvs" else measure_meshes)(options)


def measure_videos(options: argparse.Namespace) -> None:
    """Means over the frames of each hidden camera, at the size of the truth's pictures."""
    name = dict(BENCHMARK_NVS_IDS_AND_SEQUENCES)[options.participant]
    folder = options.folder / "nvs" / f"{options.participant:03d}" / "sequences" / name
    rows = []
    with NVSSubmissionDataReader(options.zip, options.folder) as reader:
        for serial in BENCHMARK_NVS_HOLD_OUT_SERIALS:
            frames = reader.load_video(options.participant, name, serial)
            values = [measures(frame, *truth) for frame, truth in zip(frames, truths(folder, serial, options.head))]
            rows.append({key: float(np.nanmean([value[key] for value in values])) for key in values[0]})
            tell(serial, rows[-1])
    tell("mean", {key: float(np.mean([row[key] for row in rows])) for key in rows[0]})


def truths(folder: Path, serial: str, head: str) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Of each timestep the picture in [0, 1] and masks: of the whole, the person, and the face (whose region faces the
    camera, hair or not)."""
    model, backend = load_head(head), get_backend("auto")
    topology, in_face = build_topology(model.faces, model.uv_faces), faces_of_region(model, "face")
    vertices = map_npy(folder / "ground_truth" / "vertices.npy")
    for t, path in enumerate(sorted((folder / "ground_truth" / "images").glob(f"cam_{serial}_*.png"))):
        picture = read_rgb(path) / 255
        size = (picture.shape[0], picture.shape[1])
        rig = read_camera_params(folder.parents[1] / "calibration" / "camera_params.json", size)
        camera = rig.select([serial]).camera(0)
        raster = backend.rasterize(camera.to_clip(torch.from_numpy(np.array(vertices[t]))[None]), topology, *size)
        ids = raster.face_id[0]
        face = (in_face[ids.clamp(min=0).long()] & raster.mask[0]).numpy()
        person = read_alpha(folder / "ground_truth" / "alpha_maps" / path.name) > 127
        yield picture, {"whole": np.ones(size, bool), "person": person, "face": face & person}


def measures(frame: np.ndarray, truth: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, float]:
    small = cv2.resize(frame, truth.shape[1::-1], interpolation=cv2.INTER_AREA) / 255
    return {
        f"{where} {what}": measure(small, truth, mask)
        for where, mask in masks.items()
        for what, measure in MEASURES.items()
    }


def measure_meshes(options: argparse.Namespace) -> None:
    """Distances of the face's vertices, mm, after a rigid alignment, and after one with scale."""
    model = load_head(options.head)
    face = model.regions["face"].numpy()
    truth = SvfrFiles(options.folder, f"{options.participant:03d}").truth
    errors: dict[str, list[float]] = {}
    with SVFRSubmissionDataReader(options.zip) as reader:
        for folder in sorted(path.parent for path in truth.glob("*/mesh_posed.ply")):
            sequence, timestep, serial = folder.name.rsplit("_", 2)
            key = (options.participant, sequence, int(timestep), serial)
            for task, load in zip(TASKS, (reader.load_posed_mesh, reader.load_neutral_mesh)):
                wanted = np.asarray(load_ply_vertices(folder / f"mesh_{task}.ply"))[face]
                found = np.asarray(load(*key).vertices)[face]
                mean = model.template.numpy()[face]
                for what, points in (("submitted", found), ("mean head", mean)):
                    for kind, with_scale in (("rigid", False), ("similarity", True)):
                        error = 1000 * np.linalg.norm(aligned(points, wanted, with_scale) - wanted, axis=1).mean()
                        errors.setdefault(f"{task} {what}, {kind}", []).append(float(error))
            tell(folder.name, {key: values[-1] for key, values in errors.items()})
    tell("mean", {key: float(np.mean(values)) for key, values in errors.items()})


def load_ply_vertices(path: Path) -> np.ndarray:
    from trimesh.exchange.ply import load_ply

    with open(path, "rb") as file:
        return load_ply(file)["vertices"]


def aligned(points: np.ndarray, target: np.ndarray, with_scale: bool) -> np.ndarray:
    """Umeyama 1991."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (singular * signs).sum() / (a**2).sum() if with_scale else 1.0
    return scale * a @ (u * signs @ vt).T + target.mean(0)


def tell(name: str, values: dict[str, float]) -> None:
    print(name, ", ".join(f"{key} {value:.3f}" for key, value in values.items()))


if __name__ == "__main__":
    main()
