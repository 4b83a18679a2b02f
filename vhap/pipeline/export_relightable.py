"""A tracked video as trainers of relightable avatars read it: square RGBA pictures, and FLAME in one JSON file."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.config.data import DataConfig
from vhap.config.export import ExportConfig
from vhap.config.no_effect import changed_options
from vhap.config.track import TrackConfig
from vhap.data.pictures import write_picture
from vhap.evaluate.run_scene import result_head_params
from vhap.export.centred_result import centre
from vhap.export.head_files import is_posed_by_trainers
from vhap.export.nerf_dataset import ExportSource, capture_timesteps, picture_writer
from vhap.export.parallel import for_each
from vhap.export.pictures import PictureWriter
from vhap.export.recentre import Padding, padded_camera
from vhap.export.target import TargetKind, fingerprint, finish_target, open_target, target_folder
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, landmark_head
from vhap.pipeline.heads import with_detector_points
from vhap.pipeline.relightable_files import coefficient_lines, flame_lines, head_points, report_camera
from vhap.relightable.conversion import WrittenHead, flame_params, tracked_params
from vhap.relightable.deca_codes import deca_code
from vhap.relightable.head_files import write_flame_params, write_tracked_params
from vhap.relightable.trainer_camera import trainer_camera
from vhap.render.backend import get_backend
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.progress import progress

RELIGHTABLE = TargetKind(
    "export_relightable.json",
    {"image": r"\d{5,}\.png", "mask": r"\d{5,}\.png", ".": r"(tracked|flame)_params\.json"},
)
MARGIN = 1.3
"""Half side of the square over the head's farthest reach from the principal point: room for hair."""
NO_EFFECT = {
    "background_color": "pictures are RGBA, with the colours as filmed",
    "flame_mode": "these files hold parameters",
    "center_principal_point": "these pictures are always centred",
    "world": "a single camera has no other world",
    "center_head": "the head stays where it was tracked",
}


@dataclass(frozen=True)
class RelightablePictures:
    """Writes the pictures of rows; those that are there are left as they are. with_masks: mask/ beside image/."""

    writer: PictureWriter
    with_masks: bool

    def write(self, row: int) -> None:
        folder, name = self.writer.folder, f"{row:05d}.png"
        paths = [folder / "image" / name, *([folder / "mask" / name] if self.with_masks else [])]
        if all(path.is_file() for path in paths):
            return
        needs_head = self.writer.neck_ids is not None or self.writer.silhouettes is not None
        picture, mask = self.writer.read(row, 0, self.writer.track.vertices(row) if needs_head else None)
        alpha = np.rint(mask * 255).astype(np.uint8)
        colours = np.rint(picture * 255).clip(0, 255).astype(np.uint8)
        # Straight colours, since trainers multiply by alpha; nothing where nothing shows.
        colours[alpha == 0] = 0
        if self.with_masks:
            write_picture(paths[1], alpha)
        write_picture(paths[0], np.dstack([colours, alpha]))


def check_relightable(config: ExportConfig, tracked: TrackConfig, head: HeadModel) -> None:
    """InputError where the run has several cameras or another head than FLAME; lines on what is not written."""
    if not isinstance(tracked.data, DataConfig):
        raise InputError(
            f"expected a run of `{command('track')}`, by one camera, for --layout {config.layout}, found one of a rig; "
            "export it with --layout nerf"
        )
    if not is_posed_by_trainers(head):
        raise InputError(
            f"expected a run of FLAME for --layout {config.layout}, whose readers pose FLAME, found the head "
            f"{head.name}, whose coefficients would mean another shape there; track with --model.head flame"
        )
    for name, value in changed_options(config):
        if name in NO_EFFECT:
            get_logger().warning(
                "--%s %s has no effect with --layout %s: %s", name, value, config.layout, NO_EFFECT[name]
            )


