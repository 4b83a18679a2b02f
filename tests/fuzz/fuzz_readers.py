"""What is done with each kind of file: it is read, and its values are used once, since it is the reader that has to
refuse what no use can take. Each function gets the path of the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from fuzz_base import FRAMES, HEAD, NAMES, SERIAL

from vhap import cli
from vhap.config import data as data_configs
from vhap.config.evaluate import EvaluateConfig
from vhap.config.loading import load_config
from vhap.data import provenance
from vhap.data.cameras.camera_info import read_camera_info
from vhap.data.cameras.find import read_rig_cameras
from vhap.data.cameras.rig import RigCameras, align_to_axes, undistort_points
from vhap.data.extraction import extract_pictures, extracted_fps
from vhap.data.input_alpha import has_alpha, read_own_alpha
from vhap.data.monocular import MonocularCapture
from vhap.data.nersemble import capture as nersemble_capture
from vhap.data.nersemble.catalogue import list_files, read_catalogue, select
from vhap.data.nersemble.content import find_damage
from vhap.data.nersemble.frames import OpenVideos
from vhap.data.nersemble.ledger import locked_folder
from vhap.data.nersemble.managers import NeRSembleParticipantDataManager
from vhap.data.nersemble.settings import find_data_url
from vhap.data.pictures import picture_size, read_alpha, read_rgb
from vhap.data.provenance import Provenance
from vhap.data.results import load_result
from vhap.data.rig_extraction import videos_that_count
from vhap.data.run_order import runs_in
from vhap.data.subset import select_cameras, select_timesteps
from vhap.data.video import count_frames, frame_times, probe_video, read_alpha_frames, read_frames
from vhap.detect import embedding
from vhap.detect.landmark_pass import LandmarkPass
from vhap.detect.person import parse_person
from vhap.evaluate import report_charts
from vhap.evaluate.measure_cameras import camera_table, worst_line
from vhap.evaluate.page import Report, render_page
from vhap.evaluate.run_scene import result_head_params
from vhap.export.target import DATASET, MESHES, finish_target, open_target
from vhap.export.union import combine_exports
from vhap.fit.callbacks import StageTimes
from vhap.fit.checkpoint import load_checkpoint
from vhap.fit.history import LossHistory
from vhap.geometry.meshes import barycentric_points
from vhap.head import ict_facekit
from vhap.head.flame import load_flame
from vhap.head.flame_pickle import numbers_of, read_object_array, read_pickle
from vhap.head.gnm import load_gnm
from vhap.head.landmark_files import read_ibug, read_mediapipe
from vhap.head.model import HeadModel
from vhap.pipeline import evaluate_tracking, report
from vhap.pipeline.make_synthetic_capture import claim_folder
from vhap.pipeline.page_frames import SliderPanels
from vhap.util.errors import InputError


def use_result(path: Path) -> None:
    result = load_result(path, HEAD)
    rows = list(range(len(result.timestep_id)))
    result_head_params(result.select(rows), rows)
    render_page(Report("result", charts={"": report_charts.parameter_charts(result)}))


def use_truth(path: Path) -> None:
    scene = cast(Any, SimpleNamespace(model=SimpleNamespace(identity=HEAD), sequence_folder=path.parent))
    truth = evaluate_tracking.open_truth(EvaluateConfig(path.parent), scene)
    for name in NAMES if truth is not None else ():
        truth.frame(name, torch.device("cpu"))


def use_config(kind: type) -> Callable[[Path], object]:
    return partial(load_config, kind=kind)


def use_checkpoint(path: Path) -> None:
    kept = load_checkpoint(path.parent, torch.device("cpu"))
    kept.params.rows(torch.arange(kept.params.n_timesteps))


def use_sequence(path: Path, **options: Any) -> None:
    root = next(folder.parent for folder in path.parents if folder.name == "clip")
    config = data_configs.DataConfig(root, "clip", landmark_source="face-alignment", **options)
    capture = MonocularCapture(config)
    capture.load(list(range(len(capture.timestep_ids))))
    capture.load_landmarks()


def use_provenance(path: Path) -> None:
    names = {name: path.parent / "images" / f"{name}.png" for name in NAMES}
    maps = {name: path.parent / "alpha_maps" / f"{name}.png" for name in NAMES}
    Provenance(path.parent).stale(maps, names)


def use_digests(path: Path) -> None:
    with patch.object(provenance, "_cache_file", return_value=path):
        use_provenance(path.parent / "clip" / ".made_from.jsonl")


def use_extraction(path: Path) -> None:
    extracted_fps(path.parent)


def use_extraction_again(path: Path) -> None:
    """The clip, decoded once more into a copy of the folder where its pictures are."""
    copy = path.parent.with_name("again")
    try:
        shutil.copytree(path.parent, copy)
        before = sorted(copy.rglob("*"))
        try:
            extract_pictures(path.parents[1] / "clip.mp4", copy, 5, (), "png")
        except InputError:
            assert sorted(copy.rglob("*")) == before, "half extracted"
            raise
    finally:
        shutil.rmtree(copy)


def use_rig_record(path: Path) -> None:
    videos_that_count(path.parent)


def use_cameras(path: Path) -> None:
    _use_rig(read_rig_cameras(path))


def use_model(path: Path) -> None:
    _use_rig(read_rig_cameras(path.parent))


def _use_rig(rig: RigCameras) -> None:
    align_to_axes(rig)
    for index in range(len(rig.names)):
        rig.camera(index).project(torch.zeros(1, 3))
        undistort_points(rig, index, np.ones((1, 2)), (48, 64))


def use_camera_info(path: Path) -> None:
    _use_rig(read_camera_info(path, {name: path.parent / f"{name}.png" for name in NAMES}))


def use_colours(path: Path) -> None:
    version = path.relative_to(next(part for part in path.parents if part.name == "nersemble")).parts[0]
    root = next(part for part in path.parents if part.name == version)
    kind = data_configs.NersembleV2DataConfig if version == "v2" else data_configs.NersembleDataConfig
    for correct in nersemble_capture.read_corrections(kind(root, "EXP", subject="30"), [SERIAL]).values():
        correct(np.zeros((1, 1, 3), np.uint8))


def use_kit(path: Path) -> None:
    manager = NeRSembleParticipantDataManager(path.parents[2], 30)
    (manager.load_camera_calibration if "camera" in path.name else manager.load_color_calibration)()


def use_export(path: Path) -> None:
    folder = next(part for part in path.parents if part.name == "exports")
    combine_exports([folder / "074_A", folder / "074_B"], folder / "union", "random_single")


def use_target(path: Path) -> None:
    kind = DATASET if path.name == DATASET.marker else MESHES
    open_target(path.parent, "1" * 16, kind)
    finish_target(path.parent, "1" * 16, kind)


class NotUsedError(Exception):
    """In place of making again what is not read."""


def use_evaluation(path: Path) -> None:
    """As the page and the command do, but for pictures. A file that is of no use is made anew there, here it is not."""
    values = evaluate_tracking.known_evaluation(path.parent, 0, NAMES)
    if values is None:
        return
    per_frame = values[evaluate_tracking.PER_FRAME]
    clip, cameras = evaluate_tracking.clip_values(values), values[evaluate_tracking.PER_CAMERA]
    json.dumps(clip)
    capture = SimpleNamespace(timestep_ids=NAMES)
    scene = cast(Any, SimpleNamespace(n_rows=FRAMES, capture=capture))
    slider = SliderPanels(FRAMES, FRAMES - 1, partial(report.row_values, per_frame))
    for row in range(FRAMES):
        slider.names(row)
    notes, charts = report.notes(scene, values), report_charts.frame_charts(per_frame)
    render_page(Report("evaluation", metrics=clip, notes=notes, charts={"": charts}, tables={"": cameras}))
    camera_table(cameras)
    worst_line(values[evaluate_tracking.WORST_CAMERAS])
    for row in range(FRAMES):
        report.page_frame(scene, row, per_frame, {})


def use_losses(path: Path) -> None:
    render_page(Report("losses", charts={"": report_charts.loss_charts(path, report.stage_seconds(path.parent))}))
    LossHistory(path)


def use_seconds(path: Path) -> None:
    seconds = report.stage_seconds(path.parent)
    charts = report_charts.loss_charts(path.with_name("losses.json"), seconds)
    render_page(Report("seconds", stage_seconds=seconds, charts={"": charts}))
    StageTimes(path, {"rgb_init": 1.0}).report()


def use_pickle(path: Path) -> None:
    value = read_pickle(path)
    for name in value if isinstance(value, dict) else ():
        numbers_of(value, name, path)


def use_flame(path: Path) -> None:
    load_flame(path.parent / "flame2023.pkl")


def use_gnm(path: Path) -> None:
    load_gnm(path.parent / "gnm_head.npz")


def use_marks(path: Path) -> None:
    n_faces = 1878
    read_ibug(path, n_faces) if path.suffix == ".npy" else read_mediapipe(path, n_faces)


def use_object_array(path: Path) -> None:
    read_object_array(path)


def use_ict(path: Path) -> None:
    with patch.object(ict_facekit, "N_VERTICES", 80), patch.object(ict_facekit, "PARTS", {"face": (0, 80, 10)}):
        if path.suffix == ".json":
            ict_facekit._read_indices(path)
            return
        points = ict_facekit._read_vertices(path)
        ict_facekit._read_faces(path, points)


def use_embedding(path: Path) -> None:
    made = patch.object(embedding, "make_embedding", side_effect=NotUsedError)
    with patch.object(embedding, "_cache_file", return_value=path), made:
        try:
            model = embedding.with_landmarks(tiny_head(), cast(Any, None), cast(Any, None))
        except NotUsedError:
            return
    for marks in model.landmarks.values():
        barycentric_points(model.template, model.faces, marks.face_ids, marks.barycentrics)


@cache
def tiny_head() -> HeadModel:
    zeros = torch.zeros
    return HeadModel(
        name="tiny", asset_hash="0", template=zeros(4, 3), faces=torch.tensor([[0, 1, 2], [0, 2, 3]]),
        shape_basis=zeros(4, 3, 2), expr_basis=zeros(4, 3, 2), pose_basis=None, joint_template=zeros(5, 3),
        joint_shape_basis=zeros(5, 3, 2), weights=zeros(4, 5), uvs=zeros(4, 2), uv_faces=zeros(2, 3).long(),
        regions={},
    )  # fmt: skip


def use_part(path: Path) -> None:
    """Faces that a pass over a copy of the clip has found before."""
    clip = path.parents[2]
    detector = SimpleNamespace(
        faces=lambda picture: [np.full((70, 3), 20.0)], face_near=lambda *_: None, confidence=lambda p: np.ones(len(p))
    )
    pictures = {name: clip / "images" / f"{name}.png" for name in NAMES}
    LandmarkPass(path.parents[1] / "faces.npz", pictures, lambda: cast(Any, detector), options={"person": "1"}).run()


def use_synthetic(path: Path) -> None:
    claim_folder(cast(Any, SimpleNamespace(folder=path.parent, settings=path)), {"frames": 4, "head": "builtin:0"})


def use_picture(path: Path) -> None:
    picture_size(path)
    has_alpha(path)
    read_own_alpha(path)
    read_rgb(path)
    read_alpha(path)


def use_header(path: Path) -> None:
    probe_video(path)
    frame_times(path)


def use_video(path: Path) -> None:
    for _ in read_frames(path, Fraction(5)):
        pass
    count_frames(path, Fraction(5))
    for _ in read_alpha_frames(path, Fraction(5)):
        break


def use_kit_video(path: Path) -> None:
    """As the data managers of the kit read it, in this process."""
    videos = OpenVideos(1)
    try:
        for index in range(min(3, videos.count(path))):
            videos.read(path, index)
    finally:
        videos.close()


def use_download(path: Path) -> None:
    """What is checked of a file that has just come, by its suffix."""
    find_damage(path, path.suffix)


def use_run_folder(path: Path) -> None:
    runs_in(path.parents[1])


def use_table(path: Path) -> None:
    """As fetch_catalogue does, where a ValueError becomes one line about the address."""
    try:
        catalogue = read_catalogue(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(str(error)) from error
    list_files(catalogue, select(catalogue, "all", "all", "all", ("all",)))


def use_settings(path: Path) -> None:
    find_data_url({}, path)


def use_ledger(path: Path) -> None:
    with locked_folder(path.parent) as ledger:
        for name in ("030/a.mp4", "b.csv"):
            ledger.version(name)


def use_subset(path: Path) -> None:
    text = path.read_bytes().decode(errors="surrogateescape")
    select_timesteps(text, 12)
    select_cameras(text, 2)


def use_person(path: Path) -> None:
    parse_person(path.read_bytes().decode(errors="surrogateescape"))


def use_words(kind: type, path: Path) -> None:
    cli.parse(kind, None, json.loads(path.read_text()))
