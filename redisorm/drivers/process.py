"""What a worker has to do with the process it runs in: a name that no other has, and the signal to stop."""

from __future__ import annotations

import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

__all__ = ["stopping_on_sigterm", "unique_name"]


def unique_name() -> str:
    """Make a name that tells the machine and the process, and that nobody else has: `web-3:4711:9f86d081`."""
    return f"{platform.node()}:{os.getpid()}:{token_hex(4)}"


@contextmanager
def stopping_on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM instead of ending the process, where this is the main thread; elsewhere signals are none of ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, lambda *_: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if former is None else former)
