"""light.json: written and read back in the axes of the run, and refused in one line where it is something else."""

import json
import math

import numpy as np
import pytest
import torch

from vhap.fit.light_file import LightOrigin, light_in_tracked_axes, read_light, write_light
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.render.shading import shade, uniform_lights
from vhap.util.errors import InputError


def some_lights() -> torch.Tensor:
    random = torch.Generator().manual_seed(3)
    return uniform_lights() + 0.3 * torch.randn(9, 3, generator=random)


def placed(turn: tuple[float, float, float], scale: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * axis_angle_to_matrix(torch.tensor(turn).double()).numpy()
    return matrix


def test_a_light_comes_back_bit_for_bit_with_where_it_is_from(tmp_path):
    path, lights = tmp_path / "light.json", some_lights()
    write_light(path, lights, LightOrigin("separated", 12, 3400, 8.25), None)
    assert torch.equal(light_in_tracked_axes(path, None), lights)
    told = json.loads(path.read_text())
    assert (told["axes"], told["method"], told["pictures"], told["views"]) == ("tracked", "separated", 12, 3400)
    assert told["turn_degrees"] == 8.25
    assert len(told["order"]) == len(told["coefficients"]) == 9


def test_the_light_of_a_rig_is_in_the_axes_that_its_runs_share(tmp_path):
    path, lights = tmp_path / "light.json", some_lights()
    first, second = placed((0.3, -0.8, 0.2), 0.001), placed((-0.5, 0.1, 1.2), 0.5)
    write_light(path, lights, LightOrigin("given"), first)
    assert read_light(path)[1] == "given"
    assert torch.allclose(light_in_tracked_axes(path, first), lights, atol=1e-5)
    normal = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=-1)
    turned = [normal @ torch.from_numpy(matrix[:3, :3]).T / np.cbrt(np.linalg.det(matrix[:3, :3]))
              for matrix in (first, second)]  # fmt: skip
    other = light_in_tracked_axes(path, second).double()
    assert torch.allclose(shade(turned[1], other), shade(turned[0], lights.double()), atol=1e-5)


def refused(path, content) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError) as found:
        light_in_tracked_axes(path, None)
    message = str(found.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    "change",
    [
        {"axes": "camera"},
        {"coefficients": uniform_lights().tolist()[:8]},
        {"coefficients": [[1.0, 1.0]] * 9},
        {"coefficients": [[1e9] * 3] * 9},
        {"coefficients": "bright"},
        {"coefficients": [[0.0] * 3] * 9},
        {"coefficients": [[-1.0, 1.0, 1.0]] * 9},
        {"axes": "given"},
    ],
)
def test_what_is_no_light_is_refused(tmp_path, change):
    whole = {"axes": "tracked", "coefficients": uniform_lights().tolist()}
    path = tmp_path / "studio.json"
    path.write_text(json.dumps(whole))
    assert math.isclose(float(light_in_tracked_axes(path, None)[0, 0]), math.sqrt(4 * math.pi), rel_tol=1e-6)
    refused(path, whole | change)


def test_what_is_no_json_or_not_there_is_refused(tmp_path):
    refused(tmp_path / "studio.json", "{")
    refused(tmp_path / "studio.json", '{"axes": "tracked", "coefficients": [[NaN, 1, 1]]}')
    with pytest.raises(InputError, match="JSON file"):
        read_light(tmp_path / "nothing.json")


def test_a_light_of_one_cameras_axes_is_not_taken_for_a_rig(tmp_path):
    path = tmp_path / "light.json"
    write_light(path, some_lights(), LightOrigin("given"), None)
    with pytest.raises(InputError, match='"given"'):
        light_in_tracked_axes(path, np.eye(4))
