"""Whatever a user does wrong is answered by one line that names the place, and leaves nothing half written."""

import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from vhap import (
    combine_nerf_datasets,
    demo,
    evaluate_tracking,
    export_as_nerf_dataset,
    make_synthetic_capture,
    preprocess_video,
    track,
)
from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.landmark_files import load_landmarks
from vhap.data.pictures import read_rgb, write_picture
from vhap.data.results import load_result, save_result
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.files import read_npz, write_npz
from vhap.util.log import LOGGER_NAME

FRAMES, SIZE = 4, 96
RESULT = "tracked_flame_params_0.npz"
LANDMARKS = Path("landmark2d/face-alignment.npz")


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("filmed") / "clip"
    settings = SyntheticConfig(
        output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment", supersampling=1
    )
    return make_capture(settings)


@pytest.fixture
def clip(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "root" / "clip"))


@pytest.fixture
def video(original, tmp_path) -> Path:
    return Path(shutil.copy(original.with_name("clip.mp4"), tmp_path / "clip.mp4"))


@pytest.fixture
def run_folder(clip, tmp_path) -> Path:
    """A finished run whose result is the truth."""
    data = DataConfig(clip.parent, clip.name, landmark_source="face-alignment")
    folder = tmp_path / "tracked"
    save_config(folder / "config.yml", TrackConfig(data, ExperimentConfig(folder), ModelConfig(head="builtin")))
    save_result(folder / RESULT, load_result(clip / "ground_truth" / RESULT))
    return folder


