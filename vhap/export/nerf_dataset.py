"""A tracked capture as a dataset that neural avatars train on (the layout of GaussianAvatars and its descendants)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vhap.config.export import ExportConfig
from vhap.data.results import TrackResult
from vhap.data.sample import Capture
from vhap.export.centred_result import CentredTrack, centre
from vhap.export.files import TargetFiles, json_text
from vhap.export.head_files import HeadFiles
from vhap.export.mask import Silhouettes, neck_point_ids
from vhap.export.parallel import for_each
from vhap.export.pictures import BACKGROUND_RGB, PictureSource, PictureWriter
from vhap.export.recentre import Padding, centring, keeping, padded_camera
from vhap.export.split import split_frames
from vhap.export.target import finish_target, open_target
from vhap.export.transforms import common_camera, transforms
from vhap.export.worlds import given_result
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel
from vhap.render.topology import build_topology
from vhap.render.types import Backend
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.progress import progress

BEFORE_MASKING = ("fg_mask_path", "flame_param_path", "mesh_path", "exp_path")


@dataclass(frozen=True)
class ExportSource:
    """What is exported.

    result: the timesteps to export, in order. capture: the pictures at their exported size as they were filmed, not
    over a background; it may hold more timesteps. cameras: single ones of the capture's pictures, in the tracked
    world; camera_indices: which of the capture's cameras these are; camera_numbers: what files and frames call them.
    given_cameras: the same in the world of their calibration, where there is one. visible (T, C): which pictures of
    the result's timesteps by these cameras are exported, at least one of each timestep; None: all. lost_frames: what
    transforms.json says of those that are not, whole timesteps included.
    """

    head: HeadModel
    result: TrackResult
    capture: Capture
    cameras: list[Camera]
    camera_indices: list[int]
    camera_numbers: list[int]
    given_cameras: list[Camera] | None = None
    visible: np.ndarray | None = None
    lost_frames: tuple[dict[str, Any], ...] = ()

    def shows(self, row: int, number: int) -> bool:
        """Whether the picture of a timestep by the exported camera `number` is exported."""
        return self.visible is None or bool(self.visible[row, number])


class NerfDataset:
    """The files of one dataset: `write` those of a row, in any order, then `finish`.

    backend draws silhouettes where the capture has no alpha maps.
    """

    def __init__(self, source: ExportSource, config: ExportConfig, files: TargetFiles, backend: Backend) -> None:
        self.source, self.files = source, files
        self.track = exported_track(source, config)
        self.paddings = (centring if config.center_principal_point else keeping)(self.track.cameras)
        self.heads = HeadFiles(files, self.track, config.flame_mode)
        self.pictures = PictureWriter(
            files=files,
            source=picture_source(source, config, self.paddings, backend, track=self.track),
            camera_numbers=source.camera_numbers,
            background=BACKGROUND_RGB[config.background_color],
            wanted=source.shows,
        )

    @property
    def n_rows(self) -> int:
        return len(self.source.result.timestep_id)

    def write(self, row: int) -> None:
        self.pictures.write(row)
        self.heads.write(row)

    def finish(self) -> None:
        self.heads.write_canonical()
        write_transforms(self.files, self.track, self.source, self.paddings, self.pictures, self.heads)


def export_dataset(
    source: ExportSource, config: ExportConfig, target: Path, backend: Backend, fingerprint: str
) -> Path:
    """Writes the dataset; returns `target`.

    fingerprint: stands for the result and the options. A dataset with the same one is completed, files that are
    there being whole; another export at the target is replaced. backend draws silhouettes where the capture has no
    alpha maps.
    """
    files = TargetFiles(target)
    dataset = NerfDataset(source, config, files, backend)
    open_target(target, fingerprint)
    with files.settling():
        for_each(dataset.write, progress(range(dataset.n_rows), "export"))
    dataset.finish()
    finish_target(target, fingerprint)
    return target


def exported_track(source: ExportSource, config: ExportConfig) -> CentredTrack:
    """Head and cameras in the world that the options ask for."""
    if config.world == "tracked" or source.given_cameras is None:
        return centre(source.head, source.result, source.cameras, config.center_head)
    there = given_result(source.result, source.head)
    return centre(source.head, there, source.given_cameras, config.center_head, keep_scale=True)


def picture_source(
    source: ExportSource,
    config: ExportConfig,
    paddings: list[Padding],
    backend: Backend,
    carried_on: bool = False,
    track: CentredTrack | None = None,
) -> PictureSource:
    """Decides where the masks come from, and says so where it is not from alpha maps. carried_on: as of
    `PictureSource`. track: of the source, to be taken where its world fits, so that it poses each head once.

    Masks are drawn in metres, whatever the unit of the exported world: the renderer's depths have bounds.
    """
    if track is None or track.result.scale is not None:
        track = centre(source.head, source.result, source.cameras)
    timesteps = capture_timesteps(source.result, source.capture)
    has_alpha = source.capture.frame(timesteps[0], source.camera_indices[0]).alpha is not None
    neck_ids, silhouettes = None, None
    if config.create_mask_from_mesh:
        neck_ids = neck_point_ids(track.head.regions)
        if not has_alpha:
            get_logger().info("no alpha maps: the masks are the head's silhouette, without what it does not model")
            silhouettes = Silhouettes(backend, build_topology(track.head.faces, track.head.uv_faces))
    elif not has_alpha:
        get_logger().info("no alpha maps and no mask from the mesh: pictures keep their own background")
    return PictureSource(
        capture=source.capture,
        track=track,
        timesteps=timesteps,
        camera_indices=source.camera_indices,
        paddings=paddings,
        neck_ids=neck_ids,
        silhouettes=silhouettes,
        is_rim_own=config.clean_rim,
        carried_on=carried_on,
    )


def capture_timesteps(result: TrackResult, capture: Capture) -> list[int]:
    """Index into the capture of each of the result's timesteps, by name."""
    index_of = {name: index for index, name in enumerate(capture.timestep_ids)}
    names = [str(name) for name in result.timestep_id]
    missing = [name for name in names if name not in index_of]
    if missing or not names:
        raise InputError(
            f"expected the {len(names)} tracked timesteps in the capture, found {len(missing)} missing "
            f"({', '.join(missing[:5])}); restore the pictures, or track again"
        )
    return [index_of[name] for name in names]


