"""The way in: every command under one name, options spelled either way, one line for what is wrong."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from vhap import cli
from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.track import MonocularTrackConfig

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
    assert (config.batch_size, config.seed, config.model.tex_resolution) == (16, 0, 2048)
    assert (config.w.landmark, config.w.photo, config.lr.expr) == (10, 30, 5e-2)
    assert config.pipeline.lmk_init_rigid.optimizable_params == ("cam", "pose")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (REQUIRED[2:], "root"),
        ([*REQUIRED, "--batch-size", "many"], "many"),
        ([*REQUIRED, "--render.backend", "opengl"], "opengl"),
        ([*REQUIRED, "--no-such-option", "1"], "no-such-option"),
        ([*REQUIRED, "--pipeline.lmk-init-all.optimizable-params", "nose"], "nose"),
    ],
)
def test_wrong_options_are_named_in_one_line(capsys, arguments, named):
    assert named in wrong(capsys, lambda words: cli.parse(MonocularTrackConfig, None, words), *arguments)


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


def test_commands_are_listed_and_unknown_ones_named(capsys):
    for arguments in ([], ["--help"], ["-h"]):
        cli.main(arguments)
        said = capsys.readouterr().out
        assert all(command in said for command in [*cli.COMMANDS, *cli.ALIASES])
    assert "'trak'" in wrong(capsys, cli.main, "trak")


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
