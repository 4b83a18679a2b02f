"""Several recordings of one person as one, and some timesteps of a recording as if there were no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.data.frame_cache import Frame
from vhap.data.pictures import shrink
from vhap.data.rig_capture import RigCapture
from vhap.data.sample import Capture, FrameBatch
from vhap.geometry.cameras import Camera
from vhap.util.errors import InputError

CAMERA_TOLERANCE = 1e-3
"""Relative, of the numbers of a calibration that two recordings have each in a file of their own."""
GAP = 2
"""Timesteps between the last of a recording and the first of the next: nothing moves little from one to the other."""
SHAPE_TOLERANCE = 0.01
"""Of the ratio of width to height, which rounding changes in small pictures."""


class FewFrames:
    """Some timesteps of a capture as if there were no others."""

    def __init__(self, whole: Capture, rows: list[int]) -> None:
        self.whole, self.rows = whole, rows
        self.folder, self.size = whole.folder, whole.size
        self.camera_ids, self.landmark_set = whole.camera_ids, whole.landmark_set
        self.background_rgb = whole.background_rgb
        self.timestep_ids = [whole.timestep_ids[row] for row in rows]
        self.timestep_indices = [whole.timestep_indices[row] for row in rows]

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        batch = self.whole.load([self.rows[index] for index in timesteps], cameras)
        own = torch.tensor(timesteps).repeat_interleave(len(batch.cameras) // len(timesteps))
        return replace(batch, timesteps=own)

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        return self.whole.frame(self.rows[timestep], camera)

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        points, confidence = self.whole.load_landmarks()
        return points[self.rows], confidence[self.rows]

    def given_camera(self) -> Camera | None:
        return self.whole.given_camera()


class JoinedCapture:
    """Implements vhap.data.sample.Capture for the recordings of one person by one camera, or by one rig: timesteps one
    recording after the other, named RECORDING/TIMESTEP.

    Pictures of one shape come at the smallest size among the recordings. Raises InputError where recordings have
    other cameras, pictures of another shape, or alpha maps where others have none.
    """

    def __init__(self, names: Sequence[str], captures: Sequence[Capture]) -> None:
        self.names, self.captures = list(names), list(captures)
        first = self.captures[0]
        self.folder = first.folder.parent
        self.camera_ids, self.landmark_set = first.camera_ids, first.landmark_set
        self.background_rgb = first.background_rgb
        self._require_alike()
        self.size = min((capture.size for capture in captures), key=lambda size: size[0] * size[1])
        self.timestep_ids, self.timestep_indices = [], []
        start = 0
        for name, capture in zip(names, captures):
            self.timestep_ids += [f"{name}/{timestep}" for timestep in capture.timestep_ids]
            self.timestep_indices += [start + index for index in capture.timestep_indices]
            start += capture.timestep_indices[-1] + GAP
        self._places = [(n, row) for n, capture in enumerate(captures) for row in range(len(capture.timestep_ids))]

    def recordings(self) -> Tensor:
        """(T,) long: which recording each timestep is of."""
        return torch.tensor([number for number, _ in self._places])

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        """Pictures of these timesteps, timestep-major."""
        parts = []
        for number, some in groupby(timesteps, key=lambda timestep: self._places[timestep][0]):
            some = list(some)
            batch = self.captures[number].load([self._places[timestep][1] for timestep in some], cameras)
            own = torch.tensor(some).repeat_interleave(len(batch.cameras) // len(some))
            parts.append(replace(_resized(batch, self.size), timesteps=own))
        return _together(parts)

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        """One picture with its alpha map."""
        number, row = self._places[timestep]
        frame = self.captures[number].frame(row, camera)
        alpha = None if frame.alpha is None else shrink(frame.alpha, self.size)
        return Frame(shrink(frame.rgb, self.size), alpha)

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        """(T, C, L, 2) px of the joined pictures and confidence (T, C, L)."""
        points, confidence = zip(*(capture.load_landmarks() for capture in self.captures))
        scaled = [part * _scale(capture.size, self.size) for part, capture in zip(points, self.captures)]
        return torch.cat(scaled), torch.cat(confidence)

    def given_camera(self) -> Camera | None:
        """The cameras where they are known: those of the first recording, which all have."""
        camera = self.captures[0].given_camera()
        return None if camera is None else camera.resized(*self.size)

    def _require_alike(self) -> None:
        first, name = self.captures[0], self.names[0]
        for other, capture in zip(self.names[1:], self.captures[1:]):
            if capture.camera_ids != first.camera_ids:
                raise InputError(
                    f"expected the cameras of {name} ({' '.join(first.camera_ids)}) in all sequences, found "
                    f"{' '.join(capture.camera_ids)} in {other}; choose those that all have with --data.cameras"
                )
            if not _same_shape(capture.size, first.size) or (
                isinstance(first, RigCapture) and capture.size != first.size
            ):
                raise InputError(
                    f"expected pictures of one shape, {first.size[1]}x{first.size[0]} as in {name}, found "
                    f"{capture.size[1]}x{capture.size[0]} in {other}; leave {other} out, and track it with that "
                    "person's result as --model.flame_params_path and --model.fix_shape"
                )
            if not _same_cameras(_known_camera(capture), _known_camera(first)):
                raise InputError(
                    f"expected one calibration, that of {name}, found other cameras in {other}; leave {other} out, and "
                    "track it with that person's result as --model.flame_params_path and --model.fix_shape"
                )
        mattes = [has_alpha(capture) for capture in self.captures]
        if any(mattes) and not all(mattes):
            raise InputError(
                f"expected alpha maps of all sequences or of none, found none of {self.names[mattes.index(False)]}; "
                "preprocess it with them"
            )


def has_alpha(capture: Capture) -> bool:
    """Whether there are alpha maps."""
    return capture.load([0], [0]).alpha is not None


def rig_of(capture: Capture) -> RigCapture | None:
    """What knows the calibration of a capture, which may be some timesteps or several recordings of a rig; None where
    there is no rig."""
    while isinstance(capture, FewFrames):
        capture = capture.whole
    if isinstance(capture, JoinedCapture):
        capture = capture.captures[0]
    return capture if isinstance(capture, RigCapture) else None


def _known_camera(capture: Capture) -> Camera | None:
    """A rig's in the calibration's own world, which has axes where the cameras look everywhere, too."""
    return capture.calibrated_camera() if isinstance(capture, RigCapture) else capture.given_camera()


def _same_cameras(camera: Camera | None, other: Camera | None) -> bool:
    """Whether both are unknown, or alike for pictures of one size."""
    if camera is None or other is None:
        return camera is None and other is None
    other = other.resized(camera.height, camera.width)
    names = ("fx", "fy", "cx", "cy", "T_camera_world")
    return all(torch.allclose(getattr(camera, name), getattr(other, name), CAMERA_TOLERANCE, 1e-6) for name in names)


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(size[0] * other[1] / (size[1] * other[0]) - 1) < SHAPE_TOLERANCE


def _scale(size: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """(2,) x, y from pictures of a size (height, width) to those of the other."""
    return torch.tensor([target[1] / size[1], target[0] / size[0]])


def _resized(batch: FrameBatch, size: tuple[int, int]) -> FrameBatch:
    """The pictures averaged down to a size (height, width), landmarks with them."""
    if batch.size == size:
        return batch
    alpha = batch.alpha
    if alpha is not None:
        alpha = F.adaptive_avg_pool2d(alpha[:, None], size)[:, 0]
    return replace(
        batch,
        rgb=F.adaptive_avg_pool2d(batch.rgb.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1).contiguous(),
        alpha=alpha,
        landmarks_px=batch.landmarks_px * _scale(batch.size, size),
    )


def _together(parts: list[FrameBatch]) -> FrameBatch:
    if len(parts) == 1:
        return parts[0]
    names = ("timesteps", "cameras", "rgb", "landmarks_px", "confidence")
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
    alphas = [part.alpha for part in parts if part.alpha is not None]
    return FrameBatch(**joined, alpha=torch.cat(alphas) if alphas else None)
