"""The folders of metrical-tracker and of what starts from it, read by their readers' rules: torch.load, own FLAME, own
cameras; nothing of the writers."""

from __future__ import annotations

import io
import json
import math
import pickletools
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from layout_runs import COUNT, filled, overlap, shown_row, write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from flame_like_builtin import write_builtin_as_flame
from subject_run import loaded_once
from trainer_reader import Flame

from vhap.api import export
from vhap.config.track import ModelConfig
from vhap.export.layouts import flashavatar
from vhap.util.errors import InputError

SHAPES = {
    "flame": {
        "exp": (1, 100), "shape": (1, 300), "tex": (1, 140), "sh": (1, 9, 3), "eyes": (1, 12), "eyelids": (1, 2),
        "jaw": (1, 6),
    },
    "camera": {"R": (1, 6), "t": (1, 3), "fl": (1, 1), "pp": (1, 2)},
    "opencv": {"R": (1, 3, 3), "t": (1, 3), "K": (1, 3, 3)},
}  # fmt: skip
VALUES = {0, 250, 240, 230, 210, 200, 190, 180, 170, 160, 150, 140, 130, 120, 110, 100, 90, 80, 70}


@pytest.fixture(scope="module")
def flame_path(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_builtin_as_flame(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture(scope="module")
def flame(flame_path) -> Flame:
    return Flame(flame_path)


@pytest.fixture(autouse=True)
def one_head(monkeypatch) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)


@pytest.fixture(scope="module")
def model(flame_path) -> ModelConfig:
    return ModelConfig(head="flame", flame_model_path=flame_path, n_shape=300, n_expr=100)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, model) -> Path:
    return write_run(tmp_path_factory.mktemp("data"), model)


@pytest.fixture(scope="module")
def metrical(tmp_path_factory, run_folder) -> Path:
    return export(run_folder, tmp_path_factory.mktemp("metrical") / "out", layout="metrical")


@pytest.fixture(scope="module")
def insta(tmp_path_factory, run_folder) -> Path:
    target = tmp_path_factory.mktemp("insta") / "anna_insta"
    return export(run_folder, target, layout="insta", test_frames=4, create_mask_from_mesh=False)


@pytest.fixture(scope="module")
def flash(tmp_path_factory, run_folder) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vhap.pipeline.export_layouts.LAYOUTS", layouts_with_short_flash())
        target = tmp_path_factory.mktemp("flash") / "out"
        return export(run_folder, target, layout="flashavatar", create_mask_from_mesh=False)


def layouts_with_short_flash() -> dict:
    """FlashAvatar's 500 test frames would make the test slow."""
    from dataclasses import replace

    from vhap.pipeline.export_layouts import LAYOUTS

    entry = LAYOUTS["flashavatar"]
    return {**LAYOUTS, "flashavatar": replace(entry, rules=replace(entry.rules, test_frames=COUNT - 1))}


def frames_in(folder: Path) -> list[dict]:
    return [torch.load(path, weights_only=False) for path in sorted(folder.iterdir())]


def turn(six: np.ndarray) -> np.ndarray:
    """Six numbers, the first two rows, to a matrix, as PyTorch3D has it."""
    first, second = six[:3] / np.linalg.norm(six[:3]), six[3:]
    second = second - (first @ second) * first
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def axis_angle(matrix: np.ndarray) -> np.ndarray:
    vector, _ = cv2.Rodrigues(matrix)
    return vector[:, 0]


def posed(flame: Flame, frame: dict) -> np.ndarray:
    """FLAME as metrical-tracker has it: root and neck straight, jaw, joint 3 by the first eye, joint 4 by the other."""
    part = frame["flame"]
    turns = [part["jaw"][0], part["eyes"][0, :6], part["eyes"][0, 6:]]
    pose = np.concatenate([np.zeros(6), *(axis_angle(turn(six.astype(float))) for six in turns)])
    return flame.vertices(part["shape"][0].astype(float), part["exp"][0].astype(float), pose)


