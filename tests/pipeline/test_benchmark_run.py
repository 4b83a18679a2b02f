"""From the benchmark's folder to a submission: cameras that are right, work that is not done twice, nothing lost."""

import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rig_run
import torch

from vhap.config.benchmark import BenchmarkRunConfig, BenchmarkTrackConfig, ValidateConfig
from vhap.config.loading import save_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ModelConfig
from vhap.data.pictures import read_alpha, read_rgb
from vhap.data.plausible import FaceError
from vhap.data.results import load_result, save_result
from vhap.evaluate.image_quality import psnr_db
from vhap.evaluate.run_scene import result_head_params
from vhap.head.builtin import load_builtin
from vhap.head.flame import load_flame
from vhap.head.model import pose, zero_params
from vhap.nersemble.benchmark import NVSSubmissionDataReader, SVFRSubmissionDataReader
from vhap.nersemble.benchmark.constants import BENCHMARK_NVS_HOLD_OUT_SERIALS, BENCHMARK_SVFR_IMAGE_KEYS
from vhap.pipeline import benchmark_meshes, benchmark_run, benchmark_track, benchmark_validate
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.open_run import open_run
from vhap.pipeline.track import spelt_out
from vhap.util.errors import InputError
from vhap.util.files import write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))
import flame_files

FRAMES, SIZE = 2, (160, 110)
BUILTIN = ModelConfig(head="builtin")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The benchmark's folder with one participant."""
    root = tmp_path_factory.mktemp("benchmark")
    make_capture(
        SyntheticConfig(
            root, layout="benchmark_nvs", subject=388, sequence="GLASSES", frames=FRAMES, height=SIZE[0], width=SIZE[1],
            landmark_source="face-alignment",
        )
    )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory) -> Iterator[BenchmarkRunConfig]:
    """For tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark_run, "track_sequence", true_run)
        config = options(made, tmp_path_factory.mktemp("finished"))
        assert benchmark_run.run(config) == {}
        yield config


@pytest.fixture
def config(made, tmp_path, monkeypatch) -> BenchmarkRunConfig:
    """A run whose tracking finds the truth at once."""
    monkeypatch.setattr(benchmark_run, "track_sequence", true_run)
    return options(made, tmp_path)


@pytest.fixture
def done(config, finished) -> BenchmarkRunConfig:
    """`config` after a run: a copy of the finished one's files."""
    shutil.copyfile(finished.zip, config.zip)
    shutil.copytree(f"{finished.zip}.runs", f"{config.zip}.runs")
    return config


def options(made: Path, folder: Path) -> BenchmarkRunConfig:
    return BenchmarkRunConfig(
        folder=made,
        benchmark="nvs",
        zip=folder / "OUT.zip",
        participant=("388",),
        model=BUILTIN,
        landmark_source="face-alignment",
    )


def true_run(sequence, config, output: Path) -> Path:
    truth = sequence.source / "ground_truth"
    capture = benchmark_track.prepared(sequence, replace(config, landmark_source="none"), output)
    for name in ("ground_truth", "landmark2d"):
        if not (capture.source / name).exists():
            (capture.source / name).symlink_to(truth if name == "ground_truth" else truth / name)
    options = spelt_out(benchmark_track.tracking_options(capture, config, output))
    if not options.exp.output_folder.is_dir():
        rig_run.write_true_run(options)
    return options.exp.output_folder / "2026-01-02_03-04-05"


def videos(config: BenchmarkRunConfig) -> dict[str, list[np.ndarray]]:
    with NVSSubmissionDataReader(config.zip, config.folder) as reader:
        return {serial: reader.load_video(388, "GLASSES", serial) for serial in BENCHMARK_NVS_HOLD_OUT_SERIALS}


