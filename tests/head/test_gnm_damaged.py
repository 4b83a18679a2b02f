"""What a GNM head's file may not have: refused in one line, and found by the doctor."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gnm_formula import gnm_forward
from gnm_like import Like, make_gnm, write_gnm

from vhap import cli
from vhap.api import make_synthetic_capture
from vhap.head.gnm import checks, load_gnm, reference
from vhap.head.gnm.file import read_gnm
from vhap.pipeline.doctor import run_head
from vhap.util.errors import InputError

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def like() -> Like:
    return make_gnm()


def edited(name: str, index: object, value: object):
    def change(arrays: Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][index] = value

    return change


def given(name: str, make):
    return lambda arrays: arrays.__setitem__(name, make(arrays[name]))


def without_row(*names: str):
    def change(arrays: Arrays) -> None:
        for name in names:
            arrays[name] = arrays[name][:-1]

    return change


def same_components(arrays: Arrays) -> None:
    arrays["expression_basis"] = arrays["expression_basis"].copy()
    arrays["expression_basis"][1] = arrays["expression_basis"][0]


def child_first(arrays: Arrays) -> None:
    arrays["joint_parent_indices"] = np.array([1, -1, 1, 1])


def eyes_moved(arrays: Arrays) -> None:
    group = arrays["vertex_groups"][arrays["vertex_group_names"].tolist().index("left_eye")] > 0
    arrays["expression_basis"] = arrays["expression_basis"].copy()
    arrays["expression_basis"][0, group] += 1e-4


def in_centimetres(arrays: Arrays) -> None:
    for name in ("template_vertex_positions", "template_joint_positions"):
        arrays[name] = 10 * arrays[name]


DAMAGES = {
    "a missing array": (lambda arrays: arrays.pop("quads"), "expected the arrays quads"),
    "objects": (given("identity_names", lambda a: a.astype(object)), "readable npz"),
    "another version": (given("version", lambda a: np.array("2.1")), "version 3.x of variant head"),
    "a hand": (given("variant", lambda a: np.array("hand")), "3.0 of hand"),
    "transposed weights": (given("skinning_weights", lambda a: a.T), "skinning_weights"),
    "vertex-first bases": (given("expression_basis", lambda a: a.transpose(1, 2, 0)), "expression_basis"),
    "not finite": (edited("vertex_identity_basis", (0, 0, 0), np.nan), "finite numbers"),
    "a triangle less": (without_row("triangles", "triangle_uvs"), "two triangles for each"),
    "UVs of other corners": (given("triangle_uvs", lambda a: a[:, ::-1]), "those of the quads' corners"),
    "UVs of tiles": (given("quad_uvs", lambda a: a + 1), "UVs from 0 to 1"),
    "other joints": (edited("joint_names", 0, "root"), "the joints neck, head"),
    "a child before its parent": (child_first, "each joint's parent before it"),
    "weights that add up to less": (given("skinning_weights", lambda a: 0.9 * a), "add up to 1"),
    "a vertex that is none": (edited("triangles", (0, 0), 10**6), "triangles from 0 to"),
    "no mirror": (edited("mirror_indices", 0, 1), "name each vertex once"),
    "groups beyond 1": (given("vertex_groups", lambda a: 2 * a), "vertex_groups from 0 to 1"),
    "an empty group": (edited("vertex_groups", 7, 0), "vertices in each of vertex_groups"),
    "parts that overlap": (edited("vertex_groups", (1, 0), 1), "add up to 1"),
    "names of no region": (edited("expression_names", 0, "nose_000"), "known regions"),
    "a name twice": (edited("identity_names", 1, "head_000"), "distinct identity_names"),
    "centimetres": (in_centimetres, "in metres"),
    "the other side": (given("template_joint_positions", lambda a: a * (-1, 1, 1)), "left eye at x > 0"),
    "eyes in expressions": (eyes_moved, "eyes that no expression moves"),
    "a still coordinate": (edited("vertex_identity_basis", (slice(None), 3, 1), 0), "every coordinate to change"),
    "the same component twice": (same_components, "independent components"),
    "correctives of the root": (edited("pose_correctives_regressor", (0, 0), 0.01), "no pose correctives of the neck"),
    "other correctives": (given("pose_correctives_regressor", lambda a: a[:, :-1]), "pose_correctives_regressor"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line_that_the_doctor_has_too(tmp_path, like, name):
    change, text = DAMAGES[name]
    path = write_gnm(tmp_path, like, change, landmarks=False)
    with pytest.raises(InputError) as error:
        load_gnm(path)
    line = str(error.value)
    assert text in line
    assert str(path) in line
    assert "get the file again from https://huggingface.co" in line
    assert "\n" not in line
    assert line in [finding.text for finding in run_head("gnm", path) if finding.state == "broken"]


TRACKED = (
    "a missing array", "objects", "another version", "transposed weights", "not finite", "other joints",
    "a vertex that is none", "names of no region", "centimetres", "the same component twice",
)  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("films") / "film"
    return make_synthetic_capture(place, frames=2, size=64, landmark_source="face-alignment")


@pytest.mark.parametrize("name", TRACKED)
def test_tracking_with_a_damaged_file_ends_with_one_line_and_status_2(tmp_path, film, like, name, capsys):
    change, text = DAMAGES[name]
    path = write_gnm(tmp_path / "head", like, change, landmarks=False)
    options = ["--data.root_folder", str(film.parent), "--data.sequence", film.name, "--model.head", "gnm"]
    options += ["--data.landmark_source", "face-alignment", "--model.gnm_path", str(path)]
    with pytest.raises(SystemExit) as stop:
        cli.main(["track", *options, "--exp.output_folder", str(tmp_path / "out")])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert stop.value.code == 2
    assert len(said) == 1
    assert text in said[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["a byte", "cut", "a bare array", "text", "a folder", "nothing"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, like, damage):
    path = write_gnm(tmp_path, like)
    content = bytearray(path.read_bytes())
    if damage == "a byte":
        with zipfile.ZipFile(path) as archive:
            offset = archive.getinfo("expression_basis.npy").header_offset
        content[offset + 5000] ^= 255
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "a bare array":
        np.save(path.with_suffix(".npy"), like.arrays["quads"])
        path.with_suffix(".npy").rename(path)
    elif damage == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif damage == "a folder":
        path = tmp_path
    else:
        path.unlink()
    with pytest.raises(InputError, match="get the file again"):
        load_gnm(path)


ROWS = {
    "a row less": (lambda rows: rows[:-1], "shape"),
    "a vertex that is none": (lambda rows: rows + np.array([10**6, 0, 0, 0, 0, 0]), "vertices from"),
    "weights of three digits": (lambda rows: rows + np.array([0, 0.004, 0, 0, 0, 0]), None),
    "weights that add up to less": (lambda rows: rows * [1, 0.9, 1, 1, 1, 1], "weights that add up"),
    "a weight below zero": (lambda rows: rows + np.array([0, 0.2, 0, 0, 0, -0.2]), "a weight of"),
    "left and right exchanged": (lambda rows: np.concatenate([rows[:17][::-1], rows[17:]]), "right to the left"),
}


@pytest.mark.parametrize("name", ROWS)
def test_landmarks_that_are_none_are_refused(tmp_path, like, name):
    change, text = ROWS[name]
    path = write_gnm(tmp_path, Like(like.arrays, like.mesh, change(like.landmarks)))
    if text is None:
        assert "ibug" in load_gnm(path).landmarks
        return
    with pytest.raises(InputError, match="68 rows of three vertices") as error:
        load_gnm(path)
    assert text in str(error.value)


def test_landmarks_of_words_or_named_and_missing_are_refused(tmp_path, monkeypatch, like):
    path = write_gnm(tmp_path, like)
    (tmp_path / "head_sparse_68.txt").write_text("<html>not found</html>\n")
    with pytest.raises(InputError, match="68 rows of three vertices"):
        load_gnm(path)
    monkeypatch.setenv("VHAP_GNM_LANDMARKS", str(tmp_path / "nowhere.txt"))
    with pytest.raises(InputError, match="VHAP_GNM_LANDMARKS"):
        load_gnm(path)


def test_a_head_without_a_face_s_group_asks_for_landmarks(tmp_path, like):
    def change(arrays: Arrays) -> None:
        kept = [k for k, name in enumerate(arrays["vertex_group_names"].tolist()) if name != "hockey_mask"]
        arrays["vertex_groups"] = arrays["vertex_groups"][kept]
        arrays["vertex_group_names"] = arrays["vertex_group_names"][kept]

    with pytest.raises(InputError, match=r"hockey_mask.*landmarks"):
        load_gnm(write_gnm(tmp_path, like, change, landmarks=False))


def doctor(path: Path, capsys) -> tuple[int, dict[str, tuple[str, str]]]:
    """Exit status, and name -> state and text of the findings."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "--json", "--head", "gnm", str(path)])
    said = json.loads(capsys.readouterr().out)
    assert isinstance(stop.value.code, int)
    assert said["problems"] == sum(row["state"] == "broken" for row in said["findings"])
    return stop.value.code, {row["name"]: (row["state"], row["text"]) for row in said["findings"]}


