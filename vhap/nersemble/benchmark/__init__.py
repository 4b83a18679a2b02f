"""The NeRSemble benchmark: novel views, monocular FLAME avatars, single-view face reconstruction.

Code that was written for the official kit needs another import line only: everything public is here.
"""

from vhap.data.nersemble.managers import CameraParams
from vhap.nersemble.benchmark.constants import (
    ASSETS,
    BENCHMARK_MONO_FLAME_AVATAR_HOLD_OUT_SERIALS,
    BENCHMARK_MONO_FLAME_AVATAR_IDS,
    BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES,
    BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST,
    BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TRAIN,
    BENCHMARK_MONO_FLAME_AVATAR_SERIALS,
    BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL,
    BENCHMARK_NVS_HOLD_OUT_SERIALS,
    BENCHMARK_NVS_IDS_AND_SEQUENCES,
    BENCHMARK_NVS_TRAIN_SERIALS,
    BENCHMARK_SVFR_IDS,
    BENCHMARK_SVFR_IMAGE_KEYS,
    FLAME_TRACKING_CURRENT_VERSION,
    FLAME_TRACKING_VERSION_MAPPING,
    OPTIONAL_ASSETS,
    SERIALS,
)
from vhap.nersemble.benchmark.flame_tracking import FlameProvider, FlameTracking
from vhap.nersemble.benchmark.managers import ImageKey, MonoFlameAvatarDataManager, NVSDataManager, SVFRDataManager
from vhap.nersemble.benchmark.mesh_submission import SVFRSubmissionDataReader, SVFRSubmissionDataWriter
from vhap.nersemble.benchmark.metadata import MonoFLAMEAvatarMetadata, NVSMetadata
from vhap.nersemble.benchmark.point_clouds import read_pcd
from vhap.nersemble.benchmark.video_submission import (
    MonoFlameAvatarSubmissionDataReader,
    MonoFlameAvatarSubmissionDataWriter,
    NVSSubmissionDataReader,
    NVSSubmissionDataWriter,
)

__all__ = [
    "ASSETS",
    "BENCHMARK_MONO_FLAME_AVATAR_HOLD_OUT_SERIALS",
    "BENCHMARK_MONO_FLAME_AVATAR_IDS",
    "BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES",
    "BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST",
    "BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TRAIN",
    "BENCHMARK_MONO_FLAME_AVATAR_SERIALS",
    "BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL",
    "BENCHMARK_NVS_HOLD_OUT_SERIALS",
    "BENCHMARK_NVS_IDS_AND_SEQUENCES",
    "BENCHMARK_NVS_TRAIN_SERIALS",
    "BENCHMARK_SVFR_IDS",
    "BENCHMARK_SVFR_IMAGE_KEYS",
    "FLAME_TRACKING_CURRENT_VERSION",
    "FLAME_TRACKING_VERSION_MAPPING",
    "OPTIONAL_ASSETS",
    "SERIALS",
    "CameraParams",
    "FlameProvider",
    "FlameTracking",
    "ImageKey",
    "MonoFLAMEAvatarMetadata",
    "MonoFlameAvatarDataManager",
    "MonoFlameAvatarSubmissionDataReader",
    "MonoFlameAvatarSubmissionDataWriter",
    "NVSDataManager",
    "NVSMetadata",
    "NVSSubmissionDataReader",
    "NVSSubmissionDataWriter",
    "SVFRDataManager",
    "SVFRSubmissionDataReader",
    "SVFRSubmissionDataWriter",
    "read_pcd",
]
