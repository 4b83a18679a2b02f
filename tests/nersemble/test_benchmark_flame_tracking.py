"""FLAME's numbers in the benchmark's form and in ours pose the same vertices; damaged files are refused."""

import dataclasses
import logging
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from vhap.data.results import TrackResult, load_result, save_result
from vhap.head.flame import load_flame
from vhap.head.model import HeadParams, map_tensors, pose
from vhap.nersemble.benchmark.flame_tracking import FlameProvider, FlameTracking
from vhap.util.errors import InputError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))
import flame_files

QUARTER = np.pi / 2
ANGLES = np.array([[0.3, -0.5, 0.2], [2.9, 0.4, -3.0], [0.7, QUARTER, -0.4], [-1.1, -QUARTER, 0.6], [0.0, 0.0, np.pi]])
FLAME_AXES = np.array([[0.2, 0.1, -0.4], [3.0, 0.5, -0.1], [0, 0, 0], [np.pi, 0, 0], [0, QUARTER, 0], [4, 3, -2]])


@pytest.fixture(scope="module")
def flame_path(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return flame_files.write_flame(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture(scope="module")
def head(flame_path):
    return load_flame(flame_path, with_teeth=False)


def turned(angles) -> np.ndarray:
    """Rx Ry Rz, written out."""
    (ca, cb, cc), (sa, sb, sc) = np.cos(angles), np.sin(angles)
    x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    z = np.array([[cc, -sc, 0], [sc, cc, 0], [0, 0, 1]])
    return x @ y @ z


def tracking(scale: float = 1.0) -> FlameTracking:
    rng = np.random.default_rng(5)
    count = len(ANGLES)
    return FlameTracking(
        shape=rng.standard_normal((1, 300)),
        expression=rng.standard_normal((count, 100)),
        rotation=ANGLES,
        rotation_matrices=np.array([turned(angles) for angles in ANGLES]),
        translation=rng.uniform(-0.5, 1.5, (count, 3)),
        jaw=rng.uniform(-0.3, 0.3, (count, 3)),
        frames=np.arange(count) * 3 + 2,
        scale=np.full((1, 1), scale),
        neck=rng.uniform(-0.3, 0.3, (count, 3)),
        eyes=rng.uniform(-0.3, 0.3, (count, 6)),
    )


def result(head, scale: float | None, n_shape: int = 300, n_expr: int = 100) -> TrackResult:
    rng = np.random.default_rng(6)
    count = len(FLAME_AXES)
    return TrackResult(
        rotation=FLAME_AXES.astype(float),
        translation=rng.uniform(-1, 1, (count, 3)),
        neck_pose=rng.uniform(-0.3, 0.3, (count, 3)),
        jaw_pose=rng.uniform(-0.3, 0.3, (count, 3)),
        eyes_pose=rng.uniform(-0.3, 0.3, (count, 6)),
        shape=rng.standard_normal(n_shape),
        expr=rng.standard_normal((count, n_expr)),
        timestep_id=np.array([f"{index:06d}" for index in range(count)]),
        timestep_index=np.arange(count),
        n_processed_frames=np.array(count),
        image_size=np.array([512, 512]),
        head_model=np.array(head.identity),
        scale=None if scale is None else np.array(scale),
    )


def double(head):
    return map_tensors(head, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def posed_our_way(head, made: TrackResult) -> np.ndarray:
    """(T, V, 3) by our own model, of a result's arrays."""
    head = double(head).keep_coefficients(len(made.shape), made.expr.shape[1])

    def tensor(values):
        return torch.from_numpy(np.array(values, np.float64))

    params = HeadParams(
        shape=tensor(made.shape),
        expr=tensor(made.expr),
        rotation=tensor(made.rotation),
        translation=tensor(made.translation),
        neck_pose=tensor(made.neck_pose),
        jaw_pose=tensor(made.jaw_pose),
        eyes_pose=tensor(made.eyes_pose),
        scale=None if made.scale is None else tensor(made.scale),
    )
    return pose(head, params).numpy()


def posed_benchmark_way(head, made: FlameTracking) -> np.ndarray:
    """scale R v + translation of the head without root rotation, by the specification's words."""
    zero = np.zeros((len(made.frames), 3))
    still = replace(
        result(head, None),
        rotation=zero,
        translation=zero,
        neck_pose=made.neck,
        jaw_pose=made.jaw,
        eyes_pose=made.eyes,
        shape=made.shape[0],
        expr=made.expression,
    )
    rotations = np.array([turned(angles) for angles in made.rotation])
    vertices = made.scale * (posed_our_way(head, still) @ rotations.transpose(0, 2, 1))
    return vertices + made.translation[:, None]


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_benchmark_to_ours(head, tmp_path, scale):
    given = tracking(scale)
    save_result(tmp_path / "tracked_flame_params_30.npz", given.to_result(head))
    made = load_result(tmp_path / "tracked_flame_params_30.npz", head.identity)
    np.testing.assert_allclose(posed_our_way(head, made), posed_benchmark_way(head, given), atol=1e-5)
    assert made.timestep_id.tolist() == ["000002", "000005", "000008", "000011", "000014"]


@pytest.mark.parametrize(("scale", "n_shape", "n_expr"), [(None, 300, 100), (2.5, 300, 100), (0.4, 40, 10)])
def test_ours_to_benchmark(head, tmp_path, scale, n_shape, n_expr):
    given = result(head, scale, n_shape, n_expr)
    FlameTracking.from_result(given, head).save(tmp_path / "a.npz")
    made = FlameTracking.load(tmp_path / "a.npz")
    np.testing.assert_allclose(posed_benchmark_way(head, made), posed_our_way(head, given), atol=1e-5)
    assert made.shape.shape == (1, 300)
    assert made.expression.shape == (len(FLAME_AXES), 100)


def test_tracked_world_becomes_the_given_one(head):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 0.8 * turned([0.4, -0.9, 2.0]), [0.3, -2.0, 1.0]
    ours = replace(result(head, 1.2), T_tracked_given=matrix)
    given = posed_benchmark_way(head, FlameTracking.from_result(ours, head))
    np.testing.assert_allclose(given @ matrix[:3, :3].T + matrix[:3, 3], posed_our_way(head, ours), atol=1e-5)


def test_there_and_back(head):
    given = tracking(1.3)
    made = FlameTracking.from_result(given.to_result(head), head)
    np.testing.assert_allclose(posed_benchmark_way(head, made), posed_benchmark_way(head, given), atol=1e-5)
    np.testing.assert_array_equal(made.frames, given.frames)


def test_provider_poses_it(head):
    given = tracking(1.3)
    provider = FlameProvider(given, head)
    expected = posed_benchmark_way(head, given)
    for timestep in range(len(ANGLES)):
        np.testing.assert_allclose(provider.get_vertices(timestep), expected[timestep], atol=1e-5)
    matrix = provider.get_model_to_world_transformation(2)
    np.testing.assert_allclose(matrix[:3, :3], 1.3 * turned(ANGLES[2]), atol=1e-9)
    np.testing.assert_array_equal(matrix[:, 3], [*given.translation[2], 1])
    mesh = provider.get_mesh(1)
    np.testing.assert_allclose(mesh.vertices, expected[1], atol=1e-5)
    np.testing.assert_array_equal(mesh.faces, head.faces.numpy())
    assert [provider.has_mesh(timestep) for timestep in (-1, 0, 4, 5)] == [False, True, True, False]
    for call in (provider.get_vertices, provider.get_mesh, provider.get_model_to_world_transformation):
        with pytest.raises(InputError, match="0 to 4"):
            call(5)


def test_provider_finds_the_head(head, flame_path, monkeypatch):
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame_path))
    given = tracking()
    np.testing.assert_allclose(
        FlameProvider(given).get_vertices(2), FlameProvider(given, head).get_vertices(2), atol=1e-6
    )


def test_teeth_are_left_out(head, flame_path):
    given = tracking(1.3)
    provider, expected = FlameProvider(given, load_flame(flame_path, with_teeth=True)), FlameProvider(given, head)
    np.testing.assert_allclose(provider.get_vertices(3), expected.get_vertices(3), atol=1e-6)
    np.testing.assert_array_equal(provider.faces, head.faces.numpy())


def test_provider_gives_the_landmarks_whose_jaw_line_slides_with_the_neck(head, tmp_path, monkeypatch):
    """The points of FLAME's own file: 17 of the row of the neck's angle about y, then the 51 that do not slide."""
    path = flame_files.write_flame(tmp_path, monkeypatch)
    flame_files.write_landmarks(tmp_path, 70, len(head.faces))
    marked = load_flame(path, with_teeth=True)
    given = tracking(1.3)
    yaws = np.array([0.0, 12.4, -12.6, 55.0, -70.0])
    rolled = Rotation.from_euler("ZYX", np.stack([yaws * 0 + 20, yaws, yaws * 0 - 9], 1), degrees=True)
    given = replace(given, neck=rolled.as_rotvec())
    provider = FlameProvider(given, marked)
    assert marked.jaw_line is not None
    marks = marked.landmarks["ibug"]
    rows = [0, 12, 39 + 13, 39, 78]
    for timestep, row in enumerate(rows):
        vertices = provider.get_vertices(timestep)
        ids = torch.cat([marked.jaw_line.face_ids[row], marks.face_ids[17:68]]).numpy()
        weights = torch.cat([marked.jaw_line.barycentrics[row], marks.barycentrics[17:68]]).numpy()
        expected = (vertices[marked.faces.numpy()[ids]] * weights[..., None]).sum(1)
        found = provider.get_landmarks(timestep)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(InputError, match="0 to 4"):
        provider.get_landmarks(-1)
    with pytest.raises(InputError, match=r"landmark_embedding_with_eyes\.npy"):
        FlameProvider(given, head).get_landmarks(0)


def arrays() -> dict[str, np.ndarray]:
    return {name: np.float32(value) if name != "frames" else value for name, value in vars(tracking()).items()}


def test_load_gives_the_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", **arrays())
    made = FlameTracking.load(tmp_path / "a.npz")
    assert [field.name for field in dataclasses.fields(made)] == list(arrays())
    for name, value in arrays().items():
        np.testing.assert_array_equal(getattr(made, name), value)


def fixed_axes(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Matrices of the same angles about fixed axes: Rz Ry Rx."""
    matrices = [turned(-angles).T for angles in given["rotation"]]
    return {**given, "rotation_matrices": np.array(matrices)}


DAMAGE = {
    "fixed axes": fixed_axes,
    "one other matrix": lambda a: {**a, "rotation_matrices": a["rotation_matrices"][[0, 1, 2, 3, 3]]},
    "an array more": lambda a: {**a, "offset": np.zeros(3)},
    "one missing": lambda a: {name: value for name, value in a.items() if name != "eyes"},
    "one timestep less": lambda a: {**a, "jaw": a["jaw"][:-1]},
    "another shape": lambda a: {**a, "shape": a["shape"][0]},
    "not a number": lambda a: {**a, "neck": a["neck"] * np.nan},
    "text": lambda a: {**a, "eyes": a["eyes"].astype(str)},
    "no scale": lambda a: {**a, "scale": np.zeros((1, 1))},
    "a frame twice": lambda a: {**a, "frames": np.zeros(5, int)},
    "nothing": lambda a: {name: value[:0] if len(value) == 5 else value for name, value in a.items()},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files(tmp_path, damage):
    np.savez(tmp_path / "a.npz", **DAMAGE[damage](arrays()))
    with pytest.raises(InputError) as error:
        FlameTracking.load(tmp_path / "a.npz")
    assert "\n" not in str(error.value)
    assert "a.npz" in str(error.value)


def test_nothing_is_saved_that_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match="rotation_matrices of the Euler angles"):
        FlameTracking(**fixed_axes(arrays())).save(tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_refused_or_reported(head, caplog):
    for name in ("ict_facekit", "gnm", "flame2020", "flame2023_open"):
        other = replace(head, name=name)
        with pytest.raises(InputError, match=f"found {name}"):
            tracking().to_result(other)
        with pytest.raises(InputError, match=f"found {name}"):
            FlameTracking.from_result(result(other, None), other)
        with pytest.raises(InputError, match=f"found {name}"):
            FlameProvider(tracking(), other)
    with pytest.raises(InputError, match="found 50 and 100"):
        tracking().to_result(head.keep_coefficients(50, 100))
    with pytest.raises(InputError, match="result of the head"):
        FlameTracking.from_result(replace(result(head, None), head_model=np.array("flame2020:00")), head)
    with pytest.raises(InputError, match="coefficients of expression"):
        FlameTracking.from_result(result(head, None, n_expr=101), head)
    offset = np.zeros((1, head.n_vertices, 3))
    offset[0, 7] = 0.003, 0, 0.004
    logger = logging.getLogger("vhap")
    logger.addHandler(caplog.handler)
    try:
        FlameTracking.from_result(replace(result(head, None), static_offset=offset), head)
    finally:
        logger.removeHandler(caplog.handler)
    assert "static_offset: vertices move by up to 5.00 mm" in caplog.text
