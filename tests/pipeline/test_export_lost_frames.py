"""Frames that show nothing: left out of exports and unions, listed, counted; others are kept."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import COUNT, OFFSETS, SIZE, make_result, make_run, write_run

from vhap import api
from vhap.config.export import CombineConfig, ExportConfig
from vhap.data.lost_frames import CONSTANT, NO_HEAD, NO_MATTE, OUTSIDE
from vhap.data.pictures import read_alpha, read_rgb, write_picture
from vhap.data.results import TrackResult
from vhap.head.load import load_head
from vhap.pipeline import combine_nerf_datasets, export_as_nerf_dataset
from vhap.pipeline.export_layouts import LAYOUTS
from vhap.pipeline.open_run import open_run
from vhap.util.errors import InputError
from vhap.util.files import read_json


@pytest.fixture(scope="module")
def head():
    torch.set_num_threads(1)
    return load_head("builtin", n_shape=5, n_expr=6)


@pytest.fixture(autouse=True)
def one_head(monkeypatch, head) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, head) -> Path:
    """Root of a run all of whose frames show the head."""
    root = tmp_path_factory.mktemp("whole")
    make_run(root, head, make_result(head))
    return root


@pytest.fixture
def root(tmp_path, whole) -> Path:
    """A copy of its capture, without a run."""
    shutil.copytree(whole / "person", tmp_path / "person")
    return tmp_path


def change(root: Path, kind: str, rows: list[int], new: Callable[[np.ndarray], np.ndarray]) -> None:
    for row in rows:
        path = root / "person" / kind / f"{row:06d}.png"
        write_picture(path, new(read_alpha(path) if kind == "alpha_maps" else read_rgb(path)))


def blacken(root: Path, rows: list[int]) -> None:
    change(root, "images", rows, np.zeros_like)


def empty_mattes(root: Path, rows: list[int]) -> None:
    change(root, "alpha_maps", rows, np.zeros_like)


def export(root: Path, result: TrackResult, name: str = "E", **options) -> dict:
    source = write_run(root / f"out_{name}", root, result)
    return read_json(export_as_nerf_dataset.run(ExportConfig(source, root / name, **options)) / "transforms.json")


def reasons_of(content: dict) -> dict[str, str]:
    return {frame["timestep_id"]: frame["reason"] for frame in content.get("lost_frames", [])}


def original(content: dict) -> list[int]:
    return [frame["timestep_index_original"] for frame in content["frames"]]


def test_lost_frames_are_in_no_split_and_are_listed(root, head):
    blacken(root, [0])
    empty_mattes(root, [2])
    result = make_result(head)
    result.translation[3, 0] = 5
    content = export(root, result)
    assert reasons_of(content) == {"000000": CONSTANT, "000002": NO_MATTE, "000003": OUTSIDE}
    assert [frame["camera_id"] for frame in content["lost_frames"]] == ["0"] * 3
    assert original(content) == [1, 4]
    assert [frame["timestep_index"] for frame in content["frames"]] == content["timestep_indices"] == [0, 1]
    for name in ("train", "val", "test", "backup_flame", "backup"):
        part = read_json(root / "E" / f"transforms_{name}.json")
        assert {frame["timestep_id"] for frame in part["frames"]} <= {"000001", "000004"}
    assert len(list((root / "E/images").iterdir())) == len(list((root / "E/flame_param").iterdir())) == 2
    moved = [np.load(root / "E" / frame["flame_param_path"])["translation"][0, 0] for frame in content["frames"]]
    np.testing.assert_allclose(moved, np.array(OFFSETS)[[1, 4]] - np.mean(np.array(OFFSETS)[[1, 4]]), atol=1e-6)


def test_the_library_leaves_them_out_as_the_command_does(root, head):
    blacken(root, [0])
    source = write_run(root / "out", root, make_result(head))
    content = read_json(api.export(source, root / "by_library") / "transforms.json")
    assert reasons_of(content) == {"000000": CONSTANT}
    assert original(content) == [1, 2, 3, 4]
    kept = read_json(api.export(source, root / "kept", keep_lost_frames=True) / "transforms.json")
    assert original(kept) == [*range(COUNT)]


def test_every_layout_leaves_them_out(root, head):
    blacken(root, [0, 3])
    source, counts = write_run(root / "out", root, make_result(head)), {}
    for layout in LAYOUTS:
        # Layouts of FLAME alone refuse the built-in head.
        with contextlib.suppress(InputError):
            job, *_ = export_as_nerf_dataset.open_job(ExportConfig(source, root / layout, layout=layout))
            counts[layout] = job.n_rows
    assert {*counts.values()} == {COUNT - 2}, counts
    assert len(counts) >= 6


def test_a_whole_capture_loses_nothing_and_lists_nothing(root, head):
    content = export(root, make_result(head))
    assert original(content) == list(range(COUNT))
    assert "lost_frames" not in content


def test_lost_frames_can_be_kept(root, head):
    blacken(root, [0])
    empty_mattes(root, [1, 2, 3])
    content = export(root, make_result(head), keep_lost_frames=True)
    assert original(content) == list(range(COUNT))
    assert "lost_frames" not in content


def test_without_mattes_black_frames_are_lost_too(root, head):
    shutil.rmtree(root / "person/alpha_maps")
    blacken(root, [1])
    content = export(root, make_result(head))
    assert reasons_of(content) == {"000001": CONSTANT}


def test_lost_frames_of_a_source_are_not_in_a_union(root, head):
    blacken(root, [0, 1])
    result = make_result(head)
    export(root, result, "1_A")
    export(root, result, "1_B")
    combine_nerf_datasets.run(CombineConfig((root / "1_A", root / "1_B"), root / "1_AB", division_mode="last"))
    for name, start in (("train", 0), ("test", 3)):
        frames = read_json(root / "1_AB" / f"transforms_{name}.json")["frames"]
        assert [frame["timestep_index"] for frame in frames] == [start, start + 1, start + 2]
        assert all((root / "1_AB" / frame["file_path"]).is_file() for frame in frames)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: empty_mattes(root, [0, 1, 4]), "found most of 5 empty there"),
        (lambda root: blacken(root, list(range(COUNT))), "found none among 5: the picture is black"),
    ],
)
def test_captures_that_are_lost_are_refused_before_anything_is_written(root, head, spoil, said):
    spoil(root)
    with pytest.raises(InputError, match=r"expected (mattes|pictures) of a head in .*--keep_lost_frames") as refused:
        export(root, make_result(head))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (root / "E").exists()


def recorded(head, reasons: list[str]) -> TrackResult:
    return replace(make_result(head), lost_reason=np.array(reasons)[:, None], camera_id=np.array(["0"]))


def test_what_tracking_found_is_taken_over(root, head):
    content = export(root, recorded(head, ["", NO_HEAD, "", "", ""]))
    assert reasons_of(content) == {"000001": NO_HEAD}


def test_mattes_that_were_made_again_after_tracking_count(root, head):
    empty_mattes(root, [4])
    content = export(root, recorded(head, [NO_MATTE, NO_HEAD, NO_MATTE, "", ""]))
    assert reasons_of(content) == {"000001": NO_HEAD, "000004": NO_MATTE}


def test_an_export_over_one_with_other_lost_frames_holds_no_file_of_that(root, head):
    result = make_result(head)
    source = write_run(root / "out", root, result)
    config = ExportConfig(source, root / "E")
    export_as_nerf_dataset.run(config)
    before = read_rgb(root / "E/images/00000_00.png")
    empty_mattes(root, [0])
    export_as_nerf_dataset.run(config)
    assert len(list((root / "E/images").iterdir())) == COUNT - 1
    assert (read_rgb(root / "E/images/00000_00.png") != before).any()


def test_the_subset_chooses_before_frames_are_left_out(root, head):
    blacken(root, [1])
    content = export(root, make_result(head), subset="ti1tj3")
    assert original(content) == [2, 3]
    assert reasons_of(content) == {"000001": CONSTANT}


def test_a_head_other_than_flame_says_for_whom_the_export_is(root, head, monkeypatch):
    lines = []
    monkeypatch.setattr(
        export_as_nerf_dataset.get_logger(), "warning", lambda text, *values: lines.append(text % values)
    )
    export(root, make_result(head))
    (line,) = lines
    assert head.identity in line
    assert "vhap convert-head RUN --to flame" in line


def test_the_run_opens_with_its_reasons(root, head):
    result = recorded(head, ["", "", "", "", CONSTANT])
    scene = open_run(write_run(root / "out", root, result))
    assert scene.result.lost_reason is not None
    assert scene.result.lost_reason[:, 0].tolist() == ["", "", "", "", CONSTANT]
    assert scene.capture.size == SIZE
