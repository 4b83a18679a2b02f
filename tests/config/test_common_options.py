"""`--help` of tracking scripts shows the common options, `--help-all` all that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import vhap
from vhap import cli
from vhap.config.common_options import COMMON, common_of, positive, short_help
from vhap.config.person import REFUSED, MonocularPersonConfig
from vhap.config.track import (
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    SingleFrameTrackConfig,
)
from vhap.config.translate import options_of

PACKAGE = Path(vhap.__file__).parent
SCRIPTS = {
    "track": MonocularTrackConfig,
    "track-person": MonocularPersonConfig,
    "track-multiview": MultiviewTrackConfig,
    "track-nersemble": NersembleTrackConfig,
    "track-nersemble-v2": NersembleV2TrackConfig,
    "track-single-frame": SingleFrameTrackConfig,
}
REQUIRED = {"data.root_folder", "data.sequence", "data.subject"}


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert not stop.value.code
    return capsys.readouterr().out


def options_in(text: str) -> list[str]:
    return re.findall(r"^  --([\w.-]+)", text, re.MULTILINE)


@pytest.mark.parametrize("command", SCRIPTS)
def test_help_shows_about_twenty_options_in_groups(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "120")
    text = shown(capsys, command, "--help")
    assert text == shown(capsys, command, "-h") == shown(capsys, command, "--data.root_folder", "x", "--help")
    names, known = options_in(text), dict(options_of(SCRIPTS[command]))
    assert 18 <= len(names) <= 25
    assert len(names) == len(set(names))
    assert {positive(name.replace("-", "_"), known) for name in names} <= known.keys()
    required = REQUIRED - {*(REFUSED if command == "track-person" else ())}
    assert required & known.keys() == {name.replace("-", "_") for name in names} & REQUIRED
    assert [line for line in text.splitlines() if line.endswith(":")] == [f"{heading}:" for heading in COMMON]
    # A line for an option, or one more where its values are many.
    assert len(text.splitlines()) <= 30 + sum("|" in line for line in text.splitlines()) + len(COMMON)
    last = text.splitlines()[-1]
    assert last == f"--help-all shows the other {len(known) - len(names)} options."


@pytest.mark.parametrize("command", SCRIPTS)
@pytest.mark.parametrize("word", ["--help-all", "--help_all"])
def test_help_all_shows_every_option_of_the_script(capsys, monkeypatch, command, word):
    monkeypatch.setenv("COLUMNS", "500")
    text = shown(capsys, command, word)
    found = {name.replace("-", "_") for name in re.findall(r"--([a-z][\w.-]+)", text)}
    assert not {name for name, _ in options_of(SCRIPTS[command])} - found
    assert "no effect" not in text.lower()


@pytest.mark.parametrize("command", [name for name in cli.COMMANDS if name not in SCRIPTS])
def test_help_all_of_other_commands_is_their_help(capsys, command):
    assert shown(capsys, command, "--help-all") == shown(capsys, command, "--help")


@pytest.mark.parametrize("command", SCRIPTS)
def test_a_switch_is_shown_in_the_form_that_changes_something(command):
    groups = common_of(SCRIPTS[command]).values()
    switches = {name: option for group in groups for name, (_, option) in group.items() if option.plain is bool}
    assert switches
    for name, option in switches.items():
        assert option.default == name.rpartition(".")[2].startswith("no_"), name


def test_every_common_option_is_one_of_some_script_and_has_one_short_line():
    known = {name for kind in SCRIPTS.values() for name, _ in options_of(kind)}
    assert all(COMMON.values())
    for group in COMMON.values():
        for name, line in group.items():
            assert positive(name, known) in known
            assert "\n" not in line
            assert 5 < len(line) < 82


def test_values_and_defaults_stand_in_the_help(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    text = short_help(MonocularTrackConfig, "vhap track", None)
    assert all(len(line) <= 60 for line in text.splitlines() if not re.match(r"  --|usage|--help-all", line))
    words = " ".join(text.split())
    for part in (
        "--data.video PATH video to track",
        "--data.root-folder PATH folder that holds the sequences (default: .)",
        "--model.head auto|flame|gnm|ict|builtin|file head model",
        "--model.occluded NAME ... regions",
        "--batch-size N consecutive timesteps solved together (default: 16)",
        "--data.fx X known focal length",
        "--exp.no-report no evaluation",
        "--data.subset NAME frames",
    ):
        assert part in words


@pytest.mark.parametrize("command", SCRIPTS)
def test_help_of_a_script_is_the_commands_and_comes_at_once(command):
    script = PACKAGE / f"{command.replace('-', '_')}.py"
    code = (
        "import runpy, sys, time; sys.argv = [sys.argv[1], '--help']\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print(time.process_time(), {'torch', 'numpy', 'cv2'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(script)], capture_output=True, text=True, check=True)
    seconds, heavy = done.stderr.split(maxsplit=1)
    assert (heavy.strip(), float(seconds) < 1) == ("set()", True), done.stderr
    assert done.stdout.startswith(f"usage: python {script} ")
    assert (
        done.stdout.partition("\n")[2] == short_help(SCRIPTS[command], "", _described(script)).partition("\n")[2] + "\n"
    )


def _described(script: Path) -> str:
    return script.read_text(encoding="utf-8").split('"""')[1]
