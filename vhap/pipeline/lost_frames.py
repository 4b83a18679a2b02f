"""Which pictures of a run show nothing of the head, and which mattes contradict the faces before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vhap.data.agreement import describe
from vhap.data.lost_frames import (
    NO_HEAD,
    WHOLE_COVER,
    HeadInPicture,
    SmallPicture,
    head_in_picture,
    picture_reason,
    small_pictures,
    without_face,
)
from vhap.data.monocular import MonocularCapture
from vhap.data.pictures import some_names
from vhap.data.rig_capture import RigCapture
from vhap.data.sample import Capture
from vhap.evaluate.run_scene import RunScene
from vhap.fit.photometric.point_albedo import OUTLIER, OUTLIER_TIMES
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel
from vhap.pipeline.captures import CaptureConfig, read_capture
from vhap.util.choice import even_choice
from vhap.util.errors import InputError

COMPARED = 16
"""Frames with a face by which it is known how far a picture is from the head drawn over it."""

Pictures = list[list[SmallPicture]]
"""By timestep and, inside, by camera."""


def raw_capture(data: CaptureConfig) -> MonocularCapture | RigCapture:
    """The capture's pictures as they were filmed, not over a colour, without landmarks, none kept in memory."""
    return read_capture(replace(data, background_color=None, use_landmark=False), cache_bytes=0)


def all_small_pictures(data: CaptureConfig) -> Pictures:
    capture = raw_capture(data)
    return small_pictures(capture, range(len(capture.timestep_ids)), range(len(capture.camera_ids)))


def check_pictures(capture: Capture, pictures: Pictures) -> list[str]:
    """InputError where all pictures are of one colour, or where most mattes contradict the faces; of fewer a line for
    the log."""
    flat = [picture for row in pictures for picture in row]
    if all(picture.is_constant for picture in flat):
        raise InputError(
            f"expected pictures of a head in {capture.folder}, found {len(flat)} that are black or of one colour each; "
            "check the recording, and extract it again"
        )
    points_px, confidence = capture.load_landmarks()
    height, width = capture.size
    points = torch.cat([points_px / points_px.new_tensor([width, height]), confidence[..., None]], -1).numpy()
    faces, wrong = 0, {}
    for row, timestep in enumerate(capture.timestep_ids):
        for view, camera in enumerate(capture.camera_ids):
            faces += bool((points[row, view, :, 2] > 0).any())
            if odd := pictures[row][view].contradiction(points[row, view]):
                wrong[timestep if len(capture.camera_ids) == 1 else f"{timestep} of {camera}"] = odd
    if 2 * len(wrong) > faces:
        raise InputError(
            f"expected mattes around the faces of {capture.folder}, found: {describe(wrong, faces)}; remove the alpha "
            "maps, then preprocess again with another --matting_method or --person, or track without"
        )
    return [describe(wrong, faces)] if wrong else []


def lost_reasons(scene: RunScene, pictures: Pictures, found: np.ndarray | None) -> np.ndarray:
    """(T, C) why each picture of a result shows nothing of the head, empty where it does.

    pictures: of the result's rows; found (T,): a camera saw the face; None where that is not known.
    """
    cameras = [scene.camera(view).to("cpu") for view in range(scene.n_views)]
    reasons, covered = picture_reasons(scene.model, lambda row: scene.vertices(row).cpu(), cameras, pictures)
    return with_rows_without_face(scene, reasons, covered, found)