def write_transforms(
    files: TargetFiles,
    track: CentredTrack,
    source: ExportSource,
    paddings: list[Padding],
    pictures: PictureWriter,
    heads: HeadFiles,
) -> None:
    """All transforms files.

    transforms.json: every frame; transforms_backup_flame.json: its copy, for tools that rewrite it.
    transforms_backup.json: cameras and pictures alone, before the head was moved to the origin.
    transforms_train.json, _val.json, _test.json: the split. Where the cameras were given, T_exported_given (4x4 rows)
    says where the calibration's world lies: x_exported = T_exported_given @ x_given. Where the exported world is not
    metric, scale is its units in a metre. Pictures that were left out are listed in transforms.json alone.
    """
    cameras = [padded_camera(camera, padding) for camera, padding in zip(track.cameras, paddings)]
    before = [padded_camera(camera, padding) for camera, padding in zip(track.cameras_before, paddings)]
    frames, bare = [], []
    for row in range(len(track.result.timestep_id)):
        for number in filter(partial(source.shows, row), range(len(cameras))):
            frame = frame_entry(row, number, cameras[number], source, pictures, heads)
            frames.append(frame)
            kept = {key: value for key, value in frame.items() if key not in BEFORE_MASKING}
            bare.append({**kept, "transform_matrix": camera_to_world(before[number])})
    shared = common_camera(frames)
    told = {**shared, "head_model": track.head.identity}
    lost = {"lost_frames": list(source.lost_frames)} if source.lost_frames else {}
    if track.result.scale is not None:
        told["scale"] = float(track.result.scale)
    if track.result.T_tracked_given is not None:
        told["T_exported_given"] = (track.T_exported_before @ track.result.T_tracked_given).tolist()
    everything = transforms(frames, {**told, **lost})
    files.write("transforms_backup.json", json_text(transforms(bare, shared)))
    files.write("transforms_backup_flame.json", json_text(everything))
    for name, part in split_frames(frames).items():
        files.write(f"transforms_{name}.json", json_text(transforms(part, told)))
    files.write("transforms.json", json_text(everything))


def frame_entry(
    row: int, number: int, camera: Camera, source: ExportSource, pictures: PictureWriter, heads: HeadFiles
) -> dict[str, Any]:
    """One frame of a transforms file; `number` counts the exported cameras."""
    picture, mask = pictures.names(row, number)
    return {
        "timestep_index": row,
        "timestep_index_original": int(source.result.timestep_index[row]),
        "timestep_id": str(source.result.timestep_id[row]),
        "camera_index": source.camera_numbers[number],
        "camera_id": source.capture.camera_ids[source.camera_indices[number]],
        **intrinsics(camera),
        "transform_matrix": camera_to_world(camera),
        "file_path": picture,
        "fg_mask_path": mask,
        **heads.keys(row),
    }


def intrinsics(camera: Camera) -> dict[str, float | int]:
    """Pixels, cx and cy from the left and the top edge; angles of view in radians."""
    fl_x, fl_y = float(camera.fx), float(camera.fy)
    return {
        "cx": float(camera.cx),
        "cy": float(camera.cy),
        "fl_x": fl_x,
        "fl_y": fl_y,
        "h": camera.height,
        "w": camera.width,
        "camera_angle_x": 2 * math.atan(camera.width / (2 * fl_x)),
        "camera_angle_y": 2 * math.atan(camera.height / (2 * fl_y)),
    }


def camera_to_world(camera: Camera) -> list[list[float]]:
    """4x4 rows; OpenGL axes: x right, y up, z backwards. The inverse of a rigid transform, written out."""
    matrix = camera.T_camera_world.to(torch.float64).numpy()
    rotation = matrix[:3, :3].T
    inverse = np.eye(4)
    inverse[:3, :3], inverse[:3, 3] = rotation, -rotation @ matrix[:3, 3]
    return (inverse + 0.0).tolist()
