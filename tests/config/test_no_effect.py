"""Every option does something; a run names what was set and changes nothing beside its other options."""

import ast
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

import vhap
from vhap import cli
from vhap.config.no_effect import NO_EFFECT, changed_options, lines_of_no_effect, traits_of
from vhap.config.track import (
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    SingleFrameTrackConfig,
)

PACKAGE = Path(vhap.__file__).parent
PLACE = ["--data.root_folder", "root", "--data.sequence", "s", "--model.head", "builtin"]
SUBJECT = [*PLACE, "--data.subject", "074"]
KINDS = [
    (MonocularTrackConfig, PLACE),
    (MultiviewTrackConfig, PLACE),
    (SingleFrameTrackConfig, PLACE),
    (NersembleTrackConfig, SUBJECT),
    (NersembleV2TrackConfig, SUBJECT),
]


def option_names(config: Any, prefix: str = "") -> Iterator[str]:
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from option_names(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


@pytest.fixture(scope="module")
def all_options() -> set[str]:
    return {name for kind, words in KINDS for name in option_names(cli.parse(kind, None, words))}


@pytest.fixture(scope="module")
def loads() -> list[ast.Attribute]:
    """Every place where code loads an attribute."""
    nodes = (node for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)]


@pytest.fixture(scope="module")
def weight_names() -> set[str]:
    """Words of the files that take weights by their names."""
    files = (PACKAGE / "fit" / name for name in ("surface.py", "residuals/motion.py", "residuals/landmark_problem.py"))
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_option_is_read_by_code(all_options, loads, weight_names):
    known = {node.attr for node in loads} | weight_names
    assert not {name for name in all_options if name.rpartition(".")[2] not in known}


def test_every_pattern_is_of_an_option(all_options):
    assert all(entry.options and entry.traits for entry in NO_EFFECT)
    for entry in NO_EFFECT:
        for pattern in entry.options:
            assert any(fnmatchcase(name, pattern) for name in all_options), pattern


@pytest.mark.parametrize(("kind", "words"), KINDS)
def test_nothing_is_told_of_a_run_as_it_comes(kind, words):
    config = cli.parse(kind, None, words)
    changed = [option for option in changed_options(config) if option[0] not in ("data.root_folder", "data.sequence")]
    assert changed == [("model.head", "builtin")]
    assert lines_of_no_effect(config, traits_of(config)) == []


def told(*words: str, kind: type = MonocularTrackConfig) -> list[str]:
    config = cli.parse(kind, None, [*PLACE, *words])
    return lines_of_no_effect(config, traits_of(config))


def test_what_was_set_is_named_as_it_was_typed_with_what_does_the_job():
    stage = "pipeline.lmk_global_tracking"
    lines = told(
        "--w.reg_offset_dynamic", "1", "--model.no_add_teeth", f"--{stage}.optimizable_params", "cam", "pose",
        "--w.photo", "20",
    )  # fmt: skip
    named = {line.split(" has no effect here (")[0] for line in lines}
    assert named == {"--model.no_add_teeth", "--w.reg_offset_dynamic 1.0", f"--{stage}.optimizable_params cam pose"}
    assert len(lines) == 3
    assert all(line.partition("): ")[2] for line in lines)


def test_a_default_that_was_typed_is_not_named():
    assert told("--w.reg_offset", "300", "--model.add_teeth") == []


def test_rigs_are_compared_with_their_own_defaults():
    assert told("--w.landmark", "3", kind=MultiviewTrackConfig) == []
    (line,) = told("--w.landmark", "10", "--exp.no_photometric", kind=MultiviewTrackConfig)
    assert "--w.landmark 10.0" in line
