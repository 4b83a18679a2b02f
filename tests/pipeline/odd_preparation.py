"""In place of `vhap.pipeline.prepare_video`: the same, but for what happens where mattes would be made.

ODD_PREPARATION in the environment says what: `wait FILE` until there is such a file, `fail` by bad input, `die` by a
signal, `break` by an error of the program. A file ODD_PREPARATION_PID gets the number of the process there.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from unittest.mock import patch

from vhap.pipeline import prepare_video, preprocess_video
from vhap.util.errors import InputError

ODD, PID = "ODD_PREPARATION", "ODD_PREPARATION_PID"
PATIENCE_S = 60.0
usual = preprocess_video.matte_pictures


def odd(*arguments: object, **keywords: object) -> int:
    if PID in os.environ:
        Path(os.environ[PID]).write_text(str(os.getpid()))
    what, _, rest = os.environ[ODD].partition(" ")
    if what == "fail":
        raise InputError("expected a matte, found none; take another")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "break":
        raise ValueError("broken")
    started = time.monotonic()
    while not Path(rest).exists():
        if time.monotonic() - started > PATIENCE_S:
            raise InputError(f"expected {rest} after {PATIENCE_S:g} s, found none; make it")
        time.sleep(0.05)
    return usual(*arguments, **keywords)  # pyright: ignore[reportArgumentType]


if __name__ == "__main__":
    with patch.object(preprocess_video, "matte_pictures", odd):
        prepare_video.main()
