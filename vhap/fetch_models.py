"""Fetches the files of MediaPipe's networks, which find landmarks and mattes by default."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.fetch_models import FetchModelsConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    # `from` is no name of a field in Python.
    words = [re.sub("^--from(?==|$)", "--wheel", word) for word in (sys.argv[1:] if args is None else args)]
    config = parse(FetchModelsConfig, __doc__, words)
    from vhap.pipeline.fetch_models import run

    print(run(config))


if __name__ == "__main__":
    main()
