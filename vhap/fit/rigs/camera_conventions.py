"""Which convention a calibration was written in, when the one it was read by does not fit the landmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.rigs.alignment import (
    Agreement,
    Observations,
    RigFit,
    collect_observations,
    finish_fit,
    measure_agreement,
)
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel
from vhap.util.errors import InputError
from vhap.util.log import get_logger

LARGEST_REPROJECTION, LARGEST_TEMPLATE_ERROR = 0.06, 0.1
"""In sizes of the face. Measured on right cameras: 0.001 to 0.027 and 0.005 to 0.056, the larger ones where noise of
2 px is 4 % of a face."""
DOUBTFUL, CLEARLY_BETTER = 0.01, 0.5
"""From a doubtful reprojection error on other conventions are tried; one that takes it down to this share is meant."""
TRIAL_TIMESTEPS, TRIAL_LANDMARKS = 8, 60
SIMPLER = 1.05
"""A convention named earlier wins over one that fits better by less than this factor."""
AS_READ = "as they were read"
LEFT_HANDED = "left-handed axes (one axis of world and cameras points the other way)"
FROM_BELOW = "a principal point whose cy is counted from the bottom edge"
SWAPPED_AXES = "camera axes of the other kind (OpenGL: y up, z backwards; OpenCV: y down, z forwards)"


@dataclass(frozen=True)
class Convention:
    """What a file may have meant. name: what it holds, in plain words; camera: the cameras if it does."""

    name: str
    camera: Camera


def align_rig(
    head: HeadModel,
    name: str,
    points_px: Tensor,
    weight: Tensor,
    camera: Camera,
    camera_ids: Sequence[str],
    keep_axes: bool = False,
) -> RigFit | None:
    """`fit_rig` on cameras whose convention has been checked.

    None where nothing can be triangulated since no two cameras see the head at the same time. InputError where the
    landmarks contradict the cameras: it names the convention which they fit, or else the worst camera.
    """
    observations = collect_observations(head, name, points_px, weight) if len(camera_ids) > 1 else None
    if observations is None:
        return None
    return finish_fit(head, check_convention(observations, camera, camera_ids), keep_axes)


def check_convention(observations: Observations, camera: Camera, camera_ids: Sequence[str]) -> Agreement:
    """How well they agree. InputError where landmarks contradict the cameras; a warning where single cameras do."""
    present = measure_agreement(observations, camera)
    plausible = is_plausible(present)
    if not plausible or present.reprojection > DOUBTFUL:
        best, other = best_convention(observations.thinned(TRIAL_TIMESTEPS, TRIAL_LANDMARKS), camera)
        better = other.reprojection < CLEARLY_BETTER * present.reprojection
        if best.name != AS_READ and is_plausible(other) and (better or not plausible):
            raise InputError(
                f"expected cameras that agree with the landmarks, found {_in_words(present)}; the file seems to hold "
                f"{best.name}, which would give {_in_words(other)}; correct it"
            )
    if not plausible:
        worst = int(present.camera_error.nan_to_num(-1).argmax())
        raise InputError(
            f"expected cameras that agree with the landmarks, found {_in_words(present)}, worst in camera "
            f"{camera_ids[worst]} ({_percent(float(present.camera_error[worst]))}), and no other convention that fits; "
            "check that names, picture sizes and intrinsics belong to their cameras, leave some out, or calibrate again"
        )
    _warn_of_single_cameras(present, camera_ids)
    return present


def is_plausible(agreement: Agreement) -> bool:
    """Whether these may be right cameras before a head that is no mirror image."""
    return agreement.reprojection <= LARGEST_REPROJECTION and agreement.template_error <= min(
        LARGEST_TEMPLATE_ERROR, agreement.mirror_error
    )


def best_convention(observations: Observations, camera: Camera) -> tuple[Convention, Agreement]:
    """The reading of the cameras that explains the observations best, and how well."""
    tried = [(other, measure_agreement(observations, other.camera)) for other in conventions(camera)]
    least = min(_badness(agreement) for _, agreement in tried)
    return next(entry for entry in tried if _badness(entry[1]) <= SIMPLER * least)


def _badness(agreement: Agreement) -> float:
    """Both errors in units of the largest allowed; a mirrored head is not allowed."""
    mirrored = float(agreement.mirror_error < agreement.template_error)
    return mirrored + agreement.reprojection / LARGEST_REPROJECTION + agreement.template_error / LARGEST_TEMPLATE_ERROR


def conventions(camera: Camera) -> Iterator[Convention]:
    """The cameras as they are, and as they were meant if the file's author used another convention.

    A mistake acts on the matrices of the file, whose axes may be OpenGL's or OpenCV's; both are undone. How the world's
    axes are turned does not matter here.
    """
    pose = camera.T_camera_world.double()
    for swapped in (False, True):
        for name, change in MISTAKES.items():
            for opencv_file in (False, True):
                meant = _other_axes(change(_other_axes(pose, opencv_file)), opencv_file != swapped)
                words = [name] * (name != AS_READ) + [SWAPPED_AXES] * swapped
                yield Convention(" and ".join(words) or AS_READ, replace(camera, T_camera_world=meant))
    for axis in ("y", "z"):
        mirror = torch.diag(pose.new_tensor([1, -1 if axis == "y" else 1, -1 if axis == "z" else 1, 1]))
        yield Convention(
            LEFT_HANDED,
            replace(camera, T_camera_world=mirror @ pose @ mirror),
        )
    yield Convention(FROM_BELOW, replace(camera, cy=camera.height - camera.cy))


def _other_axes(pose: Tensor, change: bool) -> Tensor:
    """(C, 4, 4) with the cameras' y and z of the other sign, if so."""
    return pose * pose.new_tensor([1, -1, -1, 1])[:, None] if change else pose


