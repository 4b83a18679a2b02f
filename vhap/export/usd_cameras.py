"""Tracked cameras as UsdGeom has them, and the pictures they filmed on planes behind the head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from vhap.export.nerf_dataset import camera_to_world
from vhap.export.usd_stage import add_mesh, bind_material, matrix, textured_material
from vhap.geometry.cameras import FAR_M, NEAR_M, Camera

SENSOR_WIDTH_M = 0.036
"""Width of the film: apertures and focal length have any common factor, and 36 mm is what people think in."""
TENTHS = 10.0
"""Apertures and focal length are in tenths of the stage's unit."""
BEHIND_M = 0.3
"""Distance of the picture behind the head's root, which keeps it behind the head however that turns."""
SQUARE = np.array([[0, 1, 2, 3]])


def add_camera(pxr: Any, stage: Any, path: str, camera: Camera, name: str) -> None:
    """A single camera in the stage's world. name: shown to people."""
    width, height = camera.width, camera.height
    fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    focal = TENTHS * SENSOR_WIDTH_M * fx / width
    made = pxr.UsdGeom.Camera.Define(stage, path)
    made.GetPrim().SetDisplayName(name)
    made.CreateProjectionAttr(pxr.UsdGeom.Tokens.perspective)
    made.CreateFocalLengthAttr(focal)
    made.CreateHorizontalApertureAttr(focal * width / fx)
    made.CreateVerticalApertureAttr(focal * height / fy)
    made.CreateHorizontalApertureOffsetAttr(focal * (width / 2 - cx) / fx)
    made.CreateVerticalApertureOffsetAttr(focal * (cy - height / 2) / fy)
    made.CreateClippingRangeAttr(pxr.Gf.Vec2f(NEAR_M, FAR_M))
    made.AddTransformOp().Set(matrix(pxr, np.array(camera_to_world(camera))))


def add_picture_plane(
    pxr: Any, stage: Any, path: str, camera: Camera, distance_m: float, pictures: Mapping[float, str | None]
) -> None:
    """A guide in the camera's axes that fills its view, distance_m before it. pictures: time code -> path beside the
    stage, None: there is none, and nothing is shown."""
    x = (np.array([0, camera.width]) - float(camera.cx)) / float(camera.fx) * distance_m
    y = (float(camera.cy) - np.array([camera.height, 0])) / float(camera.fy) * distance_m
    corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    points = np.array([[*corner, -distance_m] for corner in corners])
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    plane = add_mesh(pxr, stage, path, points, SQUARE, uvs, SQUARE)
    plane.CreatePurposeAttr(pxr.UsdGeom.Tokens.guide)
    shown = {code: name for code, name in pictures.items() if name is not None}
    if len(shown) < len(pictures):
        visibility = plane.CreateVisibilityAttr()
        for code, name in pictures.items():
            visibility.Set(pxr.UsdGeom.Tokens.inherited if name else pxr.UsdGeom.Tokens.invisible, code)
    if shown:
        bind_material(pxr, plane, textured_material(pxr, stage, f"{path}_material", shown, "emissiveColor"))


def distance_behind(camera: Camera, places: Tensor) -> float:
    """Depth in metres behind the head, whose root was at the places (T, 3) of the world."""
    return float(camera.project(places.to(camera.fx.dtype))[1].max()) + BEHIND_M
