"""The project's other commands as messages name them: the way in which the running one was started."""

from __future__ import annotations

import sys
from pathlib import Path

from vhap.util.paths import PACKAGE


def command(name: str) -> str:
    """What starts the command `name`, as `vhap` lists it: preprocess-video, track, ...

    `vhap NAME`; `python vhap/NAME.py` where a script of the package was started by its file, `python -m vhap.NAME`
    where by its module, `python -m vhap NAME` where the package itself was.
    """
    script = name.replace("-", "_")
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name == "vhap.__main__":
        return f"python -m vhap {name}"
    if spec is not None and spec.name.startswith("vhap."):
        return f"python -m vhap.{script}"
    started = Path(sys.argv[0] if sys.argv else "")
    if spec is None and started.suffix == ".py" and started.resolve().parent == PACKAGE:
        return f"python {started.with_name(f'{script}.py')}"
    return f"vhap {name}"
