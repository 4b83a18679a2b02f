"""A tracking result moved so that the head sits at the origin, and the cameras moved with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vhap.data.results import TrackResult
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.head.model import HeadModel, HeadParams, person_head, pose
from vhap.util.errors import InputError


@dataclass(frozen=True, eq=False)
class CentredTrack:
    """Head and cameras in the exported world.

    result: the exported timesteps only; cameras: single ones, in pixels of the pictures to export.
    cameras_before: the same before the move. T_exported_before (4, 4): that move.
    """

    head: HeadModel
    result: TrackResult
    cameras: list[Camera]
    cameras_before: list[Camera]
    T_exported_before: np.ndarray

    def params(self, row: int) -> HeadParams:
        """What poses the head at a row of the result."""
        result = self.result
        offsets = [o for o in (static_offset(result), dynamic_offset(result, row)) if o is not None]
        return HeadParams(
            shape=_tensor(result.shape),
            expr=_tensor(result.expr[row]),
            rotation=_tensor(result.rotation[row]),
            translation=_tensor(result.translation[row]),
            neck_pose=_tensor(result.neck_pose[row]),
            jaw_pose=_tensor(result.jaw_pose[row]),
            eyes_pose=_tensor(result.eyes_pose[row]),
            static_offset=_tensor(np.sum(offsets, axis=0)) if offsets else None,
            scale=None if result.scale is None else _tensor(result.scale),
        )

    def vertices(self, row: int) -> Tensor:
        """(V, 3) in the exported world, in double precision as the cameras. A thread that asks for the same row again
        gets the same ones: they are not to be changed."""
        latest = self._latest
        if getattr(latest, "row", None) != row:
            offset = dynamic_offset(self.result, row)
            params = replace(
                self.params(row),
                shape=self._person.template.new_zeros(0),
                static_offset=None if offset is None else _tensor(offset),
            )
            with torch.no_grad():
                latest.vertices = pose(self._person, params).double()
            latest.row = row
        return latest.vertices

    @cached_property
    def _person(self) -> HeadModel:
        """The head with what all rows share in it."""
        offset = static_offset(self.result)
        shape = _tensor(self.result.shape)
        return person_head(self.head, shape, None if offset is None else _tensor(offset))

    @cached_property
    def _latest(self) -> threading.local:
        return threading.local()


def centre(
    head: HeadModel, result: TrackResult, cameras: list[Camera], to_origin: bool = True, keep_scale: bool = False
) -> CentredTrack:
    """Subtracts the mean translation of the result's timesteps from head and cameras, if to_origin.

    Where the result has a scale (vertices = scale * head + translation), the world is divided by it, which changes
    no picture and lets trainers pose the head without knowing of it; keep_scale leaves it.
    """
    head = fitting_head(head, result)
    scale = 1.0 if result.scale is None or keep_scale else float(result.scale)
    translation = np.asarray(result.translation, np.float64) / scale
    mean = translation.mean(0) if to_origin else np.zeros(3)
    kept = result.scale if keep_scale else None
    moved = replace(result, translation=(translation - mean).astype(np.float32), scale=kept)
    T_exported_before = np.diag([1 / scale, 1 / scale, 1 / scale, 1.0])
    T_exported_before[:3, 3] = -mean
    move = torch.from_numpy(T_exported_before)
    return CentredTrack(head, moved, [camera.moved(move) for camera in cameras], cameras, T_exported_before)


def fitting_head(head: HeadModel, result: TrackResult) -> HeadModel:
    """The head on the CPU with as many coefficients as the result; InputError where it has fewer."""
    n_shape, n_expr = result.shape.shape[-1], result.expr.shape[-1]
    if n_shape > head.n_shape or n_expr > head.n_expr:
        raise InputError(
            f"expected at most {head.n_shape} shape and {head.n_expr} expression coefficients, as the head "
            f"{head.identity} has, found {n_shape} and {n_expr} in the result; use the head that was tracked"
        )
    return head.to("cpu").keep_coefficients(n_shape, n_expr)


def tracked_cameras(result: TrackResult, given: Camera | None, size: tuple[int, int]) -> list[Camera]:
    """One single camera, in double precision, for each of the capture's, in pixels of pictures of `size`
    (height, width).

    given: known cameras with a leading axis, already in those pixels; None takes the tracked focal length.
    """
    if given is not None:
        return [given.select(k).to(torch.float64).to("cpu") for k in range(len(given.fx))]
    if result.focal_length is None:
        raise InputError("expected a focal length in the result or a given camera, found neither; track again")
    height, width = (int(side) for side in result.image_size)
    focal = torch.tensor(float(np.asarray(result.focal_length).reshape(-1)[0]), dtype=torch.float64)
    camera = camera_from_focal(focal, height, width)
    y_scale, x_scale = size[0] / height, size[1] / width
    return [
        replace(
            camera,
            fx=camera.fx * x_scale,
            fy=camera.fy * y_scale,
            cx=camera.cx * x_scale,
            cy=camera.cy * y_scale,
            height=size[0],
            width=size[1],
        )
    ]


def static_offset(result: TrackResult) -> np.ndarray | None:
    """(V, 3) or None."""
    return None if result.static_offset is None else result.static_offset.reshape(-1, 3)


def dynamic_offset(result: TrackResult, row: int) -> np.ndarray | None:
    """(V, 3) or None."""
    return None if result.dynamic_offset is None else result.dynamic_offset[row]


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
