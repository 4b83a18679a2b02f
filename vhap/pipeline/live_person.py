"""The person of a live run: opened from an earlier run's folder, and saved as a folder that opens again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from vhap.config.data import DataConfig
from vhap.config.live import LiveConfig
from vhap.config.loading import load_config, save_config
from vhap.config.track import ExperimentConfig, ModelConfig, MonocularTrackConfig, TrackConfig
from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.data.provenance import Provenance
from vhap.data.results import TrackResult, load_result, newest_run, result_epochs, save_result
from vhap.fit.checkpoint import CHECKPOINT, Checkpoint, Progress, checkpoint_in, load_checkpoint, save_checkpoint
from vhap.fit.online_person import LANDMARK_SET, ImprovedPerson, OnlinePerson
from vhap.fit.params import to_result
from vhap.pipeline.heads import open_head, resolved
from vhap.pipeline.open_run import fitting_head
from vhap.pipeline.track import with_base
from vhap.render.shading import uniform_lights
from vhap.util.errors import InputError
from vhap.util.files import make_folder, write_bytes

START_FOCAL = 1.5
"""Of a new person, in units of the longer side, until the first frames have been looked at: a webcam's."""
FRAMES = "frames"
"""The recording that a saved person brings along: the key frames."""
CPU = torch.device("cpu")


def model_of(config: LiveConfig) -> ModelConfig:
    """The head's options of a new person."""
    return resolved(
        ModelConfig(
            head=config.head,
            flame_model_path=config.flame_model_path,
            gnm_path=config.gnm_path,
            ict_facekit_path=config.ict_facekit_path,
            head_path=config.head_path,
            n_shape=config.n_shape,
            n_expr=config.n_expr,
        )
    )


def new_person(model: ModelConfig) -> OnlinePerson:
    """The mean head before a webcam."""
    head = with_base(open_head(model, LANDMARK_SET), model)
    return OnlinePerson(head, torch.zeros(head.n_shape), torch.tensor([START_FOCAL]), uniform_lights())


def known_person(run: Path) -> tuple[OnlinePerson, ModelConfig]:
    """The person of an earlier run's folder, or of the newest one in an output folder. InputError where there is none,
    or where its cameras were calibrated, whose focal length is no person's."""
    folder = newest_run(run)
    model = load_config(folder / "config.yml", TrackConfig).model
    epochs = result_epochs(folder)
    path = epochs[max(epochs)]
    head = with_base(open_head(model, LANDMARK_SET), model)
    result = load_result(path, head.identity)
    # The albedo of points was seen at the light of the first result; the last one has a light of its own.
    result = replace(result, lights=load_result(epochs[min(epochs)]).lights)
    head = fitting_head(head, result, path)
    if result.focal_length is None:
        raise InputError(
            f"expected a run of a camera whose focal length was solved at {folder} for --person, found one of given "
            "cameras; take a run of a plain video, or leave --person out"
        )
    return _of_result(head, result, folder), model


def _of_result(head, result: TrackResult, folder: Path) -> OnlinePerson:
    known, beside, correlation = None, OnlinePerson.beside_pixels, OnlinePerson.correlation
    if checkpoint_in(folder):
        checkpoint = load_checkpoint(folder, CPU)
        known, beside, correlation = checkpoint.known.get("fine"), checkpoint.beside_pixels, checkpoint.correlation
    lights = uniform_lights() if result.lights is None else torch.from_numpy(result.lights).float()
    offset = None if result.static_offset is None else torch.from_numpy(result.static_offset[0]).float()
    assert result.focal_length is not None
    return OnlinePerson(
        head=head,
        shape=torch.from_numpy(np.ravel(result.shape)).float(),
        focal_length=torch.from_numpy(np.ravel(result.focal_length)[:1]).float(),
        lights=lights,
        offset=offset,
        known=known,
        beside_pixels=beside,
        correlation=correlation,
    )


def compressed(picture: np.ndarray) -> Kept:
    return Kept(cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())


class Kept:
    """A picture in memory as a JPEG; called it gives (H, W, 3) uint8 RGB."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __call__(self) -> Tensor:
        decoded = cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        return torch.from_numpy(np.ascontiguousarray(decoded[..., ::-1]))


def save_person(folder: Path, model: ModelConfig, improved: ImprovedPerson, size: tuple[int, int]) -> None:
    """A run folder of the key frames: a recording in frames/, options, checkpoint and result, as of `track`."""
    rows = torch.nonzero(improved.found).flatten()
    frames = [improved.frames[int(row)] for row in rows]
    names = [f"{frame.number:06d}" for frame in frames]
    images = make_folder(folder / FRAMES / "images")
    pictures = {name: images / f"{name}.jpg" for name in names}
    for path in images.iterdir():
        if path not in pictures.values():
            path.unlink()
    for name, frame in zip(names, frames):
        assert isinstance(frame.picture, Kept)
        if not pictures[name].is_file():
            write_bytes(pictures[name], frame.picture.data)
    height, width = size
    points = np.stack([frame.points.numpy() for frame in frames]) / np.array([width, height, 1], np.float32)
    boxes = np.concatenate([points[..., :2].min(1), points[..., :2].max(1), np.ones((len(points), 1))], 1)
    sources = list(Provenance(folder / FRAMES).sources(pictures).values())
    landmarks = Landmarks(points, boxes, names, sources)
    save_landmarks(folder / FRAMES / "landmark2d" / f"{LANDMARK_SET}.npz", landmarks)
    data = DataConfig(root_folder=folder.absolute(), sequence=FRAMES, unordered=True)
    model = replace(model, use_static_offset=improved.person.offset is not None)
    exp = ExperimentConfig(output_folder=folder.absolute().parent, report=False)
    save_config(folder / "config.yml", MonocularTrackConfig(data=data, exp=exp, model=model))
    _save_result(folder, improved, rows, names, size)


def _save_result(folder: Path, improved: ImprovedPerson, rows: Tensor, names: list[str], size: tuple[int, int]) -> None:
    person = improved.person
    params = replace(improved.params.rows(rows), lights=person.lights, static_offset=person.offset)
    head = person.head
    assert head.base_texture is not None
    with_light = person.known is not None
    result = to_result(
        params,
        head_identity=head.identity,
        timestep_ids=names,
        timestep_indices=list(range(len(names))),
        image_size=size,
        albedo=head.base_texture[None] if with_light else None,
        calibrated=False,
        sh_lights=True,
    )
    checkpoint = Checkpoint(
        params=params,
        progress=Progress(stage=99),
        step=0,
        found=torch.ones(len(names), 1, dtype=torch.bool),
        init_frames=list(range(len(names))),
        beside_pixels=person.beside_pixels,
        correlation=person.correlation,
        known={} if person.known is None else {"fine": person.known},
        finished=True,
    )
    save_checkpoint(folder / CHECKPOINT, checkpoint, keep=False)
    save_result(folder / "tracked_flame_params_0.npz", result)
