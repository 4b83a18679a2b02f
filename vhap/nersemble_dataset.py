"""Lists and downloads the NeRSemble dataset, version 2."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, cast

import tyro

from vhap.cli import parse
from vhap.config.nersemble import DownloadConfig, ListConfig
from vhap.util.errors import exits_cleanly

Commands = (
    Annotated[ListConfig, tyro.conf.subcommand("list", description="Lists participants, or one's sequences.")]
    | Annotated[DownloadConfig, tyro.conf.subcommand("download"), tyro.conf.PositionalRequiredArgs]
)


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    words = list(sys.argv[1:] if args is None else args)
    if words[:1] == ["list"] and words[1:2] and not words[1].startswith("-"):
        # The official kit takes the number without an option's name.
        words.insert(1, "--participant")
    config = parse(cast(type[ListConfig | DownloadConfig], Commands), __doc__, words)
    from vhap.data.nersemble.http import TransferError
    from vhap.pipeline.nersemble_download import describe, list_available, run

    try:
        if isinstance(config, ListConfig):
            print(list_available(config))
            return
        outcome = run(config)
    except TransferError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    text, troubles = describe(outcome, config.folder)
    print(text)
    if troubles:
        print(*troubles, "give the same command again to complete the rest", sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
