"""What the package requires, on every kind of machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from vhap.detect.networks.files import RELEASE

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
def test_everywhere_the_same_is_required_and_one_opencv(system: str, machine: str, python: str) -> None:
    names = required(system, machine, python)
    # OpenCV does what isal does, only slower.
    assert names | {"isal"} == {each.name for each in requirements()}
    assert ("isal" in names) == ((system, machine) != ("win32", "ARM64"))
    assert {name for name in names if name.startswith(("opencv", "mediapipe"))} == {"opencv-python-headless"}


@pytest.mark.parametrize(("system", "machine"), MACHINES)
@pytest.mark.parametrize("python", ["3.10", "3.12", "3.13", "3.14"])
def test_the_extra_brings_mediapipe_where_it_has_a_wheel(system: str, machine: str, python: str) -> None:
    found = re.search(r'^mediapipe = \["(.*)"\]$', TEXT, re.MULTILINE)
    assert found is not None
    extra = Requirement(found.group(1))
    assert str(extra.specifier) == f"=={RELEASE}"
    environment = {"sys_platform": system, "platform_machine": machine, "python_version": python}
    assert extra.marker is not None
    assert extra.marker.evaluate(environment) == ((system, machine) in WITH_WHEEL and python < "3.13")


def test_requirements_are_ranges_and_constraints_are_pins() -> None:
    assert [each.name for each in requirements() if {"=", "<"} & set(str(each.specifier).replace(">=", ""))] == []
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line[:1] not in ("#", "")]
    assert len(lines) > len(requirements())
    assert all(re.match(r"[\w.-]+==[\w.]+(; .*)?$", line) for line in lines)


def pins_of(python: str) -> dict[str, str]:
    """Name -> version of the pins that count for a Python; each name has one."""
    pins: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line[:1] in ("#", ""):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate({"python_version": python}):
            name = pin.name.lower().replace("_", "-")
            assert name not in pins, f"{name} has two pins"
            pins[name] = str(pin.specifier).removeprefix("==")
    return pins


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_pins_are_within_the_ranges(python: str) -> None:
    pins = pins_of(python)
    for each in requirements():
        assert each.name in pins, f"{each.name} has no pin"
        assert each.specifier.contains(pins[each.name]), f"{each.name} {pins[each.name]}"
    # face-alignment asks for the other wheel: of one version they do each other no harm.
    assert pins["opencv-python"] == pins["opencv-python-headless"]
    assert len(pins) > len(requirements())
