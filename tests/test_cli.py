"""The way in: every command under one name, options spelled either way, one line for what is wrong."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import vhap
from vhap import cli
from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.track import MonocularTrackConfig

PACKAGE = Path(vhap.__file__).parent
REQUIRED = ["--data.root-folder", "root", "--data.sequence", "clip", "--exp.output-folder", "out"]


def wrong(capsys, command, *arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        command([*arguments])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_hyphens_and_underscores_are_interchangeable():
    plain = cli.parse(MonocularTrackConfig, None, [*REQUIRED, "--data.n-downsample-rgb", "2", "--exp.no-photometric"])
    other = [word.replace("-", "_").replace("__", "--", 1) if word.startswith("--") else word for word in REQUIRED]
    assert "--data.root_folder" in other
    assert (
        cli.parse(MonocularTrackConfig, None, [*other, "--data.n_downsample_rgb", "2", "--exp.no_photometric"]) == plain
    )
    assert plain.data == DataConfig(Path("root"), "clip", n_downsample_rgb=2)
    assert not plain.exp.photometric


def test_defaults_are_those_that_users_know():
    config = cli.parse(MonocularTrackConfig, None, REQUIRED)
    assert (config.batch_size, config.model.tex_resolution) == (16, 2048)
    assert (config.w.landmark, config.w.photo, config.w.reg_expr) == (10, 30, 0.03)
    assert config.pipeline.lmk_init_rigid.optimizable_params == ("cam", "pose")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--exp.output-folder", "out", "--data.fx"], "fx"),
        ([*REQUIRED, "--batch-size", "many"], "many"),
        ([*REQUIRED, "--render.backend", "opengl"], "opengl"),
        ([*REQUIRED, "--no-such-option", "1"], "no-such-option"),
        ([*REQUIRED, "--pipeline.lmk-init-all.optimizable-params", "nose"], "nose"),
    ],
)
def test_wrong_options_are_named_in_one_line(capsys, arguments, named):
    assert named in wrong(capsys, lambda words: cli.parse(MonocularTrackConfig, None, words), *arguments)


def test_wrong_options_of_tracking_lead_to_the_help_that_has_all(capsys):
    said = wrong(capsys, lambda words: cli.parse(MonocularTrackConfig, None, words), *REQUIRED, "--w.photos", "1")
    assert said.endswith(" --help-all")
    assert not wrong(capsys, cli.main, "report", "--no-such-option-at-all").endswith("all")


def test_message_without_its_box():
    assert cli.one_line("╭─ Error ─╮\n│ \x1b[31mmissing\x1b[0m   --x │\n╰───╯\n") == "Error missing --x"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_answers_for_help_and_for_wrong_options(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert "usage" in capsys.readouterr().out
    wrong(capsys, cli.main, command.replace("-", "_"), "--no-such-option-at-all")
    script = Path(importlib.import_module(cli.COMMANDS[command]).__file__ or "")
    # A package that has the command's name wins over the script on import.
    assert script.with_name(f"{command.replace('-', '_')}.py").is_file()


def test_commands_are_listed_a_line_each(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        cli.main(arguments)
        lines = capsys.readouterr().out.splitlines()
        for name, line in cli.HELP.items():
            assert [said.split(maxsplit=1) for said in lines].count([name, line]) == 1
        assert all(any(line.split() == [*pair] for line in lines) for pair in cli.ALIASES.items())


def test_every_entry_script_is_in_the_list():
    scripts = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "cli"}
    modules = {module.removeprefix("vhap.") for module in cli.COMMANDS.values()}
    assert modules <= scripts
    # api.py is the library. nersemble.py is what other trackers' scripts call; the package beside it has its name.
    assert scripts - modules == {"api", "nersemble"}
    assert len(cli.COMMANDS) == sum(map(len, cli.GROUPS.values()))
    assert cli.ALIASES.keys().isdisjoint(cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_line_in_the_list_is_how_the_script_describes_itself(command):
    script = PACKAGE / f"{cli.COMMANDS[command].removeprefix('vhap.')}.py"
    described, line = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "", cli.HELP[command]
    assert described.startswith(line)
    assert re.match(r"[.,:;]|,? (with|from|\()", described[len(line) :])


def test_unknown_commands_are_named_with_the_nearest(capsys):
    line = wrong(capsys, cli.main, "trak")
    assert "'trak'" in line
    assert "did you mean track" in line
    assert "did you mean benchmark" in wrong(capsys, cli.main, "benchmrak")
    assert "did you mean" not in wrong(capsys, cli.main, "xyzzy")


def test_the_version_is_that_of_the_package(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out == f"vhap {metadata.version('vhap')}\n"


def test_usage_is_what_was_typed(capsys):
    for words in (["track"], ["nersemble_benchmark", "cameras"]):
        with pytest.raises(SystemExit):
            cli.main([*words, "--help"])
        assert f"usage: vhap {' '.join(words).replace('_', '-')} " in capsys.readouterr().out
    script = str(PACKAGE / "track.py")
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: python {script} ")


ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
read -r _ _ function _ <<< "$(complete -p vhap)"
$function
IFS=$'\\n'; echo "${COMPREPLY[*]}"
"""


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory) -> Path:
    if shutil.which("bash") is None:
        pytest.skip("no bash on this machine")
    path = tmp_path_factory.mktemp("completion") / "vhap.bash"
    path.write_text(cli.completion_script("bash"))
    return path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["repo"], {"report"}),
        (["track-s"], {"track-single-frame"}),
        (["track", "--data.root"], {"--data.root-folder"}),
        (["track", "--log.max-e"], {"--log.max-eval-frames"}),
        (["track", "--model.head", ""], {"auto", "flame", "gnm", "ict", "builtin", "file"}),
        (["nersemble", ""], {"list", "download", "-h", "--help"}),
        (["nersemble-benchmark", "cameras", "--o"], {"--output"}),
        (["nothing-of-the-kind"], {""}),
    ],
)
def test_bash_completes_commands_options_and_values(bash_script, words, expected):
    done = subprocess.run(["bash", "-c", ASK, "bash", bash_script, "vhap", *words], capture_output=True, text=True)
    assert done.stderr == ""
    assert set(done.stdout.splitlines()) == expected


