from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from filmed_rigs import FilmedRig, film
from torch import Tensor

from vhap.fit.rigs.alignment import RigFit
from vhap.fit.rigs.camera_conventions import FROM_BELOW, LEFT_HANDED, SWAPPED_AXES, align_rig
from vhap.geometry.cameras import Camera
from vhap.synthetic.rig import World
from vhap.util.errors import InputError
from vhap.util.log import get_logger

OPENCV = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))
HEADS_OWN = World(1.0, np.eye(3), np.zeros(3))
INVERTED, TRANSPOSED, ABOUT_LOCATION = "inverted matrices", "transposed rotations", "transposed rotations about"
LOCATION, TRANSLATION = "camera locations in place of translations", "translations in place of camera locations"


def align(rig: FilmedRig, camera: Camera | None = None) -> RigFit | None:
    return align_rig(rig.head, rig.name, rig.points_px, rig.weight, camera or rig.camera, rig.camera_ids)


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    pose = torch.eye(4, dtype=torch.float64).repeat(len(rotation), 1, 1)
    pose[:, :3, :3], pose[:, :3, 3] = rotation, translation
    return pose


def read_colmap(pose: Tensor) -> Tensor:
    """World to camera, OpenCV axes."""
    return OPENCV @ pose


def read_transforms(pose: Tensor) -> Tensor:
    """Camera to world, OpenGL axes."""
    return torch.linalg.inv(pose)


def mirrored(pose: Tensor) -> Tensor:
    mirror = torch.diag(torch.tensor([1.0, 1, -1, 1], dtype=torch.float64))
    return mirror @ pose @ mirror


# What a file holds, made of right world-to-camera poses in the axes of the format, and the name it should get.
COLMAP_MISTAKES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    INVERTED: lambda r, t, c: rigid(r.mT, c),
    TRANSPOSED: lambda r, t, c: rigid(r.mT, t),
    LOCATION: lambda r, t, c: rigid(r, c),
    SWAPPED_AXES: lambda r, t, c: OPENCV @ rigid(r, t),
    LEFT_HANDED: lambda r, t, c: mirrored(rigid(r, t)),
}
TRANSFORMS_MISTAKES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    INVERTED: lambda r, t, c: rigid(r, t),
    ABOUT_LOCATION: lambda r, t, c: rigid(r, c),
    TRANSLATION: lambda r, t, c: rigid(r.mT, t),
    SWAPPED_AXES: lambda r, t, c: rigid(r.mT, c) @ OPENCV,
    LEFT_HANDED: lambda r, t, c: mirrored(rigid(r.mT, c)),
}
CASES = [(read_colmap, OPENCV, name, wrong) for name, wrong in COLMAP_MISTAKES.items()]
CASES += [(read_transforms, torch.eye(4).double(), name, wrong) for name, wrong in TRANSFORMS_MISTAKES.items()]


@pytest.mark.parametrize("around_head", [False, True])
@pytest.mark.parametrize(("read", "axes", "name", "wrong"), CASES, ids=[f"{c[0].__name__}-{c[2][:20]}" for c in CASES])
def test_a_wrong_convention_is_named(read, axes: Tensor, name: str, wrong, around_head: bool) -> None:
    rig = film(6, world=HEADS_OWN if around_head else None, shape=1.0, noise_px=1.5, timesteps=3)
    pose = axes @ rig.camera.T_camera_world
    rotation, translation = pose[:, :3, :3], pose[:, :3, 3]
    centre = rig.camera.centre()
    read_wrongly = replace(rig.camera, T_camera_world=read(wrong(rotation, translation, centre)))
    with pytest.raises(InputError) as caught:
        align(rig, read_wrongly)
    held = str(caught.value).split("the file seems to hold ")[1]
    assert held.startswith(name)
    assert held.startswith(ABOUT_LOCATION) == (name == ABOUT_LOCATION)
    assert "\n" not in str(caught.value)


def test_a_mirrored_head_is_noticed_though_all_rays_meet() -> None:
    """Transposed rotations of close cameras around the origin: the landmarks agree on a head turned inside out."""
    rig = film(4, world=HEADS_OWN, arc_deg=20)
    wrong = rig.camera.T_camera_world.clone()
    wrong[:, :3, :3] = rig.camera.T_camera_world[:, :3, :3].mT
    with pytest.raises(InputError, match=r"and a mirrored head; the file seems to hold transposed rotations, which"):
        align(rig, replace(rig.camera, T_camera_world=wrong))


def test_a_principal_point_counted_from_below_is_named() -> None:
    rig = film(6)
    with pytest.raises(InputError, match=FROM_BELOW):
        align(rig, replace(rig.camera, cy=rig.camera.height - rig.camera.cy))


def test_cameras_that_fit_no_convention_name_the_worst() -> None:
    rig = film(5)
    pose = rig.camera.T_camera_world.clone()
    pose[3] = pose[0]
    with pytest.raises(InputError, match=r"worst in camera cam3 .* no other convention"):
        align(rig, replace(rig.camera, T_camera_world=pose))


def test_one_bad_camera_of_many_is_a_warning(caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    monkeypatch.setattr(get_logger(), "propagate", True)
    rig = film(8)
    pose = rig.camera.T_camera_world.clone()
    pose[3] = pose[0]
    fit = align(rig, replace(rig.camera, T_camera_world=pose))
    assert fit is not None
    assert abs(fit.metres_per_unit * rig.world.scale - 1) < 0.01
    assert {record.args[0] for record in caplog.records if record.args} == {"cam3"}


@pytest.mark.parametrize("name", ["ibug", "mediapipe"])
def test_right_cameras_pass_however_few_and_noisy(name: str) -> None:
    for seed, (cameras, arc_deg) in enumerate([(2, 10), (2, 60), (3, 20), (4, 120), (12, 90)]):
        rig = film(cameras, name, arc_deg, noise_px=3, seed=seed, shape=1.0)
        fit = align(rig)
        assert fit is not None
        assert fit.reprojection < 0.025


def test_a_single_camera_is_left_alone() -> None:
    rig = film(2)
    one = replace(rig.camera, **{n: getattr(rig.camera, n)[:1] for n in ("fx", "fy", "cx", "cy", "T_camera_world")})
    assert align_rig(rig.head, rig.name, rig.points_px[:, :1], rig.weight[:, :1], one, ["cam0"]) is None


def test_what_fits_is_told_with_both_errors() -> None:
    rig = film(6)
    swapped = replace(rig.camera, T_camera_world=OPENCV @ rig.camera.T_camera_world)
    with pytest.raises(InputError) as caught:
        align(rig, swapped)
    words = str(caught.value).split()
    errors = [float(number) for number, unit in pairwise(words) if unit == "%"]
    assert errors[0] > 50
    assert errors[1] < 1
