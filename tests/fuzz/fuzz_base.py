"""Good files of every kind that is read, small, as the project's own writers and other tests' makers write them."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from types import SimpleNamespace

import flame_files
import imageio_ffmpeg
import numpy as np
import pickle_files
import pytest
import rig_files
import torch
from fuzz_benchmark import benchmark
from fuzz_relightable import subject
from gnm_like import make_gnm, write_gnm
from PIL import Image

from vhap.config.data import DataConfig, MultiviewDataConfig, NersembleDataConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, MultiviewTrackConfig, NersembleTrackConfig, TrackConfig
from vhap.data.extraction import RECORD, extract_pictures
from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.data.nersemble.ledger import NAME as LEDGER
from vhap.data.pictures import write_picture
from vhap.data.provenance import RECORD as MADE_FROM
from vhap.data.provenance import Provenance
from vhap.data.results import TrackResult, save_result
from vhap.data.run_order import RUN_FILE
from vhap.export.target import DATASET, MESHES
from vhap.export.transforms import transforms
from vhap.export.union_checks import CANONICAL
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint, Progress, save_checkpoint
from vhap.fit.history import LossHistory
from vhap.fit.params import TrackParams
from vhap.util.files import write_json, write_npz, write_text

FRAMES, HEIGHT, WIDTH = 3, 48, 64
NAMES = [f"{index:06d}" for index in range(FRAMES)]
SERIAL = "222200037"
N_SHAPE, N_EXPR, N_VERTICES = 4, 3, 5
HEAD = "flame2023:0123"


def make_base(folder: Path) -> None:
    for make in (
        results, configs, checkpoints, sequence, faces, rigs, avatar, nersemble, exports, union, evaluation, flame, gnm,
        ict, pictures, videos, texts, benchmark, subject,
    ):  # fmt: skip
        make(folder / make.__name__)


def small_result(**changes: object) -> TrackResult:
    rng = np.random.default_rng(0)

    def rows(*shape: int) -> np.ndarray:
        return (0.05 * rng.standard_normal(shape)).astype(np.float32)

    values = {name: rows(FRAMES, 3) for name in ("rotation", "translation", "neck_pose", "jaw_pose")}
    values |= {"eyes_pose": rows(FRAMES, 6), "shape": rows(N_SHAPE), "expr": rows(FRAMES, N_EXPR)}
    values |= {"timestep_id": np.array(NAMES), "timestep_index": np.arange(FRAMES)}
    values |= {"n_processed_frames": np.array(FRAMES), "image_size": np.array([HEIGHT, WIDTH])}
    values |= {"head_model": np.array(HEAD), "focal_length": np.float32([1.5]), "lights": rows(9, 3)}
    values |= {"tex_extra": np.full((3, 4, 4), 0.5, np.float32), "static_offset": rows(1, N_VERTICES, 3)}
    return TrackResult(**{**values, **changes})


def results(folder: Path) -> None:
    save_result(folder / "tracked_flame_params_0.npz", small_result())
    more = {"dynamic_offset": np.zeros((FRAMES, N_VERTICES, 3), np.float32), "scale": np.array(1.0)}
    save_result(folder / "rig.npz", small_result(**more, focal_length=None, T_tracked_given=np.eye(4)))
    write_json(folder / "2026-01-02_03-04-05" / RUN_FILE, {"number": 1})
    np.save(folder / "vertices.npy", np.zeros((FRAMES, N_VERTICES, 3), np.float32))


def configs(folder: Path) -> None:
    exp = ExperimentConfig(Path("output"))
    made = {
        "config": TrackConfig(DataConfig(Path("data"), "clip"), exp),
        "rig": MultiviewTrackConfig(MultiviewDataConfig(Path("data"), "clip"), exp),
        "nersemble": NersembleTrackConfig(NersembleDataConfig(Path("data"), "EXP-1-head", subject="30"), exp),
    }
    for name, config in made.items():
        save_config(folder / f"{name}.yml", config)


def checkpoints(folder: Path) -> None:
    folder.mkdir()
    shapes = {"shape": (N_SHAPE,), "focal_length": (1,), "rig_scale": (1,), "lights": (9, 3)}
    shapes |= {"residual_texture": (1, 4, 4, 3), "expr": (FRAMES, N_EXPR), "eyes_pose": (FRAMES, 6)}
    per_frame = ("rotation", "translation", "neck_pose", "jaw_pose")
    shapes |= dict.fromkeys(per_frame, (FRAMES, 3))
    params = TrackParams(**{name: torch.rand(shape) for name, shape in shapes.items()})
    found = torch.ones(FRAMES, 1, dtype=torch.bool)
    save_checkpoint(
        folder / CHECKPOINT,
        Checkpoint(params, Progress(2, 5), 7, found, [0, 2], 1.5, 0.1, {}, False),
    )


def sequence(folder: Path) -> None:
    """A clip with alpha maps, landmarks of an oval, records of what was made from what."""
    clip = folder / "clip"
    turn = np.linspace(0, 2 * np.pi, 70, endpoint=False)
    oval = np.stack([0.5 + 0.2 * np.cos(turn), 0.5 + 0.3 * np.sin(turn), np.ones(70)], -1)
    across, down = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH, (np.arange(HEIGHT) + 0.5) / HEIGHT)
    matte = np.uint8(255 * ((((across - 0.5) / 0.3) ** 2 + ((down - 0.5) / 0.45) ** 2) < 1))
    for index, name in enumerate(NAMES):
        picture = np.random.default_rng(index).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        write_picture(clip / "images" / f"{name}.png", picture)
        write_picture(clip / "alpha_maps" / f"{name}.png", matte)
    points = np.tile(oval.astype(np.float32), (FRAMES, 1, 1))
    boxes = np.tile([0.3, 0.2, 0.7, 0.8, 1.0], (FRAMES, 1))
    files = {name: clip / "images" / f"{name}.png" for name in NAMES}
    sources = list(Provenance(clip).sources(files).values())
    save_landmarks(clip / "landmark2d/face-alignment.npz", Landmarks(points, boxes, NAMES, sources, {"person": ""}))
    save_landmarks(folder / "old.npz", Landmarks(points, boxes, None))
    write_json(clip / RECORD, {"video": "clip.mp4", "bytes": 9, "digest": "0" * 32, "fps": "25", "format": "png",
                               "pictures": FRAMES})  # fmt: skip
    lines = [{"file": f"alpha_maps/{n}.png", "digest": "0" * 32, "source": s, "options": {"method": "mediapipe"}}
             for n, s in zip(NAMES, sources)]  # fmt: skip
    write_text(clip / MADE_FROM, "".join(f"\n{json.dumps(line)}\n" for line in lines))
    write_json(folder / "digests.json", {f"images/{n}.png": [1, 2, 3, "0" * 32] for n in NAMES})


def faces(folder: Path) -> None:
    """A clip whose landmark pass was interrupted."""
    for index, name in enumerate(NAMES):
        write_picture(folder / "images" / f"{name}.png", np.full((HEIGHT, WIDTH, 3), index, np.uint8))
    pictures = {name: folder / "images" / f"{name}.png" for name in NAMES}
    points = np.random.default_rng(0).uniform(10, 40, (FRAMES, 70, 3)).astype(np.float32)
    sources = np.array(list(Provenance(folder).sources(pictures).values()))
    arrays = {"source": sources, "counts": np.ones(FRAMES, int), "points": points}
    write_npz(folder / "landmark2d/.faces_parts/000000.npz", arrays)
    write_json(folder / "synthetic.json", {"frames": 4, "head": "builtin:0"})


def rigs(folder: Path) -> None:
    folder.mkdir()
    rig_files.write_json(folder / "transforms.json", rig_files.transforms(2))
    rig_files.write_json(folder / "plain.json", rig_files.transforms(1, None))
    rig_files.write_json(folder / "camera_params.json", rig_files.camera_params())
    rig_files.write_colmap_text(folder / "text")
    lenses = [(4, "OPENCV", [*rig_files.pinhole(k), 0.1, 0.01, 0.001, 0.0]) for k in range(len(rig_files.NAMES))]
    rig_files.write_colmap_binary(folder / "binary", rig_files.colmap_images(2), lenses)
    record = {"fps": "25", "format": "png", "cameras": {}}
    for name in rig_files.NAMES:
        record["cameras"][name] = {"video": f"{name}.mp4", "bytes": 9, "digest": "0" * 32, "pictures": 1}
        write_picture(folder / "recording/images" / name / "000000.png", np.zeros((4, 6, 3), np.uint8))
        (folder / "recording" / f"{name}.mp4").write_bytes(b"\0")
    write_json(folder / "recording" / RECORD, record)


def avatar(folder: Path) -> None:
    angle = math.degrees(2 * math.atan(0.2))
    entry = {"camera_params": [np.eye(4).flatten().tolist()], "focal_length": 2.5, "fov": angle}
    write_json(folder / "camera_info.json", {f"{name}.png": entry for name in NAMES})
    for name in NAMES:
        write_picture(folder / f"{name}.png", np.zeros((8, 8, 3), np.uint8))


def nersemble(folder: Path) -> None:
    matrix = np.eye(3, 4)
    (folder / "v2/030/sequences").mkdir(parents=True)
    (folder / "v1/030").mkdir(parents=True)
    write_json(folder / "v2/030/calibration/color_calibration.json", {SERIAL: matrix.tolist(), "1": matrix.tolist()})
    write_json(folder / "v2/030/calibration/camera_params.json", rig_files.camera_params())
    (folder / "v1/color_correction/030").mkdir(parents=True)
    np.save(folder / f"v1/color_correction/030/{SERIAL}.npy", matrix)


def exports(folder: Path) -> None:
    """Two exports of one person, of two frames each."""
    intrinsics = {"cx": 2, "cy": 1.5, "fl_x": 5, "fl_y": 5, "h": 3, "w": 4}
    intrinsics |= {"camera_angle_x": 0.76, "camera_angle_y": 0.58}
    for name in ("074_A", "074_B"):
        target, frames = folder / name, []
        for t in range(2):
            arrays = {key: np.zeros((1, 3), np.float32) for key in ("expr", "rotation", "translation")}
            arrays |= {"shape": np.zeros(N_SHAPE, np.float32), "static_offset": np.zeros((1, 5, 3), np.float32)}
            write_npz(target / f"flame_param/{t:05d}.npz", arrays)
            for kind, picture in (("images", np.zeros((3, 4, 3), np.uint8)), ("fg_masks", np.zeros((3, 4), np.uint8))):
                write_picture(target / kind / f"{t:05d}_00.png", picture)
            paths = {"file_path": "images", "fg_mask_path": "fg_masks"}
            frames.append({
                "timestep_index": t, "timestep_index_original": t, "timestep_id": f"{t:06d}", "camera_index": 0,
                "camera_id": "0", **intrinsics, "transform_matrix": np.eye(4).tolist(),
                **{key: f"{kind}/{t:05d}_00.png" for key, kind in paths.items()},
                "flame_param_path": f"flame_param/{t:05d}.npz",
            })  # fmt: skip
        content = transforms(frames, {**intrinsics, "head_model": HEAD, "scale": 1.0})
        write_json(target / "transforms.json", content)
        write_npz(target / CANONICAL, {"jaw_pose": np.zeros((1, 3)), "shape": np.zeros(N_SHAPE, np.float32)})
    for kind in (DATASET, MESHES):
        write_json(folder / "target" / kind.marker, {"fingerprint": "0" * 16, "complete": True})


def union(folder: Path) -> None:
    """Where unions are written."""
    folder.mkdir()


def evaluation(folder: Path) -> None:
    """What a report reads of a run."""
    values = {name: [1.5, None, 2.5] for name in ("landmark_nme_percent", "psnr_head_db", "psnr_face_db")}
    per_frame = {"timestep_id": NAMES, "lost": [False, True, False], **values, "shows_nothing": ["", "", ""]}
    cameras = {"camera_id": ["0", "1"], "detected_fraction": [1.0, 0.5], "landmark_nme_percent": [1.0, None]}
    cameras |= {"psnr_head_db": [20.0, 21.0], "psnr_face_db": [20.0, None], "silhouette_iou": [0.9, 0.8]}
    clip = {"epoch": 0, "frames": FRAMES, "frames_lost": 1, "landmark_nme_percent": 2.0, "jitter_mm": None}
    worst = {"landmark_nme_percent": ["0"], "psnr_face_db": ["0"], "psnr_head_db": [], "silhouette_iou": ["1"]}
    write_json(
        folder / "evaluation.json", {**clip, "per_frame": per_frame, "per_camera": cameras, "worst_cameras": worst}
    )
    write_json(folder / "seconds.json", {"rgb_init": 2.5, "rgb_sequential": 10.0})
    history = LossHistory(folder / "losses.json")
    stage = SimpleNamespace(name="rgb_init")
    for step in range(5):
        history.on_step(SimpleNamespace(stage=stage, cost=1.0 / (step + 1)))  # pyright: ignore
    history.on_stage_end(stage, None)  # pyright: ignore


def flame(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        flame_files.write_flame(folder, patch, name="flame2023.pkl")
    points, faces = flame_files.head_mesh()
    n_faces = len(faces)
    lines = ["vt 0.5 0.5"] * 3 + [f"f {a + 1}/1 {b + 1}/2 {c + 1}/3" for a, b, c in faces]
    write_text(folder / "head_template_mesh.obj", "\n".join(lines) + "\n")
    write_npz(folder / "FLAME_texture.npz", {"vt": points[:, :2], "ft": faces})
    write_picture(folder / "tex_mean_painted.png", np.zeros((4, 4, 3), np.uint8))
    flame_files.write_landmarks(folder, 68, n_faces)
    weights = np.full((105, 3), 1 / 3)
    write_npz(folder / "mediapipe_landmark_embedding.npz", {"lmk_face_idx": np.arange(105), "lmk_b_coords": weights,
                                                             "landmark_indices": np.arange(105)})  # fmt: skip
    for index, content in enumerate(pickle_files.seeds()):
        (folder / "seeds").mkdir(exist_ok=True)
        (folder / f"seeds/{index:03d}").write_bytes(content)


def gnm(folder: Path) -> None:
    write_gnm(folder, make_gnm())


def ict(folder: Path) -> None:
    """The description of the folder FaceXModel and the start of one of its meshes."""
    names = ["jawOpen", "eyeBlink_L", "eyeBlink_R", "mouthFunnel", "browDown_L"]
    write_json(folder / "vertex_indices.json", {"expressions": names, "idx_to_landmark_verts": list(range(68))})
    places = [f"v {x:.3f} {0.1 * x:.3f} -1.5" for x in range(80)]
    corners = ["usemtl M_Face", "vt 0 0", "vt 1 0", "vt 1 1", "f 1/1 2/2 3/3", "f 1/1 2/2 3/3 4/1"]
    write_text(folder / "generic_neutral_mesh.obj", "\n".join([*places, *corners]) + "\n")
    points = {"face_ids": np.arange(478) % 2, "barycentrics": np.full((478, 3), 1 / 3, np.float32)}
    write_npz(folder / "embedding.npz", points)


def pictures(folder: Path) -> None:
    """Every form of picture that is read."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    made = Image.fromarray(rng.integers(0, 255, (9, 12, 4), np.uint8))
    exif = made.getexif()
    exif[0x0112] = 6
    made.save(folder / "rgba.png")
    made.convert("RGB").save(folder / "rgb.png")
    made.convert("RGB").save(folder / "rgb.jpg", exif=exif)
    made.convert("L").save(folder / "grey.jpg")
    made.convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(rng.integers(0, 65535, (9, 12), np.uint16)).save(folder / "deep.png")


def videos(folder: Path) -> None:
    folder.mkdir()
    source = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi"]
    source += ["-i", "testsrc=size=64x48:rate=10:duration=0.5", "-pix_fmt", "yuv420p"]
    for name, codec in (("clip.mp4", "libx264"), ("clip.avi", "mjpeg"), ("clip.mkv", "libx264")):
        subprocess.run([*source, "-c:v", codec, str(folder / name)], check=True)
    extract_pictures(folder / "clip.mp4", folder / "clip", 5, (), "png")


def texts(folder: Path) -> None:
    write_text(folder / "metadata_sequences.csv", "ID,wears_glasses,BACKGROUND,EXP-1-head,HAIR\n30,,x,x,x\n17,x,x,,x\n")
    write_text(folder / "settings.env", '# mail\nexport NERSEMBLE_DATA_URL="https://host.example/data/" # new\n')
    lines = [{"path": "030/a.mp4", "size": 9, "validator": "e"}, {"path": "b.csv", "size": 1, "validator": None}]
    write_text(folder / LEDGER, "".join(f"{json.dumps(line)}\n" for line in lines))
    write_text(folder / "subset", "ti3tj9_tn4_ts2_ci0cj1")
    write_text(folder / "person", "640,360")
