"""The table of preprocessing's speed: a row for each size and stage."""

import os
from pathlib import Path

import preprocess_speed
import pytest

from vhap.util.errors import InputError

CLIPS = os.environ.get("VHAP_TEST_VIDEOS")


@pytest.mark.skipif(not CLIPS, reason="VHAP_TEST_VIDEOS names no folder of clips")
def test_every_size_has_every_stage(tmp_path, capsys):
    clip = Path(CLIPS or "") / "man_gray.mp4"
    preprocess_speed.main(
        ["--clip", str(clip), "--output", str(tmp_path), "--sizes", "120x140", "96x96", "--frames", "3"]
    )
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "x" in line.split(" | ")[0]]
    assert [row[0].strip("| ") for row in rows] == ["120x140"] * 7 + ["96x96"] * 7
    assert len(list((tmp_path / "120x140" / "alpha_maps").iterdir())) == 3


def test_a_size_that_is_none_is_one_line(tmp_path):
    config = preprocess_speed.PreprocessSpeedConfig(tmp_path / "clip.mp4", tmp_path)
    with pytest.raises(InputError, match="--sizes"):
        preprocess_speed.enlarged(config, "4K")
