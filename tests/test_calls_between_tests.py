"""Test modules call each other's helpers as these are written. A test that is skipped on one machine, such as one in a
browser, shows a wrong call on another machine only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(HERE.rglob("*.py"))}
MODULES = {path.stem: tree for path, tree in TREES.items()}


def helpers(module: str) -> dict[str, ast.arguments]:
    """Functions of a test module that are called as they are written: those that nothing decorates."""
    body = MODULES[module].body
    return {each.name: each.args for each in body if isinstance(each, ast.FunctionDef) and not each.decorator_list}


def calls_of_helpers(tree: ast.Module) -> Iterator[tuple[ast.Call, ast.arguments]]:
    """Calls, of helpers of its own and of other test modules, whose arguments can be counted."""
    imported = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module in MODULES]
    known = {
        each.name: each.args for each in tree.body if isinstance(each, ast.FunctionDef) and not each.decorator_list
    }
    for node in imported:
        assert node.module is not None
        theirs = helpers(node.module)
        known |= {each.asname or each.name: theirs[each.name] for each in node.names if each.name in theirs}
    # By arguments, variables and functions within functions.
    hidden = {each.arg for each in ast.walk(tree) if isinstance(each, ast.arg)}
    hidden |= {each.id for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    hidden |= {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each not in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known.keys() - hidden:
            counted = not any(isinstance(each, ast.Starred) for each in node.args)
            if counted and all(each.arg is not None for each in node.keywords):
                yield node, known[node.func.id]


def fits(call: ast.Call, wanted: ast.arguments) -> bool:
    """Whether every argument has a place, and every place that needs one an argument."""
    places = [each.arg for each in (*wanted.posonlyargs, *wanted.args)]
    named = {each.arg for each in call.keywords}
    alone = {each.arg for each in wanted.kwonlyargs}
    if len(call.args) > len(places) and wanted.vararg is None:
        return False
    if wanted.kwarg is None and not named <= {*places[len(call.args) :], *alone}:
        return False
    needed = set(places[len(call.args) : len(places) - len(wanted.defaults)])
    needed |= {each.arg for each, default in zip(wanted.kwonlyargs, wanted.kw_defaults) if default is None}
    return needed <= named


def test_helpers_are_called_with_the_arguments_that_they_take():
    every = [(path, call, wanted) for path, tree in TREES.items() for call, wanted in calls_of_helpers(tree)]
    wrong = [f"{path.relative_to(HERE)}:{call.lineno}" for path, call, wanted in every if not fits(call, wanted)]
    assert wrong == []
    assert len(every) > 1000


def test_a_wrong_call_is_seen():
    wanted = ast.parse("def f(a, b=1, *, c, d=2): ...").body[0].args
    right = ["f(1, c=3)", "f(1, 2, c=3, d=4)", "f(a=1, c=3)"]
    wrong = ["f(c=3)", "f(1)", "f(1, 2, 3, c=4)", "f(1, c=3, e=4)", "f(1, a=1, c=3)"]
    assert [fits(ast.parse(text, mode="eval").body, wanted) for text in (*right, *wrong)] == [True] * 3 + [False] * 5