def test_hold_out_videos_show_what_the_hidden_cameras_saw(finished, made):
    truth = made / "nvs/388/sequences/GLASSES/ground_truth"
    found = videos(finished)
    assert list(found) == list(BENCHMARK_NVS_HOLD_OUT_SERIALS)
    for serial, frames in found.items():
        assert len(frames) == FRAMES
        for t, frame in enumerate(frames):
            assert frame.shape == (1604, 1100, 3)
            small = cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA) / 255
            name = f"cam_{serial}_{t:06d}.png"
            alpha = read_alpha(truth / "alpha_maps" / name)
            wanted = read_rgb(truth / "images" / name) / 255
            assert psnr_db(small, wanted, cv2.erode(alpha, np.ones((3, 3))) > 250) > 30
            assert small[alpha == 0].mean() > 0.99


def test_the_benchmarks_folder_stays_as_it_was(finished):
    images = finished.folder / "nvs/388/sequences/GLASSES/images"
    assert {path.suffix for path in images.iterdir()} == {".mp4"}
    assert not list((images.parent / "alpha_maps").glob("*.png"))


def test_archive_is_a_plain_zip_of_the_official_paths(finished):
    with NVSSubmissionDataReader(finished.zip, finished.folder) as reader:
        wanted = reader.list_expected_files()[:3]
    with zipfile.ZipFile(finished.zip) as archive:
        assert set(archive.namelist()) == set(wanted)
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())


def test_nothing_is_rendered_twice_unless_the_tracking_changed(done, monkeypatch):
    render, rendered = benchmark_run.hold_out_frames, []

    def counted(scene, camera, description):
        rendered.append(description)
        return render(scene, camera, description)

    monkeypatch.setattr(benchmark_run, "hold_out_frames", counted)
    assert benchmark_run.run(done) == {}
    assert not rendered
    folder = next(done.zip.parent.glob("OUT.zip.runs/nvs/388_GLASSES/2026*"))
    path = folder / "tracked_flame_params_0.npz"
    result = load_result(path)
    save_result(path, replace(result, translation=result.translation + 0.01))
    assert benchmark_run.run(done) == {}
    assert len(rendered) == 3


def test_a_stopped_run_goes_on(config, monkeypatch):
    render, rendered = benchmark_run.hold_out_frames, []

    def stopped(scene, camera, description):
        rendered.append(description)
        if len(rendered) == 2:
            raise KeyboardInterrupt
        return render(scene, camera, description)

    monkeypatch.setattr(benchmark_run, "hold_out_frames", stopped)
    with pytest.raises(KeyboardInterrupt):
        benchmark_run.run(config)
    assert not config.zip.exists()
    assert benchmark_run.run(config) == {}
    assert len(rendered) == 4
    assert rendered[0] not in rendered[1:]


def test_an_earlier_archive_keeps_what_others_submitted(config):
    other = "422/EXP-2-eyes/cam_222200037.mp4"
    with zipfile.ZipFile(config.zip, "w") as archive:
        archive.writestr(other, b"a video of another participant")
    assert benchmark_run.run(config) == {}
    with zipfile.ZipFile(config.zip) as archive:
        assert archive.read(other) == b"a video of another participant"
        assert len(archive.namelist()) == 4


def test_a_part_is_valid_and_the_whole_is_not(finished):
    part = ValidateConfig(finished.zip, finished.folder, participant=("388",))
    assert benchmark_validate.run(part) == {}
    findings = benchmark_validate.run(replace(part, participant=("all",)))
    assert list(findings) == ["missing_files"]
    assert len(findings["missing_files"]) == 12


def test_what_was_not_downloaded_is_one_line(config):
    with pytest.raises(
        InputError, match=r"found nothing \(and so 108 of 135 files\); download .* nvs --participant 422 443"
    ):
        benchmark_run.run(replace(config, participant=("all",)))
    assert not list(config.zip.parent.iterdir())


