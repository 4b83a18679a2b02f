"""workflow/Snakefile: read, planned and run by Snakemake, with a stand-in for vhap's commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from batch_tree import behave, calls, fake_batch

ROOT = Path(__file__).parents[2]
pytest.importorskip("snakemake")


def snakemake(folder: Path, manifest: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile"), *options),
            *("--cores", "2", "--config", f"manifest={manifest}", f"vhap={sys.executable} -m vhap"),
        ],
        cwd=folder, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
             "BEHAVIOUR": str(folder / "behaviour.json")},
    )  # fmt: skip


def test_a_dry_run_names_all_jobs(tmp_path: Path) -> None:
    done = snakemake(tmp_path, fake_batch(tmp_path, "anna_a", "anna_b", "bert_a"), "--dry-run")
    assert done.returncode == 0, done.stderr[-2000:]
    assert re.search(r"^total +12$", done.stdout + done.stderr, re.MULTILINE)
    assert calls(tmp_path) == []


@pytest.mark.slow
def test_failures_are_left_aside_and_completed_later(tmp_path: Path) -> None:
    manifest = fake_batch(tmp_path, "anna_a", "anna_b", "bert_a")
    behave(tmp_path, {f"--exp.output_folder {tmp_path / 'results' / 'runs' / 'anna_b'}": "fail"})
    done = snakemake(tmp_path, manifest, "--keep-going", "--retries", "0")
    assert done.returncode == 1
    lines = calls(tmp_path)
    assert len([line for line in lines if line.startswith("export")]) == 2
    assert not any(line.startswith("combine") for line in lines)
    behave(tmp_path, {})
    assert snakemake(tmp_path, manifest, "--keep-going").returncode == 0
    assert [line.split()[0] for line in calls(tmp_path)] == [
        "track", "export-as-nerf-dataset", "combine-nerf-datasets",
    ]  # fmt: skip
