"""Stand-in entries are programs in a folder of the test's own."""

import importlib
import time
from pathlib import Path

import pytest
import run_all
from run_all import ENTRIES, Entry, chosen, main, run_entries

from vhap.util.errors import InputError

PROGRAMS = {
    "prints.py": "print('| a |')\nprint('|---|')",
    "fails.py": "import sys\nprint('half a table')\nprint('the reason', file=sys.stderr)\nsys.exit(3)",
    "silent.py": "",
    "hangs.py": "import subprocess, sys, time\n"
    "late = 'import pathlib, sys, time; time.sleep(4); pathlib.Path(sys.argv[1]).touch()'\n"
    "subprocess.Popen([sys.executable, '-c', late, sys.argv[1]])\ntime.sleep(60)",
    "writes.py": "import sys\nfrom pathlib import Path\np = Path(sys.argv[1]) / 'n'\n"
    "assert not p.exists()\np.write_text('x')\nprint('| wrote |')",
}


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A checkout whose bench/ holds the stand-ins."""
    folder = tmp_path / "checkout" / "bench"
    folder.mkdir(parents=True)
    for name, source in PROGRAMS.items():
        (folder / name).write_text(source)
    monkeypatch.setattr(run_all, "ROOT", folder.parent)
    return folder


def entry(name: str, minutes: float = 0.1, arguments: str = "") -> Entry:
    return Entry(name, f"{name}.py {arguments}".strip(), minutes)


def test_table_stands_below_the_machine(programs, tmp_path):
    (outcome,) = run_entries([entry("prints")], tmp_path / "out", 1)
    assert outcome.state == "done"
    text = (tmp_path / "out" / "prints.md").read_text()
    for part in (
        "- machine: ",
        "- versions: python ",
        "torch ",
        "warp ",
        "numpy ",
        "- threads: ",
        "- commit: ",
        "- date: 20",
    ):
        assert part in text
    assert text.endswith("| a |\n|---|\n")


def test_failure_is_named_others_go_on_and_the_status_is_one(programs, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path / "out")], [entry("fails"), entry("silent"), entry("prints")])
    assert stop.value.code == 1
    assert "failed: fails, silent" in capsys.readouterr().err
    assert not (tmp_path / "out" / "fails.md").exists()
    assert "the reason" in (tmp_path / "out" / "fails.log").read_text()
    assert (tmp_path / "out" / "prints.md").is_file()
    rows = (tmp_path / "out" / "README.md").read_text()
    assert "| fails | failed: exit status 3, see fails.log |" in rows
    assert "| silent | failed: printed no table, see silent.log |" in rows


def test_all_done_ends_with_status_zero(programs, tmp_path, capsys):
    main(["--out", str(tmp_path / "out")], [entry("prints")])
    assert "| prints | done |" in capsys.readouterr().out


def test_what_does_not_fit_is_left_out_and_smaller_ones_still_run(programs, tmp_path):
    outcomes = run_entries([entry("fails", 5), entry("prints")], tmp_path / "out", 1)
    assert [outcome.state for outcome in outcomes] == ["left out: 5 minutes expected, 1.0 left", "done"]


def test_an_entry_far_beyond_its_minutes_is_stopped_with_all_that_it_started(programs, tmp_path):
    started, late = time.monotonic(), tmp_path / "late"
    (outcome,) = run_entries([entry("hangs", 0.01, str(late))], tmp_path / "out", 1)
    assert outcome.state == "failed: stopped after 0.0 minutes, see hangs.log"
    assert outcome.seconds < 20
    time.sleep(max(0, 6 - (time.monotonic() - started)))
    assert not late.exists()


def test_files_and_tables_of_an_earlier_call_are_gone(programs, tmp_path):
    for _ in range(2):
        (outcome,) = run_entries([entry("writes", arguments="FILES")], tmp_path / "out", 1)
        assert outcome.state == "done"
    (programs / "writes.py").write_text(PROGRAMS["fails.py"])
    run_entries([entry("writes", arguments="FILES")], tmp_path / "out", 1)
    assert not (tmp_path / "out" / "writes.md").exists()


def test_only_chooses_by_name():
    assert [e.name for e in chosen([entry("b"), entry("a")], ["a", "b"])] == ["b", "a"]
    with pytest.raises(InputError, match="found c"):
        chosen([entry("a")], ["c"])


class Parsed(Exception):
    """Ends a program where its options are read."""


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entries_give_options_that_their_programs_take(entry, monkeypatch):
    program, *arguments = entry.command.split()
    module = importlib.import_module(program.removesuffix(".py"))
    real = module.parse

    def parse(*given):
        real(*given)
        raise Parsed

    monkeypatch.setattr(module, "parse", parse)
    with pytest.raises(Parsed):
        module.main(arguments)


def test_entries_have_names_of_their_own():
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)


def test_every_program_is_described():
    folder = Path(run_all.__file__).parent
    page = (folder / "README.md").read_text()
    assert [path.name for path in folder.glob("*.py") if f"`{path.name}`" not in page] == []
