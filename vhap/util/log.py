"""One logger, lines on stderr and, within a run, in the run's log file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

LOGGER_NAME = "vhap"


def get_logger() -> logging.Logger:
    """The package's logger. A program that imports the package decides where its lines go; `log_to_stderr` is for
    commands."""
    logger = logging.getLogger(LOGGER_NAME)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return logger


def log_to_stderr() -> None:
    """Lines on stderr, as commands print them, unless the process has chosen another place for them."""
    logger = get_logger()
    if not logger.handlers:
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.propagate = False


class _StderrHandler(logging.StreamHandler):
    """Writes to what stderr is at the time of a line, which a caller may have replaced since."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return sys.stderr


def log_to_file(path: Path) -> logging.Handler:
    """Adds a file that receives every line from now on; the caller removes the handler when the run ends."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    get_logger().addHandler(handler)
    return handler
