"""Run as a program, as killed_commands.py: the commands that prepare a relightable avatar's subject, with networks and
a tracking that are chosen."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import killed_commands
import pytest
import subject_run
import torch
from subject_run import fake_tracking, loaded_once
from test_relightable_crop import RedFace, RedMatting, frame

from vhap.config.export import ExportConfig
from vhap.config.relightable import (
    AlbedoConfig,
    CropConfig,
    IrisConfig,
    KeypointConfig,
    OptimizeConfig,
    ReconstructConfig,
    RelightableConfig,
)
from vhap.config.report import ReportConfig
from vhap.data.pictures import read_stored, write_picture
from vhap.data.results import newest_run
from vhap.detect import landmark_pass
from vhap.pipeline import (
    export_as_nerf_dataset,
    heads,
    preprocess_relightable,
    relightable_albedo,
    relightable_codes,
    relightable_crop,
    relightable_faces,
    relightable_fit,
    relightable_points,
    report,
    track,
)
from vhap.util.files import write_text

COUNT, SIDE = 4, subject_run.SIZE


def crop(root: Path) -> object:
    return relightable_crop.run(
        CropConfig(
            root, "film", image_size=(SIDE, SIDE), matting=True, crop_image=True, keep_masks=True, mask_clothes=False,
            parsing="mediapipe",
        )
    )  # fmt: skip


def albedo(root: Path, name: str) -> object:
    return relightable_albedo.run(AlbedoConfig(root / name / "image", root / name / "albedo"))


def codes(root: Path, name: str) -> object:
    return relightable_codes.run(
        ReconstructConfig(root / name / "image", root / name / "deca", saveVis=True, render_orig=False)
    )


COMMANDS: dict[str, Callable[[Path], object]] = {
    "crop_and_matting": crop,
    "keypoint_detector": lambda root: relightable_points.run_keypoints(KeypointConfig(root / "new")),
    "iris": lambda root: relightable_points.run_irises(IrisConfig(root / "new")),
    "optimize": lambda root: relightable_fit.run(OptimizeConfig(root / "new")),
    "optimize changed pictures": lambda root: relightable_fit.run(OptimizeConfig(root / "changed")),
    "demo_reconstruct": lambda root: codes(root, "new"),
    "demo_reconstruct of a run": lambda root: codes(root, "fitted"),
    "extract_albedo": lambda root: albedo(root, "new"),
    "extract_albedo of a run": lambda root: albedo(root, "fitted"),
    "extract_albedo of changed pictures": lambda root: albedo(root, "changed"),
    "extract_albedo by a network": lambda root: relightable_albedo.run(
        AlbedoConfig(
            root / "new/image", root / "new/albedo", model_dir=root / "network", allow_unknown_weights=True,
            model_size=32, batch_size=3, device="cpu",
        )
    ),
    "preprocess_relightable": lambda root: preprocess_relightable.run(
        RelightableConfig(root, "film", image_size=(SIDE, SIDE), mask_clothes=False)
    ),
    "export hravatar": lambda root: export_as_nerf_dataset.run(
        ExportConfig(root / "fitted" / "track", root / "hravatar", layout="hravatar")
    ),
    "export imavatar": lambda root: export_as_nerf_dataset.run(
        ExportConfig(root / "fitted" / "track", root / "imavatar", layout="imavatar")
    ),
}  # fmt: skip


class Noisy(torch.nn.Module):
    """In place of a diffusion network: what it gives depends on random numbers."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures / 2 + torch.rand_like(pictures) / 4


def write_page(config: ReportConfig) -> Path:
    """In place of a report, which needs a head with a face that MediaPipe finds."""
    page = newest_run(config.run) / "report.html"
    write_text(page, "<html></html>")
    return page


def make_inputs(root: Path) -> None:
    """film: pictures of a moving face; new: a subject without anything; fitted: one that was fitted;
    changed: one whose pictures are others since."""
    for index in range(COUNT):
        # Without a face in the last one.
        write_picture(root / "film" / "image" / f"{index:05d}.png", frame(index))
    crop(root)
    shutil.copytree(root / "film" / "image", root / "new" / "image")
    for name in ("image", "mask", "seg"):
        shutil.rmtree(root / "film" / name)
    (root / "film" / "crop.json").unlink()
    (root / "film" / "original").rename(root / "film" / "image")
    shutil.copytree(root / "new", root / "fitted")
    relightable_fit.run(OptimizeConfig(root / "fitted"))
    shutil.copytree(root / "new", root / "changed")
    relightable_fit.run(OptimizeConfig(root / "changed"))
    albedo(root, "changed")
    (root / "network").mkdir()
    torch.jit.script(Noisy()).save(str(root / "network" / "albedo.pt"))
    picture = root / "changed" / "image" / "00001.png"
    write_picture(picture, read_stored(picture)[..., [1, 0, 2, 3]])


def main(root: Path) -> None:
    talk = killed_commands.talk_to_asker()
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as flame:
        os.environ["VHAP_FLAME_MODEL"] = str(subject_run.write_flame2020(root.with_name("flame"), flame))
        for where, name, value in (
            (heads, "load_head", loaded_once),
            (track, "run_once", lambda config: fake_tracking(config)),
            (report, "run", write_page),
            (relightable_faces, "detector_maker", lambda *_: RedFace),
            (relightable_crop, "require_detector", lambda *_: None),
            (relightable_points, "require_detector", lambda *_: None),
            (relightable_crop, "make_matting", lambda *_: RedMatting()),
            (landmark_pass, "CHUNK", 1),
        ):
            stack.enter_context(patch.object(where, name, value))
        # Read once, before any fork.
        heads.configured_head(heads.resolved(relightable_fit.model_options(OptimizeConfig(root))))
        killed_commands.serve(talk, root, COMMANDS, make_inputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