def test_bash_completes_every_command(bash_script):
    done = subprocess.run(["bash", "-c", ASK, "bash", bash_script, "vhap", ""], capture_output=True, text=True)
    assert set(done.stdout.splitlines()) == {*cli.COMMANDS, "-h", "--help"}


def test_completion_for_tcsh_asks_for_the_package_that_writes_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "pip install shtab" in wrong(capsys, cli.main, "--print-completion", "tcsh")


def test_completion_is_written_for_zsh_and_for_no_unknown_shell(capsys):
    cli.main(["--print-completion", "zsh"])
    said = capsys.readouterr().out
    assert said.startswith("#compdef vhap\n")
    assert all(f"'{command}'" in said for command in cli.COMMANDS)
    for words in (["--print-completion"], ["--print_completion", "powershell"]):
        assert "bash, zsh, tcsh" in wrong(capsys, cli.main, *words)


@pytest.mark.parametrize("alias", cli.ALIASES)
def test_aliases_are_the_commands(capsys, alias):
    assert alias not in cli.COMMANDS
    usage = []
    for name in (alias, cli.ALIASES[alias]):
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        usage.append(capsys.readouterr().out)
    assert usage[0] == usage[1]


def test_the_rest_of_the_line_goes_to_the_command(capsys, tmp_path):
    assert str(tmp_path) in wrong(capsys, cli.main, "evaluate-tracking", "--run", str(tmp_path))
    assert cli.parse(EvaluateConfig, None, ["--run", str(tmp_path)]) == EvaluateConfig(tmp_path)


def test_options_are_parsed_before_anything_heavy_is_loaded():
    code = "import sys; from vhap import cli, track; cli.parse(track.MonocularTrackConfig, None, sys.argv[1:])"
    code += "; sys.exit(bool({'torch', 'warp', 'mediapipe', 'cv2'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code, *REQUIRED]).returncode == 0