def projected(vertices: np.ndarray, frame: dict) -> np.ndarray:
    view = frame["opencv"]
    camera = vertices @ view["R"][0].T + view["t"][0]
    assert (camera[:, 2] > 0).all()
    pixels = camera @ view["K"][0].T
    return pixels[:, :2] / pixels[:, 2:]


def p3d_projected(vertices: np.ndarray, frame: dict) -> np.ndarray:
    """By PyTorch3D's rules: row vectors, x left, y up, NDC of the shorter side."""
    view, (height, width) = frame["camera"], frame["img_size"]
    camera = vertices @ turn(view["R"][0].astype(float)) + view["t"][0]
    ndc = view["fl"][0, 0] * camera[:, :2] / camera[:, 2:] + view["pp"][0]
    half = min(height, width) / 2
    return np.array([width / 2, height / 2]) - ndc * half


def test_frames_load_by_torch_and_hold_what_the_readers_slice(metrical) -> None:
    frames = frames_in(metrical / "checkpoint")
    assert len(frames) == COUNT
    assert [path.name for path in sorted((metrical / "input").iterdir())] == [f"{k:05d}.png" for k in range(COUNT)]
    for row, frame in enumerate(frames):
        assert set(frame) == {"flame", "camera", "opencv", "img_size", "frame_id", "global_step"}
        assert frame["frame_id"] == f"{row:05d}"
        for group, shapes in SHAPES.items():
            assert {name: array.shape for name, array in frame[group].items()} == shapes
            assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in frame[group].values())
        rotation, matrix = frame["opencv"]["R"][0], frame["opencv"]["K"][0]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
        assert frame["opencv"]["t"][0, 2] > 0
        assert (matrix[0, 1], matrix[2, 2]) == (0, 1)
        np.testing.assert_array_equal(frame["flame"]["shape"], frames[0]["flame"]["shape"])
        for six in (frame["flame"]["jaw"][0], *frame["flame"]["eyes"][0].reshape(2, 6), frame["camera"]["R"][0]):
            pairs = six.reshape(2, 3) @ six.reshape(2, 3).T
            np.testing.assert_allclose(pairs, np.eye(2), atol=1e-5)
        picture = cv2.imread(str(metrical / "input" / f"{row:05d}.png"), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (*frame["img_size"], 3)
        assert picture.shape[0] == picture.shape[1]


def test_frames_are_safe_and_name_what_numpy_1_has(metrical) -> None:
    content = (metrical / "checkpoint" / "00003.frame").read_bytes()
    import numpy._core.multiarray as multiarray

    allowed = [
        (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"), np.ndarray, np.dtype, np.dtypes.Float32DType,
        np.dtypes.Int64DType,
    ]  # fmt: skip
    with torch.serialization.safe_globals(allowed):
        strict = torch.load(io.BytesIO(content), weights_only=True)
    free = torch.load(io.BytesIO(content), weights_only=False)
    np.testing.assert_array_equal(strict["flame"]["exp"], free["flame"]["exp"])
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        operations = list(pickletools.genops(archive.read("archive/data.pkl")))
    named = {argument for code, argument, _ in operations if code.name == "GLOBAL"}
    assert named == {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}
    assert max(code.proto for code, _, _ in operations) <= 2


def test_the_reader_s_flame_lies_on_the_pictures(metrical, flame) -> None:
    for row, frame in enumerate(frames_in(metrical / "checkpoint")):
        picture = cv2.imread(str(metrical / "input" / f"{row:05d}.png"))[..., ::-1].astype(int)
        person = picture[..., 0] > 110
        assert shown_row(np.median(picture[person][:, 0])) == row
        vertices = posed(flame, frame)
        pixels = projected(vertices, frame)
        assert overlap(filled(pixels, flame.faces, picture.shape[:2]), person) > 0.95
        np.testing.assert_allclose(p3d_projected(vertices, frame), pixels, atol=2e-3)
    assert row == COUNT - 1


def test_the_canonical_head_has_flame_s_topology(metrical, flame) -> None:
    vertices, faces = read_obj(metrical / "canonical.obj")
    np.testing.assert_array_equal(faces, flame.faces)
    shape = frames_in(metrical / "checkpoint")[0]["flame"]["shape"][0].astype(float)
    pose = np.zeros(15)
    pose[6] = math.radians(12)
    np.testing.assert_allclose(vertices, flame.vertices(shape, np.zeros(100), pose), atol=2e-6)


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    lines = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([[float(x) for x in words[1:4]] for words in lines if words[0] == "v"])
    faces = np.array([[int(word.split("/")[0]) - 1 for word in words[1:4]] for words in lines if words[0] == "f"])
    return vertices, faces


def test_insta_s_files_are_there_and_belong_together(insta) -> None:
    parts = {
        name: json.loads((insta / f"transforms{name}.json").read_text()) for name in ("", "_train", "_val", "_test")
    }
    whole = parts[""]
    size = cv2.imread(str(insta / whole["frames"][0]["file_path"]), cv2.IMREAD_UNCHANGED).shape[:2]
    assert (whole["h"], whole["w"]) == size
    assert whole["x_fov"] == pytest.approx(math.degrees(2 * math.atan(whole["w"] / 2 / whole["fl_x"])))
    assert whole["camera_angle_x"] == pytest.approx(math.radians(whole["x_fov"]))
    assert all(isinstance(value, float) for name, value in whole.items() if name != "frames")
    names = {name: [frame["file_path"] for frame in part["frames"]] for name, part in parts.items()}
    assert names[""] == [f"images/{k:05d}.png" for k in range(COUNT)]
    assert (names["_train"], names["_test"]) == (names[""][:-4], names[""][-4:])
    assert set(names["_val"]) <= set(names["_test"])
    _, topology = read_obj(insta / "canonical.obj")
    for frame in whole["frames"]:
        paths = [insta / frame[key] for key in frame if key.endswith("_path")]
        assert len(paths) == 5
        assert all(path.is_file() for path in paths)
        assert all(frame[key].count("images") <= 1 for key in frame if key.endswith("_path"))
        np.testing.assert_array_equal(read_obj(insta / frame["mesh_path"])[1], topology)
        assert len((insta / frame["exp_path"]).read_text().splitlines()) == 100
        stored = cv2.imread(str(insta / frame["file_path"]), cv2.IMREAD_UNCHANGED)
        assert stored.shape == (*size, 4)
        seg = cv2.imread(str(insta / frame["seg_mask_path"]), cv2.IMREAD_UNCHANGED)
        assert seg.shape == (*size, 3)
        assert set(np.unique(seg[..., 2])) <= VALUES
        assert not seg[..., :2].any()


def test_insta_s_mesh_and_depth_lie_on_the_pictures(insta) -> None:
    whole = json.loads((insta / "transforms.json").read_text())
    assert len(whole["frames"]) == COUNT
    for frame in whole["frames"]:
        vertices, faces = read_obj(insta / frame["mesh_path"])
        assert np.abs(vertices).max() < 0.5
        matrix = np.linalg.inv(np.array(frame["transform_matrix"]))
        camera = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        assert (camera[:, 2] > 0).all()
        pixels = np.stack(
            [whole[f"fl_{axis}"] * camera[:, k] / camera[:, 2] + whole[f"c{axis}"] for k, axis in enumerate("xy")], 1
        )
        stored = cv2.imread(str(insta / frame["file_path"]), cv2.IMREAD_UNCHANGED)
        drawn = filled(pixels, faces, stored.shape[:2])
        alpha = stored[..., 3] > 127
        # Clothes are cut out of alpha, which may take some of the neck's lower end.
        assert (drawn[alpha]).mean() > 0.97
        assert alpha[drawn].mean() > 0.75
        depth = cv2.imread(str(insta / frame["depth_path"]), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        # Renderers leave out what polygons are filled to.
        assert overlap(depth > 0, drawn) > 0.93
        shown = depth[depth > 0] * whole["integer_depth_scale"]
        assert camera[:, 2].min() - 1e-3 < shown.min()
        assert abs(np.median(shown) - np.median(camera[:, 2])) < 0.06


def test_fate_avatar_s_flame_and_rgb_avatar_s_pairs(insta, flame, run_folder) -> None:
    """FateAvatar: left eye = the second six numbers; RGBAvatar: both listings in order, equal counts."""
    whole = json.loads((insta / "transforms.json").read_text())
    frames = frames_in(insta / "checkpoint")
    assert len(frames) == len(list((insta / "images").iterdir())) == COUNT
    for row, frame in enumerate(whole["frames"]):
        assert frame["exp_path"].count("exp") == 1
        numbers = {
            name: np.loadtxt(insta / frame["exp_path"].replace("exp", name)) for name in ("exp", "eyes", "jaw", "shape")
        }
        assert {name: len(values) for name, values in numbers.items()} == {
            "exp": 100, "eyes": 12, "jaw": 6, "shape": 300
        }  # fmt: skip
        eyes = numbers["eyes"].reshape(2, 6)
        turns = [numbers["jaw"], eyes[1], eyes[0]]
        pose = np.concatenate([np.zeros(6), *(axis_angle(turn(six)) for six in turns)])
        vertices = flame.vertices(numbers["shape"], numbers["exp"], pose)
        np.testing.assert_allclose(vertices, posed(flame, frames[row]), atol=1e-5)
        mesh, _ = read_obj(insta / frame["mesh_path"])
        near = flame.face_ids()
        # The tracked mesh has the neck bent, and the pose correctives of that.
        assert np.abs(mesh[near] - vertices[near]).max() < 2e-3
        matrix = np.linalg.inv(np.array(frame["transform_matrix"]))
        np.testing.assert_allclose(matrix[:3, :3], frames[row]["opencv"]["R"][0], atol=1e-5)
        assert whole["cx"] == whole["w"] / 2
        mouth = cv2.imread(str(insta / f"parsing/{row:05d}_mouth.png"), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mouth)) == {0, 255}


def test_flash_avatar_pairs_checkpoints_with_the_next_picture(flash, flame) -> None:
    data, checkpoints = flash / "dataset/person", flash / "metrical-tracker/output/person/checkpoint"
    frames = frames_in(checkpoints)
    assert [path.name for path in sorted(checkpoints.iterdir())] == [f"{k:05d}.frame" for k in range(COUNT)]
    numbers = [f"{k:05d}" for k in range(1, COUNT + 1)]
    assert [path.name for path in sorted((data / "imgs").iterdir())] == [f"{number}.jpg" for number in numbers]
    assert len(list((data / "alpha").iterdir())) == COUNT
    assert len(list((data / "parsing").iterdir())) == 2 * COUNT
    for row, frame in enumerate(frames):
        picture = cv2.imread(str(data / f"imgs/{row + 1:05d}.jpg"), cv2.IMREAD_UNCHANGED)[..., ::-1]
        alpha = cv2.imread(str(data / f"alpha/{row + 1:05d}.jpg"), cv2.IMREAD_UNCHANGED) > 127
        mouth, head = (
            cv2.imread(str(data / f"parsing/{row + 1:05d}_{name}.png"), cv2.IMREAD_UNCHANGED)
            for name in ("mouth", "neckhead")
        )
        assert picture.shape == (512, 512, 3)
        assert tuple(frame["img_size"]) == (512, 512)
        assert np.abs(frame["opencv"]["K"][0, :2, 2] - 256).max() < 1
        assert shown_row(np.median(picture[alpha][:, 0])) == row
        for mask in (mouth, head):
            assert set(np.unique(mask)) == {0, 255}
        assert alpha[mouth > 0].mean() > 0.99
        vertices = posed(flame, frame)
        pixels = projected(vertices, frame)
        assert overlap(filled(pixels, flame.faces, (512, 512)), alpha) > 0.95
        lips = flame.static_points(vertices)[31:51]
        places = projected(lips, frame)
        x, y = places.T
        inside = mouth[
            y.min().astype(int) - 6 : y.max().astype(int) + 6, x.min().astype(int) - 6 : x.max().astype(int) + 6
        ]
        assert (inside > 0).sum() > 0.95 * (mouth > 0).sum()
        assert head[picture.shape[0] // 2, 256] == 255


def test_what_the_readers_cannot_hold_is_refused_before_anything_is_written(tmp_path, run_folder, model) -> None:
    with pytest.raises(InputError, match="more than 500 frames for --layout flashavatar"):
        export(run_folder, tmp_path / "out", layout="flashavatar")
    with pytest.raises(InputError, match=r"more than 350 frames for --layout insta.*--test_frames"):
        export(run_folder, tmp_path / "out", layout="insta")
    count = configured(model).n_vertices
    offset = write_run(tmp_path / "offset", model, 2, static_offset=np.full((1, count, 3), 1e-3, np.float32))
    with pytest.raises(InputError, match=r"without offsets .* found some of 1\.73 mm .*no_use_static_offset"):
        export(offset, tmp_path / "out", layout="metrical")
    assert not (tmp_path / "out").exists()
    target = export(offset, tmp_path / "out", layout="metrical", drop_offsets=True)
    assert len(list((target / "checkpoint").iterdir())) == 2


def configured(model: ModelConfig):
    from vhap.pipeline.heads import configured_head

    return configured_head(model)


def test_flame_2023_is_refused_where_2020_is_posed(tmp_path, flame_path, model) -> None:
    named = flame_path.with_name("flame2023.pkl")
    named.write_bytes(flame_path.read_bytes())
    source = write_run(tmp_path / "data", ModelConfig(head="flame", flame_model_path=named))
    for layout in ("metrical", "flashavatar", "imavatar"):
        with pytest.raises(InputError, match=r"run of FLAME 2020 .* found flame2023.*generic_model\.pkl"):
            export(source, tmp_path / "out", layout=layout)
    named.unlink()
    assert not (tmp_path / "out").exists()
    assert flashavatar.SIDE == 512


def test_a_stopped_export_goes_on_and_another_subset_leaves_no_stray_frames(tmp_path, run_folder) -> None:
    target = export(run_folder, tmp_path / "out", layout="metrical")
    whole = {path: path.stat().st_mtime_ns for path in sorted(target.rglob("0*.*"))}
    assert len(whole) == 2 * COUNT
    lost = target / "checkpoint" / "00004.frame"
    before = lost.read_bytes()
    lost.unlink()
    export(run_folder, target, layout="metrical")
    assert lost.read_bytes() == before
    assert sum(path.stat().st_mtime_ns != time for path, time in whole.items()) == 1
    export(run_folder, target, layout="metrical", subset="ti2tj4")
    assert [path.name for path in sorted((target / "checkpoint").iterdir())] == [f"0000{k}.frame" for k in range(3)]
    first = cv2.imread(str(target / "input" / "00000.png"))
    assert shown_row(np.median(first[first[..., 2] > 110][:, 2])) == 2
    with pytest.raises(InputError, match="found a folder with other files"):
        export(run_folder, target, layout="colmap")


def test_a_dry_run_counts_and_writes_nothing(tmp_path, run_folder, capsys) -> None:
    target = export(run_folder, tmp_path / "out", layout="metrical", dry_run=True)
    said = capsys.readouterr().out
    assert not target.exists()
    assert f"checkpoint/: {COUNT} files" in said
    written = export(run_folder, tmp_path / "out", layout="metrical")
    size = sum(path.stat().st_size for path in (written / "checkpoint").iterdir())
    line = next(line for line in said.splitlines() if line.startswith("checkpoint/"))
    assert float(line.split(",")[1].split()[0]) * 1000 == pytest.approx(size, rel=0.01)
