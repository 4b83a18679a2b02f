"""The code blocks of the official kit's README run, with only their import lines changed, one after the other.

The README is that of the installed package. Where it leaves something to its reader (a path, pictures, a mesh, names
that another section has set), that alone is filled in: `FILLED`, and the values that each section begins with.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_benchmark import HEIGHT, N_POINTS, WIDTH, make_mono, make_nvs, make_svfr

from vhap.nersemble import benchmark
from vhap.nersemble.benchmark import constants

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))
import flame_files

IMPORT = re.compile(r"^from nersemble_benchmark(?:\.\w+)+ import ", re.MULTILINE)
FILLED = {
    '"path/to/local/benchmark/folder"': "given.folder",
    "zip_path = ...": "zip_path = given.zip_path",
    "images = ...": "images = given.images",
    "mesh = ...": "mesh = given.mesh",
    "now_landmarks = ...": "now_landmarks = given.now_landmarks",
}
"""What stands for something in the README, and what is put in its place."""
NOT_RUN = ("NERSEMBLE_BENCHMARK_URL = ", "class FlameTracking:")
"""Blocks that are no program: the settings file, and a list of names."""


def readme() -> str:
    try:
        found = importlib.metadata.metadata("nersemble_benchmark")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the official kit, nersemble_benchmark, is not installed")
    text = found.get("Description") or found.get_payload()
    if not isinstance(text, str) or "```python" not in text:
        pytest.skip("the official kit is installed without its README")
    return text


def blocks() -> Iterator[str]:
    """Python blocks that are programs, in order, unindented."""
    for indent, block in re.findall(r"^( *)```python\n(.*?)^ *```$", readme(), re.MULTILINE | re.DOTALL):
        lines = [line.removeprefix(indent) for line in block.splitlines()]
        text = "\n".join(lines) + "\n"
        if not text.startswith(NOT_RUN):
            yield text


def adapted(block: str) -> str:
    block = IMPORT.sub("from vhap.nersemble.benchmark import ", block)
    for placeholder, value in FILLED.items():
        block = block.replace(placeholder, value)
    return block


def block_with(text: str) -> str:
    (block,) = [block for block in blocks() if text in block]
    return adapted(block)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("readme")
    make_nvs(root)
    make_mono(root, 461, ("EXP-1-head",), tuple(constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST))
    make_svfr(root)
    return root


@pytest.fixture
def flame(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame_files.write_flame(tmp_path / "flame", monkeypatch)))


@pytest.fixture
def given(folder, tmp_path) -> dict:
    """What a section of the README begins with."""
    values = {"folder": str(folder), "zip_path": str(tmp_path / "submission.zip")}
    return {"given": SimpleNamespace(**values)}


@pytest.fixture
def after_setup(given) -> dict:
    exec(block_with("BENCHMARK_NVS_IDS_AND_SEQUENCES[0]"), given)
    return given


def test_every_block_is_run_here():
    """A new edition of the kit may bring blocks that no test knows."""
    known = [
        "BENCHMARK_NVS_IDS_AND_SEQUENCES[0]",
        "load_image(sequence_name",
        "load_alpha_map(",
        "camera_params.world_2_cam[serial]  #",
        "nvs_data_manager = NVSDataManager(",
        "load_pointcloud(",
        "mono_flame_data_manager = MonoFlame",
        "load_flame_tracking(sequence_name)  #",
        "get_mesh(timestep)",
        "SVFRDataManager(benchmark_folder",
        "in BENCHMARK_NVS_HOLD_OUT_SERIALS:",
        "with NVSSubmissionDataWriter(",
        "in BENCHMARK_MONO_FLAME_AVATAR_IDS:",
        "with MonoFlameAvatarSubmissionDataWriter(",
        "with SVFRSubmissionDataWriter(",
    ]
    found = list(blocks())
    assert len(found) == len(known)
    for text in known:
        assert sum(text in block for block in found) == 1, text
    assert not any("nersemble_benchmark" in adapted(block) for block in found)


def test_pictures_mattes_and_cameras(after_setup):
    exec(block_with("load_image(sequence_name"), after_setup)
    image = after_setup["image"]
    assert (image.shape, image.dtype) == ((HEIGHT, WIDTH, 3), np.float64)
    assert 0 <= image.min() < image.max() <= 1
    exec(block_with("load_alpha_map("), after_setup)
    assert (after_setup["image"].shape, after_setup["image"].dtype) == ((HEIGHT, WIDTH, 1), np.uint8)
    exec(block_with("camera_params.world_2_cam[serial]  #"), after_setup)
    assert after_setup["world_2_cam_pose"].shape == (4, 4)
    assert after_setup["intrinsics"].shape == (3, 3)


def test_the_first_state_s_way_to_load_a_picture(after_setup):
    """Its README, which the installed package no longer has, calls this."""
    exec("image = data_manager.load_image(sequence_name, serial, timestep, apply_alpha_map=True)", after_setup)
    exec("plain = data_manager.load_image(sequence_name, serial, timestep)", after_setup)
    assert after_setup["image"].shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(after_setup["image"], after_setup["plain"], atol=0.01)


def test_point_clouds(after_setup):
    after_setup["benchmark_folder"] = after_setup["given"].folder
    exec(block_with("nvs_data_manager = NVSDataManager("), after_setup)
    exec(block_with("load_pointcloud("), after_setup)
    assert [after_setup[name].shape for name in ("points", "colors", "normals")] == [(N_POINTS, 3)] * 3


def test_flame_tracking_and_its_mesh(after_setup, flame):
    after_setup |= {"participant_id": 461, "sequence_name": "EXP-1-head"}
    exec(block_with("mono_flame_data_manager = MonoFlame"), after_setup)
    exec(block_with("load_flame_tracking(sequence_name)  #"), after_setup)
    # The list of names, which is no program.
    (names,) = re.findall(r"class FlameTracking:\n(.*?)```", readme(), re.DOTALL)
    lines = re.findall(r"(\w+) +# \((.*)\)", names)
    assert len(lines) == 10
    for name, shape in lines:
        sizes = [3 if size == "T" else int(size) for size in shape.replace(",", " ").split()]
        assert list(getattr(after_setup["flame_tracking"], name).shape) == sizes, name
    exec(block_with("get_mesh(timestep)"), after_setup)
    assert after_setup["mesh"].vertices.shape[1] == 3
    assert after_setup["mesh"].faces.max() == len(after_setup["mesh"].vertices) - 1


def test_single_pictures(after_setup):
    exec(block_with("SVFRDataManager(benchmark_folder"), after_setup)
    assert after_setup["participant_id"] == constants.BENCHMARK_SVFR_IDS[-1]
    assert len(after_setup["image_keys"]) == 2
    assert after_setup["image"].shape == (16, 16, 3)


def test_hold_out_cameras_and_a_submission_of_novel_views(after_setup):
    exec(block_with("in BENCHMARK_NVS_HOLD_OUT_SERIALS:"), after_setup)
    assert after_setup["serial"] == constants.BENCHMARK_NVS_HOLD_OUT_SERIALS[-1]
    images = [np.full((1604, 1100, 3), 40 * index, np.uint8) for index in range(2)]
    after_setup["given"].images, after_setup["participant"] = images, 388
    exec(block_with("with NVSSubmissionDataWriter("), after_setup)
    reader = benchmark.NVSSubmissionDataReader(after_setup["zip_path"], after_setup["given"].folder)
    assert reader.get_file_overview() == {388: {"GLASSES": ["222200039"]}}
    assert len(reader.load_video(388, "GLASSES", "222200039")) == 2


def test_test_sequences_and_a_submission_of_avatars(after_setup, flame):
    manager = benchmark.MonoFlameAvatarDataManager(after_setup["given"].folder, 461)
    # The README takes its data manager from an earlier section, where it is one of novel views.
    after_setup |= {"data_manager": manager, "FlameProvider": benchmark.FlameProvider}
    exec(block_with("in BENCHMARK_MONO_FLAME_AVATAR_IDS:"), after_setup)
    assert after_setup["serial"] == constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL
    after_setup["given"].images, after_setup["participant"] = [np.zeros((512, 512, 3), np.uint8)] * 3, 461
    exec(block_with("with MonoFlameAvatarSubmissionDataWriter("), after_setup)
    reader = benchmark.MonoFlameAvatarSubmissionDataReader(after_setup["zip_path"], after_setup["given"].folder)
    last = constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST[-1]
    assert reader.get_file_overview() == {461: {last: [constants.BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL]}}


def test_a_submission_of_meshes(given):
    mesh = SimpleNamespace(vertices=np.eye(4, 3), faces=np.array([[0, 1, 2], [1, 2, 3]]))
    given["given"].mesh, given["given"].now_landmarks = mesh, np.zeros((7, 3))
    exec(block_with("with SVFRSubmissionDataWriter("), given)
    with benchmark.SVFRSubmissionDataReader(given["zip_path"]) as reader:
        assert reader.validate_submission() == {}
