"""What the package requires, on every kind of machine."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
MACHINES = (
    *(("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64")),
    *(("win32", "AMD64"), ("win32", "ARM64")),
)
WITH_WHEEL = {("linux", "x86_64"), ("darwin", "arm64"), ("darwin", "x86_64"), ("win32", "AMD64")}
"""Of mediapipe 0.10.21: manylinux x86_64, universal2, win_amd64."""


def requirements() -> list[Requirement]:
    """Of the package itself, without extras; Python 3.10 reads no TOML by itself."""
    block = re.search(r"^dependencies = \[\n(.*?)^\]", TEXT, re.DOTALL | re.MULTILINE)
    assert block is not None
    return [Requirement(line) for line in re.findall(r'^    "(.*)",$', block.group(1), re.MULTILINE)]


def required(system: str, machine: str, python: str) -> set[str]:
    environment = {"sys_platform": system, "platform_machine": machine, "python_version": python}
    return {each.name for each in requirements() if each.marker is None or each.marker.evaluate(environment)}


@pytest.mark.parametrize(("system", "machine"), MACHINES)
@pytest.mark.parametrize("python", ["3.10", "3.12", "3.13", "3.14"])
def test_mediapipe_only_where_it_installs_and_one_opencv_everywhere(system: str, machine: str, python: str) -> None:
    names = required(system, machine, python)
    has_wheel = (system, machine) in WITH_WHEEL and python < "3.13"
    assert ("mediapipe" in names) == has_wheel
    opencv = {name for name in names if name.startswith("opencv")}
    assert opencv == {"opencv-contrib-python" if has_wheel else "opencv-python-headless"}


def test_requirements_are_ranges_and_constraints_are_pins() -> None:
    exact = [str(each) for each in requirements() if "==" in str(each.specifier)]
    assert [Requirement(line).name for line in exact] == ["mediapipe"]
    assert [each.name for each in requirements() if "<" in str(each.specifier)] == []
    for file in ("constraints.txt", "constraints-numpy2.txt"):
        lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line[:1] not in ("#", "")]
        assert all(re.match(r"[\w.-]+==[\w.]+(; .*)?$", line) for line in lines), file


def pins_of(file: str, python: str) -> dict[str, str]:
    """Name -> version of the pins that count for a Python; each name has one."""
    pins: dict[str, str] = {}
    for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
        if line[:1] in ("#", ""):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            name = pin.name.lower().replace("_", "-")
            assert name not in pins, f"{name} has two pins in {file}"
            pins[name] = str(pin.specifier).removeprefix("==")
    return pins


@pytest.mark.parametrize(
    ("python", "machine"), itertools.product(("3.10", "3.11", "3.12", "3.13", "3.14"), ("x86_64", "aarch64"))
)
def test_pins_are_within_the_ranges(python: str, machine: str) -> None:
    pins = pins_of("constraints.txt", python)
    names = required("linux", machine, python)
    for each in requirements():
        if each.name in names:
            assert each.name in pins, f"{each.name} has no pin"
            assert each.specifier.contains(pins[each.name]), f"{each.name} {pins[each.name]}"


@pytest.mark.parametrize("python", ["3.13", "3.14"])
def test_where_mediapipe_ends_numpy_and_opencv_are_those_of_the_environment_without_it(python: str) -> None:
    """numpy 1.26 has no wheels for Python 3.13, and its build takes a compiler."""
    pins, without = pins_of("constraints.txt", python), pins_of("constraints-numpy2.txt", python)
    assert Requirement("numpy>=2.1").specifier.contains(pins["numpy"])
    for name in ("numpy", "opencv-python-headless"):
        assert pins[name] == without[name]
