from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from vhap.export.union import combine_exports
from vhap.util.errors import InputError

INTRINSICS = {
    "cx": 2,
    "cy": 1.5,
    "fl_x": 5,
    "fl_y": 5,
    "h": 3,
    "w": 4,
    "camera_angle_x": 0.76,
    "camera_angle_y": 0.58,
}
SERIALS = ["222200042", "222200037", "222200044"]


def write_export(
    folder: Path,
    timesteps: int = 4,
    cameras: int = 1,
    head: str = "flame2023:ab",
    first: int = 0,
    value: float = 0,
    arrays: dict[str, np.ndarray] | None = None,
    camera: dict[str, float] | None = None,
) -> Path:
    """An export as the contract describes it, written without the package's help.

    arrays: added to every head, the canonical one included, or in place of its own. camera: likewise of the intrinsics.
    """
    frames, camera = [], {**INTRINSICS, **(camera or {})}
    size = int(camera["h"]), int(camera["w"])
    for kind in ("images", "fg_masks", "flame_param"):
        (folder / kind).mkdir(parents=True)
    for t in range(timesteps):
        own = {"expr": np.full((1, 3), value + t), "static_offset": np.zeros((1, 5, 3))}
        np.savez(folder / f"flame_param/{t:05d}.npz", **{**own, **(arrays or {})})
        for c in range(cameras):
            for kind in ("images", "fg_masks"):
                cv2.imwrite(str(folder / kind / f"{t:05d}_{c:02d}.png"), np.full(size, 255, np.uint8))
            frames.append(
                {
                    "timestep_index": t,
                    "timestep_index_original": first + t,
                    "timestep_id": f"{first + t:06d}",
                    "camera_index": c,
                    "camera_id": SERIALS[c] if cameras > 1 else "0",
                    **camera,
                    "transform_matrix": np.eye(4).tolist(),
                    "file_path": f"images/{t:05d}_{c:02d}.png",
                    "fg_mask_path": f"fg_masks/{t:05d}_{c:02d}.png",
                    "flame_param_path": f"flame_param/{t:05d}.npz",
                }
            )
    content = {**camera, "head_model": head, "frames": frames}
    content["timestep_indices"], content["camera_indices"] = list(range(timesteps)), list(range(cameras))
    (folder / "transforms.json").write_text(json.dumps(content))
    np.savez(folder / "canonical_flame_param.npz", jaw_pose=np.full((1, 3), value), **(arrays or {}))
    return folder


def write_exports(parent: Path, count: int, **options: int) -> list[Path]:
    return [write_export(parent / f"074_S{k}", value=100 * k, **options) for k in range(count)]


def read(union: Path, split: str) -> dict:
    return json.loads((union / f"transforms_{split}.json").read_text())


def names(union: Path, file: str) -> list[str]:
    return (union / file).read_text().split()


