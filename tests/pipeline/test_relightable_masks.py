"""seg/ of a subject's finished pictures by the head of its run: made once, completed, refused, left alone."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_run import COUNT, SIZE, make_result, make_run

from vhap.config.relightable import CropConfig
from vhap.data.pictures import list_pictures, read_alpha, read_stored
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline import class_map_record, relightable_crop, relightable_masks, relightable_parsing
from vhap.pipeline.class_map_record import begin_maps, recorded_parsing, remember_maps
from vhap.relightable.class_maps import FaceClass, read_class_map
from vhap.relightable.crop import Crop
from vhap.relightable.crop_file import CropRecord, write_crop
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.errors import InputError

NAMES = [f"{index:05d}.png" for index in range(COUNT)]
CLOTHES_FROM = 95
"""Row from which on the matte shows clothes."""


@pytest.fixture(scope="module")
def head() -> HeadModel:
    torch.set_num_threads(1)
    return load_head("builtin", n_shape=5)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, head: HeadModel) -> Path:
    folder = tmp_path_factory.mktemp("data")
    make_run(folder, head, make_result(head))
    return folder


class NoFace:
    def detect(self, picture: np.ndarray) -> None:
        return None


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, head: HeadModel, root: Path, tmp_path: Path) -> None:
    """The run is the subject's wherever it has a folder of runs."""
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)
    monkeypatch.setattr(relightable_parsing, "MediapipeLandmarks", NoFace)
    monkeypatch.setattr(relightable_masks, "finished_subject_run", lambda *_: next((root / "out").iterdir()))
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    for name in ("VHAP_FACE_PARSING_WEIGHTS", "VHAP_SELFIE_MULTICLASS"):
        monkeypatch.delenv(name, raising=False)


def config(subject: SubjectFolder, **options) -> CropConfig:
    made = CropConfig(subject.path.parent, subject.name, image_size=SIZE, matting=True, keep_masks=True)
    return replace(made, **options)