@pytest.fixture
def no_assets(monkeypatch, tmp_path):
    for variable in ("VHAP_FLAME_MODEL", "VHAP_GNM_HEAD", "VHAP_ICT_FACEKIT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("GNM_CACHE_DIR", str(tmp_path / "no cache"))
    monkeypatch.setattr("vhap.head.load.asset_folders", lambda: [tmp_path / "no assets"])


@pytest.fixture
def complaint(capsys, monkeypatch) -> Callable[..., str]:
    """Runs a command that must fail and gives its error line."""
    # The logger keeps the stream it first saw, which may be that of an earlier test.
    monkeypatch.setattr(logging.getLogger(LOGGER_NAME), "handlers", [])

    def fail(command, *arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            command.main([str(argument) for argument in arguments])
        lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
        assert stop.value.code == 2, lines
        assert lines[-1].startswith("error: ")
        assert sum(line.startswith("error:") for line in lines) == 1
        assert not any("Traceback" in line for line in lines)
        return lines[-1]

    return fail


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def folders_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()}


def tracking(clip: Path, *more: object) -> tuple[object, ...]:
    places = ("--data.root-folder", clip.parent, "--data.sequence", clip.name)
    output = ("--exp.output-folder", clip.parent.parent / "out")
    return (*places, *output, "--data.landmark-source", "face-alignment", "--model.head", "builtin", *more)


def noise_video(path: Path, *options: str) -> Path:
    source = "nullsrc=size=96x64:rate=25:duration=0.2,geq=random(1)*255:128:128"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p"]
    subprocess.run([*command, *options, str(path)], check=True)
    return path


def test_file_that_is_not_there(complaint, tmp_path):
    for name in ("gone.mp4", "gone"):
        assert name in complaint(preprocess_video, "--input", tmp_path / name)
    assert "gone" in complaint(track, *tracking(tmp_path / "gone" / "clip"))
    (tmp_path / "root").mkdir()
    assert "gone" in complaint(track, *tracking(tmp_path / "root" / "gone"))
    assert "gone" in complaint(evaluate_tracking, "--run", tmp_path / "gone")
    assert "gone" in complaint(
        export_as_nerf_dataset, "--src-folder", tmp_path / "gone", "--tgt-folder", tmp_path / "to"
    )
    several = ("--src-folders", tmp_path / "gone_1", tmp_path / "gone_2", "--tgt-folder", tmp_path / "gone_all")
    assert "gone_1" in complaint(combine_nerf_datasets, *several)
    assert "gone.mp4" in complaint(demo, "--video", tmp_path / "gone.mp4", "--output", tmp_path / "demo")
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("content", [b"", b"these are words, not pictures " * 99], ids=["empty", "text"])
def test_file_that_is_no_video(complaint, tmp_path, content):
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    assert "notes.mp4" in complaint(preprocess_video, "--input", path, "--landmark-source", "none")
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.mp4"]


@pytest.mark.parametrize("options", [(), ("-movflags", "+faststart")], ids=["index lost", "frames lost"])
def test_video_cut_short(complaint, tmp_path, options):
    path = noise_video(tmp_path / "cut.mp4", *options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert "cut.mp4" in complaint(
        preprocess_video, "--input", path, "--matting-method", "none", "--landmark-source", "none"
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["cut.mp4"]


def test_video_without_a_face(complaint, tmp_path):
    path = noise_video(tmp_path / "noise.mp4")
    assert "face" in complaint(preprocess_video, "--input", path, "--matting-method", "none")
    assert not list(tmp_path.rglob("landmark2d/*.npz"))
    places = ("--data.root-folder", tmp_path, "--data.sequence", "noise", "--model.head", "builtin")
    assert "noise" in complaint(track, *places, "--exp.output-folder", tmp_path / "out")
    assert not list(tmp_path.rglob("landmark2d/*.npz"))
    assert not (tmp_path / "out").exists()


def test_landmarks_without_a_face(complaint, clip):
    arrays = read_npz(clip / LANDMARKS)
    arrays["face_landmark_2d"][:] = (-1, -1, 0)
    write_npz(clip / LANDMARKS, arrays)
    assert "face" in complaint(track, *tracking(clip))
    assert not (clip.parent.parent / "out").exists()


def test_pictures_of_unequal_size(complaint, clip):
    odd = clip / "images" / "000002.png"
    write_picture(odd, read_rgb(odd)[:-7])
    before = files_below(clip)
    for line in (
        complaint(track, *tracking(clip)),
        complaint(preprocess_video, "--input", clip, "--matting-method", "none"),
    ):
        assert "000002" in line
        assert "96x96" in line
        assert "96x89" in line
    assert files_below(clip) == before
    assert not (clip.parent.parent / "out").exists()


def test_picture_that_cannot_be_read(complaint, clip):
    broken = clip / "images" / "000001.png"
    broken.write_bytes(broken.read_bytes()[:300])
    assert "000001" in complaint(track, *tracking(clip))
    assert not (clip.parent.parent / "out").exists()


def test_folder_without_pictures(complaint, clip):
    shutil.rmtree(clip / "images")
    assert str(clip / "images") in complaint(track, *tracking(clip))
    assert str(clip / "images") in complaint(preprocess_video, "--input", clip)
    assert "images_4" in complaint(track, *tracking(clip, "--data.n-downsample-rgb", 4))


def spoil(arrays: dict[str, np.ndarray], how: str) -> dict[str, np.ndarray]:
    points = arrays["face_landmark_2d"]
    if how == "too few rows":
        return {"face_landmark_2d": points[:-1], "bounding_box": arrays["bounding_box"][:-1]}
    if how == "wrong points":
        return {**arrays, "face_landmark_2d": points[:, :50]}
    if how == "no points":
        return {"something": points}
    points = points.copy()
    points[2, 5, 0] = np.nan if how == "NaN" else np.inf
    return {**arrays, "face_landmark_2d": points}


@pytest.mark.parametrize("how", ["too few rows", "wrong points", "no points", "NaN", "infinity", "no npz"])
def test_damaged_landmark_file(complaint, clip, how):
    path = clip / LANDMARKS
    if how == "no npz":
        path.write_bytes(b"nothing of the kind")
    else:
        write_npz(path, spoil(read_npz(path), how))
    before = path.read_bytes()
    assert "face-alignment.npz" in complaint(track, *tracking(clip))
    assert path.read_bytes() == before
    assert not (clip.parent.parent / "out").exists()


def test_some_alpha_maps_missing(complaint, clip):
    for index in (1, 3):
        (clip / "alpha_maps" / f"{index:06d}.png").unlink()
    line = complaint(track, *tracking(clip))
    assert "alpha_maps" in line
    assert "000001" in line
    assert "000003" in line
    assert "000002" not in line
    shutil.rmtree(clip / "alpha_maps")
    assert "alpha_maps" in complaint(track, *tracking(clip, "--data.use-alpha-map"))
    assert not (clip.parent.parent / "out").exists()


@pytest.mark.parametrize("below", ["", "inside"])
def test_output_in_the_place_of_a_file(complaint, tmp_path, clip, video, run_folder, below):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    target = taken / below if below else taken
    before = files_below(tmp_path)
    commands = [
        (track, tracking(clip, "--exp.output-folder", target)),
        (preprocess_video, ("--input", video, "--output-folder", target, "--landmark-source", "none")),
        (export_as_nerf_dataset, ("--src-folder", run_folder, "--tgt-folder", target)),
        (make_synthetic_capture, ("--output", target, "--frames", 2, "--size", 64)),
        (demo, ("--output", target)),
        (demo, ("--output", target, "--video", video)),
    ]
    for command, arguments in commands:
        assert "taken" in complaint(command, *arguments), command.__name__
        assert files_below(tmp_path) == before, command.__name__


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_the_right_to_write(complaint, clip, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert "locked" in complaint(track, *tracking(clip, "--exp.output-folder", locked / "out"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--render.backend", "opengl"),
        ("--model.head", "basel"),
        ("--model.n-shape", "many"),
        ("--exp.resum", "auto"),
        ("--data.scale-factor", "1.5"),
        ("--data.scale-factor", "0"),
        ("--data.fx", "-800"),
        ("--data.cx", "48"),
        ("--data.subset", "every 5th"),
        ("--data.subset", "ti3tj99"),
        ("--batch-size", "0"),
        ("--log.interval-media", "-1"),
        ("--w.photo", "nan"),
        ("--data.fx", "inf"),
        ("--batch-size", "9" * 300),
        ("--data.sequence", "a\x01b"),
        ("--exp.output-folder", "out\udcff"),
        ("--log.max-num-views", "0"),
        ("--model.tex-resolution", "0"),
        ("--pipeline.lmk-init-all.num-steps", "-3"),
        ("--model.n-expr", "-1"),
    ],
)
def test_option_out_of_range(complaint, clip, option, value):
    # A dry run checks the options like any other and is short where they are accepted.
    line = complaint(track, *tracking(clip, option, value, "--dry-run"))
    named = option.rsplit(".", 1)[-1].strip("-").replace("-", "_")
    assert named in line.replace("-", "_") or value in line, line
    assert not (clip.parent.parent / "out").exists()


def test_required_options_missing(complaint):
    assert "sequence" in complaint(track, "--data.root-folder", "root", "--exp.output-folder", "out")
    assert "input" in complaint(preprocess_video)


def test_head_whose_file_is_missing(complaint, clip, tmp_path, no_assets):
    out = clip.parent.parent / "out"
    assert "flame" in complaint(track, *tracking(clip, "--model.head", "flame")).lower()
    assert "FaceXModel" in complaint(track, *tracking(clip, "--model.head", "ict"))
    assert "gnm_head.npz" in complaint(track, *tracking(clip, "--model.head", "gnm"))
    named = ("--model.head", "gnm", "--model.gnm-path", tmp_path / "gone.npz")
    assert "gone.npz" in complaint(track, *tracking(clip, *named))
    named = ("--model.head", "flame", "--model.flame-model-path", tmp_path / "gone.pkl")
    assert "gone.pkl" in complaint(track, *tracking(clip, *named))
    named = ("--model.head", "ict", "--model.ict-facekit-path", tmp_path / "gone")
    assert "gone" in complaint(track, *tracking(clip, *named))
    broken = tmp_path / "broken.pkl"
    broken.write_bytes(b"not a pickle")
    named = ("--model.head", "flame", "--model.flame-model-path", broken)
    assert "broken.pkl" in complaint(track, *tracking(clip, *named))
    assert "flame" in complaint(make_synthetic_capture, "--output", tmp_path / "new", "--head", "flame").lower()
    assert not out.exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_on_a_machine_without(complaint, clip):
    assert "cuda" in complaint(track, *tracking(clip, "--device", "cuda"))
    assert not (clip.parent.parent / "out").exists()


def test_folder_without_a_result(complaint, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert str(empty) in complaint(evaluate_tracking, "--run", empty)
    assert str(empty) in complaint(export_as_nerf_dataset, "--src-folder", empty, "--tgt-folder", tmp_path / "to")
    alone = ("--src-folders", empty, "--tgt-folder", tmp_path / "empty_all")
    assert "found 1" in complaint(combine_nerf_datasets, *alone)
    assert str(empty) in complaint(combine_nerf_datasets, *alone, "--division-mode", "none")
    assert folders_below(tmp_path) == {"empty"}


def test_run_that_lost_its_parts(complaint, run_folder, tmp_path):
    export = ("--src-folder", run_folder, "--tgt-folder", tmp_path / "to")
    assert "epoch" in complaint(export_as_nerf_dataset, *export, "--epoch", 77)
    assert "subset" in complaint(export_as_nerf_dataset, *export, "--subset", "the first")
    assert "ti9" in complaint(export_as_nerf_dataset, *export, "--subset", "ti9")
    assert "scale" in complaint(export_as_nerf_dataset, *export, "--scale-factor", 0)
    result, settings = run_folder / RESULT, run_folder / "config.yml"
    whole = result.read_bytes(), settings.read_text()
    result.write_bytes(whole[0][:500])
    assert RESULT in complaint(export_as_nerf_dataset, *export)
    assert RESULT in complaint(evaluate_tracking, "--run", run_folder)
    result.write_bytes(whole[0])
    settings.write_text("!!python/object/apply:os.system ['true']")
    assert "config.yml" in complaint(export_as_nerf_dataset, *export)
    settings.unlink()
    assert "config.yml" in complaint(evaluate_tracking, "--run", run_folder)
    settings.write_text(whole[1].replace("head: builtin", "head: lost"))
    assert "head" in complaint(export_as_nerf_dataset, *export)
    settings.write_text(whole[1])
    shutil.rmtree(tmp_path / "root" / "clip" / "images")
    assert "images" in complaint(export_as_nerf_dataset, *export)
    assert not (tmp_path / "to").exists()


def test_dry_run_of_a_good_command_writes_nothing(clip, capsys):
    before = files_below(clip.parent.parent)
    track.main([str(argument) for argument in tracking(clip, "--dry-run")])
    said = capsys.readouterr().out
    assert f"{FRAMES} frames of {SIZE} x {SIZE}" in said
    assert "rgb_sequential_tracking" in said
    assert "minutes" in said
    assert files_below(clip.parent.parent) == before
    assert load_landmarks(clip / LANDMARKS).detected.all()
