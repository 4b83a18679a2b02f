"""Runs that tests of the viewer look at."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipeline"))
import rig_run
import small_run

from vhap.head.builtin import load_builtin


@pytest.fixture(scope="session")
def viewed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a monocular run of five frames, whose fourth one shows nothing of the head."""
    head = load_builtin()
    reasons = np.array([[""], [""], [""], ["the picture is black"], [""]])
    result = replace(small_run.make_result(head), lost_reason=reasons, camera_id=np.array(["0"]))
    return small_run.make_run(tmp_path_factory.mktemp("viewed"), head, result)


@pytest.fixture(scope="session")
def viewed_rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a recording by four cameras, and a run by three of them."""
    root = tmp_path_factory.mktemp("rig")
    rig_run.make_capture(root, "multiview", frames=2, height=96, width=72)
    names = rig_run.open_rig(rig_run.track_config(root, "multiview")).camera_ids
    rig_run.write_true_run(rig_run.track_config(root, "multiview", cameras=tuple(names[:3])))
    return root
