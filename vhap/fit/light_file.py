"""light.json: the light of a run, or one that is known of a studio, as nine spherical harmonics per channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypedDict

import msgspec
import numpy as np
import torch
from torch import Tensor

from vhap.data.result_rules import MOST_LIGHT
from vhap.render.shading import rotated_lights
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json

LIGHT_FILE = "light.json"
CONVENTION = (
    "nine real spherical harmonics for red, green and blue, times 1, 2/3, 1/4 by band: albedo times their sum at the "
    "normal is the picture's value; (sqrt(4 pi), 0, ...) shades with 1"
)
ORDER = ["1", "y", "z", "x", "xy", "yz", "3zz-1", "xz", "xx-yy"]
AMBIENT_SHADING = 1 / (4 * np.pi) ** 0.5
"""Mean shading over all directions by a first coefficient of 1."""
DARKEST, BRIGHTEST = 0.2, 5.0
Axes = Literal["tracked", "given"]
"""tracked: of the run's result, x right, y up, z towards the camera. given: of the calibration's own world."""
_Coefficient = Annotated[float, msgspec.Meta(ge=-MOST_LIGHT, le=MOST_LIGHT)]
_Channels = Annotated[list[_Coefficient], msgspec.Meta(min_length=3, max_length=3)]


class _File(TypedDict):
    axes: Axes
    coefficients: Annotated[list[_Channels], msgspec.Meta(min_length=9, max_length=9)]


@dataclass(frozen=True)
class LightOrigin:
    """Where a light is from. method: separated from the albedo by so many pictures with so many views of vertices,
    whose normals turn by turn_degrees (`light_views.py`), or given by the user."""

    method: Literal["separated", "given"]
    pictures: int = 0
    views: int = 0
    turn_degrees: float = 0.0


def write_light(path: Path, lights: Tensor, origin: LightOrigin, T_tracked_given: np.ndarray | None) -> None:
    """lights (9, 3) in tracked axes. Where cameras are known the file has the calibration's axes, which
    other runs of the rig share."""
    axes: Axes = "tracked" if T_tracked_given is None else "given"
    if T_tracked_given is not None:
        lights = rotated_lights(lights.double(), _turn(T_tracked_given).T)
    content = {
        "axes": axes,
        "order": ORDER,
        "convention": CONVENTION,
        "coefficients": [[float(value) for value in row] for row in lights.cpu().tolist()],
        "method": origin.method,
    }
    if origin.method == "separated":
        content |= {
            "pictures": origin.pictures,
            "views": origin.views,
            "turn_degrees": round(origin.turn_degrees, 3),
        }
    write_json(path, content)


def read_light(path: Path) -> tuple[Tensor, Axes]:
    """(9, 3) float64, and the axes that they are in. InputError in one line where it is not such a file, where a
    channel has no light at all, and where its light is of another scale."""
    if path.is_dir():
        raise InputError(f"expected a light.json at {path}, found a folder; name the file in it")
    content: _File = read_json(path, _File)
    lights = torch.tensor(content["coefficients"], dtype=torch.float64)
    if not bool((lights[0] > 0).all()):
        raise InputError(
            f"expected a first coefficient above 0 for each channel in {path}, found {lights[0].tolist()}; correct it"
        )
    brightness = float(lights[0].mean() * AMBIENT_SHADING)
    if not DARKEST <= brightness <= BRIGHTEST:
        raise InputError(
            f"expected a mean shading of {DARKEST} to {BRIGHTEST} over all directions in {path}, since a picture shows "
            f"the albedo where it is 1, found {brightness:.3g}; scale the coefficients"
        )
    return lights, content["axes"]


def require_axes(path: Path, cameras_known: bool) -> None:
    """InputError where the file's axes are others than those of a recording with, or without, known cameras."""
    _, axes = read_light(path)
    expected: Axes = "given" if cameras_known else "tracked"
    if axes != expected:
        cameras = "with" if cameras_known else "without"
        raise InputError(
            f'expected "axes": "{expected}" in {path} for a recording {cameras} known cameras, found "{axes}"; '
            "turn the coefficients into those axes"
        )


def light_in_tracked_axes(path: Path, T_tracked_given: np.ndarray | None) -> Tensor:
    """(9, 3) float32 of a file. T_tracked_given (4, 4): where the calibration's world lies; None without known cameras.
    InputError where the file's axes are others than the cameras'."""
    require_axes(path, T_tracked_given is not None)
    lights, _ = read_light(path)
    if T_tracked_given is not None:
        lights = rotated_lights(lights, _turn(T_tracked_given))
    return lights.float()


def _turn(T_tracked_given: np.ndarray) -> Tensor:
    """(3, 3) float64 rotation of a similarity."""
    turn = torch.from_numpy(np.asarray(T_tracked_given, np.float64)[:3, :3])
    return turn / torch.linalg.det(turn) ** (1 / 3)
