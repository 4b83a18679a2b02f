"""The tracked head, its motion and its cameras as one USD file, with its texture and the pictures beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from vhap.data.extraction import extracted_fps
from vhap.data.png import encode_png
from vhap.export.centred_result import centre
from vhap.export.files import jpg
from vhap.export.layouts.base import Job, LayoutRules, marked
from vhap.export.mesh_files import DEFAULT_FPS
from vhap.export.nerf_dataset import picture_source
from vhap.export.recentre import centring, keeping, padded_camera
from vhap.export.usd_cameras import add_camera, add_picture_plane, distance_behind
from vhap.export.usd_head import add_head
from vhap.export.usd_stage import identifiers, new_stage, stage_bytes, usd_modules

STAGE, TEXTURE = "head.usdc", "head.png"

RULES = LayoutRules(
    readers="programs that read USD (Blender, Houdini, Maya, Unreal, Omniverse, usdview)",
    target=marked("usd", images=r"\d{5,}_\d{2,}\.jpg", _root=r"head\.usdc|head\.png"),
    one_camera=False,
    options=("fps",),
    no_effect={
        "background_color": "pictures are as filmed",
        "clean_rim": "pictures are as filmed",
        "create_mask_from_mesh": "it has no masks",
    },
)


class Usd:
    """images/, head.png, and head.usdc, in the tracked world: metric, y up. Time codes are the recording's frames."""

    def __init__(self, job: Job) -> None:
        self.pxr = usd_modules()
        self.job, self.files, self.source = job, job.files, job.source
        self.track = centre(self.source.head, self.source.result, self.source.cameras, to_origin=False)
        paddings = (centring if job.config.center_principal_point else keeping)(self.track.cameras)
        self.cameras = [padded_camera(camera, padding) for camera, padding in zip(self.track.cameras, paddings)]
        filmed = replace(job.config, clean_rim=False, create_mask_from_mesh=False)
        self.pictures = picture_source(self.source, filmed, paddings, job.backend)

    def name(self, row: int, number: int) -> str | None:
        """Path of a picture; None where it is left out."""
        camera = self.source.camera_numbers[number]
        return f"images/{row:05d}_{camera:02d}.jpg" if self.source.shows(row, number) else None

    def write(self, row: int) -> None:
        for number in range(len(self.cameras)):
            name = self.name(row, number)
            if name is not None and not self.files.has(name):
                self.files.write(name, jpg(self.pictures.read(row, number, None).picture))

    def finish(self) -> None:
        self.files.replace(TEXTURE, bytes(encode_png(self.job.albedo())))
        self.files.replace(STAGE, self.stage())

    def stage(self) -> bytes:
        pxr, codes = self.pxr, np.asarray(self.track.result.timestep_index, np.float64)
        fps = self.job.config.fps or extracted_fps(self.source.capture.folder) or DEFAULT_FPS
        stage = new_stage(pxr, codes, fps)
        stage.SetDefaultPrim(pxr.UsdGeom.Xform.Define(stage, "/World").GetPrim())
        motion = add_head(pxr, stage, "/World/Head", self.track, codes, TEXTURE)
        pxr.UsdGeom.Scope.Define(stage, "/World/Cameras")
        ids = [self.source.capture.camera_ids[index] for index in self.source.camera_indices]
        for number, name in enumerate(identifiers(pxr, ids, "camera_")):
            self.add_view(stage, f"/World/Cameras/{name}", number, ids[number], codes, motion.translations)
        return stage_bytes(stage)

    def add_view(self, stage: Any, path: str, number: int, camera_id: str, codes: np.ndarray, places: Tensor) -> None:
        camera = self.cameras[number]
        add_camera(self.pxr, stage, path, camera, camera_id)
        depth = distance_behind(camera, places)
        pictures = {code: self.name(row, number) for row, code in enumerate(codes.tolist())}
        add_picture_plane(self.pxr, stage, f"{path}/Picture", camera, depth, pictures)
