"""The one table of layouts: what each can hold, and who writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vhap.config.export import ExportConfig
from vhap.export.files import CountedFiles, TargetFiles
from vhap.export.layouts.base import Job, LayoutRules, LayoutWriter
from vhap.export.layouts.cap4d import RULES as CAP4D
from vhap.export.layouts.cap4d import Cap4d
from vhap.export.layouts.colmap import RULES as COLMAP
from vhap.export.layouts.colmap import Colmap
from vhap.export.layouts.flashavatar import RULES as FLASHAVATAR
from vhap.export.layouts.flashavatar import FlashAvatar
from vhap.export.layouts.gagavatar import RULES as GAGAVATAR
from vhap.export.layouts.gagavatar import GagAvatar
from vhap.export.layouts.gaussian_head_avatar import RULES as GAUSSIAN_HEAD_AVATAR
from vhap.export.layouts.gaussian_head_avatar import GaussianHeadAvatar
from vhap.export.layouts.insta import RULES as INSTA
from vhap.export.layouts.insta import Insta
from vhap.export.layouts.instant_ngp import RULES as INSTANT_NGP
from vhap.export.layouts.instant_ngp import InstantNgp
from vhap.export.layouts.metrical import RULES as METRICAL
from vhap.export.layouts.metrical import Metrical
from vhap.export.layouts.nerfstudio import RULES as NERFSTUDIO
from vhap.export.layouts.nerfstudio import Nerfstudio
from vhap.export.layouts.usd import RULES as USD
from vhap.export.layouts.usd import Usd
from vhap.export.nerf_dataset import NerfDataset
from vhap.export.parallel import for_each
from vhap.export.target import DATASET, finish_target, open_target
from vhap.pipeline.export_relightable import HRAVATAR, IMAVATAR, HrAvatar, ImAvatar
from vhap.util.lock import folder_lock
from vhap.util.progress import progress


@dataclass(frozen=True)
class LayoutEntry:
    rules: LayoutRules
    open: Callable[[Job], LayoutWriter]


GAUSSIAN_AVATARS = LayoutRules(
    readers="GaussianAvatars and its descendants",
    target=DATASET,
    one_camera=False,
    options=("flame_mode", "center_head", "world"),
)


def open_gaussian_avatars(job: Job) -> LayoutWriter:
    return NerfDataset(job.source, job.config, job.files, job.backend)


LAYOUTS: Mapping[str, LayoutEntry] = {
    "gaussian_avatars": LayoutEntry(GAUSSIAN_AVATARS, open_gaussian_avatars),
    "nerf": LayoutEntry(GAUSSIAN_AVATARS, open_gaussian_avatars),
    "metrical": LayoutEntry(METRICAL, Metrical),
    "insta": LayoutEntry(INSTA, Insta),
    "flashavatar": LayoutEntry(FLASHAVATAR, FlashAvatar),
    "imavatar": LayoutEntry(IMAVATAR, ImAvatar),
    "hravatar": LayoutEntry(HRAVATAR, HrAvatar),
    "cap4d": LayoutEntry(CAP4D, Cap4d),
    "gaussian_head_avatar": LayoutEntry(GAUSSIAN_HEAD_AVATAR, GaussianHeadAvatar),
    "gagavatar": LayoutEntry(GAGAVATAR, GagAvatar),
    "nerfstudio": LayoutEntry(NERFSTUDIO, Nerfstudio),
    "instant_ngp": LayoutEntry(INSTANT_NGP, InstantNgp),
    "colmap": LayoutEntry(COLMAP, Colmap),
    "usd": LayoutEntry(USD, Usd),
}


def layout_of(config: ExportConfig) -> LayoutEntry:
    return LAYOUTS[config.layout]


def write_layout(job: Job, target: Path, mark: str) -> Path:
    """Writes all files, those that are there already excepted; returns the folder."""
    entry = layout_of(job.config)
    with folder_lock(target):
        writer = entry.open(job)
        open_target(target, mark, entry.rules.target)
        with job.files.settling():
            for_each(writer.write, progress(range(job.n_rows), "export"))
        writer.finish()
        finish_target(target, mark, entry.rules.target)
    return target


def planned_lines(job: Job) -> list[str]:
    """What would be written, by folder: the middle frame is made in memory, and stands for all of them."""
    files = job.files
    assert isinstance(files, CountedFiles)
    writer = layout_of(job.config).open(job)
    files.frames = job.n_rows
    writer.write(job.n_rows // 2)
    files.frames = 1
    writer.finish()
    return files.lines()


def files_of(config: ExportConfig, target: Path) -> TargetFiles:
    return CountedFiles(target) if config.dry_run else TargetFiles(target)
