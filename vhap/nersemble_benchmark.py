"""The NeRSemble benchmark: downloads and tracks its data, shows its cameras, makes and checks submissions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Union

import tyro

from vhap.cli import parse
from vhap.config.benchmark import (
    BenchmarkRunConfig,
    BenchmarkTrackConfig,
    CamerasConfig,
    DownloadConfig,
    ListConfig,
    ValidateConfig,
)
from vhap.util.errors import exits_cleanly


def run_list(config: ListConfig) -> None:
    from vhap.pipeline.benchmark_download import list_available

    print(list_available(config))


def run_download(config: DownloadConfig) -> None:
    from vhap.data.nersemble.http import TransferError
    from vhap.pipeline.benchmark_download import run
    from vhap.pipeline.nersemble_download import describe

    try:
        outcome = run(config)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    text, troubles = describe(outcome, config.folder / config.benchmark)
    print(text)
    if troubles:
        print(*troubles, "give the same command again to complete the rest", sep="\n", file=sys.stderr)
        sys.exit(1)


def run_validate(config: ValidateConfig) -> None:
    from vhap.pipeline.benchmark_validate import describe, run

    findings = run(config)
    print(describe(findings))
    sys.exit(1 if findings else 0)


def run_track(config: BenchmarkTrackConfig) -> None:
    from vhap.pipeline.benchmark_track import run

    print(*run(config), sep="\n")


def run_whole(config: BenchmarkRunConfig) -> None:
    from vhap.pipeline.benchmark_run import run
    from vhap.pipeline.benchmark_validate import describe

    findings = run(config)
    if findings is not None:
        print(config.zip, describe(findings), sep="\n")
        sys.exit(1 if findings else 0)


def run_cameras(config: CamerasConfig) -> None:
    from vhap.pipeline.benchmark_cameras import run, view

    if not config.view or config.output is not None:
        print(run(config))
    if config.view:
        view(config, lambda address: print(f"{address} (Ctrl-C ends it)", flush=True))


COMMANDS: dict[str, tuple[type, Callable[[Any], None]]] = {
    "list": (ListConfig, run_list),
    "download": (DownloadConfig, run_download),
    "cameras": (CamerasConfig, run_cameras),
    "track": (BenchmarkTrackConfig, run_track),
    "run": (BenchmarkRunConfig, run_whole),
    "validate": (ValidateConfig, run_validate),
}
"""Name of a subcommand: its options, and what runs it. Options without a default are positional."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if args is None else args)
    if words[:1] == ["list"] and words[1:2] and not words[1].startswith("-"):
        words.insert(1, "--benchmark")
    kinds = tuple(
        Annotated[kind, tyro.conf.subcommand(name), tyro.conf.PositionalRequiredArgs]
        for name, (kind, _) in COMMANDS.items()
    )
    config = parse(Union[kinds], __doc__, words)  # pyright: ignore[reportArgumentType] # noqa: UP007
    next(run for kind, run in COMMANDS.values() if type(config) is kind)(config)


if __name__ == "__main__":
    main()