def make_subject(root: Path, folder: Path, tracked: bool = True, **options) -> SubjectFolder:
    """As crop_and_matting.py leaves it, whose clothes are taken out of the pictures."""
    subject = SubjectFolder(folder / "anna")
    recorded = relightable_crop.decisive_options(config(subject, **options))
    recorded |= {"matting_method": "mediapipe_video", "parsing": "mediapipe"}
    for name, (stem, path) in zip(NAMES, list_pictures(root / "person" / "images").items()):
        mask = read_alpha(root / "person" / "alpha_maps" / f"{stem}.png")
        alpha = mask.copy()
        if recorded["mask_clothes"]:
            alpha[CLOTHES_FROM:] = 0
        picture = cv2.imread(str(path)) * (alpha > 0)[..., None]
        for kind, values in (("image", np.dstack([picture, alpha])), ("mask", mask), ("seg", mask // 255)):
            (subject.path / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(subject.path / kind / name), values)
    crop = Crop(SIZE, (0, 0, SIZE[1], SIZE[0]), SIZE)
    write_crop(subject.crop, CropRecord(crop, NAMES, NAMES, [], {"folder": "original"}, recorded))
    maps = {kind: list_pictures(subject.path / kind) for kind in ("image", "mask", "seg")}
    made = subject.class_folder.rename(folder / "made")
    work = begin_maps(maps["image"], maps["mask"], subject.class_folder, "mediapipe and the colours of clothes")
    remember_maps(work, made)
    made.rename(subject.class_folder)
    if tracked:
        (subject.path / "track" / "2026-01-02_03-04-05").mkdir(parents=True)
    return subject


def state(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_head_makes_the_class_maps_and_clothes_stay_clothes(root: Path, tmp_path: Path) -> None:
    subject = make_subject(root, tmp_path)
    relightable_crop.run(config(subject, parsing="mesh"))
    for name in NAMES:
        classes, mask = read_class_map(subject.class_folder / name, SIZE), read_alpha(subject.mask_folder / name)
        alpha = read_stored(subject.path / "image" / name)[..., 3]
        assert np.array_equal(classes == FaceClass.CLOTH, (mask >= 128) & (alpha < 128))
        assert np.array_equal(classes > 0, mask >= 128)
        found = {FaceClass(number) for number in np.unique(classes)}
        assert {FaceClass.SKIN, FaceClass.NECK, FaceClass.NOSE, FaceClass.LEFT_EYE, FaceClass.UPPER_LIP} <= found
    before = state(subject.path)
    relightable_crop.run(config(subject, parsing="mesh"))
    # What auto came to before.
    relightable_crop.run(config(subject))
    relightable_crop.run(config(subject, keep_masks=False))
    assert state(subject.path) == before


def test_a_killed_run_is_completed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_subject(root, tmp_path / "whole")
    relightable_crop.run(config(whole, parsing="mesh"))
    subject, calls, write = make_subject(root, tmp_path), [], relightable_parsing.write_class_map

    def die(*args, **named) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(*args, **named)

    monkeypatch.setattr(relightable_parsing, "write_class_map", die)
    with pytest.raises(KeyboardInterrupt):
        relightable_crop.run(config(subject, parsing="mesh"))
    monkeypatch.setattr(relightable_parsing, "write_class_map", write)
    first = {path: time for path, time in state(subject.class_folder).items() if path.name < NAMES[2]}
    relightable_crop.run(config(subject, parsing="mesh"))
    assert first.items() <= state(subject.class_folder).items()
    for name in NAMES:
        assert (subject.class_folder / name).read_bytes() == (whole.class_folder / name).read_bytes()


def test_auto_completes_what_the_networks_found(root: Path, tmp_path: Path) -> None:
    subject = make_subject(root, tmp_path)
    relightable_crop.run(config(subject))
    assert (recorded_parsing(subject.class_folder) or "").startswith("mediapipe and mesh ")
    assert FaceClass.NECK in read_class_map(subject.class_folder / NAMES[0])
    before = state(subject.path)
    relightable_crop.run(config(subject))
    assert state(subject.path) == before
    relightable_crop.run(config(subject, parsing="mesh"))
    assert (recorded_parsing(subject.class_folder) or "").startswith("mesh ")


def test_another_fit_or_another_picture_makes_its_maps_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = make_subject(root, tmp_path)
    relightable_crop.run(config(subject, parsing="mesh"))
    before = state(subject.class_folder)
    monkeypatch.setattr(relightable_masks, "mesh_identity", lambda *_: "mesh of another fit")
    monkeypatch.setattr(relightable_parsing, "mesh_identity", lambda *_: "mesh of another fit")
    relightable_crop.run(config(subject, parsing="mesh"))
    assert not before.items() & state(subject.class_folder).items()
    before = state(subject.class_folder)
    picture = cv2.imread(str(subject.path / "image" / NAMES[1]), cv2.IMREAD_UNCHANGED)
    picture[0, 0] = 1
    cv2.imwrite(str(subject.path / "image" / NAMES[1]), picture)
    relightable_crop.run(config(subject, parsing="mesh"))
    changed = dict(state(subject.class_folder).items() - before.items())
    assert [path.name for path in changed] == [NAMES[1]]


@pytest.mark.parametrize("parsing", ["mesh", "auto"])
def test_without_a_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parsing: str) -> None:
    """No run at all, and none of these pictures."""
    monkeypatch.setattr(relightable_masks, "finished_subject_run", lambda *_: None)
    for tracked in (False, True):
        subject = make_subject(root, tmp_path / str(tracked), tracked)
        before = state(subject.class_folder)
        if parsing == "auto":
            relightable_crop.run(config(subject))
        else:
            with pytest.raises(InputError, match=r"expected a finished run .* run `vhap optimize --path .*anna` first"):
                relightable_crop.run(config(subject, parsing="mesh"))
        assert state(subject.class_folder) == before


def test_other_ways_than_that_of_the_maps_are_no_silent_success(root: Path, tmp_path: Path) -> None:
    subject = make_subject(root, tmp_path)
    relightable_crop.run(config(subject, parsing="mediapipe"))
    relightable_crop.run(config(subject, parsing="mesh"))
    before = state(subject.path)
    with pytest.raises(InputError, match=r"class maps by --parsing mediapipe in .* found those by the tracked head"):
        relightable_crop.run(config(subject, parsing="mediapipe"))
    with pytest.raises(InputError, match="expected --keep_masks with --parsing mesh"):
        relightable_crop.run(config(subject, parsing="mesh", keep_masks=False))
    assert state(subject.path) == before


def test_maps_of_another_tool_are_never_replaced(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relightable_masks, "get_logger", lambda: logging.getLogger("masks"))
    subject = make_subject(root, tmp_path)
    (subject.path / "seg.json").unlink()
    before = state(subject.class_folder)
    relightable_crop.run(config(subject))
    assert "class maps of another tool" in caplog.text
    with pytest.raises(InputError, match="5 maps of another tool"):
        relightable_crop.run(config(subject, parsing="mesh"))
    assert state(subject.class_folder) == before


@pytest.mark.parametrize("parsing", ["mesh", "auto"])
def test_maps_that_another_tool_wrote_over_ours_are_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, parsing: str
) -> None:
    monkeypatch.setattr(class_map_record, "get_logger", lambda: logging.getLogger("maps"))
    subject = make_subject(root, tmp_path)
    theirs = subject.class_folder / NAMES[2]
    cv2.imwrite(str(theirs), np.full(SIZE, 7, np.uint8))
    before = state(subject.class_folder)
    # Before the fit, with it, and when nothing is left to do.
    relightable_crop.run(config(subject, parsing="mediapipe"))
    assert state(subject.class_folder) == before
    for _ in range(2):
        assert f"1 class maps in {subject.class_folder} are of another tool and kept (00002)" in caplog.text
        caplog.clear()
        relightable_crop.run(config(subject, parsing=parsing))
    after = state(subject.class_folder)
    assert [path for path in before if after[path] == before[path]] == [theirs]
    # Damaged files are nobody's.
    theirs.write_bytes(b"damaged")
    caplog.clear()
    relightable_crop.run(config(subject, parsing=parsing))
    assert FaceClass.NECK in read_class_map(theirs, SIZE)
    assert "another tool" not in caplog.text


def test_pictures_that_are_taken_as_they_are_get_masks(root: Path, tmp_path: Path) -> None:
    subject = make_subject(root, tmp_path)
    for path in (subject.crop, subject.path / "seg.json"):
        path.unlink()
    for folder in (subject.mask_folder, subject.class_folder):
        shutil.rmtree(folder)
    relightable_crop.run(config(subject, parsing="mesh"))
    for name in NAMES:
        alpha = read_stored(subject.path / "image" / name)[..., 3]
        assert np.array_equal(read_alpha(subject.mask_folder / name), alpha)
        classes = read_class_map(subject.class_folder / name, SIZE)
        assert np.array_equal(classes > 0, alpha >= 128)
        assert FaceClass.NOSE in classes
    before = state(subject.path)
    relightable_crop.run(config(subject, parsing="mesh"))
    assert state(subject.path) == before


@pytest.mark.parametrize("tracked", [True, False])
def test_masks_of_another_tool_beside_an_alpha_channel_are_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tracked: bool
) -> None:
    monkeypatch.setattr(relightable_masks, "get_logger", lambda: logging.getLogger("masks"))
    subject = make_subject(root, tmp_path, tracked)
    for path in (subject.crop, subject.path / "seg.json"):
        path.unlink()
    for folder in (subject.mask_folder, subject.class_folder):
        shutil.rmtree(folder)
    relightable_crop.run(config(subject))
    assert "of another tool" not in caplog.text
    theirs = read_alpha(subject.mask_folder / NAMES[1])
    theirs[: SIZE[0] // 2] = 0
    cv2.imwrite(str(subject.mask_folder / NAMES[1]), theirs)
    relightable_crop.run(config(subject))
    assert f"masks of another tool in {subject.mask_folder} for 1 of {COUNT} pictures (00001)" in caplog.text
    assert np.array_equal(read_alpha(subject.mask_folder / NAMES[1]), theirs)
    if tracked:
        assert np.array_equal(read_class_map(subject.class_folder / NAMES[1], SIZE) > 0, theirs >= 128)


def test_worn_clothes_follow_the_colours_of_all_pictures(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures with clothes: the model that took none of them away says where they are."""
    learnt = []

    class Learnt:
        def classes(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
            classes = np.where(alpha >= 128, int(FaceClass.SKIN), 0)
            classes[CLOTHES_FROM:] = np.where(alpha[CLOTHES_FROM:] >= 128, int(FaceClass.CLOTH), 0)
            return classes.astype(np.uint8)

    def learn(pictures, alphas, face) -> Learnt:
        learnt.append(list(pictures))
        return Learnt()

    monkeypatch.setattr(relightable_masks, "learn_from_some", learn)
    subject = make_subject(root, tmp_path, mask_clothes=False)
    relightable_crop.run(config(subject, mask_clothes=False, parsing="mesh"))
    classes = read_class_map(subject.class_folder / NAMES[0])
    assert learnt == [[Path(name).stem for name in NAMES]]
    assert (classes == FaceClass.CLOTH).any()
    assert not (classes[:CLOTHES_FROM] == FaceClass.CLOTH).any()
    assert set(np.unique(classes[CLOTHES_FROM:])) <= {0, FaceClass.CLOTH}