def test_the_doctor_says_that_a_good_file_holds(tmp_path, like, capsys):
    status, found = doctor(write_gnm(tmp_path, like), capsys)
    assert status == 0
    assert len(found) == 23
    assert {name for name, (state, _) in found.items() if state != "ok"} == {"sizes", "units", "posed reference"}
    assert "older revision" in found["landmarks"][1]
    assert "SHA-256" in found["file"][1]
    assert "other sizes" in found["posed reference"][1]


def test_the_doctor_says_no_to_what_is_no_file(tmp_path, capsys):
    status, found = doctor(tmp_path / "nowhere.npz", capsys)
    assert (status, list(found)) == (1, ["file"])


def test_the_doctor_s_status_says_that_a_file_is_damaged(tmp_path, like, capsys):
    status, found = doctor(write_gnm(tmp_path, like, eyes_moved), capsys)
    assert (status, found["eyes"][0], found["corneas"][0]) == (1, "broken", "ok")
    assert "posed reference" not in found


@pytest.mark.parametrize("off_m", [0.0, 1e-3])
def test_the_posed_reference_counts_where_sizes_are_the_published_ones(tmp_path, monkeypatch, like, capsys, off_m):
    path = write_gnm(tmp_path, like)
    monkeypatch.setattr(reference, "SIZES", checks.sizes_of(read_gnm(path)))
    identity, expression = np.zeros(len(like.arrays["identity_names"])), np.zeros(len(like.arrays["expression_names"]))
    identity[:5], expression[:5] = reference.IDENTITY, reference.EXPRESSION
    rotations, translation = np.array(reference.ROTATIONS), np.array(reference.TRANSLATION)
    posed = gnm_forward(like.arrays, identity, expression, rotations, translation)
    monkeypatch.setattr(reference, "VERTICES", {k: posed[k] + off_m for k in (0, 100, 1000, 7000)})
    status, found = doctor(path, capsys)
    assert (status, found["posed reference"][0]) == ((1, "broken") if off_m else (0, "ok"))
