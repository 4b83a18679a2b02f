"""The check of the installation: what is there, what is missing, what is broken, and a status that scripts can use."""

import json
import os
import re
from importlib import metadata

import pytest

from vhap import cli
from vhap.detect import weights
from vhap.pipeline import doctor, doctor_checks
from vhap.pipeline.doctor import Finding, as_text, problems, run_group
from vhap.util.errors import InputError
from vhap.util.versions import OPENCV_WHEELS


@pytest.fixture(autouse=True)
def no_files(monkeypatch, tmp_path):
    """No head's or network's files but those that a test names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GNM_CACHE_DIR", str(tmp_path / "gnm"))
    for each in (*networks(), "VHAP_FLAME_MODEL", "VHAP_GNM_HEAD", "VHAP_ICT_FACEKIT", "VHAP_ASSETS"):
        monkeypatch.delenv(each if isinstance(each, str) else each.variable, raising=False)


def networks() -> list[weights.WeightsFile]:
    return [value for value in vars(weights).values() if isinstance(value, weights.WeightsFile)]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_everything_is_looked_at_and_nothing_here_is_broken(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (stop.value.code, said["problems"]) == (0, 0)
    findings = [Finding(**row) for row in said["findings"]]
    assert list(dict.fromkeys(finding.section for finding in findings)) == [
        "Versions", "Devices", "Heads", "Weights", "Files"
    ]  # fmt: skip
    found = by_name(findings)
    assert all(found[name].text == metadata.version(name) for name in ("torch", "numpy", "warp-lang", "scipy"))
    assert found["renderer"].state == found["kernel cache"].state == found["builtin"].state == "ok"
    assert {"ict", "gnm", "flame", "CUDA", "CPU", "ffmpeg", "cache"} <= found.keys()
    for each in networks():
        finding = found[each.network.split(" (")[0]]
        assert finding.state == "missing"
        assert each.variable in finding.text
        assert each.url in finding.text


def test_every_requirement_is_looked_at():
    wanted = {re.split(r"[^\w-]", line)[0] for line in metadata.requires("vhap") or [] if "extra ==" not in line}
    known = {*doctor_checks.REQUIRED, *doctor_checks.OPTIONAL, *OPENCV_WHEELS}
    assert len(wanted) > 10
    assert wanted <= known


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("raise ImportError('libGL.so.1: cannot open shared object file')", "apt-get install libgl1"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import os; os.abort()", "its check was ended by SIGABRT"),
        ("raise SystemExit(3)", "its check ended with status 3"),
    ],
)
def test_a_broken_package_is_a_finding(monkeypatch, tmp_path, module, text):
    (tmp_path / "imageio_ffmpeg.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    findings = run_group("files")
    (problem,) = problems(findings)
    assert problem.name == "ffmpeg"
    assert text in problem.text
    assert ("cache" in by_name(findings)) == ("its check" not in text)
    assert re.search("PROBLEM +ffmpeg", as_text(findings))
    assert as_text(findings).splitlines()[-1].startswith("1 problem: ffmpeg; 0 parts")


def test_a_head_whose_file_is_damaged_is_a_problem_and_the_status_says_so(monkeypatch, tmp_path, capsys):
    (tmp_path / "flame.pkl").write_bytes(b"nothing of the kind")
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(tmp_path / "flame.pkl"))
    monkeypatch.setattr(doctor, "GROUPS", {"heads": doctor_checks.GROUPS["heads"]})
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor"])
    assert stop.value.code == 1
    lines = capsys.readouterr().out
    assert re.search(r"PROBLEM +flame ", lines)
    assert re.search(r"missing +ict ", lines)
    assert re.search(r"ok +builtin ", lines)


def test_weights_are_found_and_their_names_checked(monkeypatch, tmp_path):
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    (folder / weights.FACE_PARSING.files[0]).write_bytes(bytes(3 << 20))
    (folder / weights.ROBUST_VIDEO_MATTING.files[1]).write_bytes(b"another file")
    monkeypatch.setenv(weights.STAR_CHECKPOINT.variable, str(tmp_path / "nowhere.pkl"))
    found = by_name(run_group("weights"))
    parsing = found["face-parsing.PyTorch"]
    assert (parsing.state, parsing.text) == ("ok", f"{folder / weights.FACE_PARSING.files[0]}, 3 MB")
    assert found["RobustVideoMatting"].state == "warning"
    assert "--allow_unknown_weights" in found["RobustVideoMatting"].text
    assert found["STAR"].state == "broken"
    assert "nowhere.pkl" in found["STAR"].text


def test_a_cache_folder_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "file" / "cache"))
    (problem,) = problems(run_group("files"))
    assert problem.name == "cache"
    assert str(tmp_path / "file" / "cache") in problem.text


def test_little_free_disk_is_a_warning(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor_checks, "CACHE_BYTES", 1 << 60)
    state, text = doctor_checks.writable(tmp_path / "not" / "there", "caches")
    assert (state, "GB free" in text) == ("warning", True)
    assert not (tmp_path / "not").exists()


def test_several_opencvs_are_a_warning(monkeypatch):
    monkeypatch.setattr(doctor_checks, "version_of", lambda name: "4.11" if "headless" not in name else None)
    state, text = doctor_checks.check_opencv()
    assert state == "warning"
    assert "opencv-python 4.11 and opencv-contrib-python 4.11" in text


def test_networks_that_are_nowhere_are_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    monkeypatch.setattr("vhap.detect.networks.files._packages", lambda: None)
    state, text = doctor_checks.check_mediapipe_networks()
    assert state == "missing"
    assert "fetch-models gets it" in text


@pytest.mark.parametrize("printed", [r"hello\n[1]\n{}\n", "no end of line"])
def test_what_the_interpreter_prints_at_its_start_is_no_finding(monkeypatch, tmp_path, printed):
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.stdout.write('{printed}'); sys.stdout.flush()")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    findings = run_group("files")
    assert [finding.name for finding in findings] == ["ffmpeg", "cache", "weights"]
    assert problems(findings) == []


def test_a_check_without_end_is_a_problem(monkeypatch, tmp_path):
    (tmp_path / "imageio_ffmpeg.py").write_text("import time; time.sleep(60)")
    monkeypatch.syspath_prepend(tmp_path)
    (problem,) = run_group("files", limit_s=2)
    assert (problem.state, problem.text) == ("broken", "its check did not end within 2 s")


def test_a_needed_package_that_is_not_there_is_a_problem_and_another_is_missing(monkeypatch):
    monkeypatch.setitem(doctor_checks.REQUIRED, "a-package", "no_such_module")
    with pytest.raises(InputError, match="pip install a-package"):
        doctor_checks.check_required("a-package")
    monkeypatch.setitem(doctor_checks.OPTIONAL, "a-package", ("no_such_module", "a part is missing"))
    assert doctor_checks.check_optional("a-package") == ("missing", "a part is missing")


def test_a_text_has_the_home_folder_as_a_tilde_and_lines_that_fit(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = as_text([Finding("Files", "cache", "ok", f"{tmp_path}/cache " + "word " * 60)])
    assert str(tmp_path) not in text
    assert "~/cache" in text
    assert max(map(len, text.splitlines())) <= doctor.WIDTH
