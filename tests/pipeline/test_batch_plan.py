"""Planning: what a folder holds, whose it is, and a manifest that can be edited and is checked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from batch_tree import make_files, planned

from vhap.config.batch import Manifest, PlanConfig, StepOptions
from vhap.pipeline.batch_manifest import plan, read_manifest, table, write_manifest
from vhap.util.errors import InputError


def sequences(manifest: Manifest) -> dict[str, tuple[str, str]]:
    return {entry.id: (entry.subject, entry.kind) for entry in manifest.sequences}


def test_videos_and_sequence_folders_are_grouped_by_persons(tmp_path: Path) -> None:
    data = make_files(
        tmp_path / "data", "anna_smile.mp4", "anna_talk.MOV", "bert.mkv", "notes.txt", ".anna_hidden.mp4",
        "carl_talk/images/000000.jpg", "carl_talk.mp4", "carl_rig/images/cam_1_000000.jpg", "empty/readme.md",
        "dora/laugh.mp4", "dora/dora_cry.mp4", "dora/still/images/000000.jpg", "rig_calibrated/cam_1.mp4",
        "eve_avatar/camera_info.json",
    )  # fmt: skip
    manifest = planned(data, tmp_path)
    assert sequences(manifest) == {
        "anna_smile": ("anna", "video"),
        "anna_talk": ("anna", "video"),
        "bert": ("bert", "video"),
        "carl_rig": ("carl", "multiview"),
        "carl_talk": ("carl", "pictures"),
        "dora_cry": ("dora", "video"),
        "dora_laugh": ("dora", "video"),
        "dora_still": ("dora", "pictures"),
        "eve_avatar": ("eve", "single_frame"),
        "rig_calibrated": ("rig", "multiview"),
    }
    by_id = {entry.id: entry for entry in manifest.sequences}
    assert by_id["carl_talk"].frames == by_id["carl_talk"].source == data / "carl_talk"
    assert by_id["anna_smile"].frames == tmp_path / "results" / "frames" / "anna_smile"
    together = {entry.subject: (entry.together, entry.identity_from) for entry in manifest.subjects}
    assert together == {
        "anna": (True, None),
        "bert": (False, "bert"),
        "carl": (False, "carl_rig"),
        "dora": (True, None),
        "eve": (False, "eve_avatar"),
        "rig": (False, "rig_calibrated"),
    }
    assert "anna_talk       anna     video         of all" in table(manifest)
    assert "carl_talk       carl     pictures      of carl_rig" in table(manifest)


def test_nersemble_folders_of_both_versions(tmp_path: Path) -> None:
    second = make_files(
        tmp_path / "v2", "074/calibration/camera_params.json", "074/sequences/EMO-1-shout+laugh/images/cam_1.mp4",
        "074/sequences/EXP-1-head/images/cam_1.mp4", "074/sequences/BACKGROUND/image_1.jpg",
    )  # fmt: skip
    assert sequences(planned(second, tmp_path)) == {
        "074_EMO-1-shout+laugh": ("074", "nersemble_v2"),
        "074_EXP-1-head": ("074", "nersemble_v2"),
    }
    first = make_files(
        tmp_path / "v1", "camera_params/074/camera_params.json", "074/EMO-1/images/cam_1_000000.jpg",
        "color_correction/074/1.npy",
    )  # fmt: skip
    assert sequences(planned(first, tmp_path)) == {"074_EMO-1": ("074", "nersemble")}


def test_a_folder_that_is_one_recording(tmp_path: Path) -> None:
    assert sequences(planned(make_files(tmp_path / "anna_x", "cam_1.mp4", "cam_2.mp4"), tmp_path)) == {
        "anna_x": ("anna", "multiview")
    }


def test_odd_names_become_names_for_files(tmp_path: Path) -> None:
    data = make_files(tmp_path / "data", "an na_to morrow (1).mp4", "_x_.mp4", "Zoë_é.mp4", "a_b/c.mp4", "-v_-1.mp4")
    assert {*sequences(planned(data, tmp_path))} == {"an-na_to-morrow-1", "x", "Zoë_é", "a-b_c", "v_1"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "expected videos, sequences' folders"),
        (("notes.txt", "empty/images/x.txt"), "expected videos, sequences' folders"),
        (("anna_x.mp4", "anna_x.mov"), "expected one sequence of the name anna_x, found"),
        (("anna_x.mp4", "anna/x.mp4"), "expected one sequence of the name anna_x, found"),
        (("-.mp4",), "expected names with letters or digits"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(tmp_path: Path, names: tuple[str, ...], expected: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=re.escape(expected)) as error:
        planned(make_files(tmp_path / "data", *names), tmp_path)
    assert "\n" not in str(error.value)


def test_patterns_choose_and_must_fit(tmp_path: Path) -> None:
    data = make_files(tmp_path / "data", "anna_a1.mp4", "anna_b.mp4", "bert_a2.mp4")
    assert {*sequences(planned(data, tmp_path, sequences=("a*",)))} == {"anna_a1", "bert_a2"}
    assert {*sequences(planned(data, tmp_path, subjects=("bert",)))} == {"bert_a2"}
    with pytest.raises(InputError, match=r"none like .carl. .there are: anna, bert"):
        planned(data, tmp_path, subjects=("carl",))
    with pytest.raises(InputError, match="none like 'b'"):
        planned(data, tmp_path, subjects=("bert",), sequences=("b",))


def test_a_manifest_is_read_as_it_was_written_and_not_overwritten(tmp_path: Path) -> None:
    data = make_files(tmp_path / "data", "anna_a.mp4", "anna_b.mp4")
    config = PlanConfig(data, output=tmp_path / "batch.yaml", results=tmp_path / "results", layout="hravatar")
    manifest = plan(config)
    assert read_manifest(config.output) == manifest
    assert manifest.options.export == "--layout hravatar"
    with pytest.raises(InputError, match="expected no manifest at"):
        plan(config)
    assert plan(replace(config, overwrite=True)) == manifest
    own = replace(manifest.sequences[0], options=StepOptions(track="--data.subset tn20"))
    write_manifest(config.output, replace(manifest, sequences=(own, manifest.sequences[1])))
    assert read_manifest(config.output).sequences[0] == own


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ({"version": 2}, "expected version 1 of a manifest"),
        ({"sequences": []}, "expected sequences in"),
        ({"jobs": 3}, "expected known options"),
        ({"options": {"track": "--model.head 'ict"}}, "expected options as they are typed"),
        ({"options": {"trak": ""}}, "expected known options"),
        ({"subjects": [{"subject": "anna", "union": "u", "identity_from": "bert_a"}]}, "as identity_from"),
        (
            {"subjects": [{"subject": "anna", "union": "u", "identity_from": "anna_a", "together": True}]},
            "expected together or identity_from of subject anna",
        ),
        (
            {"subjects": [{"subject": "eve", "union": "u", "together": True}]},
            "expected sequences of one kind, not of static avatars, of subject eve",
        ),
    ],
)
def test_wrong_manifests_are_refused(tmp_path: Path, edit: dict[str, object], expected: str) -> None:
    data = make_files(tmp_path / "data", "anna_a.mp4", "bert_a.mp4")
    plan(PlanConfig(data, output=tmp_path / "batch.yaml", results=tmp_path / "results"))
    plain = yaml.safe_load((tmp_path / "batch.yaml").read_text(encoding="utf-8"))
    (tmp_path / "batch.yaml").write_text(yaml.safe_dump({**plain, **edit}), encoding="utf-8")
    with pytest.raises(InputError, match=expected):
        read_manifest(tmp_path / "batch.yaml")


@pytest.mark.parametrize("name", ["../anna_a", "anna a", "anna_b", ""])
def test_ids_are_names_and_stand_once(tmp_path: Path, name: str) -> None:
    data = make_files(tmp_path / "data", "anna_a.mp4", "anna_b.mp4")
    manifest = planned(data, tmp_path)
    wrong = replace(manifest.sequences[0], id=name)
    write_manifest(tmp_path / "m.yaml", replace(manifest, sequences=(wrong, manifest.sequences[1]), subjects=()))
    with pytest.raises(InputError, match=r"expected (names of letters|each name once)"):
        read_manifest(tmp_path / "m.yaml")
