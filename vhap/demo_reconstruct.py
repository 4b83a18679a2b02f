"""Writes DECA's codes (code.json) of a subject's pictures, from a fit of FLAME to each of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import ReconstructConfig
from vhap.util.errors import exits_cleanly

SHORT = {"-i": "--inputpath", "-s": "--savefolder"}


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    words = sys.argv[1:] if args is None else args
    config = parse(ReconstructConfig, __doc__, [SHORT.get(word, word) for word in words])
    from vhap.pipeline.relightable_codes import run

    print(run(config))


if __name__ == "__main__":
    main()