def export_relightable(source: ExportSource, config: ExportConfig, file: Path, tracked: TrackConfig) -> Path:
    """Writes the dataset; returns its folder. file: the result's."""
    target = target_folder(config)
    mark = fingerprint(file, config, tracked.data, source.lost_frames)
    with_offsets, source = source, without_offsets(source)
    for line in [*offset_lines(with_offsets), *flame_lines(source.head), *result_lines(source)]:
        get_logger().warning(line)
    padding = square(source.cameras[0], head_vertices(with_offsets))
    with folder_lock(target):
        open_target(target, mark, RELIGHTABLE)
        # Masks that are drawn show the head with its offsets.
        timesteps, backend = capture_timesteps(source.result, source.capture), get_backend(tracked.render.backend)
        writer = picture_writer(with_offsets, config, target, timesteps, [padding], backend)
        pictures = RelightablePictures(writer, config.layout == "imavatar")
        for_each(pictures.write, progress(range(len(timesteps)), "export"))
        write_head(source, config, target, padded_camera(source.cameras[0], padding))
        finish_target(target, mark, RELIGHTABLE)
    return target


def without_offsets(source: ExportSource) -> ExportSource:
    return replace(source, result=replace(source.result, static_offset=None, dynamic_offset=None))


def offset_lines(source: ExportSource) -> list[str]:
    offset = source.result.static_offset
    if offset is None:
        return []
    mean = 1000 * float(np.linalg.norm(offset.reshape(-1, 3), axis=1).mean())
    return [
        f"the head's offsets, {mean:.2f} mm on average, have no place in these files; track with "
        "--model.no_use_static_offset, so that the coefficients explain the pictures alone"
    ]


def result_lines(source: ExportSource) -> list[str]:
    return coefficient_lines(source.result.shape.shape[-1], source.result.expr.shape[-1])


@torch.no_grad()
def head_vertices(source: ExportSource) -> Tensor:
    """(T, 8, 3): corners of the head's box in each frame, in the world."""
    track = centre(source.head, source.result, source.cameras, to_origin=False)
    boxes = []
    for row in range(len(source.result.timestep_id)):
        vertices = track.vertices(row)
        ends = torch.stack([vertices.amin(0), vertices.amax(0)])
        boxes.append(torch.cartesian_prod(*ends.unbind(1)))
    return torch.stack(boxes)


def square(camera: Camera, points: Tensor) -> Padding:
    """The square around the principal point that holds the head in all frames, no larger than what holds the picture.
    Pixels keep their values where the principal point lies between two of them, or in the middle of one, along both
    axes."""
    pixels = camera.to(torch.float64).project(points.double())[0].reshape(-1, 2)
    centre_px = torch.stack([camera.cx, camera.cy]).double()
    reach = MARGIN * float((pixels - centre_px).abs().max())
    whole = max(float(camera.cx), camera.width - float(camera.cx), float(camera.cy), camera.height - float(camera.cy))
    half = math.ceil(min(reach, whole) - 1e-6)
    if float(camera.cx) % 1 == float(camera.cy) % 1 == 0.5:
        half += 0.5
    shift = (half - float(camera.cx), half - float(camera.cy))
    return Padding((int(2 * half), int(2 * half)), shift)


@torch.no_grad()
def write_head(source: ExportSource, config: ExportConfig, target: Path, camera: Camera) -> None:
    """tracked_params.json with the translation as such, or flame_params.json with the movement in world_mat, where all
    of its readers look."""
    result = source.result
    head = source.head.keep_coefficients(result.shape.shape[-1], result.expr.shape[-1])
    points_head = landmark_head(with_detector_points(head, "ibug"), "ibug")
    params = result_head_params(result, list(range(len(result.timestep_id))))
    fitted = trainer_camera(camera, head_points(points_head, params, camera))
    report_camera(fitted)
    names = [f"{row:05d}.png" for row in range(len(result.timestep_id))]
    written = WrittenHead(result, fitted.camera, names, with_translation=config.layout == "hravatar")
    if config.layout == "hravatar":
        rows = [result_head_params(result, row) for row in range(len(names))]
        cams = np.stack([deca_code(points_head, row, fitted.camera).cam for row in rows])
        write_tracked_params(target / "tracked_params.json", tracked_params(written, cams))
        return
    points = head_points(points_head, params, fitted.camera)
    # IMavatar's reader adds the pictures' ending itself.
    paths = [f"./image/{Path(name).stem}" for name in names]
    write_flame_params(target / "flame_params.json", flame_params(written, points, paths))
