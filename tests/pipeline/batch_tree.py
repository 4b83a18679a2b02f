"""Folders of recordings for tests of planning, and manifests whose steps a stand-in runs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from vhap.config.batch import Manifest, PlanConfig
from vhap.pipeline.batch_manifest import plan, write_manifest

FAKE = Path(__file__).with_name("fake_vhap.py")
JPEG = b"\xff\xd8\xff\xd9"


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)
    return folder


def fake_batch(folder: Path, *names: str) -> Path:
    """A manifest of videos of these names, run by the stand-in."""
    data = make_files(folder / "data", *(f"{name}.mp4" for name in names))
    manifest = planned(data, folder)
    path = folder / "batch.yaml"
    write_manifest(path, replace(manifest, command=(sys.executable, str(FAKE))))
    behave(folder, {})
    return path


def planned(data: Path, folder: Path, **options: object) -> Manifest:
    given = {"output": folder / "batch.yaml", "results": folder / "results", "dry_run": True, **options}
    return plan(PlanConfig(data, **given))  # pyright: ignore[reportArgumentType]


def behave(folder: Path, behaviour: dict[str, str]) -> None:
    """Part of a command's line -> fail, hang or meet."""
    (folder / "behaviour.json").write_text(json.dumps(behaviour))


def calls(folder: Path) -> list[str]:
    """The commands that the stand-in was given since the last time, with their options."""
    path = folder / "calls.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines
