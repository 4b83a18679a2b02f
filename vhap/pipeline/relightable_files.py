"""A finished run of a subject's pictures as flame_params.json, tracked_params.json and optimize_vis.jpg."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.data.provenance import Origin, Provenance
from vhap.data.results import result_epochs, result_path
from vhap.evaluate.grid import image_grid, label
from vhap.evaluate.jpeg import shrink, write_jpeg
from vhap.evaluate.overlay import blend
from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, landmark_head, landmark_points, pose, yaw_in_camera
from vhap.pipeline.heads import with_detector_points
from vhap.pipeline.open_run import open_run
from vhap.relightable.conversion import WrittenHead, flame_params, tracked_params
from vhap.relightable.deca_codes import deca_code
from vhap.relightable.head_files import HeadCode, write_flame_params, write_tracked_params
from vhap.relightable.subject_folder import SubjectFolder
from vhap.relightable.trainer_camera import TrainerCamera, trainer_camera
from vhap.render.shading import BAND_1
from vhap.util.choice import even_choice
from vhap.util.errors import InputError
from vhap.util.files import file_hash
from vhap.util.log import get_logger

SHOWN_RUN = "optimize_vis.jpg"
RUNS = "track"
"""Of a subject: the output folder of tracking."""
TRAINER_SHAPE, TRAINER_EXPR = 100, 50
TRAINER_FLAME = "flame2020"
SHOWN, SHOWN_COLUMNS, SHOWN_SIDE = 8, 4, 384
CLAY_RGB = (0.5, 0.66, 0.85)


@dataclass(frozen=True)
class SubjectRun:
    """scene: the run, its head without offsets, for which the files have no place. points_head: the head with its 68
    iBUG points and irises alone. written: what the files say."""

    scene: RunScene
    points_head: HeadModel
    written: WrittenHead
    fitted: TrainerCamera

    def points(self) -> Tensor:
        """(T, 70, 3) in the world."""
        params = self.scene.head_params(list(range(self.scene.n_rows)))
        return head_points(self.points_head, params, self.written.camera)

    def origin(self) -> Origin:
        """What pictures of this run are made from: the recording, and the result."""
        result = result_path(self.scene.folder, self.scene.epoch)
        return Origin(f"{self.scene.config.data.sequence}/{self.scene.folder.name} {file_hash(result)}")

    def codes(self) -> dict[str, HeadCode]:
        """By the pictures' file names."""
        return {
            name: deca_code(self.points_head, self.scene.head_params(row), self.written.camera)
            for row, name in enumerate(self.written.names)
        }


def head_points(head: HeadModel, params: HeadParams, camera: Camera) -> Tensor:
    yaw = yaw_in_camera(params, camera.T_camera_world[:3, :3].to(params.rotation))
    return landmark_points(head, pose(head, params), "ibug", yaw)


def open_subject_run(folder: Path, names: Mapping[str, str], with_translation: bool) -> SubjectRun:
    """names: the pictures' file names by timestep. InputError where a picture was not tracked."""
    scene = open_run(folder, with_landmarks=False)
    timesteps = [str(name) for name in scene.result.timestep_id]
    if missing := names.keys() - set(timesteps):
        raise InputError(
            f"expected every picture in the run {folder}, found none of {len(missing)} (first: {min(missing)}); track "
            "them all"
        )
    bare = replace(scene, result=replace(scene.result, static_offset=None, dynamic_offset=None, scale=None))
    points_head = landmark_head(with_detector_points(scene.model, "ibug"), "ibug")
    with torch.no_grad():
        every = bare.head_params(list(range(bare.n_rows)))
        fitted = trainer_camera(scene.camera(), head_points(points_head, every, scene.camera()))
    written = WrittenHead(bare.result, fitted.camera, [names[name] for name in timesteps], with_translation)
    return SubjectRun(bare, points_head, written, fitted)


def flame_lines(head: HeadModel) -> list[str]:
    """What the log says of a head that trainers do not pose."""
    if not head.name.startswith("flame"):
        return [f"the coefficients are of the head {head.name}: readers that pose FLAME show another shape"]
    if head.name == TRAINER_FLAME:
        return []
    return [
        f"the head is {head.name}: trainers pose FLAME 2020 (generic_model.pkl), whose coefficients mean another "
        "shape; give them this file, or fit that one by --flame_model_path"
    ]


def coefficient_lines(n_shape: int, n_expr: int) -> list[str]:
    """What the log says of coefficients that trainers cut off by default."""
    counts = (("shape", n_shape, TRAINER_SHAPE), ("expr", n_expr, TRAINER_EXPR))
    return [
        f"{count} {name} coefficients: trainers take {taken} of them unless they are given --n_{name} {count}; what "
        "they cut off, the head lacks"
        for name, count, taken in counts
        if count > taken
    ]


@torch.no_grad()
def write_head_files(run: SubjectRun, subject: SubjectFolder, save_name: str = "flame_params") -> None:
    """Files that hold the same already are left alone, and so is optimize_vis.jpg where it is of this run."""
    report_camera(run.fitted)
    paths = [f"./{subject.image_folder.name}/{name}" for name in run.written.names]
    write_flame_params(subject.flame_params(save_name), flame_params(run.written, run.points(), paths))
    cams = np.stack([code.cam for code in run.codes().values()])
    write_tracked_params(subject.tracked_params, tracked_params(run.written, cams))
    picture, record = subject.path / SHOWN_RUN, Provenance(subject.path)
    made_from = run.origin()
    if record.origins({"": picture} if picture.is_file() else {}).get("") != made_from:
        record.write(picture, made_from, lambda path: write_jpeg(path, shown_frames(run)))
    get_logger().info("%d pictures in %s", len(run.written.names), subject.tracked_params)


def written_run(subject: SubjectFolder) -> Path | None:
    """The run of optimize.py whose files `write_head_files` wrote last; None where no record says so, or where its
    result has changed since."""
    picture = subject.path / SHOWN_RUN
    origin = Provenance(subject.path).origins({"": picture} if picture.is_file() else {}).get("")
    if origin is None:
        return None
    # As `SubjectRun.origin` has it.
    shown, _, digest = origin.source.rpartition(" ")
    folder = subject.path / RUNS / Path(shown).name
    result = result_path(folder) if folder.is_dir() and result_epochs(folder) else None
    return folder if result is not None and file_hash(result) == digest else None


def report_camera(fitted: TrainerCamera) -> None:
    """A line where the trainers' camera is not the one that was fitted."""
    mean, most = fitted.distance_px
    if most > 0:
        get_logger().warning(
            "trainers take one focal length and the principal point in the centre and ignore fy, cx and cy: written is "
            "fx = fy = %.2f px and a camera turned by %.3f degrees, which place the face %.2f px (at most %.2f) from "
            "where the given camera does", float(fitted.camera.fx), fitted.turn_deg, mean, most,
        )  # fmt: skip


def shown_frames(run: SubjectRun) -> np.ndarray:
    """Some pictures with the head over them."""
    rows = even_choice(run.scene.n_rows, SHOWN)
    panels = [label(shrink(shown_picture(run, row), SHOWN_SIDE), run.written.names[row]) for row in rows]
    return image_grid(panels, min(SHOWN_COLUMNS, len(panels)))


def shown_picture(run: SubjectRun, row: int) -> np.ndarray:
    """(H, W, 3) uint8: a picture with the head over it as the files place it, unpainted, lit from the front."""
    scene = clay(run.scene)
    frame = scene.load(row)
    camera = run.written.camera.to(torch.float32).to(scene.device)
    drawn = scene.render_vertices(scene.vertices(row), camera, frame.rgb)
    picture, render = (_as_bytes(value[0]) for value in (frame.rgb, drawn.picture))
    return blend(picture, render, drawn.raster.mask[0].cpu().numpy(), 0.7)


def clay(scene: RunScene) -> RunScene:
    """The scene with a head of one colour under a light from the front and above."""
    lights = torch.zeros(9, 3)
    lights[0] = 0.55 * (4 * torch.pi) ** 0.5
    lights[1], lights[2] = 0.15 / BAND_1, 0.35 / BAND_1
    texture = torch.tensor(CLAY_RGB).expand(1, 8, 8, 3).contiguous()
    return replace(scene, texture=texture.to(scene.device), lights=lights.to(scene.device))


def _as_bytes(picture: Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()
