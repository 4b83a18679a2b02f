"""What holds for all layouts: lost frames are left out, dry runs write nothing, stray files go, and one table has them
all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from layout_runs import COUNT, shown_row, write_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))

from flame_like_builtin import write_builtin_as_flame
from subject_run import loaded_once

from vhap.api import export
from vhap.config.export import ExportConfig, Layout
from vhap.config.track import ModelConfig
from vhap.export.layouts.base import NO_EFFECT
from vhap.pipeline.export_layouts import LAYOUTS
from vhap.util.errors import InputError

LOST = 3
PICTURES = {
    "gaussian_avatars": "images", "metrical": "input", "insta": "images", "imavatar": "image", "hravatar": "image",
    "nerfstudio": "images", "colmap": "images", "gaussian_head_avatar": "images/*",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelConfig:
    with pytest.MonkeyPatch.context() as patch:
        path = write_builtin_as_flame(tmp_path_factory.mktemp("flame"), patch)
    return ModelConfig(head="flame", flame_model_path=path, n_shape=100, n_expr=50)


@pytest.fixture(autouse=True)
def one_head(monkeypatch) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, model) -> Path:
    """One of its pictures is black."""
    root = tmp_path_factory.mktemp("data")
    output = write_run(root, model)
    picture = root / f"person/images/{LOST:06d}.png"
    cv2.imwrite(str(picture), np.zeros_like(cv2.imread(str(picture))))
    alpha = root / f"person/alpha_maps/{LOST:06d}.png"
    cv2.imwrite(str(alpha), np.zeros_like(cv2.imread(str(alpha), cv2.IMREAD_UNCHANGED)))
    return output


def options_of(layout: str) -> dict:
    return {"test_frames": 4} if layout == "insta" else {}


def test_the_table_has_every_layout_and_every_option_belongs_to_one() -> None:
    assert set(LAYOUTS) == set(get_args(Layout))
    named = {name for entry in LAYOUTS.values() for name in entry.rules.options}
    fields = {field for field in ExportConfig.__dataclass_fields__}
    for name in NO_EFFECT:
        assert name in named, f"no layout reads {name}"
        assert name in fields
    assert len(NO_EFFECT) > 5
    markers = {name: entry.rules.target.marker for name, entry in LAYOUTS.items()}
    assert markers["nerf"] == markers["gaussian_avatars"] == "export.json"
    assert len({*markers.values()}) == len(markers) - 2, "imavatar and hravatar replace each other, too"


@pytest.mark.parametrize("layout", PICTURES)
def test_lost_frames_are_left_out_and_the_rest_is_numbered_without_gaps(tmp_path, run_folder, layout) -> None:
    target = export(run_folder, tmp_path / "out", layout=layout, create_mask_from_mesh=False, **options_of(layout))
    paths = sorted(
        (path for folder in target.glob(PICTURES[layout]) for path in folder.iterdir()),
        key=lambda path: (path.parent.name, int(path.stem.split("_")[0]) if path.stem[0].isdigit() else 0),
    )
    plain = [path for path in paths if "lowres" not in path.name and "mask" not in path.name]
    assert len(plain) == COUNT - 1
    shown = []
    for path in plain:
        picture = cv2.imread(str(path))[..., ::-1].astype(int)
        person = (picture[..., 0] > 120) & (abs(picture[..., 1] - 120) < 20)
        shown.append(shown_row(np.median(picture[person][:, 0])))
    assert shown == [row for row in range(COUNT) if row != LOST]


@pytest.mark.parametrize("layout", PICTURES)
def test_dry_runs_say_what_would_be_written(tmp_path, run_folder, layout, capsys) -> None:
    options = {"create_mask_from_mesh": False, **options_of(layout)}
    assert export(run_folder, tmp_path / "out", layout=layout, dry_run=True, **options) == tmp_path / "out"
    said = capsys.readouterr().out.splitlines()
    assert not (tmp_path / "out").exists()
    assert said[0] == f"would write {COUNT - 1} timesteps to {tmp_path / 'out'}"
    export(run_folder, tmp_path / "out", layout=layout, **options)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    marker = LAYOUTS[layout].rules.target.marker
    size = sum(path.stat().st_size for path in written if path.name != marker)
    files, about = said[-1].removeprefix("in all: ").split(" files, about ")
    # Folders of single frames are counted as one of them: their number is in the count of files.
    assert int(files) == len(written) - 1
    number, unit = about.split()
    assert float(number) * {"kB": 1e3, "MB": 1e6}[unit] == pytest.approx(size, rel=0.1)


def test_folders_of_frames_that_are_no_longer_exported_go(tmp_path, run_folder) -> None:
    """Gaussian-Head-Avatar takes every folder for a frame."""
    target = export(run_folder, tmp_path / "out", layout="gaussian_head_avatar")
    (target / "images" / "mine").mkdir()
    (target / "images" / "mine" / "notes.txt").write_text("mine")
    export(run_folder, target, layout="gaussian_head_avatar", subset="ti0tj1")
    assert sorted(path.name for path in (target / "images").iterdir()) == ["0000", "0001", "mine"]
    assert sorted(path.name for path in (target / "params").iterdir()) == ["0000", "0001"]


def test_options_of_other_layouts_are_named(tmp_path, run_folder, caplog) -> None:
    export(run_folder, tmp_path / "out", layout="metrical", subset="ti0", masks=False, background_color="black")
    assert "--masks False has no effect with --layout metrical" in caplog.text
    assert "--background_color black has no effect with --layout metrical: pictures are as filmed" in caplog.text


def test_an_unknown_layout_is_one_line(tmp_path, run_folder) -> None:
    with pytest.raises(InputError, match=r"expected one of .*colmap.* found 'colmab'"):
        export(run_folder, tmp_path / "out", layout="colmab")
