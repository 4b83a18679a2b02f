"""Rules for tests: they can fail, they do not hide that our own code does not import, and no clock decides."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
MAY_BE_MISSING = {
    *("mediapipe", "pymatting", "viser", "dreifus", "fcntl", "lmdb", "snakemake", "pxr", "pygltflib", "isal"),
    # Oracles, with what they import; tests/requirements.txt installs them.
    *("nersemble_data", "nersemble_benchmark", "elias", "dotenv"),
}
"""Packages and modules whose absence may skip a test; all others are requirements, or our own."""
CLOCKS = {"time", "monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns", "time_ns"}
CHECKING = ("assert", "raises", "fail")
"""Parts of names of functions that check something."""
COUNTED = {"range", "fields", "eye", "product", "combinations"}
"""Functions whose results are not empty where a test uses them."""
PASSED_ON = {"enumerate", "zip", "sorted", "reversed", "list", "tuple", "set", "map", "dict"}
"""Functions whose results are empty only where their arguments are."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(node: ast.expr) -> str:
    """The last word of a dotted name, or of what is called."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and name_of(node) == name)


def written_tests(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, Function) and node.name.startswith("test_"))


def places(found: Callable[[ast.Module], Iterator[ast.AST]]) -> list[str]:
    """Where in all tests something is found."""
    return [
        f"{path.relative_to(TESTS)}:{node.lineno}"  # pyright: ignore[reportAttributeAccessIssue]
        for path in FILES
        for node in found(parsed(path))
    ]


def test_only_what_may_be_missing_skips_a_test():
    def skips(tree: ast.Module) -> Iterator[ast.AST]:
        for call in calls(tree, "importorskip"):
            argument = call.args[0]
            if isinstance(argument, ast.Constant) and str(argument.value).split(".")[0] not in MAY_BE_MISSING:
                yield call

    assert places(skips) == []
    assert len(places(lambda tree: calls(tree, "importorskip"))) > 10


def test_no_failed_import_is_passed_over():
    """A test file that cannot import what it tests has to fail."""

    def passed_over(tree: ast.Module) -> Iterator[ast.AST]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Try) and any(isinstance(part, ast.Import | ast.ImportFrom) for part in node.body):
                yield node

    assert places(passed_over) == []
    assert len(list(passed_over(ast.parse("try:\n    import vhap\nexcept ImportError:\n    vhap = None")))) == 1


def test_expected_errors_are_named():
    def any_error(tree: ast.Module) -> Iterator[ast.AST]:
        for call in calls(tree, "raises"):
            if call.args and name_of(call.args[0]) in ("Exception", "BaseException"):
                yield call

    assert places(any_error) == []


def test_no_assertion_is_true_whatever_the_program_does():
    def constant(tree: ast.Module) -> Iterator[ast.AST]:
        imported = {
            (alias.asname or alias.name).split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert) and is_constant(node.test, imported):
                yield node

    assert places(constant) == []
    for line in (
        "assert energy.Energy",
        "assert True",
        "assert (x, 1)",
        "assert 'a text'",
        "assert load",
        "assert x == x",
    ):
        assert list(constant(ast.parse(f"import energy\nfrom a import load\n{line}"))), line


def is_constant(test: ast.expr, imported: set[str]) -> bool:
    """Whether an assertion is about a literal, an imported name or its attribute, or two equal names.

    Equal calls may differ, which is what a test of determinism asserts.
    """
    if isinstance(test, ast.Constant | ast.JoinedStr) or (isinstance(test, ast.Tuple) and test.elts):
        return True
    if isinstance(test, ast.Compare):
        sides = [side for side in (test.left, *test.comparators) if isinstance(side, ast.Name | ast.Attribute)]
        return len({ast.dump(side) for side in sides}) < len(sides)
    root = test
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in imported


def test_no_clock_decides():
    """Machines are shared. The processor time of a process (process_time) may be held to a limit."""

    def timed(tree: ast.Module) -> Iterator[ast.AST]:
        for function in ast.walk(tree):
            if not isinstance(function, Function):
                continue
            names = {
                target.id
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and reads_clock(node.value)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            for node in ast.walk(function):
                if isinstance(node, ast.Assert) and (
                    reads_clock(node.test)
                    or names & {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}
                ):
                    yield node

    assert places(timed) == []
    assert list(timed(ast.parse("def f():\n    start = time.time()\n    assert time.time() - start < 5")))


def reads_clock(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Call)
        and isinstance(part.func, ast.Attribute)
        and part.func.attr in CLOCKS
        and name_of(part.func.value) == "time"
        for part in ast.walk(node)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_asserts_only_in_loops_over_what_may_be_empty(path):
    """Where all assertions are within loops over what the program made, one more has to say that it is there."""
    assert [test.name for test in written_tests(path) if has_assertion(test) and not can_fail(test, path)] == []


def test_loops_over_what_may_be_empty_are_found():
    loop = "def test_a():\n    frames = made()\n    for frame in frames:\n        assert frame > 0\n"
    wanted = {
        loop: False,
        f"{loop}    assert len(frames) == 3\n": True,
        "def test_a():\n    for k in (1, 2):\n        assert k\n": True,
        "def test_a():\n    assert all(k > 0 for k in made())\n": False,
        "def test_a():\n    assert not [k for k in made() if k > 0]\n": True,
        "def test_a():\n    made()\n": False,
        "def test_a():\n    with pytest.raises(ValueError):\n        made()\n": True,
    }
    for text, fails in wanted.items():
        (test,) = ast.parse(text).body
        assert isinstance(test, ast.FunctionDef)
        assert can_fail(test, Path(__file__)) == fails, text


def has_assertion(test: Function) -> bool:
    """Tests without any are those of what must not raise an error."""
    return any(isinstance(node, ast.Assert) or name_of_call(node) == "raises" for node in ast.walk(test))


def name_of_call(node: ast.AST) -> str:
    return name_of(node) if isinstance(node, ast.Call) else ""


def can_fail(test: Function, path: Path) -> bool:
    """Whether a test has an assertion, or calls what asserts, outside of loops over what may be empty."""
    full = filled_names(parsed(path)) | filled_names(test)
    loops = [node for node in ast.walk(test) if isinstance(node, ast.For) and not is_filled(node.iter, full)]
    within = {id(part) for loop in loops for part in ast.walk(loop)}
    helpers = checking_functions(path)
    for node in ast.walk(test):
        if id(node) in within:
            continue
        if isinstance(node, ast.Assert) and not is_all_of_nothing(node.test, full):
            return True
        if isinstance(node, ast.Call | ast.Name | ast.Attribute) and checks(name_of(node), helpers):
            return True
    return False


def checks(name: str, helpers: set[str]) -> bool:
    return name in helpers or any(part in name.lower() for part in CHECKING)


@cache
def checking_functions(path: Path) -> set[str]:
    """Functions with an assertion, of the file and of the files of tests that it imports from."""
    modules = {name_of_import.split(".")[-1] for node in ast.walk(parsed(path)) for name_of_import in imports_of(node)}
    files = [path, *(other for other in FILES if other.stem in modules or other.name == "conftest.py")]
    functions = [each for file in files for each in functions_of(file)]
    found: set[str] = set()
    while True:
        more = {name for name, asserts, called in functions if asserts or any(checks(other, found) for other in called)}
        if more == found:
            return found
        found = more


@cache
def functions_of(path: Path) -> list[tuple[str, bool, set[str]]]:
    """Name of each function of a file, whether it has an assertion, and names of what it calls."""
    return [
        (
            node.name,
            any(isinstance(part, ast.Assert) for part in ast.walk(node)),
            {name_of_call(part) for part in ast.walk(node)},
        )
        for node in ast.walk(parsed(path))
        if isinstance(node, Function)
    ]


def imports_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(alias.name for alias in node.names)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def is_all_of_nothing(test: ast.expr, full: set[str]) -> bool:
    """Whether an assertion is `all(...)`, which holds of an empty sequence."""
    if not (isinstance(test, ast.Call) and name_of(test) == "all" and test.args):
        return False
    return not is_filled(test.args[0], full) and isinstance(test.args[0], ast.GeneratorExp | ast.ListComp)


def filled_names(tree: ast.Module | Function) -> set[str]:
    """Names that are set to sequences with something in them."""
    assigned = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None]
    found: set[str] = set()
    for node in assigned:
        if node.value is not None and is_filled(node.value, found):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def is_filled(node: ast.expr, full: set[str]) -> bool:
    """Whether an iterable has something in it, as far as its text says. full: names of which that is known."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return bool(node.elts)
    if isinstance(node, ast.Dict):
        return bool(node.keys)
    if isinstance(node, ast.Constant):
        return bool(node.value)
    if isinstance(node, ast.Name | ast.Attribute):
        return name_of(node).isupper() or name_of(node) in full
    if isinstance(node, ast.BinOp):
        return is_filled(node.left, full) or is_filled(node.right, full)
    if isinstance(node, ast.Subscript):
        return is_filled(node.value, full)
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return all(not part.ifs and is_filled(part.iter, full) for part in node.generators)
    if isinstance(node, ast.Call):
        name = name_of(node)
        if name in ("items", "values", "keys") and isinstance(node.func, ast.Attribute):
            return is_filled(node.func.value, full)
        return name in COUNTED or (name in PASSED_ON and any(is_filled(argument, full) for argument in node.args))
    return False


