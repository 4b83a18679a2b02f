"""What the NeRSemble benchmark fixes of a synthetic recording: participants, sequences, cameras, FLAME's numbers."""

from __future__ import annotations

from vhap.config.synthetic import SyntheticConfig
from vhap.data.results import load_result
from vhap.head.model import HeadModel
from vhap.nersemble.benchmark import constants
from vhap.nersemble.benchmark.flame_tracking import FlameTracking
from vhap.synthetic.rig_layouts import RigFiles
from vhap.util.errors import InputError
from vhap.util.log import get_logger

PARTICIPANTS = {
    "benchmark_mono": constants.BENCHMARK_MONO_FLAME_AVATAR_IDS,
    "benchmark_svfr": constants.BENCHMARK_SVFR_IDS,
}
"""Layouts whose files mean nothing for other people: their pictures, lengths and cameras are listed by participant."""
MONO_SERIALS = constants.BENCHMARK_MONO_FLAME_AVATAR_SERIALS


def kept_back_serials(layout: str, sequence: str) -> tuple[str, ...]:
    """Calibrated cameras whose recordings the benchmark does not give: all of them for the sequences of a test."""
    if layout == "benchmark_nvs":
        return tuple(constants.BENCHMARK_NVS_HOLD_OUT_SERIALS)
    if layout != "benchmark_mono":
        return ()
    is_test = sequence in constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST
    return tuple(MONO_SERIALS if is_test else constants.BENCHMARK_MONO_FLAME_AVATAR_HOLD_OUT_SERIALS)


def check_benchmark_options(config: SyntheticConfig) -> None:
    """InputError where the benchmark has no such participant, sequence or number of cameras."""
    participants = PARTICIPANTS.get(config.layout)
    if participants is not None and config.subject not in participants:
        raise InputError(
            f"expected a participant of the benchmark as --subject of {config.layout} "
            f"({', '.join(map(str, participants))}), found {config.subject}; choose one of them"
        )
    if config.layout != "benchmark_mono":
        return
    sequences = constants.BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES
    if config.sequence not in sequences:
        raise InputError(
            f"expected a sequence of the benchmark as --sequence of benchmark_mono ({', '.join(sequences)}), found "
            f"{config.sequence!r}; choose one of them"
        )
    if config.cameras != len(MONO_SERIALS):
        raise InputError(
            f"expected {len(MONO_SERIALS)} as --cameras of benchmark_mono, found {config.cameras}; leave it out"
        )


def write_flame_tracking(files: RigFiles, model: HeadModel) -> None:
    """The true motion as the benchmark's tracking. Of another head than FLAME 2023 there is none; the log says so."""
    if files.flame_tracking.is_file():
        return
    try:
        tracking = FlameTracking.from_result(load_result(files.params, model.identity), model)
    except InputError as error:
        get_logger().info("no %s: %s", files.flame_tracking.relative_to(files.folder), error)
        return
    tracking.save(files.flame_tracking)
