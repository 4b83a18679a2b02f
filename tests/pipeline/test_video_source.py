"""A video that is tracked without a sequence folder."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from vhap import api
from vhap.config.live import LiveConfig
from vhap.config.loading import load_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import TrackConfig
from vhap.data import video_folders
from vhap.data.provenance import content_digest
from vhap.data.results import load_result, result_path
from vhap.data.video_folders import SIZE_VARIABLE, folder_of, is_folder_of, mark_used
from vhap.pipeline import live_start, make_synthetic_capture
from vhap.util import paths
from vhap.util.errors import InputError

OPTIONS = {"head": "builtin", "photometric": False, "report": False, "target_fps": 5.0}


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    make_synthetic_capture.run(SyntheticConfig(output=folder / "clip", head="builtin", frames=25, size=192))
    return folder / "clip.mp4"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of this test alone, with the machine's networks."""
    folder, weights = tmp_path / "cache", paths.weights_folder()
    folder.mkdir()
    if weights.is_dir():
        (folder / "weights").symlink_to(weights)
    monkeypatch.setenv("VHAP_CACHE", str(folder))
    return folder


def test_from_the_file_to_a_run_that_equals_the_way_by_a_folder(video, cache, tmp_path):
    run = api.track(video, output_folder=tmp_path / "out", matting_method="none", **OPTIONS)
    (folder,) = (cache / "videos").iterdir()
    assert is_folder_of(video, folder)
    sequence = api.preprocess(video, output_folder=tmp_path / "by_hand" / "clip", target_fps=5.0, matting_method="none")
    other = api.track(sequence, output_folder=tmp_path / "other", **{**OPTIONS, "target_fps": 25.0})
    one, two = (load_result(result_path(path)) for path in (run, other))
    assert (one.expr == two.expr).all()
    assert len(one.expr) == 5
    made = load_config(run / "config.yml", TrackConfig)
    assert (made.data.root_folder / made.data.sequence) == folder


def test_pictures_that_are_gone_are_made_again_while_the_video_is_there(video, cache, tmp_path):
    mine = shutil.copy(video, tmp_path / "mine.mp4")
    run = api.track(mine, output_folder=tmp_path / "out", matting_method="none", **OPTIONS)
    shutil.rmtree(cache / "videos")
    target = api.export(run, tmp_path / "set")
    assert len(list((target / "images").iterdir())) == 5
    shutil.rmtree(cache / "videos")
    Path(mine).unlink()
    with pytest.raises(InputError, match=r"expected a video at .*mine\.mp4"):
        api.export(run, tmp_path / "another")


def test_a_known_person_is_followed_from_the_file_and_its_pictures_are_prepared_meanwhile(video, cache, tmp_path):
    known = api.track(video, output_folder=tmp_path / "known", matting_method="none", **OPTIONS)
    options = LiveConfig(video=video, person=known, prepare=True, pictures=False, output_folder=tmp_path / "live")
    run = live_start.run(options)
    data = load_config(run / "config.yml", TrackConfig).data
    folder = data.root_folder / data.sequence
    assert folder.parent == cache / "videos"
    for made in ("images", "alpha_maps"):
        assert len(list((folder / made).iterdir())) == 25
    result = load_result(result_path(run))
    offline = load_result(result_path(known))
    assert len(result.expr) == 25
    assert np.ravel(result.shape) == pytest.approx(np.ravel(offline.shape))
    # Every fifth frame was tracked.
    assert np.abs(result.rotation[::5] - offline.rotation).mean() < 0.05
    target = api.export(run, tmp_path / "set")
    assert len(list((target / "images").iterdir())) == 25


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, "expected --data.video"), ({"video": "v.mp4", "sequence": "s", "root_folder": "r"}, "found both")],
)
def test_one_recording_is_named(options, words, tmp_path):
    from vhap.config.data import DataConfig
    from vhap.config.track import ExperimentConfig, MonocularTrackConfig

    paths = {name: Path(value) if name != "sequence" else value for name, value in options.items()}
    config = MonocularTrackConfig(data=DataConfig(**paths), exp=ExperimentConfig(output_folder=tmp_path))
    with pytest.raises(InputError, match=words):
        api.track(config)


def test_folders_are_told_apart_by_content_and_options(tmp_path, cache):
    one, two = tmp_path / "a.mp4", tmp_path / "b.mp4"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    names = {folder_of(path, options).name for path in (one, two) for options in ("25 auto", "5 auto")}
    assert len(names) == 4
    assert content_digest(one) != content_digest(two)
    two.write_bytes(b"one")
    assert folder_of(one, "25 auto").name.split("-")[1] == folder_of(two, "25 auto").name.split("-")[1]


def test_the_folders_unused_for_longest_go_where_all_are_too_large(cache, monkeypatch):
    root, now = cache / "videos", time.time()
    for name, days in (("old-1", 9), ("older-1", 12), ("new-1", 0)):
        (root / name).mkdir(parents=True)
        (root / name / "picture").write_bytes(bytes(1000))
        os.utime(root / name, (now - days * 86400,) * 2)
    (root / "mine-1").mkdir()
    monkeypatch.setenv(SIZE_VARIABLE, "2.5e-6")
    mark_used(root / "mine-1")
    assert {path.name for path in root.iterdir()} == {"old-1", "new-1", "mine-1"}
    monkeypatch.setenv(SIZE_VARIABLE, "0")
    mark_used(root / "mine-1")
    assert {path.name for path in root.iterdir()} == {"new-1", "mine-1"}
    monkeypatch.setenv(SIZE_VARIABLE, "much")
    with pytest.raises(InputError, match="number of gigabytes"):
        mark_used(root / "mine-1")
    assert video_folders.USUAL_GB > 1