def _rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    last = rotation.new_tensor([0, 0, 0, 1]).expand(*rotation.shape[:-2], 1, 4)
    return torch.cat([torch.cat([rotation, translation[..., None]], -1), last], -2)


def _parts(pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation, translation and centre."""
    rotation, translation = pose[..., :3, :3], pose[..., :3, 3]
    return rotation, translation, -(rotation.mT @ translation[..., None]).squeeze(-1)


def _transposed(pose: Tensor) -> Tensor:
    rotation, translation, _ = _parts(pose)
    return _rigid(rotation.mT, translation)


def _transposed_about_centre(pose: Tensor) -> Tensor:
    rotation, _, centre = _parts(pose)
    return _rigid(rotation.mT, -(rotation.mT @ centre[..., None]).squeeze(-1))


def _location_as_translation(pose: Tensor) -> Tensor:
    rotation, translation, _ = _parts(pose)
    return _rigid(rotation, -(rotation @ translation[..., None]).squeeze(-1))


def _translation_as_location(pose: Tensor) -> Tensor:
    rotation, _, centre = _parts(pose)
    return _rigid(rotation, centre)


MISTAKES: dict[str, Callable[[Tensor], Tensor]] = {
    AS_READ: lambda pose: pose,
    "inverted matrices (camera-to-world in place of world-to-camera, or the other way round)": torch.linalg.inv,
    "transposed rotations": _transposed,
    "transposed rotations about the camera locations": _transposed_about_centre,
    "camera locations in place of translations (t = C where t = -R C is expected)": _location_as_translation,
    "translations in place of camera locations (t = -R C where C is expected)": _translation_as_location,
}
"""What a file may hold, and how its matrices become what they were meant to be."""


def _warn_of_single_cameras(agreement: Agreement, camera_ids: Sequence[str]) -> None:
    for camera_id, error in zip(camera_ids, agreement.camera_error.tolist()):
        if error > LARGEST_REPROJECTION:
            get_logger().warning(
                "camera %s disagrees with the others: its landmarks are off by %s of the face's size",
                camera_id,
                _percent(error),
            )


def _in_words(agreement: Agreement) -> str:
    words = f"a reprojection error of {_percent(agreement.reprojection)} of the face's size"
    if float((agreement.camera_error == 1).double().mean()) > 0.5:
        return f"{words} (the head behind the cameras or out of sight)"
    if agreement.mirror_error < agreement.template_error:
        return f"{words} and a mirrored head"
    return f"{words}, {_percent(agreement.template_error)} for a rigid head"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
