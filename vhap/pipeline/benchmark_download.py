"""What data of the NeRSemble benchmark there are, and their download."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from vhap.config.benchmark import DownloadConfig, ListConfig
from vhap.data.nersemble.download import Outcome, download
from vhap.data.nersemble.http import TransferError, join_url
from vhap.data.nersemble.ledger import Ledger, locked_folder
from vhap.data.nersemble.settings import find_benchmark_url
from vhap.data.nersemble.transfer import Policy, fetch, remote_version
from vhap.nersemble.benchmark import assets
from vhap.nersemble.benchmark.constants import BENCHMARK_NVS_IDS_AND_SEQUENCES
from vhap.nersemble.benchmark.metadata import METADATA, MonoFLAMEAvatarMetadata, NVSMetadata, NVSSequenceMetadata
from vhap.pipeline.nersemble_download import check_numbers, full_disk_explained, is_agreed
from vhap.util.errors import InputError

NO_ACCESS, NOT_THERE = (401, 403), (404, 410)
READERS = {"nvs": NVSMetadata, "mono_flame_avatar": MonoFLAMEAvatarMetadata}
FILTERS = "--participant, --sequence, --assets, --pointcloud_frames"


def list_available(config: ListConfig) -> str:
    """Participants, files and sizes, from what is published of them: a line each."""
    lines = []
    for benchmark in assets.BENCHMARKS:
        if config.benchmark not in ("all", benchmark):
            continue
        lines.append(f"{benchmark}: {_size(benchmark, 'all')}")
        for participant in assets.participants_of(benchmark):
            sequences = ", ".join(assets.sequences_of(benchmark, participant))
            lines.append(f"  {participant:3d}: {_size(benchmark, str(participant))}: {sequences}")
    return "\n".join(lines)


def _size(benchmark: assets.Benchmark, participant: str) -> str:
    sequences = dict(BENCHMARK_NVS_IDS_AND_SEQUENCES)
    frames = {
        number: NVSSequenceMetadata(sequences[number], list(range(count)))
        for number, count in assets.NVS_FRAMES.items()
    }
    texts = []
    for pointclouds in ("0", "all") if benchmark == "nvs" else ("0",):
        selection = assets.select(benchmark, participants=[participant], pointcloud_frames=[pointclouds])
        paths = assets.list_files(selection, NVSMetadata(frames))
        texts.append(f"{len(paths)} files, about {assets.estimate_bytes(benchmark, paths) / 1e6:,.0f} MB")
    return texts[0] + (f" (with all pointclouds {texts[1]})" if len(texts) > 1 else "")


def run(config: DownloadConfig) -> Outcome:
    """Completes the selected files in the folder. Raises InputError, TransferError where not even the start works.

    The server is asked for nothing where all is known to be whole, unless `overwrite` is set.
    """
    check_numbers(config.n_workers, config.retries, config.timeout_s)
    selection = assets.select(
        config.benchmark, config.assets, config.participant, config.sequence, config.pointcloud_frames
    )
    base_url = f"{find_benchmark_url()}/{config.benchmark}"
    policy = Policy(config.timeout_s, config.retries)
    folder = config.folder / config.benchmark
    ledger = Ledger(folder)

    def is_settled(path: str, ledger: Ledger) -> bool:
        return not config.overwrite and ledger.version(path) is not None

    paths, metadata = [], None
    if config.benchmark in READERS:
        paths = [METADATA]
        metadata = _metadata(config, base_url, policy, is_settled(METADATA, ledger))
    paths += assets.list_files(selection, metadata if isinstance(metadata, NVSMetadata) else None)
    missing = [path for path in paths if not is_settled(path, ledger)]
    if METADATA not in missing:
        _require_access(missing, len(missing) < len(paths), base_url, policy)
    needed = assets.estimate_bytes(config.benchmark, [path for path in missing if not (folder / path).is_file()])
    if not is_agreed(folder, len(missing), needed, config.yes, FILTERS):
        return Outcome(untried=paths)
    with locked_folder(folder) as ledger, full_disk_explained(folder):
        return download(paths, base_url, ledger, policy, config.n_workers, is_settled)


def _metadata(
    config: DownloadConfig, base_url: str, policy: Policy, is_settled: bool
) -> NVSMetadata | MonoFLAMEAvatarMetadata:
    """The metadata beside the data, else the server's, which is not stored yet: nothing is, before it is agreed to."""
    reader = READERS[config.benchmark]
    if is_settled:
        return reader.load(config.folder)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / METADATA
        try:
            fetch(join_url(base_url, METADATA), target, policy)
        except TransferError as error:
            raise _explained(error, METADATA, (*NO_ACCESS, *NOT_THERE)) from error
        try:
            return reader.read(target)
        except InputError as error:
            raise InputError(
                f"expected the metadata of {config.benchmark} at the benchmark's address, found other content "
                f"({error}); correct the address in the settings"
            ) from error


def _require_access(missing: Sequence[str], has_some: bool, base_url: str, policy: Policy) -> None:
    """Says at once that the address does not serve these files, rather than once for each of them.

    has_some: files came from there before, so that one that is not there says nothing about the address.
    """
    errors = []
    for path in dict.fromkeys([missing[0], missing[-1]] if missing else []):
        try:
            remote_version(join_url(base_url, path), policy)
            return
        except TransferError as error:
            if error.status not in NOT_THERE:
                raise _explained(error, path, NO_ACCESS) from error
            errors.append((path, error))
    if errors and not has_some:
        path, error = errors[0]
        raise _explained(error, path, NOT_THERE) from error


def _explained(error: TransferError, path: str, refusals: tuple[int, ...]) -> InputError | TransferError:
    if error.status in refusals:
        return InputError(
            f"expected {path} at the benchmark's address, found: {error}; the address in the settings is wrong or out "
            "of date, copy it from the mail again"
        )
    return TransferError(f"{path}: {error}; check the network and the settings")
