"""Preprocesses a video as a process of its own: `python -m vhap.pipeline.prepare_video`, see `preparation.py`.

It reads its order from its input and writes messages to its output. It ends with its input, so that it never outlives
who started it.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from vhap.pipeline import preprocess_video
from vhap.pipeline.preparation import ENDING_S, Failed, LandmarksThere, Message, Order, Said
from vhap.util.errors import explained
from vhap.util.log import get_logger
from vhap.util.own_process import own_output, receive, send
from vhap.util.progress import progress_to
from vhap.util.threads import set_threads

Tell = Callable[[Message], None]


class _Telling(logging.Handler):
    """Hands lines of the log on."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(Said(record.levelno, record.getMessage()))


def serve(order: Order, tell: Tell) -> int:
    """Does what is ordered. Returns the exit status."""
    set_threads(order.threads)
    get_logger().addHandler(_Telling(tell))
    get_logger().propagate = False
    try:
        with progress_to(tell):
            preprocess_video.run(order.options, lambda: tell(LandmarksThere()))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        tell(Failed(line))
        return 2
    return 0


def _end_with_input() -> None:
    """Stops the main thread at the end of the input: as Ctrl-C does, and for good where that takes too long."""
    # Not by sys.stdin, whose lock must not be held while the interpreter ends.
    while os.read(sys.stdin.fileno(), 1):
        continue
    _thread.interrupt_main()
    time.sleep(0.8 * ENDING_S)
    os._exit(130)


def main() -> None:
    messages = own_output()
    order = receive(sys.stdin.buffer)
    if order is None:
        return
    threading.Thread(target=_end_with_input, daemon=True).start()
    lock = threading.Lock()

    def tell(message: Message) -> None:
        # Nobody may be there to hear it: the input has ended then, too.
        with lock, contextlib.suppress(OSError):
            send(messages, message)

    sys.exit(serve(order, tell))


if __name__ == "__main__":
    main()