@torch.no_grad()
def picture_reasons(
    head: HeadModel, vertices: Callable[[int], Tensor], cameras: Sequence[Camera], pictures: Pictures
) -> tuple[np.ndarray, np.ndarray]:
    """What pictures say by themselves: reasons (T, C), and (T,) whether a matte covers where the head is.

    vertices: (V, 3) of a row, in the world of the cameras, which are single ones.
    """
    kept = _above_neck(head)
    reasons = np.full((len(pictures), len(cameras)), "", object)
    covered = np.zeros(len(pictures), bool)
    for row, by_camera in enumerate(pictures):
        points = vertices(row)[kept]
        for view, (camera, picture) in enumerate(zip(cameras, by_camera)):
            stands = _stand(picture, points.to(camera.fx.dtype), camera)
            reasons[row, view] = picture_reason(picture, stands)
            covered[row] |= stands.cover >= WHOLE_COVER
    return reasons.astype(str), covered


def _stand(picture: SmallPicture, points: Tensor, camera: Camera) -> HeadInPicture:
    pixels, depth = camera.project(points)
    relative = pixels / pixels.new_tensor([camera.width, camera.height])
    return head_in_picture(picture, relative.numpy(), depth.numpy())


def _above_neck(head: HeadModel) -> Tensor:
    """(V,) bool: neither neck nor torso, which mattes and pictures may cut off."""
    kept = torch.ones(head.n_vertices, dtype=torch.bool)
    for name in ("neck", "boundary"):
        kept[head.regions.get(name, torch.zeros(0, dtype=torch.long)).cpu()] = False
    return kept


def with_rows_without_face(
    scene: RunScene, reasons: np.ndarray, covered: np.ndarray, found: np.ndarray | None
) -> np.ndarray:
    """reasons (T, C), all cameras of timesteps named in which neither a face is found nor the head is there."""
    if found is None or found.all() or not found.any():
        return reasons
    open_rows = ~found & (reasons == "").any(1)
    lost = without_face(found, covered, strange_rows(scene, open_rows, found)) & open_rows
    return np.where((reasons == "") & lost[:, None], NO_HEAD, reasons)


def strange_rows(scene: RunScene, rows: np.ndarray, found: np.ndarray) -> np.ndarray | None:
    """(T,) which of the rows (T,) bool show something that is far from the head drawn over it, as far as the pictures
    with a face are from theirs; None where the result has no albedo."""
    if scene.result.albedo is None and scene.result.tex_extra is None:
        return None
    known = np.flatnonzero(found)
    usual = [_difference(scene, int(known[index])) for index in even_choice(len(known), COMPARED)]
    limit = max(OUTLIER, OUTLIER_TIMES * float(np.nanmedian(usual)))
    strange = np.zeros(len(rows), bool)
    for row in np.flatnonzero(rows).tolist():
        strange[row] = _difference(scene, row) > limit
    return strange


@torch.no_grad()
def _difference(scene: RunScene, row: int) -> float:
    """Median difference of the drawn head to the picture, in [0, 1]; NaN where no picture shows it."""
    parts = []
    for view in scene.shown_views():
        rendering, frame = scene.render(row, view)
        parts.append((rendering.picture - frame.rgb).abs().mean(-1)[rendering.raster.mask])
    everything = torch.cat(parts)
    return float(everything.median()) if len(everything) else float("nan")


def detected_rows(capture: Capture, timesteps: Sequence[int], data: CaptureConfig) -> np.ndarray | None:
    """(T,) whether a camera has landmarks at each timestep; None where landmarks are not used."""
    if not data.use_landmark:
        return None
    return (capture.load_landmarks()[1] > 0).any((1, 2)).numpy()[list(timesteps)]


def described(reasons: np.ndarray, timestep_ids: Sequence[str], camera_ids: Sequence[str]) -> str:
    """Which of the pictures (T, C) are lost and why, for messages."""
    parts = []
    for reason in Counter(reasons[reasons != ""].tolist()):
        rows, views = np.nonzero(reasons == reason)
        names = [
            str(timestep_ids[row]) if len(camera_ids) == 1 else f"{timestep_ids[row]} of {camera_ids[view]}"
            for row, view in zip(rows.tolist(), views.tolist())
        ]
        parts.append(f"{reason} in {len(names)} ({some_names(names)})")
    return "; ".join(parts)
