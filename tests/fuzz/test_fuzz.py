"""Faulty files and options, ten thousand of them: each is read or refused in one line, nothing hangs, dies or stays
half written. What came of an input is settled in a process of its own, so that a crash is seen as one."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from fuzz_mutations import CHANGES, mutated
from fuzz_run import OUTCOMES, Report, Worker, fuzz, plan

COUNT, SEED, SHOWN = 10_000, 0, 5

STAND_IN = """
import json, os, sys, time
print(json.dumps({"a": 1}), flush=True)
for line in sys.stdin:
    number = int(line.split()[1])
    if number == 1: time.sleep(60)
    if number == 2: os._exit(3)
    print(json.dumps(["fine", str(number)]), flush=True)
"""


@pytest.mark.slow
def test_ten_thousand_faulty_inputs(tmp_path):
    report = fuzz(tmp_path, COUNT, SEED)
    assert sum(sum(found.values()) for found in report.counts.values()) >= COUNT
    shown = [f"{f.reader}, seed {f.seed}, number {f.number} ({f.path}): {f.outcome}\n{f.said}" for f in report.findings]
    assert not shown, "\n\n".join([f"{len(shown)} inputs miss the bar, see bench/fuzz.py", *shown[:SHOWN]])


@pytest.fixture
def stand_in():
    worker = Worker([sys.executable, "-c", STAND_IN], slowest_s=2)
    yield worker
    worker.close()


def test_a_process_that_hangs_or_dies_is_a_finding_and_another_goes_on(stand_in):
    assert stand_in.read("a", 0) == ("fine", "0")
    assert stand_in.read("a", 1)[0] == "hang"
    assert stand_in.read("a", 0) == ("fine", "0")
    assert stand_in.read("a", 2) == ("crash", "exit status 3")
    assert stand_in.read("a", 0) == ("fine", "0")


def test_shares_are_kept_and_each_reader_gets_its_good_file_first():
    planned = list(plan({"a": 3, "b": 1, "c": 0.001}, 400))
    counts = Counter(name for name, _ in planned)
    assert counts == {"a": 301, "b": 101, "c": 2}
    assert [number for name, number in planned if name == "b"][:2] == [-1, 0]


def test_table_has_a_column_for_each_outcome_and_sums():
    report = Report({"a": Counter({"fine": 2, "hang": 1}), "b": Counter({"fine": 1})})
    assert report.rows()[0] == ["a", "2", "0", "0", "1", "0", "0"]
    assert report.rows()[-1] == ["sum", "3", "0", "0", "1", "0", "0"]
    assert len(report.rows()[0]) == 1 + len(OUTCOMES)


@pytest.mark.parametrize("kind", CHANGES)
def test_mutations_follow_the_seed_and_change_something(kind, tmp_path):
    seeds = {"json": [b'{"a": [1, 2], "b": {"c": null}}'], "yaml": [b"a: 1\nb: [1, 2]\n"], "words": [b'["--a", "1"]']}
    seed = seeds.get(kind, [Path(__file__).read_bytes()[:400]])
    first, again = ([mutated(kind, seed, random.Random(number)) for number in range(40)] for _ in range(2))
    assert first == again
    assert sum(content != seed[0] for content in first) > 30
    assert len(set(first)) > 20
