"""Submission archives: what the writers refuse, what the validators find, and what a kill leaves."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
from trimesh import Trimesh

from vhap.config.benchmark import ValidateConfig
from vhap.nersemble.benchmark.constants import BENCHMARK_SVFR_IMAGE_KEYS
from vhap.nersemble.benchmark.mesh_submission import (
    SVFRSubmissionDataReader,
    SVFRSubmissionDataWriter,
    get_landmarks_path,
)
from vhap.nersemble.benchmark.metadata import (
    MonoFLAMEAvatarMetadata,
    MonoFLAMEAvatarParticipantMetadata,
    MonoFLAMEAvatarSequenceMetadata,
    NVSMetadata,
    NVSSequenceMetadata,
)
from vhap.nersemble.benchmark.video_submission import (
    MonoFlameAvatarSubmissionDataReader,
    MonoFlameAvatarSubmissionDataWriter,
    NVSSubmissionDataReader,
    NVSSubmissionDataWriter,
    get_video_path,
    mono_flame_avatar_keys,
    nvs_keys,
)
from vhap.pipeline.benchmark_validate import describe, find_benchmark, run
from vhap.util.errors import InputError
from vhap.util.files import write_json

NVS = NVSMetadata({p: NVSSequenceMetadata(name, [0, 3]) for p, name, _ in nvs_keys()})
MONO = MonoFLAMEAvatarMetadata(
    {
        p: MonoFLAMEAvatarParticipantMetadata(
            {name: MonoFLAMEAvatarSequenceMetadata(2) for q, name, _ in mono_flame_avatar_keys() if q == p}
        )
        for p, _, _ in mono_flame_avatar_keys()
    }
)
FIRST = nvs_keys()[0]
COLOUR, NOISE = (200, 40, 90), 64


def frames(height: int, width: int, count: int = 2) -> list[np.ndarray]:
    """One colour, and noise above it: videos of a few hundred bytes are not recognised by the official reader."""
    picture = np.full((height, width, 3), COLOUR, np.uint8)
    picture[:NOISE] = np.random.default_rng(0).integers(0, 256, (NOISE, width, 3))
    return [picture] * count


def nvs_frames(count: int = 2) -> list[np.ndarray]:
    return frames(1604, 1100, count)


@pytest.fixture(scope="module")
def whole_nvs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid archive: one video encoded, its bytes under all names."""
    folder = tmp_path_factory.mktemp("nvs")
    with NVSSubmissionDataWriter(folder / "one.zip", metadata=NVS) as writer:
        writer.add_video(*FIRST, nvs_frames())
    with zipfile.ZipFile(folder / "one.zip") as archive:
        content = archive.read(get_video_path(*FIRST))
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for key in nvs_keys():
            archive.writestr(get_video_path(*key), content)
    return folder / "all.zip"


