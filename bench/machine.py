"""On what a table was measured: machine, versions, threads, commit, date."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "warp-lang", "numpy")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")


def facts() -> dict[str, str]:
    """What -> its value, in the order of a header's lines."""
    return {
        "machine": f"{processor()}, {cores()} cores, {memory_gib():.0f} GiB, {platform.system()} {platform.machine()}",
        "versions": ", ".join([f"python {platform.python_version()}", *package_versions()]),
        "threads": threads(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def header() -> str:
    """The facts as lines of Markdown, to stand above a table."""
    return "\n".join(f"- {name}: {value}" for name, value in facts().items())


def processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.is_file():
        names = [line.partition(":")[2].strip() for line in listed.read_text().splitlines() if "model name" in line]
        if names:
            return names[0]
    return platform.processor() or "unknown processor"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def package_versions() -> list[str]:
    return [f"{name.removesuffix('-lang')} {metadata.version(name)}" for name in PACKAGES]


def threads() -> str:
    """torch's own number, and the variables that set it."""
    import torch

    given = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    return ", ".join([f"torch {torch.get_num_threads()}", *given])


def commit() -> str:
    """The checkout's commit; says where files differ from it."""
    try:
        name = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown (no git checkout)"
    return f"{name} with changed files" if changed else name


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
