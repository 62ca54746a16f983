"""What a worker has to do with the process it runs in: a name that no other has, and the signal to stop."""

from __future__ import annotations

import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from types import FrameType

__all__ = ["stopping_on_sigterm", "unique_name"]


def unique_name() -> str:
    """Make a name that tells the machine and the process, and that nobody else has: `web-3:4711:9f86d081`."""
    return f"{platform.node()}:{os.getpid()}:{token_hex(4)}"


class _Sigterm:
    """What SIGTERM does from when the first worker of the main thread runs until the last one has ended.

    A handler that others install meanwhile stays, and may pass the signal on to this one at any time.
    """

    def __init__(self) -> None:
        self.stops: list[Callable[[], None]] = []
        self._came = False
        self._former = signal.signal(signal.SIGTERM, self.hear)

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Stop the runs, or pass the signal on where there are none any more."""
        if not self.stops and callable(self._former):
            self._former(number, frame)
        self._came = True
        for stop in list(self.stops):
            stop()

    def end(self) -> None:
        """Put back what was there before, and pass on to it what came."""
        if signal.getsignal(signal.SIGTERM) != self.hear:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL if self._former is None else self._former)
        if self._came and callable(self._former):
            signal.raise_signal(signal.SIGTERM)


_sigterms: list[_Sigterm] = []
"""The one that is in force, if any. Only the main thread changes it."""


@contextmanager
def stopping_on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on SIGTERM instead of ending the process, where this is the main thread; elsewhere signals are none of ours.

    Several may be in force at once, and end in any order: each is called. A handler that was there before, such as a web server's, is
    called when the last of them has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if not _sigterms:
        _sigterms.append(_Sigterm())
    sigterm = _sigterms[0]
    sigterm.stops.append(stop)
    try:
        yield
    finally:
        sigterm.stops.remove(stop)
        if not sigterm.stops:
            _sigterms.remove(sigterm)
            sigterm.end()