def test_timesteps_that_are_not_there_are_one_line(config, made, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    write_json(
        copy / "nvs" / "metadata.json", {"sequences": {"388": {"sequence_name": "GLASSES", "timesteps": [0, 1, 2]}}}
    )
    with pytest.raises(InputError, match=r"expected 3 frames in .*cam_.*mp4, as the metadata say, found 2"):
        benchmark_run.run(replace(config, folder=copy, output_folder=tmp_path / "runs"))
    assert not config.zip.exists()


@pytest.fixture
def pictures(tmp_path, monkeypatch) -> BenchmarkRunConfig:
    """One sequence of svfr's, whose tracking finds the truth, in one picture no face."""
    film = make_capture(SyntheticConfig(tmp_path / "film" / "one", frames=1, size=64, landmark_source="face-alignment"))
    picture = next((film / "images").iterdir())
    keys = [key for key in BENCHMARK_SVFR_IMAGE_KEYS[17] if key[0] == "EXP-5-mouth"]
    for name, timestep, serial in keys:
        folder = tmp_path / "B" / "svfr" / "017" / f"{name}_{timestep}_{serial}"
        folder.mkdir(parents=True)
        shutil.copyfile(picture, folder / "rgb.png")

    def tracked(sequence, config, output):
        if sequence.name.endswith(keys[1][2]):
            raise FaceError("expected a face, found none")
        options = spelt_out(benchmark_track.tracking_options(replace(sequence, source=film), config, output))
        folder = options.exp.output_folder / "2026-01-02_03-04-05"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            save_config(folder / "config.yml", options)
            truth = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
            save_result(folder / "tracked_flame_params_0.npz", truth)
        return folder

    monkeypatch.setattr(benchmark_meshes, "track_sequence", tracked)
    return BenchmarkRunConfig(
        folder=tmp_path / "B", benchmark="svfr", zip=tmp_path / "OUT.zip", participant=("17",), model=BUILTIN,
        sequence=("EXP-5-mouth",), landmark_source="face-alignment",
    )  # fmt: skip


def test_meshes_are_the_tracked_head_posed_and_neutral(pictures, caplog):
    # The other sequences of the participant were not asked for.
    assert benchmark_run.run(pictures) == {}
    assert "no face was found in 1 of 3 pictures" in caplog.text
    head = load_builtin()
    film = pictures.folder.parent / "film" / "one"
    truth = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
    params = result_head_params(truth, 0)
    name, timestep, serial = next(key for key in BENCHMARK_SVFR_IMAGE_KEYS[17] if key[0] == "EXP-5-mouth")
    with SVFRSubmissionDataReader(pictures.zip) as reader:
        posed = reader.load_posed_mesh(17, name, timestep, serial)
        neutral = reader.load_neutral_mesh(17, name, timestep, serial)
        landmarks = reader.load_posed_landmarks(17, name, timestep, serial)
    assert np.abs(posed.vertices - pose(head, params).numpy()).max() < 1e-5
    shaped = pose(head, replace(zero_params(head), shape=torch.as_tensor(truth.shape)))
    assert np.abs(neutral.vertices - shaped.numpy()).max() < 1e-5
    assert landmarks.shape == (7, 3)
    # Eye corners from the image's left, which is the subject's right, then the nose above the mouth.
    rest = benchmark_meshes.submitted(head, zero_params(head))[1]
    assert rest is not None
    assert (np.diff(rest[:4, 0]) > 0).all()
    assert rest[:4, 1].min() > rest[4, 1] > rest[5:, 1].max()
    assert rest[5, 0] < 0 < rest[6, 0]


def test_a_picture_without_a_face_is_told_as_such(pictures, monkeypatch):
    """By the real detection, since the mean head stands in for nothing else."""
    monkeypatch.setattr("vhap.detect.landmarks.detector_maker", lambda *_: NoFaces)
    sequence = benchmark_track.chosen_sequences(pictures)[0]
    with pytest.raises(FaceError, match="expected a face in some of 1 pictures"):
        benchmark_track.track_sequence(sequence, pictures, pictures.folder.parent / "runs")


class NoFaces:
    """Stands in for a detector."""

    name = "none"

    def faces(self, picture):
        return []

    def face_near(self, picture, points):
        return None

    def confidence(self, points):
        return np.ones(len(points), np.float32)


def test_archives_of_other_kinds_are_not_replaced(config):
    with zipfile.ZipFile(config.zip, "w") as archive:
        archive.writestr("photo.jpg", b"mine")
    before = config.zip.read_bytes()
    with pytest.raises(InputError, match=r"expected a submission to this benchmark .* found 'photo.jpg' in it"):
        benchmark_run.run(config)
    assert config.zip.read_bytes() == before


def test_videos_of_another_run_are_rendered_again(done, monkeypatch):
    benchmark_run.run(
        replace(done, output_folder=done.zip.parent / "other", model=replace(done.model, residual_tex=False))
    )
    render, rendered = benchmark_run.hold_out_frames, []
    monkeypatch.setattr(benchmark_run, "hold_out_frames", lambda *given: rendered.append(given[2]) or render(*given))
    with zipfile.ZipFile(done.zip) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    changed = sorted(content)[0]
    with zipfile.ZipFile(done.zip, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, content[sorted(content)[1]] if name == changed else data)
    assert benchmark_run.run(done) == {}
    assert rendered == [changed]


def test_test_sequences_have_no_videos(made, tmp_path):
    config = BenchmarkTrackConfig(
        folder=made, benchmark="mono_flame_avatar", output_folder=tmp_path, sequence=("FREE",), model=BUILTIN
    )
    with pytest.raises(InputError, match="found test sequences alone"):
        benchmark_track.run(config)
    with pytest.raises(InputError, match="expected mono_flame_avatar for --tracking given, found nvs"):
        benchmark_track.run(replace(config, benchmark="nvs", tracking="given"))


def test_runs_open_again(finished):
    scene = open_run(next(finished.zip.parent.glob("OUT.zip.runs/nvs/388_GLASSES")), with_landmarks=False)
    assert scene.n_rows == FRAMES
    assert set(scene.capture.camera_ids).isdisjoint(BENCHMARK_NVS_HOLD_OUT_SERIALS)


def test_given_tracking_is_a_run_that_exports(tmp_path, monkeypatch):
    path = flame_files.write_flame(tmp_path / "flame", monkeypatch)
    flame_files.write_landmarks(path.parent, 70, len(load_flame(path, with_teeth=True).faces) // 2)
    made = make_capture(
        SyntheticConfig(
            tmp_path / "B", layout="benchmark_mono", subject=393, frames=FRAMES, size=96, head="flame",
            flame_model_path=path, landmark_source="face-alignment", supersampling=1,
        )
    )  # fmt: skip
    output = tmp_path / "out"
    landmarks = output / "captures/mono_flame_avatar/393/sequences" / made.name / "landmark2d"
    shutil.copytree(made / "ground_truth" / "landmark2d", landmarks)
    preprocess = benchmark_track.preprocess_video.run
    monkeypatch.setattr(
        benchmark_track.preprocess_video, "run", lambda config: preprocess(replace(config, landmark_source="none"))
    )
    config = BenchmarkTrackConfig(
        folder=tmp_path / "B", benchmark="mono_flame_avatar", output_folder=output, participant=("393",),
        sequence=(made.name,), tracking="given", landmark_source="face-alignment",
        model=ModelConfig(head="flame", flame_model_path=path),
    )  # fmt: skip
    (folder,) = benchmark_track.run(config)
    assert benchmark_track.run(config) == [folder]
    scene = open_run(folder, with_landmarks=False)
    vertices, camera = np.load(made / "ground_truth" / "vertices.npy"), scene.camera(0)
    for row in range(FRAMES):
        wanted = camera.project(torch.from_numpy(vertices[row]))[0]
        found = camera.project(scene.vertices(row))[0]
        assert (found - wanted[: len(found)]).abs().max() < 0.02
