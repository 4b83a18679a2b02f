"""Shows a run, two runs, an export, a recording or a head in the browser."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vhap.api import view
from vhap.cli import parse
from vhap.config.view import ViewConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(ViewConfig, __doc__, args, positional=True)
    page = view(config)
    print(page.url, flush=True)
    print(f"from another machine: ssh -L {page.port}:localhost:{page.port} HOST; Ctrl-C ends it", file=sys.stderr)
    page.wait()


if __name__ == "__main__":
    main()