TIMED = """
import time
import pytest

def work(seconds):
    start = time.process_time()
    while time.process_time() < start + seconds: pass

def test_short(): work(0.01)
def test_waiting(): time.sleep(0.6)
def test_longer(): work(0.2)
def test_long(): work(0.6)
@pytest.mark.slow
def test_marked(): work(0.6)
"""


@pytest.mark.parametrize("ci", ["", "true"])
def test_slow_tests_are_named_and_in_ci_the_slowest_fail_unless_they_are_marked(tmp_path, ci):
    text, wanted = (TESTS / "conftest.py").read_text(), "SLOW_S, LONGEST_UNMARKED_S = 20.0, 120.0"
    assert wanted in text
    (tmp_path / "conftest.py").write_text(text.replace(wanted, "SLOW_S, LONGEST_UNMARKED_S = 0.1, 0.5"))
    (tmp_path / "test_timed.py").write_text(TIMED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: takes long\n")
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CI": ci})
    named = set(re.findall(r"s of processor time: \S+::(\w+)", done.stdout))
    assert named == {"test_longer", "test_long"}
    assert set(re.findall(r"FAILED \S+::(\w+)", done.stdout)) == ({"test_long"} if ci else set())
    assert done.returncode == (1 if ci else 0)


def test_requirements_are_not_among_what_may_be_missing():
    from vhap.pipeline.doctor_checks import REQUIRED

    assert MAY_BE_MISSING.isdisjoint(REQUIRED.values())
    assert "vhap" not in MAY_BE_MISSING
    assert all(name not in sys.stdlib_module_names or name == "fcntl" for name in MAY_BE_MISSING)
