"""Checks the installation. Each group of checks runs in a process of its own: a library that ends its process, by an
instruction that this processor has not or by a damaged file, is a finding as any other.

Such a process prints a marked line of JSON before each check and one after it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vhap.pipeline.doctor_checks import GROUPS, Finding, as_problem, checks_of, gnm_findings
from vhap.util.errors import shown

TIME_LIMIT_S = 300.0
"""Of a group. Kernels, and ICT-FaceKit's cache, are made at their first use."""
WIDTH, NAME_WIDTH = 120, 20
MARK = "vhap doctor: "
"""Begins each line of JSON."""
FINISHED: dict[str, str] = {}
"""The last line of a process whose checks are made."""
MARKS = {"ok": "ok", "missing": "missing", "warning": "warning", "broken": "PROBLEM"}


def run() -> list[Finding]:
    """The findings of all checks, in the order of the groups. What a check raises is a finding."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return [finding for findings in pool.map(run_group, GROUPS) for finding in findings]


def run_head(name: str, path: Path) -> list[Finding]:
    """The findings of one head's file. name: gnm."""
    return {"gnm": gnm_findings}[name](path)


def problems(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state == "broken"]


def run_group(group: str, limit_s: float = TIME_LIMIT_S) -> list[Finding]:
    """The findings of one group's process; where it ends too early, the check it was at is broken."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import make_checks; make_checks({group!r})"
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, errors="replace")
        output, ending = done.stdout, _ending(done)
    except subprocess.TimeoutExpired as error:
        output, ending = _text(error.stdout), f"did not end within {limit_s:g} s"
    except OSError as error:
        output, ending = "", f"could not be started: {error}"
    at, findings = {"section": "Checks", "name": group}, []
    for value in _values(output):
        at = value
        if "state" in value:
            findings.append(Finding(**value))
    if at != FINISHED:
        findings.append(Finding(at["section"], at["name"], "broken", f"its check {ending}"))
    return findings


def _values(output: str) -> Iterator[dict[str, Any]]:
    """The lines of JSON that a group's process printed. What starts with the interpreter (sitecustomize, .pth files)
    prints on the same stdout."""
    for line in output.splitlines():
        _, mark, text = line.rpartition(MARK)
        if mark:
            yield json.loads(text)


def _ending(done: subprocess.CompletedProcess[str]) -> str:
    """How a process ended, in words."""
    said = done.stderr.strip().splitlines()
    last = f" ({shown(said[-1])})" if said else ""
    if done.returncode < 0:
        return f"was ended by {signal.Signals(-done.returncode).name}{last}"
    return f"ended with status {done.returncode}{last}"


def _text(output: bytes | str | None) -> str:
    """Whole lines of what a stopped process had printed."""
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return text[: text.rfind("\n") + 1]


def as_json(findings: Sequence[Finding]) -> str:
    rows = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps({"findings": rows, "problems": len(problems(findings))}, indent=4)


def as_text(findings: Sequence[Finding]) -> str:
    """Sections with a line for each finding; the home folder is written as ~."""
    lines, section = [], ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            lines += ["", section]
        head, rest = f"  {MARKS[finding.state]:9}{finding.name:{NAME_WIDTH}} ", " " * (12 + NAME_WIDTH)
        if len(finding.name) > NAME_WIDTH:
            lines.append(head.rstrip())
            head = rest
        text = finding.text.replace(str(Path.home()), "~")
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=head, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
        ) or [head.rstrip()]
    return "\n".join([*lines[1:], "", summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    broken, missing = problems(findings), sum(finding.state == "missing" for finding in findings)
    names = ", ".join(finding.name for finding in broken)
    found = f"{len(broken)} problem{'s' if len(broken) > 1 else ''}: {names}" if broken else "no problems"
    return f"{found}; {missing} parts are missing that not everyone needs"


def make_checks(group: str) -> None:
    """Prints for each check of a group its name, then what it found. Ends the process."""
    talk = os.fdopen(os.dup(1), "w")
    # Libraries greet on stdout.
    os.dup2(2, 1)
    for check in checks_of(group):
        print(MARK + json.dumps({"section": check.section, "name": check.name}), file=talk, flush=True)
        try:
            state, text = check.make()
        except Exception as error:
            state, text = "broken", as_problem(error)
        finding = dataclasses.asdict(Finding(check.section, check.name, state, text))
        print(MARK + json.dumps(finding), file=talk, flush=True)
    print(MARK + json.dumps(FINISHED), file=talk, flush=True)
    # Threads of a library that was half started need not end.
    os._exit(0)
