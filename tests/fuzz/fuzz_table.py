"""Every reader of a file: which good files its faulty ones are made from, how, and how many there are of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fuzz_benchmark as use_benchmark
import fuzz_readers as use
import fuzz_relightable as use_relightable
import pickle_files
from fuzz_base import SERIAL
from fuzz_mutations import mutated

from vhap.config import track as track_configs
from vhap.config.batch import PlanConfig, RunConfig, StepConfig
from vhap.config.benchmark import CamerasConfig, ValidateConfig
from vhap.config.convert import ConvertConfig
from vhap.config.demo import DemoConfig
from vhap.config.detect import DetectConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import CombineConfig, ExportConfig, MeshExportConfig
from vhap.config.nersemble import DownloadConfig, ListConfig
from vhap.config.person import MonocularPersonConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.relightable import CropConfig, IrisConfig, KeypointConfig
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.view import ViewConfig


@dataclass(frozen=True)
class Reader:
    """file: below the base folder, in whose place the faulty ones are put. share: of all inputs, in parts of the sum.
    read: gets that place. seeds: other good files, below the base folder. output: what it may write, below the base
    folder, whole or not at all. anywhere: the file may have any name."""

    kind: str
    file: str
    read: Callable[[Path], object]
    share: float = 1
    seeds: tuple[str, ...] = ()
    output: str | None = None
    anywhere: bool = False

    @property
    def room(self) -> str:
        return self.file.split("/")[0]

    def good_files(self, base: Path) -> list[bytes]:
        return [path.read_bytes() for name in (self.file, *self.seeds) for path in sorted(base.glob(name))]

    def faulty(self, seeds: list[bytes], rng: random.Random) -> bytes:
        if self.kind == "pickle":
            return pickle_files.mutation(rng.choice(seeds), seeds, rng)
        return mutated(self.kind, seeds, rng)


RIG = "--data.root_folder data --data.sequence E --exp.output_folder out --data.n_downsample_rgb 2"
COMMANDS: dict[type, str] = {
    track_configs.MonocularTrackConfig: (
        "--data.root_folder data --data.sequence clip --exp.output_folder out --data.subset ti0tj9 --batch_size 4 "
        "--w.photo 30 --w.reg_expr 5e-3 --model.head flame --model.n_shape 300 --data.fx 900.5 --render.backend warp "
        "--exp.no-photometric --pipeline.lmk_init_all.num_steps 3 --data.background_color None "
        "--begin_stage rgb_global_tracking"
    ),
    track_configs.NersembleTrackConfig: f"{RIG} --data.subject 30 --data.division train",
    track_configs.NersembleV2TrackConfig: f"{RIG} --data.subject 30 --data.target_extrinsic_type w2c",
    track_configs.MultiviewTrackConfig: f"{RIG} --data.cameras a b --data.scale_factor 0.5",
    track_configs.SingleFrameTrackConfig: f"{RIG} --w.landmark 10",
    MonocularPersonConfig: (
        "--data.root_folder data --sequences a b c --subject anna --keyframes 24 --exp.output_folder out --person_only"
    ),
    ExportConfig: (
        "--src_folder a --tgt_folder b --epoch 30 --scale_factor 0.5 --world tracked --subset ti0 "
        "--background-color white"
    ),
    MeshExportConfig: "--src_folder a --tgt_folder b --format obj gltf --fps 25",
    CombineConfig: "--src_folders a b --tgt_folder c --division_mode random_single",
    PreprocessConfig: "--input a.mp4 --target_fps 25 --downsample_scales 2 4 --person 1 --matting_method auto",
    DetectConfig: "--input a --person 2",
    EvaluateConfig: "--run a --truth b --epoch -1",
    ReportConfig: "--run a --frames 24",
    ConvertConfig: "--run a --to flame --output b --epoch 30 --no-offsets --n_expr 50",
    ViewConfig: "--paths a b --points c.ply --port 8080 --picture_px 512",
    SyntheticConfig: "--output a --frames 4 --size 96 --seed 1 --layout multiview",
    DemoConfig: "--output a --head builtin",
    DownloadConfig: "--folder a --participant 30 --n_workers 3",
    ListConfig: "--participant 30",
    PlanConfig: "--data a --subjects 07* --layout nerf --output a.yaml --results b",
    RunConfig: "--manifest a.yaml --jobs 2 --retries 1",
    StepConfig: "--manifest a.yaml --step track --target a_b --threads 2",
    CamerasConfig: "--folder a --participant 388 --sequence GLASSES --timestep 3 --output a.png --view --port 8080",
    ValidateConfig: "--zip a.zip --folder a --benchmark nvs",
    CropConfig: (
        "--source a --name b --fps -1 --image_size 512 512 --matting --crop_image --mask_clothes True "
        "--crop_range 0 9 0 9 --bbox_scale 2.2 --crop_box first"
    ),
    KeypointConfig: "--path a --landmark_source mediapipe",
    IrisConfig: "--path a --person 2",
}


def make_words(base: Path) -> None:
    """A file for each command, with the words of a command line."""
    folder = base / "words"
    folder.mkdir()
    for kind, words in COMMANDS.items():
        (folder / kind.__name__).write_text(json.dumps(words.split()))


READERS: dict[str, Reader] = {
    "result": Reader(
        "npz",
        "results/tracked_flame_params_0.npz",
        use.use_result,
        8,
        ("results/rig.npz",),
        anywhere=True,
    ),
    "true vertices": Reader("npy", "results/vertices.npy", use.use_truth, 3),
    "config.yml, one camera": Reader("yaml", "configs/config.yml", use.use_config(track_configs.TrackConfig), 2),
    "config.yml, rig": Reader(
        "yaml",
        "configs/rig.yml",
        use.use_config(track_configs.TrackConfig),
        1.5,
        ("configs/nersemble.yml",),
        anywhere=True,
    ),
    "checkpoint.pt": Reader("bytes", "checkpoints/checkpoint.pt", use.use_checkpoint, 4),
    "landmarks": Reader(
        "npz", "sequence/clip/landmark2d/face-alignment.npz", use.use_sequence, 5, ("sequence/old.npz",)
    ),
    "picture of a clip": Reader("bytes", "sequence/clip/images/000001.png", use.use_sequence, 2),
    "alpha map of a clip": Reader("bytes", "sequence/clip/alpha_maps/000001.png", use.use_sequence, 2),
    "part of a landmark pass": Reader(
        "npz", "faces/landmark2d/.faces_parts/000000.npz", use.use_part, 2, output="faces/landmark2d"
    ),
    "settings of a synthetic capture": Reader("json", "faces/synthetic.json", use.use_synthetic, 2),
    "record of derived files": Reader("text", "sequence/clip/.made_from.jsonl", use.use_provenance, 2),
    "digests": Reader("json", "sequence/digests.json", use.use_digests, 2),
    "extraction.json": Reader("json", "sequence/clip/extraction.json", use.use_extraction, 4),
    "extraction.json, again": Reader("json", "videos/clip/extraction.json", use.use_extraction_again, 0.4),
    "extraction.json, rig": Reader("json", "rigs/recording/extraction.json", use.use_rig_record, 4),
    "transforms.json, cameras": Reader(
        "json",
        "rigs/transforms.json",
        use.use_cameras,
        6,
        ("rigs/plain.json",),
        anywhere=True,
    ),
    "camera_params.json": Reader(
        "json",
        "rigs/camera_params.json",
        use.use_cameras,
        6,
        anywhere=True,
    ),
    "COLMAP cameras.txt": Reader("text", "rigs/text/cameras.txt", use.use_model, 3),
    "COLMAP images.txt": Reader("text", "rigs/text/images.txt", use.use_model, 3),
    "COLMAP cameras.bin": Reader("bytes", "rigs/binary/cameras.bin", use.use_model, 3),
    "COLMAP images.bin": Reader("bytes", "rigs/binary/images.bin", use.use_model, 3),
    "camera_info.json": Reader(
        "json",
        "avatar/camera_info.json",
        use.use_camera_info,
        6,
        anywhere=True,
    ),
    "color_calibration.json": Reader("json", "nersemble/v2/030/calibration/color_calibration.json", use.use_colours, 4),
    "colour matrix": Reader("npy", f"nersemble/v1/color_correction/030/{SERIAL}.npy", use.use_colours, 4),
    "kit's colours": Reader("json", "nersemble/v2/030/calibration/color_calibration.json", use.use_kit, 2),
    "kit's cameras": Reader("json", "nersemble/v2/030/calibration/camera_params.json", use.use_kit, 2),
    "transforms.json, union": Reader(
        "json", "exports/074_B/transforms.json", use.use_export, 4, output="exports/union"
    ),
    "head of a frame, union": Reader(
        "npz", "exports/074_B/flame_param/00001.npz", use.use_export, 2, output="exports/union"
    ),
    "canonical head, union": Reader(
        "npz", "exports/074_A/canonical_flame_param.npz", use.use_export, 2, output="exports/union"
    ),
    "export.json": Reader("json", "exports/target/export.json", use.use_target, 2),
    "export_mesh.json": Reader("json", "exports/target/export_mesh.json", use.use_target, 2),
    "evaluation.json": Reader("json", "evaluation/evaluation.json", use.use_evaluation, 8),
    "losses.json": Reader("json", "evaluation/losses.json", use.use_losses, 6),
    "seconds.json": Reader("json", "evaluation/seconds.json", use.use_seconds, 4),
    "pickle": Reader(
        "pickle",
        "flame/seeds/000",
        use.use_pickle,
        8,
        ("flame/seeds/0*", "flame/FLAME_masks.pkl"),
        anywhere=True,
    ),
    "FLAME model": Reader("pickle", "flame/flame2023.pkl", use.use_flame, 0.1),
    "FLAME masks": Reader("pickle", "flame/FLAME_masks.pkl", use.use_flame, 0.3),
    "FLAME template": Reader("text", "flame/head_template_mesh.obj", use.use_flame, 0.1),
    "FLAME texture space": Reader("npz", "flame/FLAME_texture.npz", use.use_flame, 0.2),
    "FLAME painted texture": Reader("bytes", "flame/tex_mean_painted.png", use.use_flame, 0.1),
    "GNM model": Reader("npz", "gnm/gnm_head.npz", use.use_gnm, 0.1),
    "GNM landmarks": Reader("text", "gnm/head_sparse_68.txt", use.use_gnm, 0.1),
    "iBUG landmarks": Reader(
        "bytes",
        "flame/landmark_embedding_with_eyes.npy",
        use.use_marks,
        4,
        anywhere=True,
    ),
    "MediaPipe landmarks": Reader(
        "npz",
        "flame/mediapipe_landmark_embedding.npz",
        use.use_marks,
        4,
        anywhere=True,
    ),
    "vertex_indices.json": Reader("json", "ict/vertex_indices.json", use.use_ict, 3),
    "ICT mesh": Reader("text", "ict/generic_neutral_mesh.obj", use.use_ict, 4),
    "landmark cache": Reader("npz", "ict/embedding.npz", use.use_embedding, 4),
    "png": Reader(
        "bytes",
        "pictures/rgba.png",
        use.use_picture,
        5,
        (
            "pictures/rgb.png",
            "pictures/palette.png",
            "pictures/deep.png",
        ),
        anywhere=True,
    ),
    "jpg": Reader(
        "bytes",
        "pictures/rgb.jpg",
        use.use_picture,
        5,
        ("pictures/grey.jpg",),
        anywhere=True,
    ),
    "video's header": Reader(
        "bytes",
        "videos/clip.mp4",
        use.use_header,
        0.5,
        ("videos/clip.avi", "videos/clip.mkv"),
        anywhere=True,
    ),
    "video": Reader(
        "bytes",
        "videos/clip.mp4",
        use.use_video,
        0.3,
        ("videos/clip.avi", "videos/clip.mkv"),
        anywhere=True,
    ),
    "point cloud": Reader(
        "bytes",
        "benchmark/pcd/binary.pcd",
        use_benchmark.use_cloud,
        3,
        ("benchmark/pcd/compressed.pcd", "benchmark/pcd/ascii.pcd"),
        anywhere=True,
    ),
    "point cloud, text": Reader(
        "text", "benchmark/pcd/ascii.pcd", use_benchmark.use_cloud, 3, ("benchmark/pcd/compressed.pcd",), anywhere=True
    ),
    "benchmark's metadata, novel views": Reader("json", "benchmark/nvs/metadata.json", use_benchmark.use_metadata, 2),
    "benchmark's metadata, avatars": Reader(
        "json", "benchmark/mono_flame_avatar/metadata.json", use_benchmark.use_metadata, 2
    ),
    "benchmark's cameras": Reader(
        "json", "benchmark/nvs/388/calibration/camera_params.json", use_benchmark.use_cameras, 3
    ),
    "cloud of the benchmark's cameras": Reader(
        "text", "benchmark/nvs/388/sequences/GLASSES/pointclouds/frame_00000.pcd", use_benchmark.use_cameras, 1
    ),
    "benchmark's FLAME tracking": Reader("npz", "benchmark/tracking.npz", use_benchmark.use_tracking, 3, anywhere=True),
    "submission of videos": Reader(
        "zip", "benchmark/zips/nvs.zip", use_benchmark.use_submission, 0.6, ("benchmark/zips/mono.zip",), anywhere=True
    ),
    "submission of meshes": Reader("zip", "benchmark/zips/svfr.zip", use_benchmark.use_submission, 2, anywhere=True),
    "kit's video": Reader("bytes", "videos/clip.mp4", use.use_kit_video, 2),
    "downloaded video": Reader("bytes", "videos/clip.mp4", use.use_download, 2),
    "downloaded json": Reader("json", "nersemble/v2/030/calibration/camera_params.json", use.use_download, 1),
    "downloaded csv": Reader("text", "texts/metadata_sequences.csv", use.use_download, 1),
    "downloaded jpg": Reader("bytes", "pictures/rgb.jpg", use.use_download, 1),
    "run.json": Reader("json", "results/2026-01-02_03-04-05/run.json", use.use_run_folder, 1),
    "metadata_sequences.csv": Reader("text", "texts/metadata_sequences.csv", use.use_table, 4),
    "settings of the download": Reader("text", "texts/settings.env", use.use_settings, 3),
    "record of downloads": Reader("text", "texts/.nersemble_download.jsonl", use.use_ledger, 3),
    "subset": Reader("text", "texts/subset", use.use_subset, 3),
    "person": Reader("text", "texts/person", use.use_person, 2),
    "crop.json": Reader("json", "subject/crop.json", use_relightable.use_crop, 3, anywhere=True),
    "keypoint.json": Reader("json", "subject/keypoint.json", use_relightable.use_keypoints, 3, anywhere=True),
    "iris.json": Reader("json", "subject/iris.json", use_relightable.use_irises, 3, anywhere=True),
    **{
        f"options of {kind.__name__}": Reader(
            "words",
            f"words/{kind.__name__}",
            partial(use.use_words, kind),
            0.2 if "Track" in kind.__name__ else 0.8,
            ("words/*",),
        )
        for kind in COMMANDS
    },
}