def published_test_sequences(sequences: list[str], subject: str) -> list[str]:
    """The contract's rule, word by word, with Python's global generator."""
    left, taken = list(sequences), []
    random.seed(subject)
    for group in range(max(1, len(sequences) // 10)):
        index = min(len(left) - 1, random.randint(0, 9) + 10 * group)
        taken.append(left.pop(index))
    return taken


@pytest.mark.parametrize("count", [2, 3, 9, 10, 11, 25])
def test_published_division_is_kept(tmp_path: Path, count: int) -> None:
    sources = write_exports(tmp_path, count, timesteps=1)
    union = combine_exports(sources, tmp_path / "074_UNION")
    expected = published_test_sequences([source.name for source in sources], "074")
    assert names(union, "sequences_test.txt") == expected
    assert names(union, "sequences_trainval.txt") == [s.name for s in sources if s.name not in expected]


def test_a_reader_in_the_union_finds_every_file_and_each_head_once(tmp_path: Path) -> None:
    sources = write_exports(tmp_path, 3, timesteps=4)
    union = combine_exports(sources, tmp_path / "074_UNION", "last")
    train, val, test = (read(union, split) for split in ("train", "val", "test"))
    assert [len(part["frames"]) for part in (train, val, test)] == [8, 0, 4]
    assert train["timestep_indices"] == list(range(8))
    assert test["timestep_indices"] == list(range(8, 12))
    heads = {}
    for frame in train["frames"] + test["frames"]:
        assert not {"timestep_index_original", "timestep_id"} & set(frame)
        assert cv2.imread(str(union / frame["file_path"])) is not None
        assert cv2.imread(str(union / frame["fg_mask_path"])) is not None
        heads[frame["timestep_index"]] = float(np.load(union / frame["flame_param_path"])["expr"][0, 0])
    assert [heads[t] for t in range(12)] == [0, 1, 2, 3, 100, 101, 102, 103, 200, 201, 202, 203]
    assert {key: test[key] for key in INTRINSICS} == INTRINSICS
    assert test["head_model"] == "flame2023:ab"
    assert np.load(union / "canonical_flame_param.npz")["jaw_pose"][0, 0] == 0
    assert names(union, "sequences_test.txt") == ["074_S2"]


def test_paths_are_relative_to_the_union(tmp_path: Path) -> None:
    union = combine_exports(write_exports(tmp_path, 2), tmp_path / "074_U", "last")
    frame = read(union, "train")["frames"][0]
    assert frame["file_path"] == "../074_S0/images/00000_00.png"
    assert frame["fg_mask_path"] == "../074_S0/fg_masks/00000_00.png"
    assert frame["flame_param_path"] == "../074_S0/flame_param/00000.npz"


def test_front_view_is_held_out_of_training_sequences_only(tmp_path: Path) -> None:
    union = combine_exports(write_exports(tmp_path, 2, cameras=3, timesteps=5), tmp_path / "074_U", "last")
    cameras = {split: {f["camera_id"] for f in read(union, split)["frames"]} for split in ("train", "val", "test")}
    assert cameras == {"train": {SERIALS[0], SERIALS[2]}, "val": {"222200037"}, "test": set(SERIALS)}
    assert len(read(union, "val")["frames"]) == 5
    assert read(union, "val")["camera_indices"] == [1]


def test_test_sequence_is_numbered_last_even_where_it_came_first(tmp_path: Path) -> None:
    sources = write_exports(tmp_path, 3, timesteps=2)
    for subject_sources in (sources, sources[1:] + sources[:1]):
        union = combine_exports(subject_sources, tmp_path / "074_U")
        (held_out,) = names(union, "sequences_test.txt")
        assert all(held_out in frame["file_path"] for frame in read(union, "test")["frames"])
        assert read(union, "test")["timestep_indices"] == [4, 5]


@pytest.mark.parametrize(("subject", "count"), [("074", 10), ("074", 21), ("218", 7), ("obama", 2)])
def test_random_single_takes_the_one_of_published_splits(tmp_path: Path, subject: str, count: int) -> None:
    sources = [write_export(tmp_path / f"{subject}_S{k}", timesteps=1) for k in range(count)]
    random.seed(subject)
    expected = sources[int(random.random() * count)].name
    for target in ("U", "V_of_any_name"):
        union = combine_exports(sources, tmp_path / target, "random_single")
        assert names(union, "sequences_test.txt") == [expected]


def test_the_target_may_have_any_name(tmp_path: Path) -> None:
    sources = write_exports(tmp_path, 3, timesteps=1)
    unions = [combine_exports(sources, tmp_path / name) for name in ("074_U", "UNION3_074_all", "everything", "075_U")]
    for file in ("sequences_test.txt", "transforms_train.json"):
        assert len({(union / file).read_text() for union in unions}) == 1, "the sources say the subject"


@pytest.mark.parametrize("count", [1, 2])
def test_division_none_holds_out_the_end_of_every_sequence(tmp_path: Path, count: int) -> None:
    sources = write_exports(tmp_path, count, timesteps=10)
    union = combine_exports(sources, tmp_path / "074_U", "none")
    early = [10 * k + t for k in range(count) for t in range(7)]
    assert read(union, "train")["timestep_indices"] == early
    assert len(read(union, "test")["frames"]) == 3 * count
    assert names(union, "sequences_test.txt") == []
    assert len(names(union, "sequences_trainval.txt")) == count


def test_a_single_sequence_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none would be left to train on"):
        combine_exports(write_exports(tmp_path, 1), tmp_path / "074_U")
    assert not (tmp_path / "074_U").exists()


def test_global_random_state_is_untouched(tmp_path: Path) -> None:
    random.seed(1)
    before = random.getstate()
    combine_exports(write_exports(tmp_path, 2, timesteps=1), tmp_path / "074_U")
    assert random.getstate() == before


def test_sequences_that_do_not_belong_together_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    first, second = write_exports(tmp_path, 2)
    other = write_export(tmp_path / "075_A")
    elsewhere = write_export(tmp_path / "far/074_A")
    other_head = write_export(tmp_path / "074_OTHER", head="flame2020:cd")
    cases = [
        ([first, other], "074_U", "found '075' in 075_A"),
        ([first, elsewhere], "074_U", "beside the target"),
        ([first, other_head], "074_U", "expected one head model, flame2023:ab"),
        ([first, first], "074_U", "found one twice"),
        ([first, second], "074_S1", "other than the sources"),
        ([first, second], "074_OTHER", "expected no export at the target"),
        ([first, tmp_path / "074_NONE"], "074_U", "found no folder"),
        ([], "074_U", "at least one export"),
    ]
    for sources, target, message in cases:
        with pytest.raises(InputError, match=message):
            combine_exports(sources, tmp_path / target)
    assert not (tmp_path / "074_U").exists()


def test_broken_exports_are_refused(tmp_path: Path) -> None:
    first, second = write_exports(tmp_path, 2)
    (second / "fg_masks/00002_00.png").unlink()
    with pytest.raises(InputError, match=r"1 missing \(first: fg_masks/00002_00.png\)"):
        combine_exports([first, second], tmp_path / "074_U")
    (second / "transforms.json").write_text('{"frames": [{"file_path": "a"}]}')
    with pytest.raises(InputError, match=r"frames\[0\]"):
        combine_exports([first, second], tmp_path / "074_U")
    (second / "transforms.json").write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        combine_exports([first, second], tmp_path / "074_U")
    (second / "transforms.json").unlink()
    with pytest.raises(InputError, match=r"expected transforms\.json in"):
        combine_exports([first, second], tmp_path / "074_U")
    assert not (tmp_path / "074_U").exists()


def test_a_file_at_the_target_is_refused(tmp_path: Path) -> None:
    (tmp_path / "074_U").write_text("mine")
    with pytest.raises(InputError, match="found a file"):
        combine_exports(write_exports(tmp_path, 2), tmp_path / "074_U")