def changed(source: Path, target: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy of an archive with some files replaced, left out (None), or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        content: dict[str, bytes | None] = {name: old.read(name) for name in old.namelist()}
        for name, data in (content | changes).items():
            if data is not None:
                new.writestr(name, data)
    return target


def video_bytes(folder: Path, writer_kind: type, key: tuple[int, str, str], pictures: list[np.ndarray]) -> bytes:
    with writer_kind(folder / "part.zip") as writer:
        writer.add_video(*key, pictures)
    with zipfile.ZipFile(folder / "part.zip") as archive:
        return archive.read(get_video_path(*key))


def test_a_whole_submission_is_valid_and_found_by_its_files(whole_nvs: Path, tmp_path: Path) -> None:
    write_json(
        tmp_path / "nvs" / "metadata.json",
        {"sequences": {str(p): {"sequence_name": name, "timesteps": [0, 3]} for p, name, _ in nvs_keys()}},
    )
    assert find_benchmark(whole_nvs) == "nvs"
    assert run(ValidateConfig(whole_nvs, tmp_path)) == {}
    assert describe({}) == "The submission is valid."
    with pytest.raises(InputError, match="--folder"):
        run(ValidateConfig(whole_nvs))


def test_missing_short_and_small_videos_are_found(whole_nvs: Path, tmp_path: Path) -> None:
    missing, short, small, damaged = [get_video_path(*key) for key in nvs_keys()[:4]]
    changes = {
        missing: None,
        short: video_bytes(tmp_path, NVSSubmissionDataWriter, FIRST, nvs_frames(1)),
        small: video_bytes(
            tmp_path, MonoFlameAvatarSubmissionDataWriter, mono_flame_avatar_keys()[0], frames(512, 512)
        ),
        damaged: b"no video",
    }
    with NVSSubmissionDataReader(changed(whole_nvs, tmp_path / "bad.zip", changes), metadata=NVS) as reader:
        issues = reader.validate_submission()
    assert issues["missing_files"] == [missing]
    assert issues["wrong_frame_counts"] == [(short, 1, 2)]
    assert issues["wrong_resolutions"] == [(small, (512, 512), (1100, 1604))]
    assert [name for name, _ in issues["unreadable_files"]] == [damaged]
    assert f"missing_files (1):\n  {missing}" in describe(issues)


def test_videos_come_back_in_their_colours(whole_nvs: Path) -> None:
    with NVSSubmissionDataReader(whole_nvs) as reader:
        pictures = reader.load_video(*FIRST)
        half = reader.load_video(*FIRST, timestep=1, scale=0.5)
        assert reader.is_complete(388, "GLASSES")
        assert not reader.is_complete(388, "FREE")
        assert reader.get_file_overview()[388] == {"GLASSES": ["222200046", "222200037", "222200039"]}
    assert len(pictures) == 2
    assert pictures[0].shape == (1604, 1100, 3)
    assert [picture.shape for picture in half] == [(802, 550, 3)]
    assert np.abs(pictures[1][NOISE + 16 :].astype(int) - COLOUR).max() <= 4


@pytest.mark.parametrize(
    ("key", "pictures"),
    [
        ((388, "FREE", "222200037"), nvs_frames()),
        ((388, "GLASSES", "222200042"), nvs_frames()),
        (FIRST, nvs_frames(1)),
        (FIRST, nvs_frames(3)),
        (FIRST, []),
        (FIRST, [nvs_frames()[0], nvs_frames()[0][:, :, :1]]),
        (FIRST, [nvs_frames()[0], nvs_frames()[0][1:]]),
        (FIRST, [picture / 255 for picture in nvs_frames()]),
    ],
)
def test_writer_refuses_what_the_benchmark_does_not_ask_for(tmp_path: Path, key: tuple, pictures: list) -> None:
    with (
        pytest.raises(InputError, match="expected"),
        NVSSubmissionDataWriter(tmp_path / "out.zip", metadata=NVS) as writer,
    ):
        writer.add_video(*key, pictures)
    assert not (tmp_path / "out.zip").exists()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_mono_writer_and_reader(tmp_path: Path) -> None:
    key = mono_flame_avatar_keys()[0]
    with MonoFlameAvatarSubmissionDataWriter(tmp_path / "out.zip", metadata=MONO) as writer:
        writer.add_video(*key, iter(frames(512, 512)))
        assert writer.has_video(*key)
    with MonoFlameAvatarSubmissionDataReader(tmp_path / "out.zip", metadata=MONO) as reader:
        issues = reader.validate_submission()
        assert not reader.is_complete()
    assert list(issues) == ["missing_files"]
    assert len(issues["missing_files"]) == 5 * 4 * 4 - 1
    assert not (tmp_path / "out.zip.unfinished").exists()


def test_a_writer_that_is_dropped_finishes_its_archive(tmp_path: Path) -> None:
    writer = MonoFlameAvatarSubmissionDataWriter(tmp_path / "out.zip")
    writer.add_video(*mono_flame_avatar_keys()[0], frames(512, 512))
    assert not (tmp_path / "out.zip").exists()
    del writer
    assert zipfile.ZipFile(tmp_path / "out.zip").namelist() == [get_video_path(*mono_flame_avatar_keys()[0])]


KILLED = """
    import os, signal, sys
    import numpy as np
    from vhap.nersemble.benchmark.video_submission import *
    keys = mono_flame_avatar_keys()
    frame = np.zeros((512, 512, 3), np.uint8)
    def dying():
        yield frame
        os.kill(os.getpid(), signal.SIGKILL)
    writer = MonoFlameAvatarSubmissionDataWriter(sys.argv[1])
    writer.add_video(*keys[0], [frame, frame])
    writer.add_video(*keys[1], dying())
"""


def test_a_killed_run_leaves_no_archive_and_the_next_goes_on(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    script = [sys.executable, "-c", textwrap.dedent(KILLED), str(target)]
    assert subprocess.run(script, env=os.environ, check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    first, second = mono_flame_avatar_keys()[:2]
    with MonoFlameAvatarSubmissionDataWriter(target, metadata=MONO) as writer:
        assert writer.has_video(*first)
        assert not writer.has_video(*second)
        writer.add_video(*second, frames(512, 512))
    assert zipfile.ZipFile(target).namelist() == [get_video_path(*first), get_video_path(*second)]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["/388/x.mp4", "../x.mp4", "388/../../x.mp4", "C:/x.mp4", "a\nb", ""])
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(InputError, match="distinct paths below"):
        find_benchmark(tmp_path / "bad.zip")


def test_damaged_zips_are_one_line(whole_nvs: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(whole_nvs.read_bytes()[:-200])
    with pytest.raises(InputError, match="found damage") as caught:
        find_benchmark(tmp_path / "cut.zip")
    assert "\n" not in str(caught.value)


def mesh(count: int, seed: int = 0) -> Trimesh:
    vertices = np.random.default_rng(seed).normal(size=(count, 3))
    return Trimesh(vertices, np.arange(count - 2)[:, None] + np.arange(3), process=False)


def ply(vertices: np.ndarray) -> bytes:
    content = Trimesh(vertices, [[0, 1, 2], [1, 2, 3]], process=False).export(file_type="ply")
    assert isinstance(content, bytes)
    return content


@pytest.fixture(scope="module")
def whole_svfr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("svfr") / "all.zip"
    with SVFRSubmissionDataWriter(target) as writer:
        for participant, keys in BENCHMARK_SVFR_IMAGE_KEYS.items():
            for key in keys:
                writer.add_posed_mesh(participant, *key, mesh(20), np.zeros((7, 3)))
    return target


def test_faults_of_meshes_are_found(whole_svfr: Path, tmp_path: Path) -> None:
    assert run(ValidateConfig(whole_svfr)) == {}
    folders = [f"{17:03d}/{s}_{t:03d}_{c}" for s, t, c in BENCHMARK_SVFR_IMAGE_KEYS[17][:5]]
    shape = io.BytesIO()
    np.save(shape, np.zeros((6, 3)))
    changes = {
        f"{folders[0]}/mesh_posed.ply": None,
        f"{folders[1]}/landmarks_posed.npy": None,
        f"{folders[2]}/landmarks_posed.npy": shape.getvalue(),
        f"{folders[3]}/mesh_posed.ply": ply(np.full((20, 3), np.nan)),
        f"{folders[4]}/mesh_posed.ply": b"ply\n",
        "readme.txt": b"",
    }
    issues = run(ValidateConfig(changed(whole_svfr, tmp_path / "bad.zip", changes)))
    assert issues["missing_posed_meshes"] == [f"{folders[0]}/mesh_posed.ply"]
    assert issues["missing_posed_landmarks"] == [f"{folders[1]}/landmarks_posed.npy"]
    assert issues["wrong_posed_landmarks"] == [(f"{folders[2]}/landmarks_posed.npy", (6, 3))]
    assert [name for name, _ in issues["invalid_posed_meshes"]] == [f"{f}/mesh_posed.ply" for f in folders[3:5]]
    assert issues["unexpected_files"] == ["readme.txt"]


def test_mesh_writer_pads_and_refuses(tmp_path: Path) -> None:
    key = (17, "EXP-4-lips", 6, "221501007")
    with SVFRSubmissionDataWriter(tmp_path / "out.zip") as writer:
        writer.add_neutral_mesh(*key, mesh(5023))
        broken = mesh(20)
        broken.vertices[3] = np.nan
        for bad, landmarks in ((mesh(20), None), (mesh(20), np.zeros((6, 3))), (broken, np.zeros((7, 3)))):
            with pytest.raises(InputError):
                writer.add_posed_mesh(*key, bad, landmarks)
        with pytest.raises(InputError, match="picture of the benchmark"):
            writer.add_posed_mesh(17, "EXP-4-lips", 7, "221501007", mesh(5023))
    assert zipfile.ZipFile(tmp_path / "out.zip").namelist() == ["017/EXP-4-lips_006_221501007/mesh_neutral.ply"]
    with SVFRSubmissionDataReader(tmp_path / "out.zip") as reader:
        assert reader.has_neutral_reconstructions()
        assert not reader.has_posed_reconstructions()
        np.testing.assert_allclose(reader.load_neutral_mesh(*key).vertices, mesh(5023).vertices, atol=1e-6)


def test_the_official_reader_agrees(whole_svfr: Path, whole_nvs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = pytest.importorskip("nersemble_benchmark.data.submission_data")
    assert kit.SVFRSubmissionDataReader(str(whole_svfr)).validate_submission() == {}
    monkeypatch.setattr(kit.NVSMetadata, "load", staticmethod(lambda: NVS))
    assert kit.NVSSubmissionDataReader(str(whole_nvs)).validate_submission() == {}


def test_the_official_validators_find_the_same(whole_svfr: Path, whole_nvs: Path, tmp_path: Path, monkeypatch) -> None:
    kit = pytest.importorskip("nersemble_benchmark.data.submission_data")
    monkeypatch.setattr(kit.NVSMetadata, "load", staticmethod(lambda: NVS))
    missing, short, small = [get_video_path(*key) for key in nvs_keys()[:3]]
    tiny = video_bytes(tmp_path, MonoFlameAvatarSubmissionDataWriter, mono_flame_avatar_keys()[0], frames(512, 512))
    one = video_bytes(tmp_path, NVSSubmissionDataWriter, FIRST, nvs_frames(1))
    videos = changed(whole_nvs, tmp_path / "videos.zip", {missing: None, short: one, small: tiny})
    with NVSSubmissionDataReader(videos, metadata=NVS) as reader:
        issues = reader.validate_submission()
    assert kit.NVSSubmissionDataReader(str(videos)).validate_submission() == issues
    assert set(issues) == {"missing_files", "wrong_frame_counts", "wrong_resolutions"}
    key = (17, *BENCHMARK_SVFR_IMAGE_KEYS[17][0])
    changes = {get_landmarks_path(*key, "posed"): None, "more.txt": b"1"}
    meshes = changed(whole_svfr, tmp_path / "meshes.zip", changes)
    with SVFRSubmissionDataReader(meshes) as reader:
        issues = reader.validate_submission()
    assert kit.SVFRSubmissionDataReader(str(meshes)).validate_submission() == issues
    assert set(issues) == {"missing_posed_landmarks", "unexpected_files"}
    broken = mesh(5023)
    broken.vertices[7] = np.nan
    for writer in (
        kit.SVFRSubmissionDataWriter(str(tmp_path / "kit.zip")),
        SVFRSubmissionDataWriter(tmp_path / "our.zip"),
    ):
        with pytest.raises((AssertionError, InputError), match=r"(?i)nan|finite"):
            writer.add_neutral_mesh(*key, broken)
